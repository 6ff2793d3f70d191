"""A recorded workflow as a DAG that runs."""

import hashlib
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faaslab.errors import GraphError
from faaslab.graph.options import NAME_CHARACTERS, TaskOptions
from faaslab.graph.tasks import Task, TaskFunction
from faaslab.graph.wfformat.bodies import FileSizes, burn, pause
from faaslab.graph.wfformat.instance import WfInstance
from faaslab.graph.wfformat.reader import read_wfformat

if TYPE_CHECKING:
    from faaslab.graph.dag import DAG

BODIES = ("cpu", "sleep")


def from_wfformat(
    source: str | Path | Mapping[str, Any] | WfInstance,
    body: str = "cpu",
    *,
    time_scale: float = 1.0,
    bytes_scale: float = 1.0,
    elasticity: float = 1.0,
) -> "DAG":
    """Return a DAG of a recorded workflow whose tasks take as long, and write as much, as recorded.

    Task ``t`` is ``read_wfformat(source).tasks[t]``, named for its kind. A task returns the files that it writes (bytes
    that can't be compressed), and takes the files that it reads; one that only waits for another takes what that
    returns. Inputs of the workflow, which no task writes, are neither made nor sent: recorded runtimes have the time to
    read them. The DAG's outputs are those of its last tasks, by id. A task without a recorded runtime takes no time,
    and has no ``expected_s``.

    Args:
        source: Path of a WfFormat file (1.3 to 1.6, gzipped or not), the document itself, or what ``read_wfformat``
            returned.
        body: ``cpu`` uses as many seconds of CPU time as recorded, so that a smaller worker takes longer; ``sleep``
            uses none, so that many workers fit on a small machine.
        time_scale: Factor of all execution times.
        bytes_scale: Factor of all sizes of files.
        elasticity: For ``sleep``: how much faster a larger worker is; a task takes ``(1769 / size) ** elasticity`` of
            its time, so 0 is not at all and 1 as much faster as larger.

    Raises:
        CycleError: Tasks wait for each other.
        GraphError: The file can't be read or is no WfFormat of version 1.3 to 1.6; or an argument is outside its range.

    Warns:
        UserWarning: The document says something wrongly or not at all; ``read_wfformat(source).notes`` has all.
    """
    from faaslab.graph.dag import DAG

    if body not in BODIES:
        raise GraphError(f"from_wfformat: body is {body!r}, must be one of {', '.join(BODIES)}")
    for name, value in (("time_scale", time_scale), ("bytes_scale", bytes_scale), ("elasticity", elasticity)):
        if not 0 <= value < math.inf:
            raise GraphError(f"from_wfformat: {name} is {value}, must be a finite number of 0 or more")
    instance = source if isinstance(source, WfInstance) else read_wfformat(source)
    if instance.notes and instance is not source:
        more = len(instance.notes) - 1
        warnings.warn(f"{instance.name}: {instance.notes[0]}" + f" (and {more} more)" * (more > 0), stacklevel=2)
    tasks = _Builder(instance, body, time_scale, bytes_scale, elasticity).tasks()
    inner = {edge.upstream for edge in instance.edges}
    last = {one.id: tasks[t] for t, one in enumerate(instance.tasks) if t not in inner}
    return DAG(last, name=task_name(instance.name))


def task_name(name: str) -> str:
    """Return a name as FaaSLab allows it: printable, and not too long."""
    shown = "".join([character if character.isprintable() else "?" for character in name])
    if len(shown) <= NAME_CHARACTERS:
        return shown
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{shown[: NAME_CHARACTERS - 9]}…{digest}"


class _Builder:
    """Makes one task for each of an instance's."""

    def __init__(
        self, instance: WfInstance, body: str, time_scale: float, bytes_scale: float, elasticity: float
    ) -> None:
        self._instance = instance
        self._fn = burn if body == "cpu" else pause
        self._settings = () if body == "cpu" else (float(elasticity),)
        self._time_scale = time_scale
        self._bytes_scale = bytes_scale
        self._names: dict[str, str] = {}
        self._functions: dict[tuple[Any, ...], TaskFunction[Any]] = {}

    def tasks(self) -> list[Any]:
        """Return what each task returns: a lazy value, or a tuple of them, one for each file."""
        taken: list[list[tuple[int, tuple[int, ...]]]] = [[] for _ in self._instance.tasks]
        for edge in self._instance.edges:
            taken[edge.task].append((edge.upstream, edge.files))
        made: list[Any] = []
        places = [{file: place for place, file in enumerate(task.outputs)} for task in self._instance.tasks]
        for t, recorded in enumerate(self._instance.tasks):
            inputs: list[Any] = []
            for upstream, files in taken[t]:
                output = made[upstream]
                if isinstance(output, Task):
                    inputs.append(output)
                else:
                    inputs += [output[places[upstream][file]] for file in files] or [output[0]]
            outputs = self._sizes(recorded.outputs)
            seconds = None if recorded.runtime_s is None else recorded.runtime_s * self._time_scale
            function = self._function(recorded.kind, seconds, outputs)
            made.append(function(seconds or 0.0, *self._settings, outputs, *inputs))
        return made

    def _sizes(self, files: tuple[int, ...]) -> FileSizes:
        found = [self._instance.files[file] for file in files]
        return tuple([(file.name, round(file.size_bytes * self._bytes_scale)) for file in found])

    def _function(self, name: str, seconds: float | None, outputs: FileSizes) -> TaskFunction[Any]:
        if name not in self._names:
            self._names[name] = task_name(name)
        key = (self._names[name], seconds, sum(size for _, size in outputs), max(1, len(outputs)))
        function = self._functions.get(key)
        if function is None:
            shown, expected_s, output_bytes, count = key
            options = TaskOptions(name=shown, outputs=count, expected_s=expected_s, output_bytes=output_bytes)
            function = self._functions[key] = TaskFunction(self._fn, options)
        return function
