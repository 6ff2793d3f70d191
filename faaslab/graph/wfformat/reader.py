"""Reading WfFormat 1.3 to 1.6.

::

    1.3, 1.4    workflow.tasks (or jobs): runtime, files with sizes, machine inside each task
    1.5, 1.6    workflow.specification: tasks and files by id      workflow.execution: runtimes and machines by task id

Both become drafts of tasks, whose references are then resolved in one place. A document may say less than the schema
asks for: what it lacks is None, or noted. What it says must make sense: errors name document, field and task.
"""

import gc
import gzip
import heapq
import json
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from faaslab.errors import CycleError, GraphError
from faaslab.graph.wfformat.instance import WfEdge, WfFile, WfInstance, WfMachine, WfTask

VERSIONS = ("1.3", "1.4", "1.5", "1.6")
_VERSION = re.compile(r"1\.[3-6](?![0-9])")
_FLAT = ("tasks", "jobs")
_NUMBERED = re.compile(r"_(ID)?[0-9]{5,}$")
"""What systems append to the name of a kind of task to make it the id of a task."""
_SHOWN = 10
"""How many tasks of a cycle a message lists."""


@dataclass(slots=True)
class _Draft:
    """One task as the document has it."""

    where: str
    id: str
    name: str
    parents: Sequence[str]
    children: Sequence[str]
    inputs: Sequence[str]
    outputs: Sequence[str]
    reads: str
    """The field that lists its inputs."""
    runtime_s: float | None = None
    cores: float | None = None
    memory_bytes: int | None = None
    machines: tuple[str, ...] = ()
    category: str | None = None
    program: str | None = None

    @property
    def kind(self) -> str:
        if self.category:
            return self.category
        name, program = self.name, self.program
        if program and (name == program or name.startswith(f"{program}_")):
            return program
        return (name.endswith(self.id) and _NUMBERED.sub("", name)) or name


@dataclass(slots=True)
class _Document:
    """What has been read so far; ``source`` goes into errors."""

    source: str
    drafts: list[_Draft] = field(default_factory=list)
    by_id: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def fail(self, where: str, what: str) -> NoReturn:
        raise GraphError(f"{self.source}: {where}: {what}")

    def add(self, draft: _Draft) -> None:
        first = self.by_id.setdefault(draft.id, len(self.drafts))
        if first != len(self.drafts):
            self.fail(f"{draft.where}.id", f"is that of {self.drafts[first].where.partition(' ')[0]}, too")
        self.drafts.append(draft)

    def object(self, value: Any, where: str) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            self.fail(where, f"must be an object, is {_kind(value)}")
        return value

    def list(self, holder: Mapping[str, Any], key: str, where: str, *, required: bool = False) -> Sequence[Any]:
        value = holder.get(key)
        if value is None and not required:
            return ()
        if not isinstance(value, (list, tuple)):
            self.fail(f"{where}.{key}", f"must be a list, is {_kind(value)}" if key in holder else "is missing")
        return value

    def texts(self, holder: Mapping[str, Any], key: str, where: str) -> Sequence[str]:
        values = self.list(holder, key, where)
        for position, value in enumerate(values):
            if not isinstance(value, str):
                self.fail(f"{where}.{key}[{position}]", f"must be a string, is {_kind(value)}")
        return values

    def text(self, holder: Mapping[str, Any], key: str, where: str) -> str | None:
        value = holder.get(key)
        if value is not None and not isinstance(value, str):
            self.fail(f"{where}.{key}", f"must be a string, is {_kind(value)}")
        return value or None

    def program(self, task: Mapping[str, Any], where: str) -> str | None:
        command = task.get("command")
        at = f"{where}.command"
        return None if command is None else self.text(self.object(command, at), "program", at)

    def number(self, holder: Mapping[str, Any], key: str, where: str, *, above: bool = False) -> float | None:
        """Return a number of 0 or more (above 0); None, and a note, for one that means nothing."""
        value = holder.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self.fail(f"{where}.{key}", f"must be a number, is {_kind(value)}")
        if not 0 <= value < math.inf or (above and value == 0):
            self.notes.append(f"{where}.{key} is {value}: taken as not known")
            return None
        return float(value)

    def size(self, name: str, holder: Mapping[str, Any], key: str, where: str) -> None:
        """Take note of a file's size."""
        value = holder.get(key)
        if value is None:
            return
        whole = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf
        if not whole or value != int(value):
            shown = value if isinstance(value, (int, float)) else _kind(value)
            self.fail(f"{where}.{key}", f"size of file {name!r} must be a whole number of bytes, is {shown}")
        known = self.sizes.setdefault(name, int(value))
        if known != value:
            self.notes.append(f"{where}.{key}: file {name!r} has {known} and {value} bytes: taken as the larger")
            self.sizes[name] = max(known, int(value))


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
            return _read(_Document("WfFormat document"), source)
        document = _Document(str(source))
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


