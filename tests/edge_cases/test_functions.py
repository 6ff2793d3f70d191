"""Edge cases of task functions (section C)."""

import contextlib
import functools
import operator
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import faaslab as fl
from faaslab.graph import task
from faaslab.graph.generators import increment, one, total
from tests.edge_cases.engines import Engine

OFFSET = 100


class Adder:
    """Callable in several ways."""

    base = 7

    def __init__(self, n: int) -> None:
        self.n = n

    def __call__(self, x: int) -> int:
        return x + self.n

    def method(self, x: int) -> int:
        """Return a sum."""
        return x + self.n

    @classmethod
    def of_class(cls, x: int) -> int:
        """Return a sum."""
        return x + cls.base

    @staticmethod
    def static(x: int) -> int:
        """Return a sum."""
        return x + 1


def helper(x: int) -> int:
    """Return a sum that depends on a module's global."""
    return x + OFFSET


def uses_helper(x: int) -> int:
    """Call another function of this module."""
    return helper(x)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: x + 1, 4),
        (functools.partial(operator.add, 10), 13),
        (Adder(5), 8),
        (Adder(5).method, 8),
        (Adder.of_class, 10),
        (Adder.static, 4),
        (abs, 3),
        (str, "3"),
        (np.sqrt, 3**0.5),
        (operator.neg, -3),
        (uses_helper, 103),
    ],
    ids=["lambda", "partial", "object", "method", "classmethod", "static", "builtin", "class", "ufunc", "C", "global"],
)
def test_callables(engine: Engine, function: Any, expected: Any) -> None:
    """C36: whatever can be called can be a task."""
    assert engine.run(task(function)(increment(2))) == expected


def test_closures_bind_late(engine: Engine) -> None:
    """C36: closures over a loop variable see what Python's do when the DAG is built."""
    made = []
    for i in range(3):
        made.append(task(lambda: i)())  # noqa: B023, PERF401  late binding is what is tested
    assert engine.run(made) == [2, 2, 2]


def test_nested_function(engine: Engine) -> None:
    """C36: a function defined in a function, recursive at that."""

    def factorial(n: int) -> int:
        return 1 if n < 2 else n * factorial(n - 1)

    assert engine.run(task(factorial)(10)) == 3628800


def test_async(engine: Engine) -> None:
    """C37: a coroutine is awaited, never handed on."""

    async def slow(x: int) -> int:
        import asyncio

        await asyncio.sleep(0)
        return x + 1

    async def several(x: int) -> AsyncIterator[int]:
        for number in range(x):
            yield number

    assert engine.run(increment(task(slow)(1))) == 3
    assert engine.run(task(several)(3)) == [0, 1, 2]


def test_generator_function(engine: Engine) -> None:
    """C38: what it yields becomes a list."""

    def count(n: int) -> Iterator[int]:
        yield from range(n)

    numbers = task(count)(4)
    assert engine.run(total(numbers), numbers) == (6, [0, 1, 2, 3])


def test_equal_names(engine: Engine) -> None:
    """C39: each task runs the code that it was made with, whatever the name."""

    def make(factor: int) -> Any:
        def scale(x: int) -> int:
            return x * factor

        return scale

    first, second = task(make(2)), task(make(3))
    assert engine.run([first(10), second(10), first(1)]) == [20, 30, 2]


def test_redefined(engine: Engine) -> None:
    """C39: a function defined again in a later cell changes nothing that was built before."""
    space: dict[str, Any] = {"__name__": "__main__"}
    exec("def cell(x):\n    return x + 1", space)
    before = task(space["cell"])(1)
    exec("def cell(x):\n    return x + 2", space)
    after = task(space["cell"])(1)
    assert engine.run([before, after]) == [2, 3]


def test_cells_of_a_notebook(engine: Engine) -> None:
    """C40: globals, imports and helpers of other cells are found."""
    space: dict[str, Any] = {"__name__": "__main__"}
    exec("import math\nLIMIT = 10", space)
    exec("def helper(x):\n    return math.floor(x) + LIMIT", space)
    exec("def cell(x):\n    return helper(x)", space)
    assert engine.run(task(space["cell"])(2.7)) == 12


def test_local_module(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C41: a module beside the notebook travels, and an edited one is picked up when it is imported again."""
    import importlib

    name = f"beside_{engine.name}"
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"{name}.py").write_text("FACTOR = 2\ndef scale(x):\n    return x * FACTOR\n")
    module = importlib.import_module(name)
    try:
        assert engine.run(task(module.scale)(21)) == 42
        (tmp_path / f"{name}.py").write_text("FACTOR = 30  # edited\ndef scale(x):\n    return x * FACTOR\n")
        importlib.invalidate_caches()
        assert engine.run(task(importlib.reload(module).scale)(2)) == 60
    finally:
        sys.modules.pop(name, None)


def test_missing_module(engine: Engine) -> None:
    """C41: a module that is not there is named."""

    def imports() -> None:
        import there_is_no_such_module  # type: ignore[import-not-found]  # noqa: F401

    with pytest.raises(fl.TaskFailed, match="there_is_no_such_module"):
        engine.run(task(imports)())


def test_output_is_bounded(engine: Engine) -> None:
    """C42: a task that prints a lot, logs and warns succeeds."""

    def chatty() -> int:
        import logging
        import sys
        import warnings

        for _ in range(1000):
            sys.stdout.write("x" * 1000)
        logging.getLogger("chatty").error("logged")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("warned", UserWarning, stacklevel=1)
        return 1

    # Where the task runs in this process, its warning arrives here.
    expected = pytest.warns(UserWarning, match="warned") if engine.in_process else contextlib.nullcontext()
    with expected:
        assert engine.run(task(chatty)()) == 1


def test_sys_exit(engine: Engine) -> None:
    """C42: leaving the interpreter is a failure of the task."""

    def leave() -> None:
        sys.exit(3)

    with pytest.raises(fl.TaskFailed, match="SystemExit: 3"):
        engine.run(task(leave)())


def test_os_exit(engine: Engine) -> None:
    """C42: so is ending the process."""
    if engine.in_process:
        pytest.skip("would end the process of the test")

    def end() -> None:
        import os

        os._exit(1)

    with pytest.raises(fl.TaskFailed, match="exited with status 1"):
        engine.run(task(end)())


def test_keyboard_interrupt(engine: Engine) -> None:
    """C42: in the caller's thread an interrupt is the caller's; elsewhere it is a failure of the task."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt if engine.in_process else fl.TaskFailed):
        engine.run(task(interrupt)())
    assert engine.run(one()) == 1


def test_nested_run(engine: Engine) -> None:
    """C43: a task that runs a workflow of its own does so in its own process, or is refused; it never hangs."""

    def nested() -> int:
        from faaslab.client import Lab

        with Lab("inline") as lab:
            return lab.compute(increment(41), progress=False)  # type: ignore[no-any-return]

    if engine.in_process:
        assert engine.run(task(nested)()) == 42
    else:
        with pytest.raises(fl.TaskFailed, match="can't start a run of its own"):
            engine.run(task(nested)())


def test_parameter_names(engine: Engine) -> None:
    """C44: no name of a parameter or a task collides with the engine's own words."""

    def odd(self: int, key: int, name: int, task: int, timeout: int, args: int, kwargs: int, retries: int) -> list[int]:
        return [self, key, name, task, timeout, args, kwargs, retries]

    values = {"key": 2, "name": 3, "task": 4, "timeout": 5, "args": 6, "kwargs": one(), "retries": 8}
    assert engine.run(task(name="self")(odd)(1, **values)) == [1, 2, 3, 4, 5, 6, 1, 8]
