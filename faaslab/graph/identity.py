"""What a function does, as a hash that is equal across kernels and machines.

The hash covers normalized code (without file names, line numbers and the function's name), constants, defaults, the
closure and the globals that the code refers to, followed through functions, classes and modules that travel by value.
Installed functions and classes count by their name. A pickle's bytes would differ between kernels and are not used.
"""

import dis
import functools
import hashlib
import struct
import sys
import types
from itertools import chain
from typing import Any

from faaslab.graph.pickling import is_local, serialize, without_docstring
from faaslab.graph.tasks import Task, TaskFunction, TaskItem

_CLASS_OWN = frozenset(
    ("__dict__", "__weakref__", "__doc__", "__module__", "__qualname__", "__firstlineno__", "__static_attributes__")
)


def function_identity(fn: Any) -> str:
    """Return the identity of a callable, 32 hexadecimal digits.

    Raises:
        LazyTaskError: The callable refers to a lazy task.
    """
    return _Walk().digest(fn)


class _Walk:
    """Writes everything a callable depends on as delimiter-safe tokens.

    Functions, classes and modules are numbered in the order they are met and written one after the other, so that they
    may refer to each other in cycles.
    """

    def __init__(self, open_containers: frozenset[int] = frozenset()) -> None:
        self._hash = hashlib.sha256()
        self._number: dict[int, int] = {}
        self._queue: list[tuple[Any, frozenset[str]]] = []
        self._objects: dict[int, tuple[int, Any]] = {}  # the object is kept so that its id stays its own
        self._open = set(open_containers)

    def digest(self, fn: Any) -> str:
        self._value(fn, frozenset())
        written = 0
        while written < len(self._queue):
            entity, names = self._queue[written]
            written += 1
            if isinstance(entity, types.FunctionType):
                self._function(entity)
            elif isinstance(entity, type):
                self._class(entity)
            else:
                self._module(entity, names)
        return self._hash.hexdigest()[:32]

    def _write(self, kind: str, data: bytes | str = b"") -> None:
        raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
        self._hash.update(f"{kind}:{len(raw)}:".encode())
        self._hash.update(raw)

    def _refer(self, entity: Any, names: frozenset[str] = frozenset()) -> None:
        number = self._number.get(id(entity))
        if number is None:
            number = self._number[id(entity)] = len(self._queue)
            self._queue.append((entity, names))
        self._write("see", str(number))

    def _value(self, value: Any, names: frozenset[str]) -> None:
        """Write a value; ``names`` are the attributes that the code which refers to it mentions."""
        cls = type(value)
        if value is None or value is Ellipsis or cls in (bool, int, complex):
            self._write(cls.__name__, repr(value))
        elif cls is float:
            self._write("float", struct.pack("<d", value))
        elif cls is str or cls is bytes:
            self._write(cls.__name__, value)
        elif cls is types.CodeType:
            self._code(value)
        elif cls in (tuple, list, dict, set, frozenset):
            self._container(value, names)
        elif isinstance(value, (Task, TaskItem)):
            value.__reduce_ex__(5)
        elif isinstance(value, TaskFunction):
            self._write("task function")
            self._value(value.fn, names)
        elif cls is types.FunctionType:
            if self._by_name(value) and self._queue:
                self._write("installed", f"{value.__module__}:{value.__qualname__}")
            else:
                self._refer(value)
        elif cls is types.MethodType:
            self._write("method")
            self._value(value.__func__, names)
            self._value(value.__self__, names)
        elif cls is functools.partial:
            self._write("partial")
            for part in (value.func, value.args, value.keywords):
                self._value(part, names)
        elif isinstance(value, type):
            if self._by_name(value):
                self._write("class", f"{value.__module__}:{value.__qualname__}")
            else:
                self._refer(value)
        elif isinstance(value, types.ModuleType):
            if is_local(value) and value.__name__ != "__main__":
                self._refer(value, names)
            else:
                self._write("module", value.__name__)
        elif cls in (staticmethod, classmethod):
            self._write(cls.__name__)
            self._value(value.__func__, names)
        elif cls is property:
            self._write("property")
            for part in (value.fget, value.fset, value.fdel):
                self._value(part, names)
        elif cls is types.CellType:
            self._cell(value)
        elif isinstance(value, (types.BuiltinFunctionType, types.MemberDescriptorType, types.GetSetDescriptorType)):
            owner = getattr(value, "__self__", None) or getattr(value, "__objclass__", None)
            self._write("builtin", value.__qualname__)
            if not isinstance(owner, (types.ModuleType, type, type(None))):
                self._value(owner, names)
        else:
            self._object(value)

    def _container(self, value: Any, names: frozenset[str]) -> None:
        kind = type(value).__name__
        if id(value) in self._open:
            self._write(f"{kind} around")  # it contains itself
            return
        self._open.add(id(value))
        self._write(kind, str(len(value)))
        if kind in ("set", "frozenset"):
            # The order of a set differs from process to process, so the elements' own hashes are sorted.
            for digest in sorted(_Walk(frozenset(self._open)).digest(element) for element in value):
                self._write("element", digest)
        else:
            for element in chain.from_iterable(value.items()) if kind == "dict" else value:
                self._value(element, names)
        self._open.discard(id(value))

    def _object(self, value: Any) -> None:
        """Write an instance by what its pickle would be made of."""
        self._write("object")
        if id(value) in self._objects:
            self._write("again", str(self._objects[id(value)][0]))
            return
        self._objects[id(value)] = (len(self._objects), value)
        try:
            reduced = value.__reduce_ex__(4)
        except TypeError:
            # Some types are known to cloudpickle alone; one that it refuses too is reported where it is serialized.
            reduced = serialize(value)
        if isinstance(reduced, tuple):
            self._write("reduced", str(len(reduced)))
            for part in reduced:
                self._value(list(part) if hasattr(part, "__next__") else part, frozenset())
        else:
            self._value(reduced, frozenset())

    def _cell(self, cell: types.CellType) -> None:
        try:
            content = cell.cell_contents
        except ValueError:  # a variable that has no value yet
            self._write("empty cell")
            return
        self._write("cell")
        self._value(content, frozenset())

    def _function(self, fn: types.FunctionType) -> None:
        self._write("function")
        self._code(without_docstring(fn.__code__, fn.__doc__))
        names = _names(fn.__code__)
        for part in (fn.__defaults__, fn.__kwdefaults__):
            self._value(part, names)
        for cell in fn.__closure__ or ():
            self._cell(cell)
        for name in sorted(_global_names(fn.__code__)):
            if name in fn.__globals__:
                self._write("global", name)
                self._value(fn.__globals__[name], names)

    def _code(self, code: types.CodeType) -> None:
        self._write("code", code.co_code)
        self._write("exceptions", code.co_exceptiontable)
        shape = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
        self._write("shape", repr(shape))
        for names in (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars):
            self._value(names, frozenset())
        # Names of nested functions are constants too; they are part of no behaviour but do no harm.
        self._value(code.co_consts, frozenset())

    def _class(self, cls: type) -> None:
        self._write("class")
        self._value(cls.__bases__, frozenset())
        content = {name: value for name, value in vars(cls).items() if name not in _CLASS_OWN}
        for name in sorted(content):
            self._write("attribute", name)
            self._value(content[name], frozenset())

    def _module(self, module: types.ModuleType, names: frozenset[str]) -> None:
        """Write of a local module what the referring code mentions."""
        self._write("local module", module.__name__)
        for name in sorted(names & vars(module).keys()):
            self._write("attribute", name)
            self._value(vars(module)[name], names)

    @staticmethod
    def _by_name(entity: Any) -> bool:
        module = sys.modules.get(getattr(entity, "__module__", None) or "")
        if module is None or is_local(module):
            return False
        found: Any = module
        for part in entity.__qualname__.split("."):
            found = getattr(found, part, None)
        return found is entity


@functools.lru_cache(maxsize=4096)
def _names(code: types.CodeType) -> frozenset[str]:
    """Return every name that code mentions, in nested functions too."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names(constant)
    return frozenset(names)


@functools.lru_cache(maxsize=4096)
def _global_names(code: types.CodeType) -> frozenset[str]:
    """Return the names that code loads as globals, in nested functions too."""
    names = {step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _global_names(constant)
    return frozenset(names)
