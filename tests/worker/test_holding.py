"""Workers that hold outputs, action by action: fan-out and fan-in clustering, delayed I/O."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest

from faaslab.config import Config
from faaslab.graph import DAG, generators, task
from faaslab.plan import Assignment, Plan
from faaslab.planners import plan_dag
from faaslab.planners.wukong import Wukong
from faaslab.policy.run_time import Candidate, Choice, Clustering
from faaslab.trace.events import OutputHeld, OutputKept, WorkerWaited, decode_events
from tests.worker.steps import SIZE_MIB, Bench, before, before_task


def numbers(count: int) -> bytes:
    """Return so many bytes."""
    return bytes(count)


def size(*values: Any) -> int:
    """Return the total size of the arguments."""
    return sum(map(len, values))


def echo(value: Any, *more: Any) -> Any:
    """Return the first argument."""
    return value


def failing(value: Any) -> int:
    """Fail."""
    raise ValueError(len(value))


def place(dag: DAG, workers: Sequence[str | None], policy: Any, *, leaves: Sequence[int] = ()) -> Plan:
    """Return a plan that puts each task on a worker, None: decided at run time; ``leaves``: not waited for."""
    assignments = [
        Assignment(worker, SIZE_MIB, "leave" if number in leaves else "stay") for number, worker in enumerate(workers)
    ]
    return Plan.for_dag(dag, "by hand", assignments, policy=policy)


def said(bench: Bench, *kinds: type[Any]) -> list[tuple[str, int]]:
    """Return the events of some kinds, with their tasks."""
    _, batches = bench.store.read_events("run", "0", 0.0)
    events = [event for batch in batches for event in decode_events(batch)]
    return [(type(event).__name__, event.task) for event in events if isinstance(event, kinds)]


def test_a_large_fan_out_stores_nothing_but_the_sink() -> None:
    """All that it made ready runs here, what that makes is held for the fan-in, and the last one takes it."""
    dag = DAG(generators.fan(3))
    bench = Bench(dag, plan_dag(dag, Wukong(0)))
    assert bench.container("a").go() == [
        "register",
        "next → ~0",
        "execute one#0",
        "complete 0 (run) for 1,2,3 took 1,2,3",
        "execute increment#0",
        "complete 1 (run) for 4 holds for 4",
        "execute increment#1",
        "complete 2 (run) for 4 holds for 4",
        "execute increment#2",
        "complete 3 (run) for 4 took 4",
        "execute total#0",
        "complete 4 stored ended",
    ]
    assert bench.status == "finished"
    assert set(bench.store.fetch("run", range(5))) == {4}
    assert said(bench, OutputHeld) == [("OutputHeld", 1), ("OutputHeld", 2)]
    assert sorted(said(bench, OutputKept)) == [("OutputKept", number) for number in range(4)]


def test_without_delay_it_asks_before_it_stores() -> None:
    """What is needed by nobody else is not sent; what is needed later is, at once."""
    dag = DAG(generators.fan(2))
    bench = Bench(dag, plan_dag(dag, Wukong(0, delay=False)))
    assert bench.container("a").go()[2:] == [
        "execute one#0",
        "complete 0 (check) for 1,2 took 1,2",
        "execute increment#0",
        "complete 1 (check) for 3 due 1",
        "complete 1 for 3 stored",
        "execute increment#1",
        "complete 2 (check) for 3 took 3",
        "execute total#0",
        "complete 3 stored ended",
    ]


def pair() -> DAG:
    """Two large outputs: each has a successor of its own, and both have one."""
    a, b = task(numbers)(50), task(numbers)(90)
    return DAG([task(size)(a, b), task(size)(a), task(size)(b)])


def test_large_outputs_are_not_uploaded_in_vain() -> None:
    """A blob is written only when somebody else is known to need it."""
    dag = DAG(generators.fan(3))
    config = Config(inline_output_bytes=0)
    bench = Bench(dag, plan_dag(dag, Wukong(0)), config)
    assert [line for line in bench.container("a").go() if line == "put_blob"] == ["put_blob"]
    bench = Bench(dag, plan_dag(dag, "wukong"), config)
    hands = [bench.container(name) for name in "abc"]
    done = [line for hand in (*hands, *hands) for line in hand.go()]
    assert done.count("put_blob") == 5


def test_of_two_holders_the_smaller_one_stores() -> None:
    """Busy workers hear it after their task: one that it has to store, the other that the task is its."""
    dag = pair()
    bench = Bench(dag, plan_dag(dag, Wukong(0)))
    x, y = bench.container("x"), bench.container("y")
    assert x.go(before_task(3))[2:] == ["execute numbers#0", "complete 0 (run) for 2,3 took 3 holds for 2"]
    assert y.go(before_task(4))[2:] == ["execute numbers#1", "complete 1 (run) for 2,4 took 4 holds for 2"]
    assert x.go() == ["execute size#1", "complete 3 stored due 0", "complete 0 for 2 stored ended"]
    assert y.go() == [
        "execute size#2",
        "complete 4 stored took 2",
        "fetch 0",
        "execute size#0",
        "complete 2 stored ended",
    ]
    assert set(bench.store.fetch("run", range(5))) == {0, 2, 3, 4}


def test_a_holder_that_waits_hears_at_once() -> None:
    """It is billed while it waits, at most for as long as the policy says, and told of what becomes ready."""
    dag = pair()
    bench = Bench(dag, plan_dag(dag, Wukong(0, wait_s=5.0)))
    x, y = bench.container("x"), bench.container("y")
    assert x.go()[4:] == ["execute size#1", "complete 3 stored"]
    bench.clock.s += 2.0
    assert y.go()[3:] == ["complete 1 (run) for 2,4 took 4 holds for 2", "execute size#2", "complete 4 stored"]
    assert x.go() == ["hear News", "complete due 0", "complete 0 for 2 stored ended"]
    bench.clock.s += 1.0
    assert y.go() == ["hear News", "complete took 2", "fetch 0", "execute size#0", "complete 2 stored ended"]
    assert said(bench, WorkerWaited) == [("WorkerWaited", -1)] * 2


def test_a_wait_ends() -> None:
    """Then the output is stored, in pieces of waiting together no longer than the policy says."""
    dag = pair()
    bench = Bench(dag, plan_dag(dag, Wukong(0, wait_s=5.0)))
    x = bench.container("x")
    x.go()
    bench.clock.s += 3.0
    x.time_out()
    assert x.go() == []
    bench.clock.s += 2.5
    x.time_out()
    assert x.go()[0] == "complete 0 for 2 stored ended → ~1"


def test_a_planned_worker_takes_before_it_goes_on() -> None:
    """It stores what it holds before it turns to its own list, since it may have to wait there."""
    a, b = task(numbers)(50), task(numbers)(90)
    dag = DAG([task(size)(a), task(size)(a, b), task(echo)(b, a)])
    bench = Bench(dag, place(dag, ["w", "v", None, None, "w"], Clustering(0)))
    x, y = bench.container("x"), bench.container("y")
    assert x.go()[2:] == [
        "execute numbers#0",
        "complete 0 (run) for 2,3 took 2 holds for 3",
        "execute size#0",
        "complete 2 stored",
        "complete 0 for 3 stored",
        "wait_ready 4 not ready",
    ]
    # What its planned successor on another worker needs is stored at once.
    assert y.go()[2:] == [
        "execute numbers#1",
        "complete 1 for 3,4 stored took 3",
        "execute size#1",
        "complete 3 stored ended",
    ]
    assert x.go() == ["hear Ready", "wait_ready 4 ready", "execute echo#0", "complete 4 stored ended"]


def test_what_a_planned_worker_had_taken_is_not_run_again() -> None:
    """After it has given up its slot, nothing that it made and nobody else needs is missed."""
    a, b = task(numbers)(50), task(numbers)(90)
    dag = DAG([task(size)(a), task(echo)(b)])
    plan = place(dag, ["w", "v", None, "w"], Clustering(0), leaves=[3])
    bench = Bench(dag, plan)
    x, y = bench.container("x"), bench.container("y")
    assert x.go(before("suspend"))[2:] == [
        "execute numbers#0",
        "complete 0 (run) for 2 took 2",
        "execute size#0",
        "complete 2 stored",
        "wait_ready 3 not ready",
    ]
    assert y.go()[2:] == ["execute numbers#1", "complete 1 for 3 stored ended"]
    assert x.go() == ["suspend for 3 ended"]
    assert y.go() == [
        "hear Invocation",
        "stored 1,2",
        "owned 2,3",
        "wait_ready 3 ready",
        "execute echo#0",
        "complete 3 stored ended",
    ]


def test_what_a_dead_planned_worker_had_taken_comes_first() -> None:
    """Another attempt makes again what that needs, and does not wait before it has run it."""
    a, b = task(numbers)(50), task(numbers)(90)
    dag = DAG([task(echo)(task(echo)(a)), task(echo)(b, a)])
    plan = place(dag, ["w", "v", None, None, "w"], Clustering(0))
    assert dag.ids == ("numbers#0", "numbers#1", "echo#0", "echo#1", "echo#2")
    bench = Bench(dag, plan)
    first = bench.container("x")
    assert first.go(before_task(3))[2:] == ["execute numbers#0", "complete 0 (run) for 2 took 2", "execute echo#0"]
    bench.store.remove("x", "killed")
    assert bench.container("y").go()[1:9] == [
        "next → v",
        "execute numbers#1",
        "complete 1 for 4 stored ended → w attempt 2",
        "stored 1",
        "owned 2,4",
        "execute numbers#0",
        "complete 0 (run) for 2",
        "execute echo#0",
    ]


def test_before_a_retry_what_is_held_is_stored() -> None:
    """The next attempt runs elsewhere, and does not make it again."""
    a, b = task(numbers)(50), task(numbers)(90)
    dag = DAG([task(retries=1)(failing)(a), task(size)(a, b)])
    bench = Bench(dag, plan_dag(dag, Wukong(0)))
    assert bench.container("x").go()[3:7] == [
        "complete 0 (run) for 2,3 took 2 holds for 3",
        "execute failing#0",
        "complete 0 for 3 stored",
        "fail 2 ended → ~1",
    ]
    assert set(bench.store.fetch("run", range(4))) == {0, 3}


def test_memory_is_bounded() -> None:
    """Beyond 40 % of the size, here 51 MiB, the oldest of what is held is stored."""
    made = [task(numbers)(20_000_000) for _ in range(3)]
    dag = DAG([task(size)(*made, task(numbers)(1)), *[task(size)(task(echo)(one)) for one in made]])
    plan = Plan.for_dag(dag, "by hand", [Assignment(None, 128)] * len(dag), policy=TakeLate())
    spec_tasks = [t for t in range(len(dag)) if not dag.upstreams(t)]
    assert spec_tasks == [0, 1, 2, 3]
    bench = Bench(dag, plan)
    done = bench.container("x", 128).go()
    assert done.count("put_blob") == 3
    assert bench.status == "finished"


@dataclasses.dataclass(frozen=True)
class TakeLate:
    """Holds everything."""

    name = "take late"

    def choose(self, task: str, output_bytes: int, candidates: Sequence[Candidate]) -> Choice:
        """Take all."""
        return Choice(take=9, hold="run", late=9)


@pytest.mark.parametrize("store_all", [True, False])
def test_outputs_that_must_be_stored_are_not_held(store_all: bool) -> None:
    """Sinks, outputs of impure tasks, and all of them where storage is not skipped are stored at once."""
    dag = DAG([made := task(pure=store_all)(numbers)(50), task(size)(made), task(size)(made)])
    plan = plan_dag(dag, Wukong(0))
    bench = Bench(dag, dataclasses.replace(plan, optimizations=frozenset()) if store_all else plan)
    assert "complete 0 for 1,2 stored took 1,2" in bench.container("a").go()


def test_only_those_of_its_size_are_taken() -> None:
    """A worker takes no task that is planned at another size, and holds nothing from it."""
    dag = DAG(generators.fan(2))
    places = [Assignment(None, size_mib) for size_mib in (1769, 512, 1769, 1769)]
    bench = Bench(dag, Plan.for_dag(dag, "by hand", places, policy=Clustering(0)))
    assert bench.container("a").go(before_task(2))[-1] == "complete 0 for 1,2 stored took 2"


def test_what_a_dead_worker_had_taken_and_held_runs_again() -> None:
    """Tasks that were taken, and those whose outputs were held, are remembered; these are told of again."""
    dag = DAG(generators.fan(3))
    bench = Bench(dag, plan_dag(dag, Wukong(0)))
    first = bench.container("a")
    assert first.go(before_task(2))[-1] == "complete 1 (run) for 4 holds for 4"
    bench.store.remove("a", "killed")
    assert bench.container("b").go() == [
        "register",
        "next → ~0 attempt 2",
        "stored nothing",
        "execute one#0",
        "execute increment#0",
        "complete 1 (run) for 4 holds for 4",
        "execute increment#1",
        "complete 2 (run) for 4 holds for 4",
        "execute increment#2",
        "complete 3 (run) for 4 took 4",
        "execute total#0",
        "complete 4 stored ended",
    ]
    assert bench.status == "finished"
