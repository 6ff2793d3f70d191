"""What a WfFormat document says, field by field, checked as it is read; errors name document, field and task."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from faaslab.errors import GraphError

_NUMBERED = re.compile(r"_(ID)?[0-9]{5,}$")
"""What systems append to the name of a kind of task to make it the id of a task."""


@dataclass(slots=True)
class Draft:
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
        """Name of the kind of task; see ``WfTask``."""
        if self.category:
            return self.category
        name, program = self.name, self.program
        if program and (name == program or name.startswith(f"{program}_")):
            return program
        return (name.endswith(self.id) and _NUMBERED.sub("", name)) or name


@dataclass(slots=True)
class Document:
    """What has been read so far; ``source`` goes into errors."""

    source: str
    drafts: list[Draft] = field(default_factory=list)
    by_id: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def fail(self, where: str, what: str) -> NoReturn:
        """Raise an error about a field."""
        raise GraphError(f"{self.source}: {where}: {what}")

    def add(self, draft: Draft) -> None:
        """Take a task whose id must be its own."""
        first = self.by_id.setdefault(draft.id, len(self.drafts))
        if first != len(self.drafts):
            self.fail(f"{draft.where}.id", f"is that of {self.drafts[first].where.partition(' ')[0]}, too")
        self.drafts.append(draft)

    def object(self, value: Any, where: str) -> Mapping[str, Any]:
        """Return a value that must be an object."""
        if not isinstance(value, Mapping):
            self.fail(where, f"must be an object, is {_kind(value)}")
        return value

    def list(self, holder: Mapping[str, Any], key: str, where: str, *, required: bool = False) -> Sequence[Any]:
        """Return a list; an empty one where there is none, unless it is required."""
        value = holder.get(key)
        if value is None and not required:
            return ()
        if not isinstance(value, (list, tuple)):
            self.fail(f"{where}.{key}", f"must be a list, is {_kind(value)}" if key in holder else "is missing")
        return value

    def texts(self, holder: Mapping[str, Any], key: str, where: str) -> Sequence[str]:
        """Return a list of strings; an empty one where there is none."""
        values = self.list(holder, key, where)
        for position, value in enumerate(values):
            if not isinstance(value, str):
                self.fail(f"{where}.{key}[{position}]", f"must be a string, is {_kind(value)}")
        return values

    def text(self, holder: Mapping[str, Any], key: str, where: str) -> str | None:
        """Return a string; None where there is none, or an empty one."""
        value = holder.get(key)
        if value is not None and not isinstance(value, str):
            self.fail(f"{where}.{key}", f"must be a string, is {_kind(value)}")
        return value or None

    def program(self, task: Mapping[str, Any], where: str) -> str | None:
        """Return the program of a task's command."""
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


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "nothing"}
    return names.get(type(value), f"{value!r:.40}")
