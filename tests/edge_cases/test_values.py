"""Edge cases of arguments and values (section B)."""

import datetime
import decimal
import enum
import math
import os
import pathlib
import threading
from collections import namedtuple
from dataclasses import InitVar, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pytest

import faaslab as fl
from faaslab.client.submission import RunIdentity, build_spec
from faaslab.config import Config
from faaslab.graph import DAG, task
from faaslab.graph.generators import increment, one
from faaslab.planners import plan_dag
from tests.edge_cases.engines import Engine

Point = namedtuple("Point", "x y")


@dataclass(frozen=True)
class Frozen:
    """A frozen dataclass."""

    x: Any
    y: int = 5


@dataclass
class Derived:
    """A dataclass with a field that no argument sets."""

    x: Any
    log: list[str] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.log.append("made")


@dataclass
class WithInitVar:
    """A dataclass whose constructor takes more than it keeps."""

    x: Any
    scale: InitVar[int] = 1


class Opaque:
    """An object that the engine does not look into."""

    def __init__(self, inside: Any) -> None:
        self.inside = inside


class Colour(enum.Enum):
    """An enumeration."""

    RED = 1


@task
def echo(x: Any = "default") -> Any:
    """Return the argument."""
    return x


@task
def kinds(x: Any) -> list[str]:
    """Return the names of the types of the elements."""
    return [type(element).__name__ for element in x]


@task
def is_none(x: Any, y: Any = 0) -> tuple[bool, bool]:
    """Return whether the arguments are None."""
    return x is None, y is None


@task
def spoil(values: list[int]) -> int:
    """Change the argument."""
    values.append(99)
    return len(values)


@task
def length(*parts: Any) -> int:
    """Return the length of all arguments together."""
    return sum(map(len, parts))


@task
def zeros(nbytes: int) -> bytes:
    """Return zero bytes."""
    return bytes(nbytes)


def test_nested_containers(engine: Engine) -> None:
    """B19: tasks are replaced at any depth and containers keep their types."""
    x, y = increment(0), increment(1)
    assert engine.run(echo({"k": [(x, {"z": y})]})) == {"k": [(1, {"z": 2})]}


def test_sets(engine: Engine) -> None:
    """B20: a set of tasks is a set of values; equal ones merge."""
    assert engine.run(echo({increment(0), one(), 7})) == {1, 7}
    assert engine.run(echo(frozenset([increment(1)]))) == frozenset([2])


def test_namedtuple(engine: Engine) -> None:
    """B21: the same class comes out."""
    point = engine.run(echo(Point(increment(0), [increment(1)])))
    assert type(point).__name__ == "Point"
    assert (point.x, point.y) == (1, [2])


def test_dataclasses(engine: Engine) -> None:
    """B22: they are rebuilt without running their constructors again."""
    frozen = engine.run(echo(Frozen(increment(0))))
    assert (frozen.x, frozen.y) == (1, 5)
    derived = engine.run(echo(Derived(increment(0))))
    assert (derived.x, derived.log) == (1, ["made"])
    assert engine.run(echo(WithInitVar(increment(0), 3))).x == 1


def test_hidden_task(engine: Engine) -> None:
    """B23: a task inside an opaque object or a closure is refused, never handed to user code."""
    hidden = increment(0)
    with pytest.raises(fl.LazyTaskError):
        engine.run(echo(Opaque(hidden)))
    with pytest.raises(fl.LazyTaskError):
        engine.run(task(lambda: hidden)())


def test_truthiness(engine: Engine) -> None:
    """B24: a lazy task has no value to test, iterate or compare."""
    x: Any = increment(0)
    for misuse in (lambda: bool(x), lambda: list(x), lambda: x == 3, lambda: len(x), lambda: x + 1):
        with pytest.raises(fl.LazyTaskError):
            misuse()


def test_none(engine: Engine) -> None:
    """B25: None is a value as a result, an argument and a default."""
    assert engine.run(echo(None)) is None
    assert engine.run(is_none(echo(None), y=None)) == (True, True)
    assert engine.run(echo(None), echo()) == (None, "default")


@pytest.mark.parametrize("value", [0, "", [], {}, False, b"", (), 0.0])
def test_falsy(engine: Engine, value: Any) -> None:
    """B26: falsy results are passed on unchanged."""
    result = engine.run(echo(echo(value)))
    assert result == value
    assert type(result) is type(value)


def test_nan(engine: Engine) -> None:
    """B26: so is a value that does not equal itself."""
    assert math.isnan(engine.run(echo(echo(math.nan))))


def test_returned_exception(engine: Engine) -> None:
    """B27: an exception that is returned is a value."""
    error = engine.run(echo(task(lambda: ValueError("x"))()))
    assert isinstance(error, ValueError)
    assert error.args == ("x",)


@pytest.mark.parametrize(
    "make",
    [lambda: iter([1, 2]), lambda: map(abs, [1, -2]), lambda: (x for x in (1, 2)), lambda: zip([1, 2], strict=True)],
    ids=["iterator", "map", "generator", "zip"],
)
def test_iterators(engine: Engine, make: Any) -> None:
    """B28: results that can be read once become lists, for any number of consumers."""
    made = task(make)()
    first, second = engine.run(echo(made), length(made))
    assert first in ([1, 2], [(1,), (2,)])
    assert second == 2 if isinstance(first, int) else True


