"""Constants of a DAG: every distinct value once, as bytes where code might change it."""

import datetime
import decimal
import enum
import fractions
import pathlib
import pickle
import uuid
from dataclasses import dataclass
from typing import Any

from faaslab.graph.pickling import content_digest, serialize

_ATOM_TYPES = frozenset((int, bool, type(None)))
ATOM_BYTES = 512
"""Longer strings and byte strings are serialized one by one."""

_IMMUTABLE_TYPES = _ATOM_TYPES | {
    str,
    bytes,
    float,
    complex,
    type(Ellipsis),
    range,
    datetime.date,
    datetime.datetime,
    datetime.time,
    datetime.timedelta,
    datetime.timezone,
    decimal.Decimal,
    fractions.Fraction,
    uuid.UUID,
    pathlib.PosixPath,
    pathlib.PurePosixPath,
    pathlib.WindowsPath,
    pathlib.PureWindowsPath,
}


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant as bytes.

    Attributes:
        data: The pickled value.
        digest: Hash of ``data``.
        immutable: Whether all uses may share one object.
    """

    data: bytes
    digest: str
    immutable: bool

    def load(self) -> Any:
        """Return a new object with the value."""
        return pickle.loads(self.data)


class ConstantTable:
    """Collects the constants of a DAG; equal ones and repeated objects are stored once."""

    def __init__(self) -> None:
        self.entries: list[Any] = []
        self._by_value: dict[tuple[type, Any], int] = {}
        self._by_object: dict[int, tuple[Any, int]] = {}  # the object is kept so that its id stays its own
        self._by_digest: dict[str, int] = {}

    def add(self, value: Any) -> int:
        """Return the index of a constant, after adding it if it is new."""
        cls = type(value)
        if cls in _ATOM_TYPES or ((cls is str or cls is bytes) and len(value) <= ATOM_BYTES):
            return self._atom((cls, value), value)
        if cls is float or cls is complex:
            return self._atom((cls, repr(value)), value)  # 0.0 and -0.0 are equal, and no nan equals itself
        known = self._by_object.get(id(value))
        if known is None:
            known = self._by_object[id(value)] = (value, self._pickled(value))
        return known[1]

    def _atom(self, key: tuple[type, Any], value: Any) -> int:
        index = self._by_value.get(key)
        if index is None:
            index = self._by_value[key] = len(self.entries)
            self.entries.append(value)
        return index

    def _pickled(self, value: Any) -> int:
        data = serialize(value)
        digest = content_digest(data)
        index = self._by_digest.get(digest)
        if index is None:
            index = self._by_digest[digest] = len(self.entries)
            self.entries.append(Constant(data, digest, is_immutable(value)))
        return index


def is_immutable(value: Any) -> bool:
    """Return whether nothing that code can do changes a value; False when in doubt."""
    pending = [value]
    while pending:
        item = pending.pop()
        cls = type(item)
        if cls is tuple or cls is frozenset:
            pending.extend(item)
        elif cls not in _IMMUTABLE_TYPES and not isinstance(item, (enum.Enum, type)):
            return False
    return True
