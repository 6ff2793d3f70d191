"""The one traversal that finds tasks in arguments, and the one way to put values in their place.

``split`` turns arguments into a *program* and two lists, tasks and constants; ``assemble`` runs the program over the
values of both and gives the arguments back. A program is a tuple of small integers for a stack machine, so that it is
compact on the wire, equal for equal shapes, and never recurses however deep the arguments nest::

    f([a, b], {"k": (a, 5)})     TASKS 2, LIST 2, CONSTANTS 1, TASKS 1, CONSTANTS 1, TUPLE 2, DICT 2
                                 tasks a, b, a          constants ("k",), 5

A container that holds no task at any depth is one constant as a whole. Types that are not listed here are constants
too; if one hides a task, pickling it raises.
"""

import dataclasses
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from faaslab.errors import ConstantError, LazyTaskError
from faaslab.graph.tasks import Task, TaskItem

Program = tuple[int, ...]
"""Operations, each ``count << 4 | kind``: how many values it takes, and what it makes of them."""

TASKS, CONSTANTS, ITEM, LIST, TUPLE, SET, FROZENSET, DICT, ORDERED, DEFAULT, DEQUE, NAMED, DATACLASS = range(13)

Label = int | str
"""Which argument: its position, or its keyword."""


def assemble(program: Program, tasks: Iterable[Any], constants: Iterable[Any]) -> list[Any]:
    """Return the values that a program makes of the values of its tasks and constants, in the order of its slots."""
    next_tasks, next_constants = iter(tasks), iter(constants)
    stack: list[Any] = []
    for operation in program:
        kind, count = operation & 15, operation >> 4
        if kind == TASKS:
            stack.extend(islice(next_tasks, count))
        elif kind == CONSTANTS:
            stack.extend(islice(next_constants, count))
        elif kind == ITEM:
            stack.append(next(next_tasks)[count])
        else:
            start = len(stack) - count
            parts = stack[start:]
            del stack[start:]
            stack.append(_MAKE[kind](parts))
    return stack


def slot_counts(program: Program) -> tuple[int, int]:
    """Return how many tasks and how many constants a program takes."""
    tasks = sum(op >> 4 if op & 15 == TASKS else op & 15 == ITEM for op in program)
    return tasks, sum(op >> 4 for op in program if op & 15 == CONSTANTS)


class Splitter:
    """Splits the arguments of many tasks; remembers containers that it has searched in vain."""

    def __init__(self) -> None:
        self._plain: dict[int, object] = {}  # by id; the objects are kept so that no id is used twice

    def split(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Program, list[Task[Any]], list[tuple[Label, Any]]]:
        """Return the program, the tasks and the (labelled) constants of some arguments.

        Raises:
            LazyTaskError: A task is the key of a dictionary.
            ConstantError: A container that holds a task also contains itself.
        """
        code: list[int] = []
        tasks: list[Task[Any]] = []
        constants: list[tuple[Label, Any]] = []
        for position, value in enumerate(args):
            self._argument(position, value, code, tasks, constants)
        for keyword, value in kwargs.items():
            self._argument(keyword, value, code, tasks, constants)
        return tuple(code), tasks, constants

    def _argument(
        self, label: Label, value: Any, code: list[int], tasks: list[Task[Any]], constants: list[tuple[Label, Any]]
    ) -> None:
        holding = self._holding(value, label) if _is_container(type(value)) else _NONE
        pending = [value]
        while pending:
            item = pending.pop()
            cls = type(item)
            if cls is Task:
                tasks.append(item)
                _emit(code, TASKS)
            elif cls is TaskItem:
                tasks.append(item.task)
                code.append(item.index << 4 | ITEM)
            elif cls is _Operation:
                code.append(int(item))
            elif id(item) in holding:
                kind, parts = self._parts(item, holding, label)
                pending.append(_Operation(len(parts) << 4 | kind))
                pending.extend(reversed(parts))
            else:
                constants.append((label, item))
                _emit(code, CONSTANTS)

    def _holding(self, root: Any, label: Label) -> set[int]:
        """Return the ids of the containers at and under ``root`` that hold a task at some depth."""
        holding: set[int] = set()
        if id(root) in self._plain:
            return holding
        seen, cyclic = {id(root)}, set()
        path, iterators = [id(root)], [iter(_children(root))]
        active = {id(root)}
        while iterators:
            for child in iterators[-1]:
                cls = type(child)
                if cls is Task or cls is TaskItem:
                    _mark(path, holding)
                elif _is_container(cls) and id(child) not in self._plain:
                    if id(child) in active:
                        cyclic.add(id(child))
                    elif id(child) in holding:
                        _mark(path, holding)
                    elif id(child) not in seen:
                        seen.add(id(child))
                        active.add(id(child))
                        path.append(id(child))
                        iterators.append(iter(_children(child)))
                        break
            else:
                iterators.pop()
                active.discard(path.pop())
        if cyclic & holding:
            raise ConstantError(f"argument {label!r} is a container that holds a lazy task and also contains itself")
        if not holding:
            self._plain[id(root)] = root
        return holding

    def _parts(self, item: Any, holding: set[int], label: Label) -> tuple[int, list[Any]]:
        """Return the operation that rebuilds a container, and the values it takes."""
        cls = type(item)
        if cls is list:
            return LIST, item
        if cls is tuple:
            return TUPLE, list(item)
        if cls is dict:
            return DICT, [self._keys(item, label), *item.values()]
        if cls is set or cls is frozenset:
            inside = [x for x in item if isinstance(x, (Task, TaskItem)) or id(x) in holding]
            rest = cls(x for x in item if not isinstance(x, (Task, TaskItem)) and id(x) not in holding)
            # The iteration order of a set of tasks differs from process to process; their creation order doesn't.
            return SET if cls is set else FROZENSET, [rest, *sorted(inside, key=_creation_order)]
        if cls is OrderedDict:
            return ORDERED, [self._keys(item, label), *item.values()]
        if cls is defaultdict:
            return DEFAULT, [item.default_factory, self._keys(item, label), *item.values()]
        if cls is deque:
            return DEQUE, [item.maxlen, *item]
        if issubclass(cls, tuple):
            return NAMED, [cls, *item]
        state = _state(item)
        return DATACLASS, [cls, tuple(state), *state.values()]

    @staticmethod
    def _keys(mapping: Mapping[Any, Any], label: Label) -> tuple[Any, ...]:
        for key in mapping:
            if isinstance(key, (Task, TaskItem)):
                raise LazyTaskError(
                    f"argument {label!r} has the lazy {key!r} as a key of a dictionary; only values may be"
                )
        return tuple(mapping)


