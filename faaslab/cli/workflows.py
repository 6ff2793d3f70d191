"""Workflows named on the command line: ``module:workflow``, or a WfFormat file."""

import importlib
import sys
from pathlib import Path
from typing import Any

from faaslab.errors import GraphError
from faaslab.graph import DAG, Task
from faaslab.graph.wfformat import from_wfformat


def load_workflow(name: str) -> DAG:
    """Return the DAG that a name stands for.

    Args:
        name: ``module:workflow`` with a task, a DAG, or a function without arguments that returns one of them; the
            module is looked for in the current folder, too. Or the path of a WfFormat file, ``….json`` or
            ``….json.gz``, whose tasks use as much CPU time as recorded.

    Raises:
        GraphError: There is nothing of that name, or it is no workflow.
    """
    if name.endswith((".json", ".json.gz")) and (":" not in name or Path(name).is_file()):  # module:Class.json is none
        return from_wfformat(name)
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise GraphError(f"{name!r} names no workflow; it must look like module:workflow or file.json")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there, something that it imports is not
        raise GraphError(f"there is no module {module_name!r} here; run this in the folder that has it") from None
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise GraphError(f"module {module_name!r} has no {attribute!r}") from None
    if callable(found) and not isinstance(found, (DAG, Task)):
        found = found()
    if isinstance(found, DAG):
        return found
    dag = DAG(found, name=attribute)
    if not len(dag):
        raise GraphError(f"{name!r} is a {type(found).__name__} without any task, not a workflow")
    return dag
