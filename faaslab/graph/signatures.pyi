"""How type checkers see task functions: one class for each number of positional parameters. Never instantiated."""

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from faaslab.graph.tasks import Task, TaskFunction, TaskItem

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
A = TypeVar("A")
A_contra = TypeVar("A_contra", contravariant=True)
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")

Container: TypeAlias = list[Any] | tuple[Any, ...] | dict[Any, Any] | set[Any] | frozenset[Any]
Argument: TypeAlias = A | Task[A] | TaskItem[A] | Container

class Variadic(Protocol[A_contra, R_co]):
    """A function of any number of positional arguments."""

    def __call__(self, *args: A_contra) -> R_co: ...

class TaskFunctionN(TaskFunction[R], Generic[A, R]):
    """Any number of parameters, all of one type."""

    def __call__(self, /, *args: Argument[A], **kwargs: Any) -> Task[R]: ...

class TaskFunction0(TaskFunction[R]):
    """No positional parameter."""

    def __call__(self, /, **kwargs: Any) -> Task[R]: ...

class TaskFunction1(TaskFunction[R], Generic[A, R]):
    """One positional parameter; parameters with defaults count, all may be given by name."""

    def __call__(self, a: Argument[A] = ..., /, **kwargs: Any) -> Task[R]: ...

class TaskFunction2(TaskFunction[R], Generic[A, B, R]):
    """Two positional parameters."""

    def __call__(self, a: Argument[A] = ..., b: Argument[B] = ..., /, **kwargs: Any) -> Task[R]: ...

class TaskFunction3(TaskFunction[R], Generic[A, B, C, R]):
    """Three positional parameters."""

    def __call__(
        self, a: Argument[A] = ..., b: Argument[B] = ..., c: Argument[C] = ..., /, **kwargs: Any
    ) -> Task[R]: ...

class TaskFunction4(TaskFunction[R], Generic[A, B, C, D, R]):
    """Four positional parameters."""

    def __call__(
        self,
        a: Argument[A] = ...,
        b: Argument[B] = ...,
        c: Argument[C] = ...,
        d: Argument[D] = ...,
        /,
        **kwargs: Any,
    ) -> Task[R]: ...

class TaskFunction5(TaskFunction[R], Generic[A, B, C, D, E, R]):
    """Five positional parameters."""

    def __call__(
        self,
        a: Argument[A] = ...,
        b: Argument[B] = ...,
        c: Argument[C] = ...,
        d: Argument[D] = ...,
        e: Argument[E] = ...,
        /,
        **kwargs: Any,
    ) -> Task[R]: ...

class TaskFunction6(TaskFunction[R], Generic[A, B, C, D, E, F, R]):
    """Six positional parameters; beyond that a function is seen as ``Callable[..., R]``."""

    def __call__(
        self,
        a: Argument[A] = ...,
        b: Argument[B] = ...,
        c: Argument[C] = ...,
        d: Argument[D] = ...,
        e: Argument[E] = ...,
        f: Argument[F] = ...,
        /,
        **kwargs: Any,
    ) -> Task[R]: ...

class MultiOutputFunction(TaskFunction[R]):
    """A function with several outputs."""

    def __call__(self, /, *args: Any, **kwargs: Any) -> tuple[TaskItem[Any], ...]: ...

class MultiOutputDecorator(Protocol):
    """``@task(outputs=n)``."""

    def __call__(self, fn: Callable[..., R], /) -> MultiOutputFunction[R]: ...
