"""Checking WfFormat documents of versions 1.3 to 1.6, stricter than reading them.

A table for each version says what each object holds; what no table can say (unique ids, references, cycles) comes
after. The tables follow the public schemas (see the package), with two differences: no time and no size may be
negative, and memory of machines may be any number of 0 or more.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from faaslab.errors import GraphError
from faaslab.graph.wfformat.reader import VERSIONS, read_wfformat


@dataclass(frozen=True, slots=True)
class _Text:
    """A string that is not empty."""

    pattern: str = ""
    among: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Number:
    """A number of ``least`` or more."""

    whole: bool = False
    least: float = 0.0


@dataclass(frozen=True, slots=True)
class _List:
    """A list of ``least`` elements or more."""

    element: "_Rule"
    least: int = 0


@dataclass(frozen=True, slots=True)
class _Object:
    """An object; fields that are not named here may hold anything."""

    fields: "Mapping[str, _Rule]"
    required: tuple[str, ...] = ()


_Rule = _Text | _Number | _List | _Object

_TEXT, _NUMBER = _Text(), _Number()
_TASK_ID = _Text(pattern=r"[0-9a-zA-Z\-_.#]*")
_FILE_ID = _Text(pattern=r"[0-9a-zA-Z\-_./:#]*")
_COMMAND = _Object({"program": _TEXT, "arguments": _List(_TEXT)})
_SYSTEM = _Object({"name": _TEXT, "version": _TEXT, "url": _TEXT}, ("name", "version"))
_AUTHOR = _Object({"name": _TEXT, "email": _TEXT, "institution": _TEXT, "country": _TEXT}, ("name", "email"))
_ANY_NUMBER = _Number(least=-math.inf)


def _machine(memory: str, cores: str, speed: str) -> _Object:
    cpu = _Object({cores: _Number(whole=True, least=1), speed: _Number(whole=True, least=1), "vendor": _TEXT})
    return _Object(
        {
            "nodeName": _TEXT,
            "system": _Text(among=("linux", "macos", "windows")),
            "architecture": _TEXT,
            "release": _TEXT,
            memory: _Number(whole=True),
            "cpu": cpu,
        },
        ("nodeName",),
    )


def _document(system: str, workflow: _Object) -> _Object:
    about: dict[str, _Rule] = {
        "name": _TEXT,
        "description": _TEXT,
        "createdAt": _TEXT,
        "author": _AUTHOR,
        system: _SYSTEM,
    }
    return _Object({**about, "schemaVersion": _TEXT, "workflow": workflow}, ("name", "schemaVersion", "workflow"))


def _flat(runtime: str, makespan: str, size: str, memory: str, read: str, written: str) -> _Object:
    """Return the table of 1.3 and 1.4, which differ in names."""
    link = _Text(among=("input", "output"))
    file = _Object({"name": _TEXT, size: _Number(whole=True), "link": link}, ("name", size, "link"))
    task = _Object(
        {
            "name": _TEXT,
            "id": _TEXT,
            "category": _TEXT,
            "type": _Text(among=("compute", "transfer", "auxiliary")),
            "command": _COMMAND,
            "parents": _List(_TASK_ID),
            "files": _List(file),
            runtime: _NUMBER,
            "cores": _Number(least=1),
            "avgCPU": _NUMBER,
            read: _NUMBER,
            written: _NUMBER,
            memory: _NUMBER,
            "energy": _NUMBER,
            "avgPower": _NUMBER,
            "priority": _ANY_NUMBER,
            "machine": _TEXT,
        },
        ("name", "type"),
    )
    machines = _List(_machine(memory, "count", "speed"), least=1)
    fields: dict[str, _Rule] = {makespan: _NUMBER, "executedAt": _TEXT, "machines": machines}
    return _document("wms", _Object({**fields, "tasks": _List(task, least=1)}, (makespan, "executedAt", "tasks")))


def _split() -> _Object:
    """Return the table of 1.5 and 1.6."""
    task = _Object(
        {
            "name": _TEXT,
            "id": _TEXT,
            "parents": _List(_TASK_ID),
            "children": _List(_TASK_ID),
            "inputFiles": _List(_FILE_ID),
            "outputFiles": _List(_FILE_ID),
        },
        ("name", "id", "parents", "children"),
    )
    file = _Object({"id": _FILE_ID, "sizeInBytes": _Number(whole=True)}, ("id", "sizeInBytes"))
    executed = _Object(
        {
            "id": _TEXT,
            "runtimeInSeconds": _NUMBER,
            "executedAt": _TEXT,
            "command": _COMMAND,
            "coreCount": _Number(least=1),
            "avgCPU": _NUMBER,
            "readBytes": _NUMBER,
            "writtenBytes": _NUMBER,
            "memoryInBytes": _NUMBER,
            "energyInKWh": _NUMBER,
            "avgPowerInW": _NUMBER,
            "priority": _ANY_NUMBER,
            "machines": _List(_TEXT),
        },
        ("id", "runtimeInSeconds"),
    )
    execution = _Object(
        {
            "makespanInSeconds": _NUMBER,
            "executedAt": _TEXT,
            "tasks": _List(executed, least=1),
            "machines": _List(_machine("memoryInBytes", "coreCount", "speedInMHz"), least=1),
        },
        ("makespanInSeconds", "executedAt", "tasks"),
    )
    specification = _Object({"tasks": _List(task, least=1), "files": _List(file)}, ("tasks",))
    workflow = _Object({"specification": specification, "execution": execution}, ("specification",))
    return _document("runtimeSystem", workflow)


_TABLES: Mapping[str, _Object] = {
    "1.3": _flat("runtime", "makespan", "size", "memory", "bytesRead", "bytesWritten"),
    "1.4": _flat("runtimeInSeconds", "makespanInSeconds", "sizeInBytes", "memoryInBytes", "readBytes", "writtenBytes"),
    "1.5": _split(),
    "1.6": _split(),
}


def validate_wfformat(document: Mapping[str, Any]) -> None:
    """Check a WfFormat document of version 1.3, 1.4, 1.5 or 1.6.

    Checked are required fields, types, ranges, that ids are unique, that what is referred to is there, that parents
    and children (from 1.5 on) say the same, and that no tasks wait for each other.

    Raises:
        CycleError: Tasks wait for each other.
        GraphError: Anything else; names the path of the field, such as ``workflow.tasks[3].runtime``.
    """
    version = document.get("schemaVersion")
    if not isinstance(version, str) or version not in _TABLES:
        _fail("schemaVersion", f"is {version!r}, must be one of {', '.join(VERSIONS)}")
    _check(document, _TABLES[version], "")
    workflow = document["workflow"]
    if version in ("1.3", "1.4"):
        _unique(workflow.get("machines", ()), "nodeName", "workflow.machines")
        machines = {machine["nodeName"] for machine in workflow.get("machines", ())}
        for position, task in enumerate(workflow["tasks"]):
            if machines and task.get("machine", next(iter(machines))) not in machines:
                _fail(f"workflow.tasks[{position}].machine", f"there is no machine {task['machine']!r}")
    else:
        _check_split(workflow)
    read_wfformat(document)  # unique ids of tasks, references to tasks, cycles


def _check_split(workflow: Mapping[str, Any]) -> None:
    """Check the references of 1.5 and 1.6 that reading them does not need."""
    specification, where = workflow["specification"], "workflow.specification"
    files = specification.get("files", ())
    _unique(files, "id", f"{where}.files")
    known = {file["id"] for file in files}
    tasks = {task["id"]: task for task in specification["tasks"]}
    # As sets, so that tasks with many children take no time squared.
    relatives = {(key, name): frozenset(task[key]) for name, task in tasks.items() for key in ("parents", "children")}
    for position, task in enumerate(specification["tasks"]):
        at = f"{where}.tasks[{position}]"
        for key in ("inputFiles", "outputFiles"):
            for number, file in enumerate(task.get(key, ())):
                if file not in known:
                    _fail(f"{at}.{key}[{number}]", f"file {file!r} is not in {where}.files")
        for key in ("parents", "children"):
            for number, name in enumerate(task[key]):
                if name not in tasks:
                    _fail(f"{at}.{key}[{number}]", f"there is no task {name!r}")
    for position, task in enumerate(specification["tasks"]):
        for key, other in (("parents", "children"), ("children", "parents")):
            for number, name in enumerate(task[key]):
                if task["id"] not in relatives[other, name]:
                    at = f"{where}.tasks[{position}].{key}[{number}]"
                    _fail(at, f"task {name!r} does not have {task['id']!r} among its {other}")
    execution = workflow.get("execution")
    if execution is None:
        return
    machines = execution.get("machines", ())
    _unique(machines, "nodeName", "workflow.execution.machines")
    names = {machine["nodeName"] for machine in machines}
    for position, task in enumerate(execution["tasks"]):
        for number, name in enumerate(task.get("machines", ())):
            if name not in names:
                _fail(f"workflow.execution.tasks[{position}].machines[{number}]", f"there is no machine {name!r}")


def _unique(values: Sequence[Mapping[str, Any]], key: str, where: str) -> None:
    first: dict[Any, int] = {}
    for position, value in enumerate(values):
        if first.setdefault(value[key], position) != position:
            _fail(f"{where}[{position}].{key}", f"{value[key]!r} is that of {where}[{first[value[key]]}], too")


def _fail(where: str, what: str) -> NoReturn:
    raise GraphError(f"WfFormat document: {where}: {what}")


def _check(value: Any, rule: _Rule, where: str) -> None:
    match rule:
        case _Text():
            _check_text(value, rule, where)
        case _Number():
            number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            if not number or (rule.whole and value != int(value)) or value < rule.least:
                least = f" of {rule.least:g} or more" if rule.least > -math.inf else ""
                _fail(where, f"must be a {'whole ' * rule.whole}number{least}, is {value!r:.40}")
        case _List():
            if not isinstance(value, (list, tuple)) or len(value) < rule.least:
                _fail(where, f"must be a list of {rule.least} or more, is {value!r:.40}")
            for position, element in enumerate(value):
                _check(element, rule.element, f"{where}[{position}]")
        case _Object():
            _check_object(value, rule, where)


def _check_text(value: Any, rule: _Text, where: str) -> None:
    if not isinstance(value, str) or not value:
        _fail(where, f"must be a string that is not empty, is {value!r:.40}")
    if rule.among and value not in rule.among:
        _fail(where, f"must be one of {', '.join(rule.among)}, is {value!r:.40}")
    if rule.pattern and not re.fullmatch(rule.pattern, value):
        _fail(where, f"may have characters {rule.pattern[1:-2]} only, is {value!r:.80}")


def _check_object(value: Any, rule: _Object, where: str) -> None:
    if not isinstance(value, Mapping):
        _fail(where, f"must be an object, is {value!r:.40}")
    inside = f"{where}." if where else ""
    missing: Iterable[str] = (key for key in rule.required if key not in value)
    for key in missing:
        _fail(f"{inside}{key}", "is missing")
    for key, field in rule.fields.items():
        if key in value:
            _check(value[key], field, f"{inside}{key}")
