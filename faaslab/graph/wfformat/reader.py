"""Reading WfFormat 1.3 to 1.6.

::

    1.3, 1.4    workflow.tasks (or jobs): runtime, files with sizes, machine inside each task
    1.5, 1.6    workflow.specification: tasks and files by id      workflow.execution: runtimes and machines by task id

Both become drafts of tasks, whose references are then resolved in one place. A document may say less than the schema
asks for: what it lacks is None, or noted. What it says must make sense: errors name document, field and task.
"""

import gc
import gzip
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from faaslab.errors import GraphError
from faaslab.graph.wfformat.document import Document, Draft
from faaslab.graph.wfformat.edges import Resolver
from faaslab.graph.wfformat.instance import WfInstance, WfMachine

VERSIONS = ("1.3", "1.4", "1.5", "1.6")
_VERSION = re.compile(r"1\.[3-6](?![0-9])")
_FLAT = ("tasks", "jobs")


def read_wfformat(source: str | Path | Mapping[str, Any]) -> WfInstance:
    """Return the workflow that a WfFormat document describes.

    Tasks wait for their parents, for tasks that name them as a child, and for the tasks that write what they read. A
    file that several tasks write comes from those of them that are parents.

    Args:
        source: Path of a JSON file, gzipped or not; or the document itself.

    Raises:
        CycleError: Tasks wait for each other.
        GraphError: The file can't be read or is no WfFormat of version 1.3 to 1.6; names file, field and task.
    """
    with _no_collections():
        if isinstance(source, Mapping):
            return _read(Document("WfFormat document"), source)
        document = Document(str(source))
        return _read(document, document.object(_load(Path(source)), "the document"))


@contextmanager
def _no_collections() -> Iterator[None]:
    """Keep Python from searching for garbage, which takes half the time while so many objects are made."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _read(document: Document, content: Mapping[str, Any]) -> WfInstance:
    workflow = document.object(content.get("workflow"), "workflow")
    version, flat = _layout(document, content, workflow)
    if flat:
        _read_flat(document, workflow, version)
        execution, where = workflow, "workflow"
    else:
        execution, where = _read_split(document, workflow), "workflow.execution"
    if not document.drafts:
        document.fail("workflow", "has no tasks")
    makespan_s = document.number(execution, "makespan" if version == "1.3" else "makespanInSeconds", where)
    machines = _machines(document, execution, where)
    name = document.text(content, "name", "the document") or "workflow"
    tasks, files, edges = Resolver(document).resolved()
    return WfInstance(name, version, tasks, files, edges, machines, makespan_s, tuple(document.notes))


def _load(path: Path) -> Any:
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        return json.loads(data)
    except FileNotFoundError:
        raise GraphError(f"{path}: there is no such file") from None
    except (OSError, EOFError, zlib.error) as error:
        raise GraphError(f"{path}: can't be read: {error}") from error
    except (ValueError, RecursionError) as error:
        raise GraphError(f"{path}: is no JSON: {error}") from error


def _layout(document: Document, content: Mapping[str, Any], workflow: Mapping[str, Any]) -> tuple[str, bool]:
    """Return the version, and whether its tasks carry everything themselves (before 1.5)."""
    said = content.get("schemaVersion")
    split = "specification" in workflow
    found = ", ".join(workflow) or "nothing"
    if said is None:
        if not split and not any(key in workflow for key in _FLAT):
            document.fail("workflow", f"has neither specification (WfFormat 1.5) nor tasks (1.3, 1.4), but {found}")
        if split:
            version = "1.5"
        else:
            tasks = next((workflow[key] for key in _FLAT if key in workflow), ())
            old = "makespan" in workflow or any("runtime" in task for task in tasks if isinstance(task, Mapping))
            version = "1.3" if old else "1.4"
        document.notes.append(f"schemaVersion is missing: taken as {version}")
        return version, not split
    match = _VERSION.match(str(said))
    if match is None:
        document.fail("schemaVersion", f"is {said!r}; FaaSLab reads {', '.join(VERSIONS)}")
    version = match.group()
    flat = version in ("1.3", "1.4")
    if not (any(key in workflow for key in _FLAT) if flat else split):
        needed = "workflow.tasks" if flat else "workflow.specification"
        document.fail(needed, f"is missing, although schemaVersion is {said}; workflow has {found}")
    return version, flat


def _read_split(document: Document, workflow: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read 1.5 and 1.6; return the execution."""
    where = "workflow.specification"
    specification = document.object(workflow["specification"], where)
    for position, value in enumerate(document.list(specification, "files", where)):
        at = f"{where}.files[{position}]"
        file = document.object(value, at)
        name = document.text(file, "id", at) or document.fail(f"{at}.id", "is missing")
        document.size(name, file, "sizeInBytes", at)
    for position, value in enumerate(document.list(specification, "tasks", where, required=True)):
        at = f"{where}.tasks[{position}]"
        task = document.object(value, at)
        key = document.text(task, "id", at) or document.fail(f"{at}.id", "is missing")
        at = f"{at} (task {key!r:.80})"
        document.add(
            Draft(
                where=at,
                id=key,
                name=document.text(task, "name", at) or key,
                parents=document.texts(task, "parents", at),
                children=document.texts(task, "children", at),
                inputs=document.texts(task, "inputFiles", at),
                outputs=document.texts(task, "outputFiles", at),
                reads="inputFiles",
            )
        )
    execution = document.object(workflow.get("execution") or {}, "workflow.execution")
    executed: set[str] = set()
    for position, value in enumerate(document.list(execution, "tasks", "workflow.execution")):
        at = f"workflow.execution.tasks[{position}]"
        task = document.object(value, at)
        key = document.text(task, "id", at) or document.fail(f"{at}.id", "is missing")
        if key not in document.by_id:
            document.fail(f"{at}.id", f"task {key!r} is not in workflow.specification.tasks")
        if key in executed:
            document.fail(f"{at}.id", f"task {key!r} was in this list before")
        executed.add(key)
        at = f"{at} (task {key!r:.80})"
        draft = document.drafts[document.by_id[key]]
        draft.runtime_s = document.number(task, "runtimeInSeconds", at)
        draft.cores = document.number(task, "coreCount", at, above=True)
        draft.memory_bytes = _whole(document.number(task, "memoryInBytes", at))
        draft.machines = tuple(document.texts(task, "machines", at))
        draft.program = document.program(task, at)
    return execution


