"""Workers that compute an input rather than wait for it, and what its own worker saves itself then."""

from dataclasses import replace
from typing import Any

import pytest

from faaslab.config import Config
from faaslab.graph import DAG, task
from faaslab.launchers.faults import CrashContainer, Fault, FaultSchedule, TaskRaises
from faaslab.launchers.model import VirtualModel
from faaslab.launchers.virtual import VirtualLauncher
from faaslab.plan import Assignment, Duplicate, Instructions, Plan
from faaslab.trace.events import (
    InputFetched,
    OutputStored,
    TaskDuplicated,
    TaskFailed,
    TaskSkipped,
    TaskStarted,
    WorkerStarted,
    WorkerWaited,
)
from tests.worker.runs import Run, run_on
from tests.worker.test_preload import trace_of

SIZE_MIB = 1769
LARGE = 2_000_000


@task
def seed(x: int) -> int:
    """Return its argument."""
    return x


@task
def busy(x: int) -> int:
    """Keep a worker busy."""
    return x


@task
def made(nbytes: int, x: int) -> bytes:
    """Return many bytes of little."""
    return bytes([x]) * nbytes


@task
def use(x: int, *values: bytes) -> int:
    """Return the sum of all bytes."""
    return x + sum(sum(value) for value in values)


@task
def joined(*parts: Any) -> list[Any]:
    """Return all arguments."""
    return list(parts)


def workflow(consumers: int = 1) -> DAG:
    """Return a large output made of a small input, for consumers on workers that have something to do before."""
    first = seed(3)
    other = busy(first)
    large = made(LARGE, first)
    return DAG(joined(other, *(use(busy(first), large) for _ in range(consumers))), name="duplicated")


def plan_of(dag: DAG, *told: Duplicate, queued: bool = False, consumers: int = 1) -> Plan:
    """Return the plan: ``made`` on ``p``, consumer number k on ``ck`` after a task of its own.

    ``queued``: another task of ``p`` comes before ``made``.
    """
    workers: dict[str, str] = {"seed#0": "s", "made#0": "p", "joined#0": "s", "busy#0": "p" if queued else "s"}
    for number in range(consumers):
        workers |= {f"busy#{number + 1}": f"c{number}", f"use#{number}": f"c{number}"}
    plan = Plan.for_dag(dag, "by hand", [Assignment(workers[name], SIZE_MIB) for name in dag.ids])
    return replace(plan, instructions=Instructions(duplicates=told))


MODEL = VirtualModel(store_latency_s=0.002, bandwidth_bytes_per_s=1e6, jitter=0.0, cold_start_s=0.1)
DURATIONS = {"seed": 0.1, "busy": 0.2, "made": 1.0, "use": 0.1, "joined": 0.1}


def virtual(dag: DAG, plan: Plan, *faults: Fault, config: Config | None = None, **durations_s: float) -> Run:
    """Return a run on a virtual clock that ended well."""
    model = replace(MODEL, durations_s=DURATIONS | {k.replace("_", "#"): v for k, v in durations_s.items()})
    run = run_on(VirtualLauncher(0, model, FaultSchedule(faults)), dag, plan, config=config or Config())
    assert run.error is None, run.error
    consumers = sum(name.startswith("use#") for name in dag.ids)
    assert run.value == [3] + [3 + 3 * LARGE] * consumers
    assert run.leftovers == []
    assert trace_of(run).metrics["tasks"] == len(dag.ids)
    return run


def prediction(dag: DAG, own_s: float = 1.0, expected_s: float = 5.0, worker: str = "c0") -> Duplicate:
    """Return what is predicted of the large output."""
    return Duplicate(dag.index_of("made#0"), worker, own_s, expected_s)


def makespan_s(run: Run) -> float:
    """Return how long it took."""
    return trace_of(run).metrics["makespan_s"]


def written(run: Run, name: str = "made#0") -> int:
    """Return how often the output of a task was stored."""
    return sum(event.task == run.dag.index_of(name) for event in run.of(OutputStored))


def test_whoever_waits_computes_it() -> None:
    """An output that takes long to travel is there sooner, is used from memory, and the task counts once."""
    dag = workflow()
    plain, run = virtual(dag, plan_of(dag)), virtual(dag, plan_of(dag, prediction(dag)))
    (copy,) = run.of(TaskDuplicated)
    assert (copy.task, copy.invocation, copy.attempt, copy.duration_s) == (dag.index_of("made#0"), "c0", 1, 1.0)
    assert makespan_s(plain) - makespan_s(run) == pytest.approx(3.8, abs=0.2)
    sources = {(e.task, e.upstream): e.source for e in run.of(InputFetched)}
    assert sources[dag.index_of("use#0"), copy.task] == "local"
    metrics = trace_of(run).metrics
    assert (metrics["duplicates"], metrics["skipped_tasks"]) == (1, 0)
    assert metrics["wait_s"] == pytest.approx(sum(w.duration_s for w in run.of(WorkerWaited)))


@pytest.mark.parametrize(("own_s", "expected_s"), [(4.9, 5.0), (1.0, 1.2), (1.0, 1.25)])
def test_what_is_not_clearly_sooner_is_waited_for(own_s: float, expected_s: float) -> None:
    """What has passed since the inputs were stored counts, and a small lead is none."""
    dag = workflow()
    run = virtual(dag, plan_of(dag, prediction(dag, own_s, expected_s)))
    assert run.of(TaskDuplicated) == []
    assert written(run) == 1