class _Operation(int):
    """An operation among values that wait to be visited."""


def _emit(code: list[int], kind: int) -> None:
    if code and code[-1] & 15 == kind:
        code[-1] += 16
    else:
        code.append(16 | kind)


def _mark(path: list[int], holding: set[int]) -> None:
    for identity in reversed(path):
        if identity in holding:
            return
        holding.add(identity)


_NONE: set[int] = set()
_EXACT = frozenset((list, tuple, dict, set, frozenset, OrderedDict, defaultdict, deque))
_LEAVES = frozenset((int, str, float, bool, bytes, type(None), complex, Task, TaskItem))


def _is_container(cls: type) -> bool:
    if cls in _LEAVES:
        return False
    if cls in _EXACT:
        return True
    return (issubclass(cls, tuple) and hasattr(cls, "_fields")) or (
        hasattr(cls, "__dataclass_fields__") and cls.__new__ is object.__new__  # type: ignore[comparison-overlap]
    )


def _children(item: Any) -> Iterable[Any]:
    cls = type(item)
    if issubclass(cls, dict):
        return [*item, *item.values()]
    if cls in _EXACT or issubclass(cls, tuple):
        return item  # type: ignore[no-any-return]
    return _state(item).values()


def _state(item: Any) -> dict[str, Any]:
    """Return everything that a dataclass instance holds: fields, and attributes that code has added."""
    state = dict(getattr(item, "__dict__", {}))
    for field in dataclasses.fields(item):
        if field.name not in state:
            try:
                state[field.name] = object.__getattribute__(item, field.name)
            except AttributeError:  # a field with init=False that nobody has set
                continue
    return state


def _creation_order(item: Any) -> list[tuple[int, int]]:
    """Return the creation numbers (and elements) of the tasks in a member of a set."""
    found: list[tuple[int, int]] = []
    pending = [item]
    while pending:
        value = pending.pop()
        if isinstance(value, Task):
            found.append((value.number, -1))
        elif isinstance(value, TaskItem):
            found.append((value.task.number, value.index))
        elif _is_container(type(value)):
            pending.extend(_children(value))
    return sorted(found)


def _make_dict(parts: list[Any]) -> dict[Any, Any]:
    return dict(zip(parts[0], parts[1:], strict=True))


def _make_default(parts: list[Any]) -> defaultdict[Any, Any]:
    return defaultdict(parts[0], zip(parts[1], parts[2:], strict=True))


def _make_dataclass(parts: list[Any]) -> Any:
    """Rebuild an instance as it was, without running ``__init__`` and ``__post_init__`` again."""
    made = object.__new__(parts[0])
    for name, value in zip(parts[1], parts[2:], strict=True):
        object.__setattr__(made, name, value)
    return made


_MAKE: dict[int, Callable[[list[Any]], Any]] = {
    LIST: list,
    TUPLE: tuple,
    SET: lambda parts: parts[0] | set(parts[1:]),
    FROZENSET: lambda parts: parts[0] | frozenset(parts[1:]),
    DICT: _make_dict,
    ORDERED: lambda parts: OrderedDict(zip(parts[0], parts[1:], strict=True)),
    DEFAULT: _make_default,
    DEQUE: lambda parts: deque(parts[1:], parts[0]),
    NAMED: lambda parts: tuple.__new__(parts[0], parts[1:]),
    DATACLASS: _make_dataclass,
}


def bind(values: list[Any], keywords: Sequence[str]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return assembled values as positional and keyword arguments; the last ones belong to ``keywords``."""
    if not keywords:
        return tuple(values), {}
    positional = len(values) - len(keywords)
    return tuple(values[:positional]), dict(zip(keywords, values[positional:], strict=True))
