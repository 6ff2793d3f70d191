"""The workflow language: a decorated function, and the lazy tasks that calling it makes.

::

    @task
    def add(x: int, y: int) -> int: ...

    three = add(1, 2)            # a Task: nothing has run
    six = add(three, y=three)    # tasks are arguments of tasks
"""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from types import MethodType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeVar, overload

from faaslab.errors import GraphError, LazyTaskError
from faaslab.graph.options import OPTION_NAMES, TaskOptions, check_name

if TYPE_CHECKING:
    from faaslab.graph.signatures import (
        MultiOutputDecorator,
        TaskFunction0,
        TaskFunction1,
        TaskFunction2,
        TaskFunction3,
        TaskFunction4,
        TaskFunction5,
        TaskFunction6,
        TaskFunctionN,
        Variadic,
    )

T = TypeVar("T")
R = TypeVar("R")
T_co = TypeVar("T_co", covariant=True)
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")

# Only the order of two numbers is ever read: the creation order of tasks.
_creation = itertools.count()


class Lazy(Generic[T_co]):
    """A value that does not exist yet; whatever needs the value raises."""

    __slots__ = ()

    def compute(self, **settings: Any) -> T_co:
        """Run what this value depends on and return the value; ``settings`` as for ``fl.compute``."""
        from faaslab.client import compute

        return compute(self, **settings)  # type: ignore[no-any-return]

    def _refuse(self, *args: Any) -> NoReturn:
        raise LazyTaskError(
            f"{self!r} is lazy and has no value yet: it can't be tested, iterated, compared, indexed, converted or "
            "formatted; pass it to another task, or get its value with .compute()"
        )

    if not TYPE_CHECKING:  # type checkers refuse these because they don't see them
        __bool__ = __iter__ = __len__ = __contains__ = __getitem__ = __setitem__ = __format__ = _refuse
        __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __int__ = __float__ = __index__ = _refuse
        __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse
        __hash__ = object.__hash__

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise LazyTaskError(
            f"{self!r} is lazy and has no value yet, but stands inside an object, a closure or a result; pass it as an "
            "argument of a task (also in lists, tuples, sets, dataclasses and as a value of dictionaries)"
        )


