"""Tasks that workers compute themselves rather than wait for their outputs: by hand, and on a virtual clock."""

import os
from dataclasses import replace

import pytest

from faaslab.config import Config
from faaslab.graph import DAG, task
from faaslab.launchers.inline import InlineLauncher
from faaslab.launchers.model import VirtualModel
from faaslab.launchers.virtual import VirtualLauncher
from faaslab.plan import Assignment, Duplicate, Instructions, Plan
from faaslab.trace.events import OutputStored, TaskDuplicated, TaskSkipped, TaskStarted
from faaslab.trace.metrics import run_metrics
from faaslab.trace.records import read_records
from tests.worker.runs import Run, run_on
from tests.worker.steps import SIZE_MIB, Bench, Hand, before, before_task

OWN_S, EXPECTED_S = 1.0, 100.0


@task
def root() -> int:
    """Return what both need."""
    return 1


@task
def up(value: int) -> list[int]:
    """Return a mutable value."""
    return [value]


@task
def side(value: int) -> int:
    """Occupy the other worker."""
    return value


@task
def down(left: int, right: list[int]) -> int:
    """Change an argument and return a number."""
    right.append(left)
    return sum(right)


def workflow() -> DAG:
    """Return ``down(side(root), up(root))``: all on one worker but ``up``."""
    value = root()
    return DAG(down(side(value), up(value)), name="duplicates")


def plan_of(dag: DAG, own_s: float = OWN_S, expected_s: float = EXPECTED_S) -> Plan:
    """Return a plan whose worker ``w`` may compute ``up#0`` of worker ``p``."""
    made = [Assignment("p" if name.startswith("up") else "w", SIZE_MIB) for name in dag.ids]
    plan = Plan.for_dag(dag, "by hand", made)
    told = Instructions(duplicates=(Duplicate(dag.index_of("up#0"), "w", own_s, expected_s),))
    return replace(plan, instructions=told)


def bench(config: Config | None = None, **how: float) -> tuple[Bench, Hand, Hand, int, int]:
    """Return a bench, the worker, which is about to look, the producer, which has not begun, ``up`` and ``down``."""
    dag = workflow()
    b = Bench(dag, plan_of(dag, **how), config)
    worker = b.container("worker")
    worker.go(before("look"))
    return b, worker, b.container("producer"), dag.index_of("up#0"), dag.index_of("down#0")


def test_it_computes_what_it_waits_for() -> None:
    """It arrives with its copy at its own tasks and stores nothing; the producer then leaves the task out."""
    b, worker, producer, up0, down0 = bench()
    done = worker.go(before_task(down0))
    assert done[:3] == ["look", "fetch 0", "execute up#0"]
    assert done[3:] == [f"complete {up0} for {down0}"]
    assert up0 not in b.store.fetch("run", [up0])
    assert not any("execute" in line for line in producer.go())
    assert worker.go() == ["execute down#0", f"complete {down0} stored ended"]
    assert b.status == "finished"


@pytest.mark.parametrize("large", [True, False])
def test_an_output_that_nobody_needs_any_more_is_not_stored(large: bool) -> None:
    """The producer asks again when it has executed the task, if the output would not go along with the question."""
    b, worker, producer, up0, down0 = bench(Config(inline_output_bytes=8 if large else 1000))
    producer.go(before_task(up0))
    worker.go(before_task(down0))
    done = producer.go()
    assert done[1] == ("needed no" if large else f"complete {up0} for {down0} stored ended")
    assert (up0 in b.store.fetch("run", [up0])) is not large
    worker.go()
    assert b.status == "finished"


def test_it_waits_where_a_copy_would_not_be_sooner() -> None:
    """The time that has passed since the inputs were there counts."""
    b, worker, producer, up0, _ = bench(expected_s=10.0)
    b.clock.s += 9.5
    assert worker.go() == ["look"]
    producer.go()
    assert "execute up#0" not in worker.go()
    assert b.status == "finished"
    assert up0 in b.store.fetch("run", [up0])


def test_another_attempt_computes_what_was_never_stored() -> None:
    """Its predecessor died with the only copy, after the producer had left the task out."""
    b, worker, producer, up0, down0 = bench()
    worker.go(before_task(down0))
    producer.go()
    b.store.remove("worker", "killed")
    done = producer.go()  # it is idle now and is handed the next attempt
    assert done.count("execute up#0") == 1
    assert "look" not in done
    assert b.status == "finished"
    assert b.store.fetch("run", [up0]) == {}


@task
def fussy(value: int) -> list[int]:
    """Fail the first time it is executed."""
    if os.environ.pop("FUSSY", ""):
        raise ValueError("not here")
    return [value]


def test_a_copy_that_fails_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker goes on waiting and does not try again; the producer's task has not failed."""
    monkeypatch.setenv("FUSSY", "yes")
    value = root()
    dag = DAG(down(side(value), fussy(value)))
    made = [Assignment("p" if name.startswith("fussy") else "w", SIZE_MIB) for name in dag.ids]
    plan = Plan.for_dag(dag, "by hand", made)
    told = Instructions(duplicates=(Duplicate(dag.index_of("fussy#0"), "w", OWN_S, EXPECTED_S),))
    b = Bench(dag, replace(plan, instructions=told))
    worker, producer = b.container("worker"), b.container("producer")
    assert worker.go().count("execute fussy#0") == 1
    worker.time_out()
    assert "execute fussy#0" not in worker.go()
    assert "execute fussy#0" in producer.go()
    worker.go()
    assert b.status == "finished"


def virtual(task_s: float, expected_s: float) -> Run:
    """Return a virtual run in which the producer's container starts late."""
    dag = workflow()
    return run_on(VirtualLauncher(1, VirtualModel(task_s=task_s)), dag, plan_of(dag, 0.1, expected_s))


@pytest.mark.parametrize("expected_s", [0.0, 1000.0])
def test_each_task_counts_once(expected_s: float) -> None:
    """Whoever computed it; the result is that of a run without copies."""
    run = virtual(1.0, expected_s)
    assert run.error is None
    assert run.value == 2
    metrics = run_metrics(read_records(run.events), {})
    copies, skipped = run.of(TaskDuplicated), run.of(TaskSkipped)
    assert len(copies) == (expected_s > 0)
    up0 = run.dag.index_of("up#0")
    assert copies or any(event.task == up0 for event in run.of(OutputStored))
    assert len([event for event in run.of(TaskStarted) if event.task == up0]) <= 1
    told = (metrics["tasks"], metrics["duplicates"], metrics["skipped_tasks"])
    assert told == (len(run.dag), len(copies), len(skipped))


def test_inline_runs_have_them_too() -> None:
    """There is one thread, so the producer comes first or the worker does; the result is the same."""
    dag = workflow()
    assert run_on(InlineLauncher(), dag, plan_of(dag)).value == 2
