"""The state machine, action by action."""

from collections.abc import Sequence
from typing import Any

import pytest

from faaslab.config import Config
from faaslab.graph import DAG, generators, task
from faaslab.plan import Assignment, Plan
from faaslab.planners import plan_dag
from faaslab.trace.events import TaskExecuted, decode_events
from faaslab.worker.actions import Outcome
from tests.worker.steps import SIZE_MIB, Bench, before, before_task


def place(dag: DAG, workers: Sequence[str | None], *, leaves: Sequence[int] = (), **orders: Sequence[int]) -> Plan:
    """Return a plan that puts each task on a worker, None: decided at run time; ``leaves``: not waited for."""
    assignments = [
        Assignment(worker, SIZE_MIB, "leave" if number in leaves else "stay") for number, worker in enumerate(workers)
    ]
    return Plan.for_dag(dag, "by hand", assignments, orders=orders or None)


def numbers(count: int) -> bytes:
    """Return so many bytes."""
    return bytes(count)


def size(*values: Any) -> int:
    """Return the total size of the arguments."""
    return sum(map(len, values))


def failing(x: int) -> int:
    """Fail."""
    raise ValueError(x)


def test_a_chain_on_one_worker_stores_only_the_sink() -> None:
    """No store call between the first task and the last, one to complete."""
    dag = DAG(generators.chain(4))
    bench = Bench(dag, plan_dag(dag, "single_worker"))
    assert bench.container("c").go() == [
        "register",
        "next → w0",
        "execute one#0",
        "execute increment#0",
        "execute increment#1",
        "execute increment#2",
        "complete 3 stored ended",
    ]
    assert bench.status == "finished"
    assert set(bench.store.fetch("run", range(4))) == {3}


def test_a_dynamic_chain_stores_only_the_sink() -> None:
    """A sole successor without other inputs needs no announcement."""
    dag = DAG(generators.chain(3))
    bench = Bench(dag, plan_dag(dag, "wukong"))
    assert bench.container("c").go() == [
        "register",
        "next → ~0",
        "execute one#0",
        "execute increment#0",
        "execute increment#1",
        "complete 2 stored ended",
    ]


def test_what_a_task_lost_is_told() -> None:
    """All that was measured of an execution is in its event."""
    dag = DAG(generators.one())
    bench = Bench(dag, plan_dag(dag, "wukong"))
    hand = bench.container("c")
    hand.go(before_task(0))
    outcome = Outcome(1, duration_s=8.0, cpu_s=4.0, peak_rss_bytes=5, throttled_s=2.0, queued_s=1.0, steal_s=0.5)
    hand.action = hand.life.send(outcome)
    hand.go()
    _, batches = bench.store.read_events("run", "0", 0.0)
    (event,) = [e for batch in batches for e in decode_events(batch) if isinstance(e, TaskExecuted)]
    assert event == TaskExecuted(bench.clock.s, 0, "~0", 8.0, 4.0, 0, 5, 2.0, 1.0, 0.5)


def test_become_one_invoke_the_rest() -> None:
    """After a fan-out the worker becomes the first successor; each other one gets an invocation."""
    dag = DAG(generators.fan(3))
    bench = Bench(dag, plan_dag(dag, "wukong"))
    first = bench.container("a")
    assert first.go(before_task(1)) == ["register", "next → ~0", "execute one#0", "complete 0 for 1,2,3 stored took 1"]
    second, third = bench.container("b"), bench.container("c")
    assert second.go(before("complete")) == ["register", "next → ~2", "execute increment#1"]
    assert third.go() == ["register", "next → ~3", "execute increment#2", "complete 3 for 4 stored ended"]
    assert second.go() == ["complete 2 for 4 stored ended"]
    # The last arriver runs the fan-in; its own input is at hand and the other two ride along with the answer.
    assert first.go() == [
        "execute increment#0",
        "complete 1 for 4 took 4",
        "execute total#0",
        "complete 4 stored ended",
    ]
    assert set(bench.store.fetch("run", range(5))) == {0, 2, 3, 4}


def test_a_taken_output_is_not_stored() -> None:
    """The output of a task whose only waiting successor is taken by its worker stays in memory."""
    dag = DAG(generators.add(generators.one(), generators.identity(1)))
    bench = Bench(dag, plan_dag(dag, "wukong"))
    worker = bench.container("a")
    assert worker.go() == [
        "register",
        "next → ~0",
        "execute one#0",
        "complete 0 for 2 stored ended → ~1",
        "execute identity#0",
        "complete 1 for 2 took 2",
        "execute add#0",
        "complete 2 stored ended",
    ]


