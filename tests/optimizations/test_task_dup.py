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

SMALL_MIB, LARGE_MIB = 512, 1769
JOIN = ((), (0,), (0,), (1, 2))
"""Tasks 0, 1 and 3 are to be on one worker, 2 on another."""


def planned(cold_start_s: float, *, exec_s: float = 1.0, memory_mib: int = 0, workers: str = "wwpw") -> Plan:
    dag = FakeDag(JOIN, memory_mib={2: memory_mib} if memory_mib else {})
    ctx = plan_context(
        dag, estimates=Known([1.0, 1.0, exec_s, 1.0]), platform=platform(cold_start_s=cold_start_s), sizes=[3008]
    )
    return task_dup.apply(
        dag,
        plan_of(dag, list(workers), sizes=[LARGE_MIB, LARGE_MIB, 3008 if workers[2] == "p" else LARGE_MIB, LARGE_MIB]),
        ctx,
    )


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
def aside(value: int, folder: str) -> int:
    """Last until the slow task is executed by its own worker."""
    import time
    from pathlib import Path

    while not (Path(folder) / "slow").exists():
        time.sleep(0.01)
    return value


@fl.task
def slow(value: int, small_mib: int, folder: str) -> bytes:
    """Last, in a small container, until it has been overtaken; the output does not go along with what is told of it."""
    import os
    import time
    from pathlib import Path

    if os.environ["FAASLAB_SIZE_MIB"] == str(small_mib):
        (Path(folder) / "slow").touch()
        while not (Path(folder) / "overtaken").exists():
            time.sleep(0.01)
    return bytes([value + 1]) * 200_000


@fl.task
def last(left: int, right: bytes, folder: str) -> int:
    """Leave time for the slow task's worker to get to the point where it would store its output."""
    import time
    from pathlib import Path

    (Path(folder) / "overtaken").touch()
    time.sleep(2.0)
    return left + right[0]


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_a_slow_upstream_is_overtaken(scene: Scene) -> None:
    """The worker that waits computes it itself; what the slow one made is not stored any more."""
    value = begin()
    folder = str(scene.folder)
    dag = fl.DAG(last(aside(value, folder), slow(value, SMALL_MIB, folder), folder), name="overtaken")
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