def test_its_own_worker_skips_the_task() -> None:
    """One that comes to it when all who need it have copies neither executes nor stores it."""
    dag = workflow()
    run = virtual(dag, plan_of(dag, prediction(dag), queued=True), busy_0=3.0)
    assert [(e.task, e.invocation, e.executed) for e in run.of(TaskSkipped)] == [(dag.index_of("made#0"), "p", False)]
    assert written(run) == 0
    (record,) = [r for r in trace_of(run).records.tasks if r.task == dag.index_of("made#0")]
    assert (record.invocation, record.counted, record.duplicate, record.exec_s) == ("c0", True, True, 1.0)


def test_its_own_worker_skips_storing_it() -> None:
    """One that has executed it by then need not store it; its execution is the one that counts."""
    dag = workflow()
    run = virtual(dag, plan_of(dag, prediction(dag), queued=True), busy_0=0.4, use_0=1.0)
    assert [(e.task, e.invocation, e.executed) for e in run.of(TaskSkipped)] == [(dag.index_of("made#0"), "p", True)]
    assert written(run) == 0
    records = [r for r in trace_of(run).records.tasks if r.task == dag.index_of("made#0")]
    assert sorted((r.invocation, r.counted, r.duplicate, r.outcome) for r in records) == [
        ("c0", False, True, "finished"),
        ("p", True, False, "finished"),
    ]
    assert trace_of(run).metrics["repeated_exec_s"] == 1.0


def test_it_is_stored_for_others() -> None:
    """A consumer that may not compute it gets it as ever, once."""
    dag = workflow(2)
    run = virtual(dag, plan_of(dag, prediction(dag), queued=True, consumers=2), busy_0=3.0)
    assert len(run.of(TaskDuplicated)) == 1
    assert run.of(TaskSkipped) == []
    assert written(run) == 1


def test_all_consumers_compute_it() -> None:
    """Each makes a copy of its own."""
    dag = workflow(2)
    told = [prediction(dag, worker="c0"), prediction(dag, worker="c1")]
    run = virtual(dag, plan_of(dag, *told, queued=True, consumers=2), busy_0=3.0)
    assert sorted(e.invocation for e in run.of(TaskDuplicated)) == ["c0", "c1"]
    assert written(run) == 0


def test_inputs_that_come_later() -> None:
    """One that waits already is told when the inputs are stored, and only then decides."""
    first = seed(3)
    late = busy(first)
    dag = DAG(joined(use(busy(first), made(LARGE, late)), late), name="late")
    workers = {"seed#0": "s", "busy#0": "s", "joined#0": "s", "busy#1": "c0", "use#0": "c0", "made#0": "p"}
    plan = Plan.for_dag(dag, "by hand", [Assignment(workers[name], SIZE_MIB) for name in dag.ids])
    plan = replace(plan, instructions=Instructions(duplicates=(prediction(dag),)))
    model = replace(MODEL, durations_s=DURATIONS | {"busy#0": 2.0})
    run = run_on(VirtualLauncher(0, model), dag, plan)
    assert run.value == [3 + 3 * LARGE, 3]
    (copy,) = run.of(TaskDuplicated)
    stored_s = next(e.at_s for e in run.of(OutputStored) if e.task == dag.index_of("busy#0"))
    assert copy.at_s - copy.duration_s == pytest.approx(stored_s, abs=0.02)


def test_a_copy_that_fails_is_none() -> None:
    """Its worker waits on; only the task itself can fail."""
    dag = workflow()
    run = virtual(dag, plan_of(dag, prediction(dag), queued=True), TaskRaises(dag.index_of("made#0"), 1), busy_0=3.0)
    assert run.of(TaskDuplicated) == []
    assert run.of(TaskFailed) == []
    assert written(run) == 1


def test_whoever_had_the_only_copy_dies() -> None:
    """The next attempt makes it again: it is stored nowhere, and had arrived."""
    dag = workflow()
    plan = plan_of(dag, prediction(dag), queued=True)
    whole = virtual(dag, plan, busy_0=0.4, use_0=2.0)
    assert len(whole.of(TaskSkipped)) == 1
    container = next(e.container for e in whole.of(WorkerStarted) if e.invocation == "c0")
    remade = set()
    for action in range(8, 24):
        death = CrashContainer(int(container.rpartition("-")[2]), action, noticed=True)
        run = virtual(dag, plan, death, busy_0=0.4, use_0=2.0)
        assert written(run) <= 1
        started = [event.task for event in run.of(TaskStarted) if event.attempt == 2]
        assert len(started) == len(set(started))
        remade.add(tuple((event.invocation, event.attempt) for event in run.of(TaskDuplicated)))
    assert (("c0", 1), ("c0", 2)) in remade


def test_what_is_there_already_is_not_computed() -> None:
    """Though another input of the same task is still waited for."""
    first = seed(3)
    slow, large = busy(first), made(LARGE, first)
    dag = DAG(joined(use(busy(first), large, made(1, slow))), name="there")
    workers = {
        "seed#0": "s",
        "busy#0": "q",
        "made#0": "p",
        "busy#1": "c0",
        "made#1": "q",
        "use#0": "c0",
        "joined#0": "s",
    }
    plan = Plan.for_dag(dag, "by hand", [Assignment(workers[name], SIZE_MIB) for name in dag.ids])
    told = Instructions(duplicates=(Duplicate(dag.index_of("made#0"), "c0", 0.0, 100.0),))
    durations = DURATIONS | {"busy#0": 9.0, "busy#1": 6.0}
    run = run_on(VirtualLauncher(0, replace(MODEL, durations_s=durations)), dag, replace(plan, instructions=told))
    assert run.value == [3 + 3 * LARGE + 3]
    assert run.of(TaskDuplicated) == []
