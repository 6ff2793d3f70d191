"""Calling a task function makes a lazy task, and nothing else can be done with it."""

import copy
import functools
import math
import operator
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from faaslab.errors import GraphError, LazyTaskError
from faaslab.graph import DAG, Task, TaskFunction, TaskItem, TaskOptions, task
from tests.graph.strategies import evaluate


@task
def inc(x: int) -> int:
    """Return the next integer."""
    return x + 1


class Scaler:
    """An object with every kind of callable."""

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def scale(self, x: int) -> int:
        return self.factor * x

    @classmethod
    def twice(cls, x: int) -> int:
        return 2 * x

    @staticmethod
    def thrice(x: int) -> int:
        return 3 * x

    def __call__(self, x: int) -> int:
        return self.factor + x

    @task
    def lazy(self, x: int) -> int:
        return self.factor - x


def power(base: int, exponent: int) -> int:
    return base**exponent


def closures() -> list[Callable[[int], int]]:
    return [lambda x: x + i for i in range(3)]  # noqa: B023 — late binding is what is tested


@pytest.mark.parametrize(
    ("fn", "args", "expected"),
    [
        (lambda x: x * 10, (4,), 40),
        (closures()[0], (4,), 6),
        (functools.partial(power, exponent=3), (2,), 8),
        (functools.partial(functools.partial(power, 3), 2), (), 9),
        (Scaler(5).scale, (4,), 20),
        (Scaler.twice, (4,), 8),
        (Scaler.thrice, (4,), 12),
        (Scaler(5), (4,), 9),
        (len, ([1, 2],), 2),
        (max, (1, 7, 3), 7),
        (math.sqrt, (16,), 4.0),
        (operator.add, (2, 3), 5),
        (np.add, (2, 3), 5),
        (np.linalg.norm, ([3, 4],), 5.0),
        (str.upper, ("a",), "A"),
        (int, ("12",), 12),
    ],
    ids=lambda value: None,
)
def test_every_kind_of_callable_is_a_task(fn: Any, args: tuple[Any, ...], expected: Any) -> None:
    """Lambdas, closures, partials, methods, callable objects, builtins, ufuncs and classes run."""
    assert evaluate(DAG(task(fn)(*args))) == expected


def test_method_decorated_in_its_class() -> None:
    """A task function in a class body binds to its instance."""
    assert evaluate(DAG(Scaler(5).lazy(inc(1)))) == 3
    assert isinstance(Scaler.lazy, TaskFunction)


def test_closure_over_a_loop_variable_is_late_as_in_python() -> None:
    """Closures made in a loop see the loop variable's last value."""
    assert evaluate(DAG([task(fn)(0) for fn in closures()])) == [2, 2, 2]


@pytest.mark.parametrize(
    "name", ["self", "key", "name", "task", "timeout", "fn", "args", "kwargs", "options", "function"]
)
def test_task_functions_own_their_parameter_names(name: str) -> None:
    """No name of a parameter collides with the engine's own."""
    namespace: dict[str, Any] = {}
    exec(f"def f({name}): return {name}", namespace)
    f = task(namespace["f"])
    assert evaluate(DAG([f(1), f(**{name: inc(1)})])) == [1, 2]
    g = task(lambda **keywords: keywords)
    assert evaluate(DAG(g(**{name: inc(1)}))) == {name: 2}


@pytest.mark.parametrize("call", [lambda: inc(), lambda: inc(1, 2), lambda: inc(y=1), lambda: inc(1, x=2)])
def test_wrong_arguments_fail_when_the_task_is_made(call: Callable[[], Any]) -> None:
    """A call that the function's signature refuses raises at once and names the task."""
    with pytest.raises(TypeError, match="task 'inc'"):
        call()


def test_signature_rules_of_python_hold() -> None:
    """Keyword-only, positional-only, defaulted and variadic parameters are accepted as in a plain call."""

    def f(a: int, /, b: int = 2, *rest: int, k: int, d: int = 5, **more: int) -> Any:
        return a, b, rest, k, d, more

    assert evaluate(DAG(task(f)(1, k=4))) == (1, 2, (), 4, 5, {})
    assert evaluate(DAG(task(f)(1, 2, 3, k=4, z=6))) == (1, 2, (3,), 4, 5, {"z": 6})
    with pytest.raises(TypeError, match="'k'"):
        task(f)(1)