def test_open_file(engine: Engine) -> None:
    """B28: an open file is refused with its task and type."""
    opened = task(name="opened")(lambda name: open(name))  # noqa: SIM115  returning it is the mistake under test
    with pytest.raises(fl.TaskFailed, match="open file") as caught:
        engine.run(opened(os.devnull))
    assert caught.value.task == "opened#0"


def test_unpicklable_result(engine: Engine) -> None:
    """B29: the task fails, with its name and the type of what it returned."""
    with pytest.raises(fl.TaskFailed, match=r"lock.*can't be serialized") as caught:
        engine.run(task(name="lock")(threading.Lock)())
    assert caught.value.task == "lock#0"


def test_unpicklable_argument(engine: Engine) -> None:
    """B30: it is refused in the client, by name, before anything starts."""
    with pytest.raises(fl.ConstantError, match=r"'echo#0', argument 'x'"):
        engine.run(echo(threading.Lock()))


def test_unpicklable_function(engine: Engine) -> None:
    """B30: so is a function that holds what can't be serialized."""
    lock = threading.Lock()
    with pytest.raises(fl.ConstantError, match="function of task"):
        engine.run(task(name="held")(lambda: lock.locked())())


def test_numpy(engine: Engine) -> None:
    """B31: arrays of all kinds come through; nothing compares or tests them."""
    structured = np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")])
    arrays = [structured, np.array(3.5), np.array([1, "x", None], dtype=object), np.arange(12).reshape(3, 4)[:, ::2]]
    for array in arrays:
        result = engine.run(echo(echo(array)))
        assert result.dtype == array.dtype
        np.testing.assert_array_equal(result, array)


def test_memory_map(engine: Engine, tmp_path: pathlib.Path) -> None:
    """B31: a read-only memory map comes through as its values."""
    np.save(tmp_path / "a.npy", np.arange(1000))
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    np.testing.assert_array_equal(engine.run(echo(echo(mapped))), np.arange(1000))


def test_pandas(engine: Engine) -> None:
    """B31: frames with MultiIndex, time zones and missing values come through."""
    index = pd.MultiIndex.from_product([["a", "b"], pd.date_range("2024-01-01", periods=2, tz="Europe/Rome")])
    frame = pd.DataFrame({"x": pd.array([1, None, 3, 4], dtype="Int64"), "y": list("abcd")}, index=index)
    pd.testing.assert_frame_equal(engine.run(echo(echo(frame))), frame)
    assert engine.run(echo(pd.NA)) is pd.NA


def test_received_arrays_are_writable(engine: Engine) -> None:
    """B31: a consumer may work in place."""

    def double(array: Any) -> Any:
        array *= 2
        return array

    np.testing.assert_array_equal(engine.run(task(double)(echo(np.arange(5)))), np.arange(5) * 2)


def test_64_mb(one_engine: Engine) -> None:
    """B32: large results travel in chunks."""
    x = zeros(64 * 1024 * 1024)
    assert one_engine.run(length(x, echo(x))) == 128 * 1024 * 1024


def test_big_constant_is_stored_once(one_engine: Engine) -> None:
    """B33: a constant of 20 MB that 1,000 tasks share travels once."""
    big = bytes(20_000_000)
    dag = DAG([length(big, str(number)) for number in range(1000)])
    spec = build_spec(dag, plan_dag(dag), RunIdentity("run", "client", b"s" * 32, "image", 0.0), Config())
    assert sum(map(len, spec.parts.values())) < 20_100_000
    assert sum(len(spec.parts[digest]) for digest in spec.ride) < 100_000
    assert sum(one_engine.run(dag)) == 1000 * 20_000_000 + 2890


def test_changed_after_building(engine: Engine) -> None:
    """B34: arguments are taken as they are when the DAG is built."""
    values = [1, 2]
    dag = DAG(length(values))
    values.append(3)
    assert engine.run(dag) == 2
    assert engine.run(length(values)) == 3


def test_arguments_are_private(engine: Engine) -> None:
    """B34: tasks that change their argument never see each other's changes, nor does the client."""
    values = [1, 2]
    shared = echo(values)
    assert engine.run([spoil(values), spoil(values), spoil(shared), spoil(shared), length(shared)]) == [3, 3, 3, 3, 2]
    assert values == [1, 2]


@pytest.mark.parametrize(
    "value",
    [
        2**200,
        -(2**64),
        datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.UTC),
        decimal.Decimal("1.10"),
        b"\x00\xff",
        complex(1, -2),
        pathlib.PurePosixPath("a/b"),
        datetime.timedelta(microseconds=1),
        range(3),
        slice(1, None, 2),
        "\ud800",
    ],
    ids=lambda value: type(value).__name__,
)
def test_exact_round_trip(engine: Engine, value: Any) -> None:
    """B35: values that JSON would break come through exactly."""
    result = engine.run(echo(echo(value)))
    assert result == value
    assert type(result) is type(value)


def test_enum(engine: Engine) -> None:
    """B35: an enumeration's member keeps name and value."""
    result = engine.run(echo(echo(Colour.RED)))
    assert (type(result).__name__, result.name, result.value) == ("Colour", "RED", 1)