def test_inputs_that_ride_along_are_not_fetched() -> None:
    """Only what is too large to ride along is asked for."""
    dag = DAG(task(size)(task(numbers)(10), task(numbers)(5000)))
    bench = Bench(dag, plan_dag(dag, "per_task"), Config(inline_input_bytes=1000))
    assert bench.container("a").go() == [
        "register",
        "next → w0",
        "execute numbers#0",
        "complete 0 for 2 stored ended → w1",
        "execute numbers#1",
        "complete 1 for 2 stored ended → w2",
        "wait_ready 2 ready",
        "fetch 1",
        "execute size#0",
        "complete 2 stored ended",
    ]


def test_large_outputs_are_blobs() -> None:
    """They are written before the completing call and read in chunks."""
    dag = DAG(task(size)(task(numbers)(5000)))
    bench = Bench(dag, plan_dag(dag, "per_task"), Config(inline_output_bytes=1000))
    assert bench.container("a").go() == [
        "register",
        "next → w0",
        "execute numbers#0",
        "put_blob",
        "complete 0 for 1 stored ended → w1",
        "wait_ready 1 ready",
        "get_blob",
        "execute size#0",
        "complete 1 stored ended",
    ]
    assert len(bench.store.fetch("run", [0])[0]) < 100


def test_parts_that_do_not_ride_are_fetched_once() -> None:
    """A warm container has structure and code already."""
    dag = DAG([generators.one(), generators.one()])
    bench = Bench(dag, plan_dag(dag, "per_task"), Config(inline_dag_bytes=0))
    assert bench.container("a").go() == [
        "register",
        "next → w0",
        "parts",
        "parts",
        "execute one#0",
        "complete 0 stored ended → w1",
        "execute one#1",
        "complete 1 stored ended",
    ]


def test_a_planned_worker_waits_for_its_inputs() -> None:
    """It asks, hears that the input is there, and goes on."""
    dag = DAG(generators.add(generators.one(), generators.identity(1)))
    bench = Bench(dag, place(dag, ["a", "b", "a"]))
    first, second = bench.container("x"), bench.container("y")
    assert first.go() == ["register", "next → a", "execute one#0", "wait_ready 2 not ready"]
    assert second.go() == ["register", "next → b", "execute identity#0", "complete 1 for 2 stored ended"]
    assert first.go() == ["hear Ready", "wait_ready 2 ready", "execute add#0", "complete 2 stored ended"]


def test_a_lost_message_only_delays() -> None:
    """A waiting worker that hears nothing asks again."""
    dag = DAG(generators.add(generators.one(), generators.identity(1)))
    bench = Bench(dag, place(dag, ["a", "b", "a"]))
    first = bench.container("x")
    first.go()
    bench.container("y").go()
    first.time_out()
    assert first.go() == ["wait_ready 2 ready", "execute add#0", "complete 2 stored ended"]


def test_a_kept_output_is_made_again_after_a_crash() -> None:
    """What died with its worker runs again, what was stored does not, and nothing is announced twice."""
    dag = DAG(generators.chain(4))
    bench = Bench(dag, place(dag, ["a", "a", "b", "b"]))
    first = bench.container("x")
    assert first.go(before("complete"))[-2:] == ["execute one#0", "execute increment#0"]
    bench.store.remove("x", "killed")
    second = bench.container("y")
    assert second.go(before_task(3)) == [
        "register",
        "next → a attempt 2",
        "stored nothing",
        "execute one#0",
        "execute increment#0",
        "complete 1 for 2 stored ended → b",
        "wait_ready 2 ready",
        "execute increment#1",
    ]
    bench.store.remove("y", "killed")
    assert bench.container("z").go() == [
        "register",
        "next → b attempt 2",
        "stored 1",
        "wait_ready 2 ready",
        "execute increment#1",
        "execute increment#2",
        "complete 3 stored ended",
    ]
    assert bench.status == "finished"


def test_a_dynamic_worker_makes_lost_inputs_again() -> None:
    """Another attempt starts from its recorded tasks and runs again what they need and nobody has."""
    dag = DAG(generators.fan(2))
    bench = Bench(dag, plan_dag(dag, "wukong"))
    first, second = bench.container("a"), bench.container("b")
    first.go(before_task(1))
    second.go()
    assert first.go(before_task(3)) == ["execute increment#0", "complete 1 for 3 took 3"]
    bench.store.remove("a", "killed")
    # Task 1 was kept by the dead worker: it runs again, silently, then task 3.
    assert second.go() == [
        "hear Invocation",
        "stored 0,2",
        "fetch 0",
        "execute increment#0",
        "fetch 2",
        "execute total#0",
        "complete 3 stored ended",
    ]
    assert bench.status == "finished"