def _read_flat(document: Document, workflow: Mapping[str, Any], version: str) -> None:
    """Read 1.3 and 1.4.

    1.3 calls sizes of files kilobytes but holds bytes: WfFormat's own migration tool takes them as bytes, and memory
    as units of 1,000 bytes (``tools/wfcommons-migrate-instance.py``).
    """
    old = version == "1.3"
    runtime, size = ("runtime", "size") if old else ("runtimeInSeconds", "sizeInBytes")
    memory, unit_bytes = ("memory", 1000) if old else ("memoryInBytes", 1)
    key = next(key for key in _FLAT if key in workflow)
    values = document.list(workflow, key, "workflow", required=True)
    names = Counter(str(value.get("name")) for value in values if isinstance(value, Mapping))
    for position, value in enumerate(values):
        at = f"workflow.{key}[{position}]"
        task = document.object(value, at)
        name, own = document.text(task, "name", at), document.text(task, "id", at)
        if name is None and own is None:
            document.fail(f"{at}.name", "is missing")
        name = name or own or ""
        own = own or (name if names[name] == 1 else f"{name}_{position}")
        at = f"{at} (task {own!r:.80})"
        inputs: list[str] = []
        outputs: list[str] = []
        for number, entry in enumerate(document.list(task, "files", at)):
            where = f"{at}.files[{number}]"
            file = document.object(entry, where)
            file_name = document.text(file, "name", where) or document.fail(f"{where}.name", "is missing")
            file_name = (document.text(file, "path", where) or "") + file_name
            link = file.get("link")
            if link not in ("input", "output"):
                document.fail(f"{where}.link", f"of file {file_name!r} must be 'input' or 'output', is {link!r:.40}")
            (inputs if link == "input" else outputs).append(file_name)
            document.size(file_name, file, size, where)
        machine = document.text(task, "machine", at)
        document.add(
            Draft(
                where=at,
                id=own,
                name=name,
                parents=document.texts(task, "parents", at),
                children=document.texts(task, "children", at),
                inputs=inputs,
                outputs=outputs,
                reads="files",
                runtime_s=document.number(task, runtime, at),
                cores=document.number(task, "cores", at, above=True),
                memory_bytes=_whole(document.number(task, memory, at), unit_bytes),
                machines=() if machine is None else (machine,),
                category=document.text(task, "category", at),
                program=document.program(task, at),
            )
        )


def _whole(value: float | None, unit: int = 1) -> int | None:
    return None if value is None else round(value * unit)


def _machines(document: Document, execution: Mapping[str, Any], where: str) -> tuple[WfMachine, ...]:
    found: dict[str, WfMachine] = {}
    for position, value in enumerate(document.list(execution, "machines", where)):
        at = f"{where}.machines[{position}]"
        machine = document.object(value, at)
        name = document.text(machine, "nodeName", at) or document.fail(f"{at}.nodeName", "is missing")
        cpu = document.object(machine.get("cpu") or {}, f"{at}.cpu")
        cores = document.number(cpu, "coreCount" if "coreCount" in cpu else "count", f"{at}.cpu", above=True)
        memory_bytes = _whole(document.number(machine, "memoryInBytes", at))
        if memory_bytes is None:
            memory_bytes = _whole(document.number(machine, "memory", at), 1000)
        found.setdefault(name, WfMachine(name, _whole(cores), memory_bytes))
    return tuple(found.values())