class Task(Lazy[T_co]):
    """One call of a task function, lazy until it is run."""

    __slots__ = ("__weakref__", "args", "function", "kwargs", "number")

    def __init__(self, function: TaskFunction[Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.number = next(_creation)

    @property
    def name(self) -> str:
        """Name of the task: its option, or its function's name."""
        return self.function.name

    def __repr__(self) -> str:
        return f"<task {self.name}>"


class TaskItem(Lazy[T_co]):
    """One element of what a task with several outputs returns."""

    __slots__ = ("__weakref__", "index", "task")

    def __init__(self, task: Task[Any], index: int) -> None:
        self.task = task
        self.index = index

    @property
    def name(self) -> str:
        """Name of the task that returns the element."""
        return self.task.name

    def __repr__(self) -> str:
        return f"<output {self.index} of task {self.name}>"


class TaskFunction(Generic[R]):
    """A function whose calls are lazy tasks.

    Attributes:
        fn: The plain function.
        options: What every call of it is made with.
        name: Name of the tasks.
    """

    def __init__(self, fn: Callable[..., R], options: TaskOptions | None = None) -> None:
        options = TaskOptions() if options is None else options
        if isinstance(fn, TaskFunction):
            raise GraphError(f"{fn!r} is a task function already; use .with_options(...) to change its options")
        if isinstance(fn, (classmethod, property)):
            raise GraphError(f"put @fl.task below @{type(fn).__name__}, not above it")
        if not callable(fn):
            raise GraphError(f"@fl.task needs a function or another callable, not {type(fn).__name__}")
        self.fn = fn
        self.options = options
        self.name = check_name(function_name(fn)) if options.name is None else options.name
        self._signature, self._least, self._most = _arity(fn)
        functools.update_wrapper(self, fn, updated=())

    def with_options(self, **options: Any) -> Self:
        """Return the same function with some options changed.

        Raises:
            GraphError: An option is unknown or outside its range.
        """
        return type(self)(self.fn, replace(self.options, **_known(options)))

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        if kwargs or not self._least <= len(args) <= self._most:
            self._check(args, kwargs)
        made: Task[R] = Task(self, args, kwargs)
        if self.options.outputs == 1:
            return made
        return tuple(TaskItem(made, index) for index in range(self.options.outputs))

    def _check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._signature is None:
            return
        try:
            self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"task {self.name!r}: {error}; its signature is {self.name}{self._signature}") from None

    def argument_name(self, position: int) -> str:
        """Return how an error names the positional argument at ``position``."""
        names = list(self._signature.parameters.values()) if self._signature is not None else []
        for index, parameter in enumerate(names):
            if parameter.kind is parameter.VAR_POSITIONAL:
                return f"{parameter.name}[{position - index}]"
            if index == position:
                return parameter.name
        return str(position)

    def __get__(self, instance: Any, owner: type | None = None) -> TaskFunction[R]:
        """Bind like a function does, so that ``@fl.task`` works on methods."""
        return self if instance is None else TaskFunction(MethodType(self.fn, instance), self.options)

    def __reduce__(self) -> tuple[Any, ...]:
        return TaskFunction, (self.fn, self.options)

    def __repr__(self) -> str:
        return f"<task function {self.name}>"


def function_name(fn: Any) -> str:
    """Return the name under which tasks of a callable are shown."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    name = getattr(fn, "__name__", None)
    return name if isinstance(name, str) else type(fn).__name__


def _arity(fn: Any) -> tuple[inspect.Signature | None, int, float]:
    """Return the signature, and how many positional arguments alone are certainly right (least, most)."""
    try:
        signature = inspect.signature(fn)
    except (ValueError, TypeError):  # builtins and ufuncs without one: the call itself will tell
        return None, 0, float("inf")
    least, most = 0, 0.0
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            most = float("inf")
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            most += 1
            least += parameter.default is parameter.empty
        elif parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            return signature, 1, 0  # never by position alone
    return signature, least, most


def _known(options: dict[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(options) - set(OPTION_NAMES))
    if unknown:
        raise GraphError(f"unknown task option {unknown[0]!r}; known: {', '.join(OPTION_NAMES)}")
    return options


class TaskDecorator:
    """``@task`` itself, or ``@task(...)`` with options.

    Type checkers see ``Task[T]`` from a call and accept ``T | Task[T]`` for each of up to six positional parameters;
    containers (which may hold tasks) and keyword arguments are checked when the task is made, not by types. Generators
    and other iterators count as the list they are turned into, ``async def`` as what it returns.
    """

    __slots__ = ("_options",)

    def __init__(self, options: TaskOptions) -> None:
        self._options = options

    @overload
    def __call__(self, fn: Callable[..., Coroutine[Any, Any, R]], /) -> TaskFunctionN[Any, R]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, fn: Callable[..., Iterator[R]], /) -> TaskFunctionN[Any, list[R]]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, fn: Variadic[A, R], /) -> TaskFunctionN[A, R]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, fn: Callable[[A, B, C, D, E, F], R], /) -> TaskFunction6[A, B, C, D, E, F, R]: ...
    @overload
    def __call__(self, fn: Callable[[A, B, C, D, E], R], /) -> TaskFunction5[A, B, C, D, E, R]: ...
    @overload
    def __call__(self, fn: Callable[[A, B, C, D], R], /) -> TaskFunction4[A, B, C, D, R]: ...
    @overload
    def __call__(self, fn: Callable[[A, B, C], R], /) -> TaskFunction3[A, B, C, R]: ...
    @overload
    def __call__(self, fn: Callable[[A, B], R], /) -> TaskFunction2[A, B, R]: ...
    @overload
    def __call__(self, fn: Callable[[A], R], /) -> TaskFunction1[A, R]: ...
    @overload
    def __call__(self, fn: Callable[[], R], /) -> TaskFunction0[R]: ...
    @overload
    def __call__(self, fn: Callable[..., R], /) -> TaskFunctionN[Any, R]: ...  # type: ignore[overload-cannot-match]
    @overload
    def __call__(
        self,
        /,
        *,
        memory_mib: int | None = ...,
        retries: int = ...,
        timeout_s: float | None = ...,
        pure: bool = ...,
        name: str | None = ...,
        expected_s: float | None = ...,
        output_bytes: int | None = ...,
    ) -> TaskDecorator: ...
    @overload
    def __call__(
        self,
        /,
        *,
        outputs: int,
        memory_mib: int | None = ...,
        retries: int = ...,
        timeout_s: float | None = ...,
        pure: bool = ...,
        name: str | None = ...,
        expected_s: float | None = ...,
        output_bytes: int | None = ...,
    ) -> MultiOutputDecorator: ...

    def __call__(self, fn: Any = None, /, **options: Any) -> Any:
        if options:
            decorator = TaskDecorator(replace(self._options, **_known(options)))
            return decorator if fn is None else decorator(fn)
        return self if fn is None else TaskFunction(fn, self._options)

    def __repr__(self) -> str:
        return "<decorator faaslab.task>"


task = TaskDecorator(TaskOptions())