def test_a_zombie_is_fenced() -> None:
    """A container that lost its lease while it worked writes nothing and leaves."""
    dag = DAG(generators.chain(2))
    bench = Bench(dag, plan_dag(dag, "single_worker"))
    zombie = bench.container("a")
    zombie.go(before("complete"))
    bench.clock.s += 7.0
    bench.store.sweep(5.0)
    assert bench.container("b").go()[1:3] == ["next → w0 attempt 2", "stored nothing"]
    assert zombie.go() == ["complete: fenced", "next: fenced"]
    assert zombie.left == "forgotten"
    assert bench.status == "finished"


def test_yield_ends_a_slot_deadlock() -> None:
    """With one slot, workers that need each other take turns: the waiting one stores what it keeps and comes back."""
    dag = DAG(_crossed())
    assert dag.ids == ("identity#0", "increment#0", "increment#1", "increment#2")
    bench = Bench(dag, place(dag, ["a", "b", "a", "b"]))
    only = bench.container("x")
    assert only.go() == [
        "register",
        "next → a",
        "execute identity#0",
        "complete 0 for 1 stored",
        "wait_ready 2 not ready",
    ]
    assert bench.store.demand().waiting == ("x",)
    assert bench.store.ask_yield("x")
    assert only.go() == [
        "hear YieldRequest",
        "suspend for 2 ended → b",
        "wait_ready 1 ready",
        "execute increment#0",
        "complete 1 for 2 stored",
        "wait_ready 3 not ready",
    ]
    assert bench.store.ask_yield("x")
    assert only.go()[:4] == [
        "hear YieldRequest",
        "suspend for 3 ended → a attempt 2",
        "stored 0,1",
        "wait_ready 2 ready",
    ]
    assert bench.status == "finished"


def test_a_worker_leaves_where_its_plan_says_so() -> None:
    """Without being asked it stores what it keeps, is idle meanwhile, and comes back as another attempt."""
    dag = DAG(_needed_late())
    bench = Bench(dag, place(dag, ["a", "b", "a"], leaves=[2]))
    first, second = bench.container("x"), bench.container("y")
    second.go(before("next"))
    assert first.go() == [
        "register",
        "next → a",
        "execute one#0",
        "wait_ready 2 not ready",
        "suspend for 2 store 0 ended → b",
        "execute identity#0",
        "complete 1 for 2 stored ended → a attempt 2",
        "stored 0,1",
        "wait_ready 2 ready",
        "execute add#0",
        "complete 2 stored ended",
    ]
    assert bench.status == "finished"


def test_a_worker_that_left_goes_on_anywhere() -> None:
    """What invokes it again is the last input; whichever container is idle takes it."""
    dag = DAG(_needed_late())
    bench = Bench(dag, place(dag, ["a", "b", "a"], leaves=[2]))
    first, second, third = bench.container("x"), bench.container("y"), bench.container("z")
    first.go(before("wait_ready"))
    second.go(before("complete"))
    assert first.go()[-1] == "suspend for 2 store 0 ended"
    assert bench.store.demand().idle == {f"image/{SIZE_MIB}": 1}
    assert third.go() == ["register", "next"]
    assert second.go() == ["complete 1 for 2 stored ended"]
    assert third.go()[:3] == ["hear Invocation", "stored 0,1", "wait_ready 2 ready"]
    assert bench.status == "finished"


def test_a_worker_that_leaves_too_late_comes_back_at_once() -> None:
    """Its input arrived between its question and its leave: it is invoked again by the leave itself, anywhere."""
    dag = DAG(_needed_late())
    bench = Bench(dag, place(dag, ["a", "b", "a"], leaves=[2]))
    first, second = bench.container("x"), bench.container("y")
    first.go(before("suspend"))
    second.go()
    assert first.go() == ["suspend for 2 store 0 ended"]
    assert second.go()[:3] == ["hear Invocation", "stored 0,1", "wait_ready 2 ready"]
    assert bench.status == "finished"


