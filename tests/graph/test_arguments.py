"""Tasks anywhere inside arguments become dependencies, and their values stand where they stood."""

import datetime
import decimal
import enum
import threading
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import InitVar, dataclass, field
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from faaslab.errors import ConstantError, LazyTaskError
from faaslab.graph import DAG, task
from faaslab.graph.generators import add, increment, one
from tests.graph.strategies import encode_unassigned, evaluate


@task
def echo(value: Any) -> Any:
    """Return the argument."""
    return value


@task
def kinds(*args: Any, **kwargs: Any) -> Any:
    """Return all arguments."""
    return args, kwargs


class Point(NamedTuple):
    x: Any
    y: Any = 0


@dataclass
class Plain:
    x: Any
    made: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.made.append(1)


@dataclass(frozen=True, slots=True)
class FrozenSlots:
    x: Any
    y: int = 5


@dataclass(frozen=True)
class Frozen:
    x: Any


@dataclass
class Strange:
    """Custom constructor, InitVar, a field that init leaves out and one that nobody sets."""

    x: Any
    seed: InitVar[int] = 3
    derived: int = field(init=False)
    unset: int = field(init=False, repr=False, compare=False)

    def __post_init__(self, seed: int) -> None:
        self.derived = seed * 2
        self.extra = "set by code"  # type: ignore[attr-defined]


@dataclass(init=False)
class OwnInit:
    x: Any

    def __init__(self, *, first: Any) -> None:
        self.x = first


class Color(enum.Enum):
    RED = 1


class MyList(list[Any]):
    """A subclass that no rule covers."""


class Opaque:
    def __init__(self, content: Any) -> None:
        self.content = content


def test_nested_containers_keep_their_types() -> None:
    """Every task inside lists, tuples, dicts and sets is replaced, at any depth."""
    x = one()
    argument = {"k": [(x, {"z": x})], "s": {x}, "f": frozenset({x, 7}), "n": None}
    assert evaluate(DAG(echo(argument))) == {"k": [(1, {"z": 1})], "s": {1}, "f": frozenset({1, 7}), "n": None}


def test_sets_of_tasks_merge_equal_values() -> None:
    """A set of tasks is the set of their values, which may be smaller."""
    x, y = one(), one()
    assert evaluate(DAG(echo({x, y, 5}))) == {1, 5}
    assert evaluate(DAG(echo({("a", x), ("b", y)}))) == {("a", 1), ("b", 1)}


@pytest.mark.parametrize(
    "build",
    [
        lambda x: Point(x, [x]),
        lambda x: OrderedDict(b=x, a=2),
        lambda x: defaultdict(list, {"a": x}),
        lambda x: deque([1, x, 3], maxlen=3),
        lambda x: Frozen(x),
        lambda x: FrozenSlots([x]),
        lambda x: OwnInit(first=x),
        lambda x: Frozen(Frozen(Point(x, {x}))),
        lambda x: [[], (), {}, [x]],
    ],
)
def test_containers_that_may_hold_tasks(build: Any) -> None:
    """Named tuples, collections and dataclasses are rebuilt as they were, with values."""
    got = evaluate(DAG(echo(build(one()))))
    assert got == build(1)
    assert type(got) is type(build(1))


def test_collections_keep_their_settings() -> None:
    """The factory of a defaultdict, the bound of a deque and the order of keys survive."""
    x = one()
    default, bounded, ordered = evaluate(DAG(echo([defaultdict(list, a=x), deque([x], 3), OrderedDict(b=x, a=x)])))
    assert default["new"] == []
    assert bounded.maxlen == 3
    assert list(ordered) == ["b", "a"]


def test_dataclasses_are_rebuilt_without_side_effects() -> None:
    """No constructor and no __post_init__ runs again, and what code has set stays."""
    assert evaluate(DAG(echo(Plain(one())))).made == [1]
    got = evaluate(DAG(echo(Strange(one(), seed=4))))
    assert (got.x, got.derived, got.extra, hasattr(got, "unset")) == (1, 8, "set by code", False)


@pytest.mark.parametrize(
    "argument",
    [
        Opaque(one()),
        MyList([one()]),
        Counter(a=one()),
        [Opaque([one()])],
        np.array([one()], dtype=object),
        lambda: HIDDEN,
    ],
    ids=["object", "list subclass", "counter", "nested object", "object array", "closure"],
)
def test_hidden_tasks_are_refused_by_name(argument: Any) -> None:
    """A task inside something opaque is an error that names task, argument and the hidden task."""
    with pytest.raises(LazyTaskError, match=r"task 'echo#0', argument 'value'.*<task one>"):
        DAG(echo(argument))


HIDDEN = one()


def test_tasks_as_keys_are_refused() -> None:
    """A lazy task can't be a key of a dictionary."""
    with pytest.raises(LazyTaskError, match=r"'echo'.*key"):
        DAG(echo({one(): 1, "x": one()}))


def test_containers_that_contain_themselves() -> None:
    """A cyclic container is a constant like others, and refused if it also holds a task."""
    cyclic: list[Any] = [1]
    cyclic.append(cyclic)
    got = evaluate(DAG(echo(cyclic)))
    assert got[1] is got
    cyclic.append(one())
    with pytest.raises(ConstantError, match="contains itself"):
        DAG(echo(cyclic))


def test_very_deep_arguments() -> None:
    """Nesting beyond Python's recursion limit works around a task."""
    deep: Any = one()
    for _ in range(3000):
        deep = [deep]
    depth, got = 0, evaluate_flat(DAG(echo(deep)))
    while isinstance(got, list):
        depth, got = depth + 1, got[0]
    assert (depth, got) == (3000, 1)


