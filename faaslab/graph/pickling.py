"""How functions and constants become bytes: what a worker lacks travels by value.

Installed packages and the standard library are on the worker's image and travel by name. Everything else (cells of a
notebook, a module beside it, ``experiments/``) travels by value, as it is in memory when the DAG is built.
"""

import contextlib
import dis
import hashlib
import io
import sys
import sysconfig
import threading
import types
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import cloudpickle

from faaslab.graph.functions import empty_module, fill_module, installed_function
from faaslab.graph.tasks import TaskFunction

_PROTOCOL = 5
# The registry of modules that travel by value belongs to cloudpickle and is one per process.
_registry = threading.RLock()
_MODULE_OWN = frozenset(
    ("__builtins__", "__loader__", "__spec__", "__cached__", "__file__", "__path__", "__warningregistry__")
)


class _Installed:
    """Tells modules that every worker has from those that only this process has."""

    def __init__(self) -> None:
        paths = sysconfig.get_paths()
        folders = {paths["stdlib"], paths["platstdlib"]}
        folders |= {str(file.parents[1]) for file in (Path(__file__), Path(__file__).resolve())}
        self._prefixes = tuple(f"{folder}/".replace("\\", "/") for folder in folders)

    def is_local(self, module: Any) -> bool:
        file = getattr(module, "__file__", None)
        if not isinstance(file, str):
            return False  # built in, frozen, or a namespace package, whose modules are looked at one by one
        file = file.replace("\\", "/")
        return not ("/site-packages/" in file or "/dist-packages/" in file or file.startswith(self._prefixes))


_installed = _Installed()


def is_local(module: types.ModuleType) -> bool:
    """Return whether a module lies outside the standard library, the installed packages and FaaSLab."""
    return module.__name__ == "__main__" or _installed.is_local(module)


@contextlib.contextmanager
def local_modules_by_value() -> Iterator[None]:
    """Make functions and classes of local modules travel by value inside the ``with`` block."""
    with _registry:
        known = set(cloudpickle.list_registry_pickle_by_value())
        added = [
            module
            for name, module in list(sys.modules.items())
            if _installed.is_local(module)
            and name != "__main__"
            and getattr(module, "__name__", None) == name
            and name not in known
        ]
        for module in added:
            cloudpickle.register_pickle_by_value(module)
        try:
            yield
        finally:
            for module in added:
                cloudpickle.unregister_pickle_by_value(module)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Leaves out of code what running it doesn't need: columns of lines; of a task's own function also its annotations
    (which may import what the worker lacks) and docstring."""

    def __init__(self, file: io.BytesIO, root: Any) -> None:
        super().__init__(file, protocol=_PROTOCOL)
        self._root = root

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, types.FunctionType):
            reference = _installed_task_function(obj)
            if reference is not None:
                return installed_function, reference
            reduced = super().reducer_override(obj)
            if obj is self._root and isinstance(reduced, tuple):
                slots = reduced[2][1]
                slots["__annotations__"], slots["__doc__"] = {}, None
            return reduced
        if isinstance(obj, types.CodeType):
            code = obj.replace(co_linetable=_lines_only(obj))
            if self._root is not None and obj is self._root.__code__:
                code = without_docstring(code, self._root.__doc__)
            return self.dispatch_table[types.CodeType](code)
        if isinstance(obj, types.ModuleType) and _installed.is_local(obj) and obj.__name__ != "__main__":
            # The content is state and not an argument, so that modules may refer to each other.
            content = {name: value for name, value in vars(obj).items() if name not in _MODULE_OWN}
            return empty_module, (obj.__name__,), content, None, None, fill_module
        return super().reducer_override(obj)


def _installed_task_function(fn: types.FunctionType) -> tuple[str, str] | None:
    """Return module and name of a function that ``@task`` has replaced by a task function in an installed module."""
    module = sys.modules.get(fn.__module__ or "")
    if module is None or "<" in fn.__qualname__ or is_local(module):
        return None
    found: Any = module
    for part in fn.__qualname__.split("."):
        found = getattr(found, part, None)
    return (module.__name__, fn.__qualname__) if isinstance(found, TaskFunction) and found.fn is fn else None


def serialize(value: Any) -> bytes:
    """Return a constant as bytes; call it inside ``local_modules_by_value``."""
    file = io.BytesIO()
    _Pickler(file, None).dump(value)
    return file.getvalue()


def serialize_function(fn: Any) -> bytes:
    """Return the function of a task as bytes; call it inside ``local_modules_by_value``."""
    file = io.BytesIO()
    _Pickler(file, fn if isinstance(fn, types.FunctionType) else None).dump(fn)
    return file.getvalue()


def without_docstring(code: types.CodeType, docstring: str | None) -> types.CodeType:
    """Return code without its docstring, unless its instructions use the same constant."""
    constants = code.co_consts
    if docstring is None or not constants or constants[0] != docstring:
        return code
    if any(step.opcode in dis.hasconst and step.arg == 0 for step in dis.get_instructions(code)):
        return code
    return code.replace(co_consts=(None, *constants[1:]))


def _lines_only(code: types.CodeType) -> bytes:
    """Return the line table of code without columns, which are most of it (format: Objects/locations.md of CPython)."""
    table = bytearray()
    previous = code.co_firstlineno
    for line, run in groupby(code.co_lines(), key=itemgetter(2)):
        units = sum(end - start for start, end, _ in run) // 2
        for length in [8] * (units // 8) + [units % 8] * (units % 8 > 0):
            if line is None:
                table.append(0x80 | 15 << 3 | length - 1)
                continue
            table.append(0x80 | 13 << 3 | length - 1)
            step = line - previous
            number = -step << 1 | 1 if step < 0 else step << 1
            while number >= 64:
                table.append(64 | number & 63)
                number >>= 6
            table.append(number)
            previous = line
    return bytes(table)


def content_digest(data: bytes) -> str:
    """Return the key under which bytes are stored once."""
    return hashlib.sha256(data).hexdigest()[:32]