@pytest.mark.parametrize(
    "use",
    [
        bool,
        len,
        iter,
        list,
        int,
        float,
        lambda x: x == 3,
        lambda x: x != x,
        lambda x: x < 3,
        lambda x: x[0],
        lambda x: 3 in x,
        lambda x: x + 1,
        lambda x: 1 + x,
        lambda x: -x,
        lambda x: f"{x}",
        lambda x: [1][x],
        lambda x: x(),
        lambda x: sorted([x, x]),
        lambda x: f"{x:d}",
    ],
)
@pytest.mark.parametrize("lazy", [inc(1), task(lambda: (1, 2), outputs=2)()[0]], ids=["task", "item"])
def test_a_lazy_task_is_not_a_value(use: Callable[[Any], Any], lazy: Any) -> None:
    """Truth, iteration, comparison, indexing, arithmetic and formatting of a lazy task raise a TypeError at build."""
    with pytest.raises(TypeError):
        use(lazy)


def test_the_error_of_a_lazy_task_says_what_to_do() -> None:
    """The error names the task and the way to its value."""
    with pytest.raises(LazyTaskError, match=r"<task inc>.*\.compute\(\)"):
        bool(inc(1))


def test_lazy_tasks_hash_by_identity() -> None:
    """Tasks can be members of sets and keys, each its own."""
    a, b = inc(1), inc(1)
    assert len({a, b, a}) == 2
    assert {a: 1, b: 2}[b] == 2


@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy])
def test_lazy_tasks_cannot_be_pickled_or_copied(way: Callable[[Any], Any]) -> None:
    """A lazy task never travels as an object."""
    with pytest.raises(LazyTaskError, match="inc"):
        way(inc(1))


@pytest.mark.parametrize(
    "options",
    [
        {"memory_mib": 0},
        {"memory_mib": 1.5},
        {"memory_mib": True},
        {"retries": -1},
        {"retries": None},
        {"timeout_s": 0},
        {"timeout_s": float("nan")},
        {"timeout_s": "1"},
        {"pure": 1},
        {"outputs": 0},
        {"name": ""},
        {"name": "x\n"},
        {"name": "x" * 10_000},
        {"name": 5},
        {"name": "\ud800"},
        {"expected_s": -1.0},
        {"expected_s": float("inf")},
        {"output_bytes": -1},
        {"memory": 512},
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    """An option that is unknown or out of range is refused by name, in the decorator and later."""
    with pytest.raises(GraphError, match=next(iter(options)) if "name" not in options else "named"):
        task(**options)
    with pytest.raises(GraphError):
        inc.with_options(**options)


@pytest.mark.parametrize("name", ["任务-é", "a:b*?[x]", "<img onerror=alert(1)>", "a#1", "x" * 200, "with space"])
def test_unusual_names_are_only_names(name: str) -> None:
    """Unicode, globs, markup and separators in names change nothing but the ids."""
    f = inc.with_options(name=name)
    dag = DAG([f(1), f(2)])
    assert dag.ids == (f"{name}#0", f"{name}#1")
    assert dag.index_of(f"{name}#1") == 1
    assert evaluate(dag) == [2, 3]


def test_options_belong_to_the_new_function_only() -> None:
    """with_options leaves the original alone and keeps what it doesn't name."""
    other = task(retries=2, memory_mib=512)(inc.fn).with_options(retries=5)
    assert other.options == TaskOptions(retries=5, memory_mib=512)
    assert inc.options == TaskOptions()
    assert other.fn is inc.fn


@pytest.mark.parametrize("wrong", [5, inc, "f", None.__class__.__mro__])
def test_only_plain_callables_are_decorated(wrong: Any) -> None:
    """Values and task functions are refused by the decorator."""
    with pytest.raises(GraphError):
        task(wrong)


def test_decorator_above_classmethod_is_refused() -> None:
    """The wrong order of decorators is an error that says the right one."""
    with pytest.raises(GraphError, match="below @classmethod"):
        task(classmethod(lambda cls: 1))


def test_several_outputs_are_one_task() -> None:
    """Each element of a call with several outputs depends on the one task, and takes its own element."""
    divide = task(outputs=2)(lambda x, y: divmod(x, y))
    quotient, remainder = divide(17, 5)
    assert isinstance(quotient, TaskItem)
    dag = DAG({"q": quotient, "r": [inc(remainder)]})
    assert len(dag) == 2
    assert evaluate(dag) == {"q": 3, "r": [3]}


def test_function_that_calls_itself_and_other_task_functions() -> None:
    """A task's code may use task functions as plain functions through .fn, itself included."""
    assert evaluate(DAG(factorial(inc(4)))) == 120


@task
def factorial(n: int) -> int:
    """Return n!."""
    return 1 if n < 2 else n * factorial.fn(inc.fn(n) - 2)


def test_a_task_function_can_be_an_argument() -> None:
    """Functions and task functions travel as values."""
    apply = task(lambda f, x: f(x))
    assert evaluate(DAG([apply(math.sqrt, 4), apply(lambda x: x + 1, inc(1))])) == [2.0, 3]
    assert isinstance(inc(1), Task)