def test_a_worker_whose_inputs_are_there_does_not_leave() -> None:
    """Leaving is only for waiting."""
    dag = DAG(_needed_late())
    bench = Bench(dag, place(dag, ["a", "b", "a"], leaves=[0, 1, 2]))
    first, second = bench.container("x"), bench.container("y")
    first.go(before("wait_ready"))
    second.go()
    assert first.go() == ["wait_ready 2 ready", "execute add#0", "complete 2 stored ended"]


def _needed_late() -> Any:
    """Return a sum of two tasks."""
    return generators.add(generators.one(), generators.identity(1))


def _crossed() -> Any:
    """Return a chain whose tasks are planned on two workers in turn."""
    last = generators.identity(0)
    for _ in range(3):
        last = generators.increment(last)
    return last


def test_a_redelivered_invocation_is_served_once() -> None:
    """A container that asked for its invocation before it read the message does not serve it again."""
    dag = DAG(generators.diamond())
    bench = Bench(dag, plan_dag(dag, "per_task"))
    first, second = bench.container("a"), bench.container("b")
    first.go(before("complete"))
    assert second.go() == ["register", "next"]
    first.go(before_task(2))
    second.time_out()
    assert second.go() == [
        "next → w1",
        "wait_ready 1 ready",
        "execute increment#0",
        "complete 1 for 3 stored ended",
    ]
    first.go()
    assert second.go()[:2] == ["hear Invocation", "wait_ready 3 ready"]
    assert bench.status == "finished"


def test_a_retry_stores_what_the_next_attempt_needs() -> None:
    """A failed task takes its worker's kept outputs along, so that only the failed task runs again."""
    dag = DAG(task(retries=1)(failing)(generators.one()))
    bench = Bench(dag, plan_dag(dag, "single_worker"))
    worker = bench.container("a")
    assert worker.go() == ["register", "next → w0", "execute one#0", "execute failing#0", "fail 1 store 0 ended"]
    bench.clock.s += 0.2
    bench.store.sweep(5.0)
    assert worker.go() == ["hear Invocation", "stored 0", "fetch 0", "execute failing#0", "fail 1 ended"]
    assert bench.status.startswith("failed task failed")


def test_an_impure_task_does_not_run_twice() -> None:
    """After its worker died, the run fails instead."""
    dag = DAG(task(pure=False)(numbers)(1))
    bench = Bench(dag, plan_dag(dag, "per_task"))
    assert bench.container("a").go(before_task(0))[-1] == "begin yes"
    bench.store.remove("a", "killed")
    assert bench.container("b").go() == [
        "register",
        "next → w0 attempt 2",
        "stored nothing",
        "begin no",
        "fail 0 ended",
    ]


def test_an_impure_task_that_may_retry_runs_again() -> None:
    """Retries that were set explicitly say that it may."""
    dag = DAG(task(pure=False, retries=1)(numbers)(1))
    bench = Bench(dag, plan_dag(dag, "per_task"))
    bench.container("a").go(before_task(0))
    bench.store.remove("a", "killed")
    assert bench.container("b").go()[-3:] == ["begin no", "execute numbers#0", "complete 0 stored ended"]


@pytest.mark.parametrize("planner", ["wukong", "per_task", "single_worker"])
def test_skip_storage_can_be_turned_off(planner: str) -> None:
    """With ``optimizations=[]`` every output is stored, whoever needs it."""
    dag = DAG(generators.fork_join(2, 3))
    bench = Bench(dag, plan_dag(dag, planner, optimizations=[]))
    worker = bench.container("a")
    worker.go()
    assert bench.status == "finished"
    assert set(bench.store.fetch("run", range(len(dag)))) == set(range(len(dag)))


def test_an_idle_container_leaves_after_its_keep_alive() -> None:
    """It asks the store to let it go, and goes."""
    dag = DAG(generators.one())
    bench = Bench(dag, plan_dag(dag, "per_task"))
    worker = bench.container("a", keep_alive_s=5.0)
    worker.go()
    bench.clock.s += 6.0
    worker.time_out()
    assert worker.go() == ["leave yes"]
    assert worker.left == "idle"


def test_an_evicted_container_leaves() -> None:
    """An idle container that is told to leave goes at once."""
    dag = DAG(generators.one())
    bench = Bench(dag, plan_dag(dag, "per_task"))
    worker = bench.container("a")
    worker.go()
    assert bench.store.retire_idle(f"image/{SIZE_MIB}") == "a"
    assert worker.go() == ["hear Retire", "leave yes"]
    assert worker.left == "retired"
