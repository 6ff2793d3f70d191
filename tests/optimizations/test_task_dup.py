"""Task duplication: where it is planned, and what it does between real workers."""

from dataclasses import replace

import pytest

import faaslab as fl
from faaslab.plan import Assignment, Duplicate, Plan
from faaslab.planners.parts import task_dup
from faaslab.planners.registry import plan_context
from faaslab.trace.events import OutputStored, TaskDuplicated, TaskExecuted, TaskSkipped
from tests.client.scene import Scene, process_lab
from tests.plan.dags import FakeDag
from tests.simulate.scene import Known, plan_of, platform

SLOW_S, LAST_S = 2.0, 4.0
SMALL_MIB, LARGE_MIB = 512, 1769
JOIN = ((), (0,), (0,), (1, 2))
"""Tasks 0, 1 and 3 are to be on one worker, 2 on another."""


def planned(cold_start_s: float, *, exec_s: float = 1.0, memory_mib: int = 0, workers: str = "wwpw") -> Plan:
    dag = FakeDag(JOIN, memory_mib={2: memory_mib} if memory_mib else {})
    ctx = plan_context(
        dag, estimates=Known([1.0, 1.0, exec_s, 1.0]), platform=platform(cold_start_s=cold_start_s), sizes=[3008]
    )
    return task_dup.apply(dag, plan_of(dag, list(workers), sizes=[LARGE_MIB, LARGE_MIB, 3008, LARGE_MIB]), ctx)


def test_it_is_planned_where_the_wait_is_longer() -> None:
    """Worker w waits 20 s for the container of the other one; to compute the task itself takes it one."""
    (copy,) = planned(20.0).instructions.duplicates
    assert (copy.task, copy.worker) == (2, "w")
    assert copy.own_s == pytest.approx(1.0)
    assert copy.expected_s == pytest.approx(21.0)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"cold_start_s": 0.0}, "both are ready at once"),
        ({"cold_start_s": 20.0, "memory_mib": 2000}, "w is too small for it"),
        ({"cold_start_s": 20.0, "workers": "wwww"}, "there is only one worker"),
        ({"cold_start_s": 20.0, "workers": "vvpw"}, "w has nothing to do before, so that it waits for nothing"),
    ],
)
def test_it_is_not_planned_elsewhere(how: dict[str, object], why: str) -> None:
    """The plan stays as it is."""
    assert planned(**how).instructions.duplicates == (), why  # type: ignore[arg-type]


@fl.task
def begin() -> int:
    return 1


@fl.task
def aside(value: int) -> int:
    return value


@fl.task
def slow(value: int, small_mib: int, slow_s: float) -> int:
    """Take long in a small container."""
    import os
    import time

    time.sleep(slow_s if os.environ["FAASLAB_SIZE_MIB"] == str(small_mib) else 0.0)
    return value + 1


@fl.task
def last(left: int, right: int, last_s: float) -> int:
    """Outlast the slow task, so that its worker gets to the point where it would store its output."""
    import time

    time.sleep(last_s)
    return left + right


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_a_slow_upstream_is_overtaken(scene: Scene) -> None:
    """The worker that waits computes it itself; what the slow one made is not stored any more."""
    value = begin()
    dag = fl.DAG(last(aside(value), slow(value, SMALL_MIB, SLOW_S), LAST_S), name="overtaken")
    slow0 = dag.index_of("slow#0")
    places = [Assignment("p", SMALL_MIB) if task == slow0 else Assignment("w", LARGE_MIB) for task in range(len(dag))]
    plan = Plan.for_dag(dag, "by hand", places)
    told = replace(plan.instructions, duplicates=(Duplicate(slow0, "w", 0.1, 1000.0),))
    with process_lab(scene) as lab:
        run = lab.submit(dag, plan=replace(plan, instructions=told))
        assert run.result(60) == 3
        events = run.trace.events
        metrics = run.trace.metrics
    assert [(e.task, e.invocation, e.lost) for e in events if isinstance(e, TaskDuplicated)] == [(slow0, "w", False)]
    assert [(e.task, e.invocation, e.executed) for e in events if isinstance(e, TaskSkipped)] == [(slow0, "p", True)]
    assert [e.invocation for e in events if isinstance(e, TaskExecuted) and e.task == slow0] == ["p"]
    assert not [e for e in events if isinstance(e, OutputStored) and e.task == slow0]
    assert (metrics["tasks"], metrics["duplicates"], metrics["skipped_tasks"]) == (len(dag), 1, 1)
