"""One order everywhere: planner, simulator, virtual run, inline run and real processes, on small DAGs.

With one container the course of a run is determined, whatever takes how long: which invocation it serves next is the
order in which they were asked for. (Where several containers race, ``test_agreement`` compares with the virtual run.)
"""

from functools import cache

import pytest

from faaslab.graph import DAG
from faaslab.launchers.inline import InlineLauncher
from faaslab.launchers.model import VirtualModel
from faaslab.plan import Plan
from faaslab.planners import plan_dag
from faaslab.trace import Trace
from faaslab.trace.events import InvocationRequested, TaskStarted, WorkerExited, WorkerStarted
from faaslab.trace.manifest import Manifest
from tests.client.scene import process_lab
from tests.client.scene import scene as set_scene
from tests.faults.shapes import OWN, SHAPES
from tests.simulate.agreement import pair_of
from tests.worker.runs import run_on

DAGS = ("chain-5", "diamond", "fan-6", "tree-8", "fork-join", "ladder", "sinks", "disconnected")
PLANNERS = (
    *("per_task", "single_worker", "wukong", "uniform", "critical_path", "heft", "els"),
    *("clustering", "leaving", "picky"),
)
MODEL = VirtualModel(
    store_latency_s=0.01, cold_start_s=0.4, task_s=0.3, bandwidth_bytes_per_s=1e8, invocation_latency_s=0.05
)
Course = list[tuple[object, ...]]


@cache
def planned(shape: str, planner: str) -> tuple[DAG, Plan]:
    """Return a DAG and its plan, all at one size."""
    dag = DAG(SHAPES[shape](), name=shape)
    return dag, plan_dag(dag, OWN.get(planner, planner), sizes=[1769], seed=3)


def course(trace: Trace, *, cold: bool = True) -> dict[str, Course]:
    """Return what happened in which order: invocations asked for, workers started and ended, tasks.

    Args:
        trace: Of a run.
        cold: Whether to tell which starts were cold.
    """
    events = sorted(trace.events, key=lambda event: event.at_s)
    found: dict[str, Course] = {"asked for": [], "started": [], "ran": [], "ended": []}
    for event in events:
        match event:
            case InvocationRequested():
                found["asked for"].append((event.invocation, event.attempt, event.tasks, event.size_mib))
            case WorkerStarted():
                found["started"].append((event.invocation, event.attempt, cold and event.cold))
            case TaskStarted():
                found["ran"].append((event.invocation, event.task))
            case WorkerExited():
                found["ended"].append((event.invocation, event.attempt, event.reason))
    return found


@pytest.mark.parametrize("planner", PLANNERS)
@pytest.mark.parametrize("shape", DAGS)
def test_one_order(shape: str, planner: str) -> None:
    """The plan's order per worker, and the whole course simulated, virtual and inline."""
    dag, plan = planned(shape, planner)
    pair = pair_of(dag, plan, MODEL, limit=1)
    simulated = course(pair.simulation.trace())
    for worker, order in plan.orders.items():
        # It may run others between, which a policy of run time has it take.
        assert [task for name, task in simulated["ran"] if name == worker and task in order] == list(order)
    assert simulated == course(pair.trace)
    inline = run_on(InlineLauncher(1), dag, plan)
    manifest = Manifest(
        run="run",
        dag_name=dag.name,
        structure_hash=dag.structure_hash,
        ids=dag.ids,
        planner=planner,
        launcher="inline",
    )
    assert simulated == course(Trace.from_events(inline.events, manifest))
    assert [cold for _, _, cold in simulated["started"]].count(True) == 1


def test_one_order_on_processes() -> None:
    """The same with a real store and a worker process, which is cold once."""
    with set_scene() as scene, process_lab(scene, limit=1) as lab:
        for shape in DAGS:
            for planner in PLANNERS:
                dag, plan = planned(shape, planner)
                run = lab.submit(dag, plan=plan)
                run.result(60)
                simulated = course(pair_of(dag, plan, MODEL, limit=1).simulation.trace(), cold=False)
                assert course(run.trace, cold=False) == simulated, (shape, planner)