def evaluate_flat(dag: DAG) -> Any:
    """Return the argument of a DAG's last task, without pickling it."""
    from faaslab.protocol.wire import WorkerDag

    wire = encode_unassigned(dag)
    args, _ = WorkerDag.decode(wire.structure).call(len(dag) - 1, wire.parts, {0: 1})
    return args[0]


def test_same_task_in_many_places_is_one_dependency() -> None:
    """Positional, keyword, nested and repeated uses of one task all hold its value and are one dependency."""
    x = one()
    dag = DAG(kinds(x, [x, 5, x], k=x, d={"a": x}))
    assert dag.upstreams(1) == (0,)
    assert dag.successors(0) == (1,)
    assert evaluate(dag) == ((1, [1, 5, 1]), {"k": 1, "d": {"a": 1}})
    assert evaluate(DAG(add(x, x))) == 2


@pytest.mark.parametrize(
    "value",
    [
        None,
        0,
        False,
        "",
        b"",
        [],
        {},
        -0.0,
        2**100,
        -(2**63),
        1 + 2j,
        float("inf"),
        "ä" * 600,
        "\ud800",
        b"\x00" * 600,
        Ellipsis,
        datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
        decimal.Decimal("1.10"),
        PurePosixPath("/a/b"),
        Color.RED,
        range(3),
        slice(1, 2),
        int,
        ValueError,
        NotImplemented,
    ],
    ids=repr,
)
def test_constants_arrive_exactly(value: Any) -> None:
    """A constant has the same value and type on the other side."""
    got = evaluate(DAG(echo(value)))
    assert got == value
    assert repr(got) == repr(value)
    assert type(got) is type(value)


def test_equal_constants_of_different_types_stay_apart() -> None:
    """1, True and 1.0 are equal, zeros have signs, and nan equals nothing; none replaces another."""
    values = (1, True, 1.0, 0, False, 0.0, -0.0, "1", b"1", 1 + 0j, float("nan"), complex(0.0, -0.0))
    assert repr(evaluate(DAG([echo(value) for value in values]))) == repr(list(values))


def test_exceptions_are_values() -> None:
    """An exception that is an argument or a result, and not raised, is a value."""
    got = evaluate(DAG(echo(ValueError("x"))))
    assert isinstance(got, ValueError)


def test_arrays_and_frames_arrive_exactly() -> None:
    """numpy and pandas objects of unusual kinds travel unchanged, and are never compared or tested."""
    structured = np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])
    index = pd.MultiIndex.from_product([["a"], pd.date_range("2026", periods=2, tz="Europe/Berlin")])
    frame = pd.DataFrame({"x": [1, pd.NA]}, index=index)
    got = evaluate(DAG(kinds(structured, np.array(5), np.array([{}, None], dtype=object), frame, [frame, one()])))[0]
    np.testing.assert_array_equal(got[0], structured)
    assert got[1].shape == ()
    assert got[2][0] == {}
    pd.testing.assert_frame_equal(got[3], frame)
    pd.testing.assert_frame_equal(got[4][0], frame)


def test_read_only_memmap_travels_as_an_array(tmp_path: Any) -> None:
    """A memory-mapped constant arrives with its content."""
    np.arange(5).tofile(tmp_path / "data")
    mapped = np.memmap(tmp_path / "data", dtype=np.arange(5).dtype, mode="r")
    np.testing.assert_array_equal(evaluate(DAG(echo(mapped))), np.arange(5))


def test_each_use_of_a_mutable_constant_is_private() -> None:
    """Tasks that are given the same list never see each other's changes, nor does the client."""
    shared = [1]
    grow = task(lambda values: values.append(2) or values)
    assert evaluate(DAG([grow(shared), grow(shared), grow([shared, one()])])) == [[1, 2], [1, 2], [[1], 1, 2]]
    assert shared == [1]


def test_constants_are_taken_when_the_dag_is_built() -> None:
    """A change before the DAG is built counts, one after it doesn't."""
    values = [1]
    lazy = echo(values)
    values.append(2)
    dag = DAG(lazy)
    values.append(3)
    assert evaluate(dag) == [1, 2]


def test_unpicklable_constants_are_refused_by_name() -> None:
    """An argument that can't be serialized is an error that names task and argument, wherever it stands."""
    lock = threading.Lock()
    with pytest.raises(ConstantError, match=r"task 'echo#0', argument 'value'.*lock"):
        DAG(echo(lock))
    with pytest.raises(ConstantError, match=r"task 'kinds#0', argument 'args\[1\]'"):
        DAG(kinds(1, [one(), {"a": lock}]))
    with pytest.raises(ConstantError, match=r"task 'kinds#0', argument 'extra'"):
        DAG(kinds(1, extra=lock))
    with pytest.raises(ConstantError, match=r"task 'echo#0', argument 'value'.*generator"):
        DAG(echo(x for x in [1]))


def test_big_constant_is_stored_once() -> None:
    """A large array that many tasks take is serialized once, even when it is also an equal copy."""
    array = np.arange(250_000)
    dag = DAG([echo(array if number % 2 else array.copy()) for number in range(100)])
    assert len(dag.constants) == 1
    wire = encode_unassigned(dag)
    assert len(wire.parts) == 2
    assert wire.size_bytes < 1.01 * array.nbytes


def test_changing_an_argument_of_a_task_twice_used() -> None:
    """Two DAGs over the same tasks don't influence each other."""
    x = increment(one())
    assert evaluate(DAG(x)) == evaluate(DAG([x, x]))[1] == 2
