"""Edge cases of graph shapes (section A)."""

from typing import Any

import psutil
import pytest

import faaslab as fl
from faaslab.graph import DAG, generators, task
from faaslab.graph.generators import add, increment, one, total
from faaslab.trace.events import InputFetched
from tests.edge_cases.engines import Engine


@task
def pick(x: Any, k: Any = None, d: Any = None) -> Any:
    """Return all arguments."""
    return x, k, d


@task
def boom(x: Any) -> Any:
    """Fail."""
    raise ValueError(f"boom {x}")


@task
def draw() -> float:
    """Return a number that differs from call to call."""
    import random

    return random.random()


def test_diamond(engine: Engine) -> None:
    """A1: source and sink of a diamond execute once."""
    value, executed = engine.executions(generators.diamond())
    assert value == 4
    assert executed == {"one#0": 1, "increment#0": 1, "increment#1": 1, "add#0": 1}


def test_repeated_argument(engine: Engine) -> None:
    """A2: a task given twice is one dependency."""
    x = increment(1)
    assert engine.run(add(x, x)) == 4


def test_same_task_twice_in_a_list(engine: Engine) -> None:
    """A3: order and multiplicity are kept."""
    x, y = increment(1), increment(9)
    assert engine.run(total([x, y, x])) == 14


def test_same_task_in_several_places(engine: Engine) -> None:
    """A4: positional, keyword and nested uses hold the value of one execution."""
    x = increment(1)
    value, executed = engine.executions(pick(x, k=x, d={"a": x}))
    assert value == (2, 2, {"a": 2})
    assert executed["increment#0"] == 1


def test_fan_in_of_5000(one_engine: Engine) -> None:
    """A5: all inputs arrive and the reducer runs once."""
    value, executed = one_engine.executions(total([generators.identity(i) for i in range(5000)]))
    assert value == 12_497_500
    assert executed["total#0"] == 1


def test_fan_out_of_5000(one_engine: Engine) -> None:
    """A6: a worker that has an input does not fetch it for each of its tasks."""
    one_engine.planner = "single_worker"
    run = one_engine.submit(generators.fan(5000))
    assert run.result(60.0) == 10_000
    fetched = [event for event in run.trace.events if isinstance(event, InputFetched) and event.upstream == 0]
    assert len(fetched) == 5000
    assert {event.source for event in fetched} == {"local"}


@pytest.mark.parametrize("planner", ["wukong", "per_task", "single_worker"])
def test_deep_chain(one_engine: Engine, planner: str) -> None:
    """A7: a chain of 20,000 tasks needs no recursion anywhere."""
    one_engine.planner = planner
    depth = 20_000 if planner != "per_task" else 5_000
    assert one_engine.run(generators.chain(depth)) == depth


def test_several_sinks(engine: Engine) -> None:
    """A8: results come in the order asked, shared ancestors execute once."""
    base = increment(1)
    left, right = increment(base), add(base, 10)
    value, executed = engine.executions([right, left])
    assert value == [12, 3]
    assert executed["increment#0"] == 1


def test_duplicate_sink(engine: Engine) -> None:
    """A9: a task asked for twice executes once."""
    x = increment(1)
    assert engine.run(x, x) == (2, 2)
    assert engine.executions([x, x])[1] == {"increment#0": 1}


def test_disconnected_components(engine: Engine) -> None:
    """A10: both run."""
    assert engine.run(generators.chain(3), generators.diamond()) == (3, 4)


def test_failure_in_one_component(engine: Engine) -> None:
    """A10: a failure in one component is reported; the other's result is not silently half-returned."""
    with pytest.raises(fl.TaskFailed, match="boom 1") as caught:
        engine.run(generators.chain(3), boom(1))
    assert caught.value.task == "boom#0"


def test_single_task(engine: Engine) -> None:
    """A11: with and without arguments."""
    assert engine.run(one()) == 1
    assert engine.run(increment(1)) == 2


def test_empty_request(engine: Engine) -> None:
    """A12: nothing is started."""
    assert engine.run() == ()
    assert engine.run([]) == []


def test_values_that_are_no_tasks(engine: Engine) -> None:
    """A13: they pass through."""
    assert engine.run(5, increment(1), [increment(2), 7]) == (5, 2, [3, 7])


def test_cycle(engine: Engine) -> None:
    """A14: a cycle is named before anything is submitted."""
    parts: list[Any] = []
    first = total(parts)
    second = increment(first)
    parts.append(second)
    with pytest.raises(fl.CycleError, match=r"wait for each other.* 2: .*total"):
        engine.run(second)


def test_self_edge(engine: Engine) -> None:
    """A15: a task that takes itself is a cycle of one."""
    parts: list[Any] = []
    first = total(parts)
    parts.append(first)
    with pytest.raises(fl.CycleError, match="total"):
        engine.run(first)


def test_equal_tasks_execute_twice(engine: Engine) -> None:
    """A16: equal function and arguments are two tasks with ids of their own."""
    (first, second), executed = engine.executions([draw(), draw()])
    assert first != second
    assert executed == {"draw#0": 1, "draw#1": 1}


@pytest.mark.parametrize(
    "name", ["任务-é", "a:b*?[x]", "<img onerror=alert(1)>", "x" * 200, "run:1|2,3 4", "~0", "w0", "%s {0}"]
)
def test_names(engine: Engine, name: str) -> None:
    """A17: any printable name works, and never means another task."""
    named, other = (
        increment.with_options(name=name),
        increment.with_options(name=name + "'" if len(name) < 200 else "y"),
    )
    value, executed = engine.executions(total([named(1), other(10), named(100)]))
    assert value == 2 + 11 + 101
    assert executed[f"{name}#0"] == executed[f"{name}#1"] == 1


@pytest.mark.parametrize("name", ["", "x\n", "n" * 10_000, "a\0b"])
def test_names_that_are_refused(name: str) -> None:
    """A17: empty, unprintable and very long names are refused where they are given."""
    with pytest.raises(fl.GraphError, match="can't be named"):
        increment.with_options(name=name)


@pytest.mark.parametrize("name", ["a|b", "~0", "w 1,2", ""])
def test_worker_names_that_are_refused(engine: Engine, name: str) -> None:
    """A17: a plan can't name a worker with what the store uses as separators."""
    dag = DAG(generators.chain(2))
    plan = fl.Plan.for_dag(dag, "odd names", [fl.Assignment(name, 1769)] * 2)
    with pytest.raises(fl.PlanError, match="worker name"):
        engine.lab.compute(dag, plan=plan, progress=False)


@pytest.mark.slow
def test_50000_tasks(one_engine: Engine) -> None:
    """A18: 50,000 trivial tasks need less than 1 GB in the client."""
    before_bytes = psutil.Process().memory_info().rss
    assert one_engine.run(total([generators.identity(i) for i in range(50_000)])) == 50_000 * 49_999 // 2
    assert psutil.Process().memory_info().rss - before_bytes < 1e9
