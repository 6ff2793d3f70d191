"""Traces of what the engine itself emits, not of made-up events."""

from pathlib import Path

import pytest

from faaslab.config import Config
from faaslab.graph import DAG, generators
from faaslab.launchers.inline import InlineLauncher
from faaslab.planners import PLANNERS, plan_dag
from faaslab.trace import Trace
from faaslab.trace.breakdown import breakdown_ns, wall_ns
from faaslab.trace.events import AnyEvent
from tests.trace.runs import manifest
from tests.worker.runs import SECRET, submit


@pytest.mark.parametrize("planner", sorted(PLANNERS))
@pytest.mark.parametrize("workflow", ["diamond", "fan", "chain"])
def test_every_planner_leaves_a_whole_trace(workflow: str, planner: str, tmp_path: Path) -> None:
    """In an inline run every task counts once, wall times add up, and the trace survives the disk."""
    made = {"diamond": generators.diamond(), "fan": generators.fan(12), "chain": generators.chain(10)}[workflow]
    dag = DAG(made)
    launcher = InlineLauncher(3)
    storage = launcher.new_storage()
    submit(storage, dag, plan_dag(dag, planner, budget=30_000))
    events: list[AnyEvent] = []
    launcher.drive(storage, "run", secret=SECRET, config=Config(), on_event=events.append)
    trace = Trace.from_events(events, manifest(ids=dag.ids, planner=planner, launcher="inline"))
    assert trace.status == "finished"
    assert trace.tasks["counted"].tolist() == [True] * len(dag)
    assert set(trace.workers["reason"]) <= {"ended", "yielded"}
    for worker in trace.records.workers:
        assert sum(breakdown_ns(worker).values()) == wall_ns(worker)
    if planner == "single_worker":
        assert trace.tasks["stored"].sum() == 1
    assert Trace.load(trace.save(tmp_path)) == trace
