"""A recorded run simulated again takes as long as it took."""

import pytest

import faaslab as fl
from faaslab.graph import DAG, generators
from faaslab.launchers.model import VirtualModel
from faaslab.simulate.replay import recorded_plan, replay
from tests.trace.runs import manifest, two_workers


@pytest.mark.parametrize("planner", ["wukong", "uniform", "heft", "single_worker"])
@pytest.mark.parametrize("shape", ["tree", "fan", "chain"])
def test_within_five_percent(planner: str, shape: str) -> None:
    """With its own durations and placement, a run is simulated to within 5 % of its makespan.

    Cold starts are alike here: simulated again, each takes what they took on average.
    """
    task = {"tree": generators.tree(16), "fan": generators.fan(12), "chain": generators.chain(6)}[shape]
    dag = DAG(task)
    with fl.Lab(
        fl.VirtualLauncher(seed=3, limit=8, model=VirtualModel(jitter=0.0)), config=fl.Config(runs_dir="")
    ) as lab:
        run = lab.submit(dag, planner=planner)
        run.result(60)
    again = replay(run.trace, dag)
    assert again.makespan_s == pytest.approx(run.trace.metrics["makespan_s"], rel=0.05)
    assert recorded_plan(run.trace, dag).assignments == run.plan.assignments


def test_what_cannot_be_simulated_again() -> None:
    """A run of another DAG, or one in which a task has not finished, is refused."""
    dag = DAG(generators.chain(3))
    other = fl.Trace.from_events(two_workers(), manifest(3))
    with pytest.raises(fl.TraceError, match="is of another DAG"):
        replay(other, dag)
    unfinished = fl.Trace.from_events(two_workers()[:6], manifest(3, structure_hash=dag.structure_hash))
    with pytest.raises(fl.TraceError, match="has not finished in it"):
        replay(unfinished, dag)
    with pytest.raises(fl.TraceError, match="has no placement of"):
        recorded_plan(unfinished, dag)