def _read(document: _Document, content: Mapping[str, Any]) -> WfInstance:
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
    tasks, files, edges = _Resolver(document).resolved()
    return WfInstance(name, version, tasks, files, edges, machines, makespan_s, tuple(document.notes))


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "nothing"}
    return names.get(type(value), f"{value!r:.40}")


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


def _layout(document: _Document, content: Mapping[str, Any], workflow: Mapping[str, Any]) -> tuple[str, bool]:
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


def _read_split(document: _Document, workflow: Mapping[str, Any]) -> Mapping[str, Any]:
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
            _Draft(
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


def _read_flat(document: _Document, workflow: Mapping[str, Any], version: str) -> None:
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
            _Draft(
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


def _machines(document: _Document, execution: Mapping[str, Any], where: str) -> tuple[WfMachine, ...]:
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


class _Resolver:
    """Turns names of tasks and files into edges, and puts upstream tasks first."""

    def __init__(self, document: _Document) -> None:
        self._document = document
        self._drafts = document.drafts

    def resolved(self) -> tuple[tuple[WfTask, ...], tuple[WfFile, ...], tuple[WfEdge, ...]]:
        """Return tasks, files and edges."""
        document, drafts = self._document, self._drafts
        waits = self._declared()
        files, number_of, external = self._moved(waits)
        order = self._order(waits)
        place = {number: t for t, number in enumerate(order)}
        tasks = tuple(
            WfTask(
                id=draft.id,
                name=draft.name,
                kind=draft.kind,
                runtime_s=draft.runtime_s,
                cores=draft.cores,
                memory_bytes=draft.memory_bytes,
                machines=draft.machines,
                outputs=tuple([number_of[name] for name in dict.fromkeys(draft.outputs)]),
                external=tuple([number_of[name] for name in external[number]]),
            )
            for number in order
            for draft in (drafts[number],)
        )
        edges = tuple(
            WfEdge(upstream, t, tuple([number_of[name] for name in names]))
            for t, number in enumerate(order)
            for upstream, names in sorted((place[one], names) for one, names in waits[number].items())
        )
        unsaid = [name for name in number_of if name not in document.sizes]
        if unsaid:
            few = ", ".join(repr(name) for name in unsaid[:3])
            document.notes.append(f"{len(unsaid)} files have no size: taken as 0 bytes ({few}…)")
        return tasks, files, edges

    def _declared(self) -> list[dict[int, list[str]]]:
        """Return what each task waits for by parents and children; the lists are for files."""
        waits: list[dict[int, list[str]]] = [{} for _ in self._drafts]
        for number, draft in enumerate(self._drafts):
            for key, names in (("parents", draft.parents), ("children", draft.children)):
                for name in names:
                    other = self._task(name, draft, key)
                    if other == number:
                        raise CycleError(
                            f"{self._document.source}: {draft.where}.{key}: task {name!r} waits for itself"
                        )
                    waiting, upstream = (number, other) if key == "parents" else (other, number)
                    waits[waiting].setdefault(upstream, [])
        return waits

    @cached_property
    def _by_name(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for number, draft in enumerate(self._drafts):
            found.setdefault(draft.name, []).append(number)
        return found

    def _task(self, name: str, draft: _Draft, key: str) -> int:
        number = self._document.by_id.get(name)
        if number is not None:
            return number
        named = self._by_name.get(name, ())
        if len(named) == 1:
            return named[0]
        where = f"{draft.where}.{key}"
        if named:
            self._document.fail(where, f"{name!r} is the name of {len(named)} tasks and the id of none")
        self._document.fail(where, f"there is no task {name!r}")

    def _moved(self, waits: list[dict[int, list[str]]]) -> tuple[tuple[WfFile, ...], dict[str, int], list[list[str]]]:
        """Add to ``waits`` the files that move; return all files, their numbers, and each task's external ones."""
        sizes = self._document.sizes
        number_of = {name: number for number, name in enumerate(sizes)}
        writers: dict[str, list[int]] = {}
        for number, draft in enumerate(self._drafts):
            for name in dict.fromkeys(draft.outputs):
                number_of.setdefault(name, len(number_of))
                writers.setdefault(name, []).append(number)
        external: list[list[str]] = []
        for number, draft in enumerate(self._drafts):
            own: list[str] = []
            for name in dict.fromkeys(draft.inputs):
                number_of.setdefault(name, len(number_of))
                # A task that reads what it writes itself updates a file that is there before.
                found = [writer for writer in writers.get(name, ()) if writer != number]
                if len(found) > 1:
                    found = self._parents_among(found, waits[number], name, draft)
                for writer in found:
                    waits[number].setdefault(writer, []).append(name)
                if not found:
                    own.append(name)
            external.append(own)
        return tuple([WfFile(name, sizes.get(name, 0)) for name in number_of]), number_of, external

    def _parents_among(self, writers: list[int], waits: Iterable[int], name: str, draft: _Draft) -> list[int]:
        parents = set(waits)
        found = [writer for writer in writers if writer in parents]
        if not found:
            ids = ", ".join(repr(self._drafts[writer].id) for writer in writers[:3])
            self._document.fail(
                f"{draft.where}.{draft.reads}",
                f"file {name!r} is written by {len(writers)} tasks ({ids}…), none of them a parent: which is meant?",
            )
        return found

    def _order(self, waits: Sequence[Mapping[int, Any]]) -> list[int]:
        """Return the tasks, upstream ones first, otherwise as listed."""
        missing = [len(upstreams) for upstreams in waits]
        successors: list[list[int]] = [[] for _ in waits]
        for number, upstreams in enumerate(waits):
            for upstream in upstreams:
                successors[upstream].append(number)
        ready = [number for number, count in enumerate(missing) if not count]
        order: list[int] = []
        while ready:
            number = heapq.heappop(ready)
            order.append(number)
            for successor in successors[number]:
                missing[successor] -= 1
                if not missing[successor]:
                    heapq.heappush(ready, successor)
        if len(order) < len(waits):
            raise self._cycle(waits, missing)
        return order

    def _cycle(self, waits: Sequence[Mapping[int, Any]], missing: Sequence[int]) -> CycleError:
        """Follow unfinished upstream tasks until one comes up again."""
        path: dict[int, None] = {}
        number = next(number for number, count in enumerate(missing) if count)
        while number not in path:
            path[number] = None
            number = next(upstream for upstream in waits[number] if missing[upstream])
        steps = list(path)
        cycle = steps[steps.index(number) :][::-1]
        ids = [self._drafts[step].id for step in cycle]
        shown = [*ids[:_SHOWN], "…"] if len(ids) > _SHOWN else ids
        return CycleError(
            f"{self._document.source}: {self._drafts[cycle[0]].where}: tasks wait for each other in a cycle of length "
            f"{len(ids)}: {' → '.join([*shown, ids[0]])}"
        )
