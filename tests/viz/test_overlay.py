import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import faaslab as fl
from faaslab.errors import PlanError
from faaslab.graph import DAG, generators
from faaslab.simulate import Draws, simulate_plan
from faaslab.trace import Trace
from faaslab.viz import gantt
from faaslab.viz.workers import match_workers
from tests.plan.dags import DIAMOND, FakeDag, dags
from tests.simulate.scene import Known, plan_of, platform
from tests.trace.runs import manifest, synthetic, two_workers
from tests.viz.looking import layered, sticks_out_in, texts


def run(dag: FakeDag, workers: list[str | None], seed: int | None = None, seconds: float = 1.0) -> Trace:
    """Return a simulated run on workers without limits of size; with a seed, cold starts vary."""
    draws = None if seed is None else Draws(seed)
    return simulate_plan(
        dag, plan_of(dag, workers, [4096] * len(dag)), Known([seconds] * len(dag)), platform(), draws=draws
    ).trace()


def test_planned_workers_are_matched_by_name() -> None:
    """Workers that a plan names are the same in the run, whatever they did."""
    planned = run(DIAMOND, ["a", "b", "a", "b"])
    assert match_workers(planned.records, run(DIAMOND, ["b", "b", "b", "a"]).records) == [("a", "a"), ("b", "b")]


def test_workers_decided_at_run_time_are_matched_by_tasks() -> None:
    """The most tasks in common come first; what nobody foresaw comes last, what did not happen stays."""
    planned = Trace.from_events(two_workers(), manifest(3))
    renamed = {"i-0": "~1", "i-1": "~0"}

    def named(trace: Trace, names: dict[str, str]) -> Trace:
        events = []
        for event in trace.events:
            if hasattr(event, "invocation"):
                event = msgspec.structs.replace(event, invocation=names[event.invocation])
            events.append(event)
        return Trace.from_events(events, trace.manifest)

    before = named(planned, {"i-0": "~0", "i-1": "~2"})
    assert match_workers(before.records, named(planned, renamed).records) == [("~0", "~1"), ("~2", "~0")]
    assert match_workers(before.records, named(planned, {"i-0": "~0", "i-1": "w"}).records) == [
        ("~0", "~0"),
        ("~2", None),
        (None, "w"),
    ]


@given(dags(), st.data())
def test_every_worker_is_in_one_pair(dag: FakeDag, data: st.DataObject) -> None:
    """Whatever two runs of a DAG did, each worker of both is in just one pair; a run is matched with itself."""
    names = st.lists(st.sampled_from(["a", "b", None]), min_size=len(dag), max_size=len(dag))
    one, two = run(dag, data.draw(names)), run(dag, data.draw(names))
    pairs = match_workers(one.records, two.records)
    for side, trace in ((0, one), (1, two)):
        found = [pair[side] for pair in pairs if pair[side] is not None]
        assert sorted(found) == sorted({worker.invocation for worker in trace.records.workers})
    assert all(plan == actual for plan, actual in match_workers(one.records, one.records))


@pytest.mark.parametrize(("width", "workers", "width_in"), [(2, 1, 3.33), (5, 3, 7.0), (40, 40, 7.0), (20, 0, 7.0)])
def test_overlay_is_readable(width: int, workers: int, width_in: float) -> None:
    """Up to 40 workers all have their names; nothing sticks out."""
    dag = layered(width, 3)
    names: list[str | None] = [f"w{task % workers}" if workers else None for task in range(len(dag))]
    planned, trace = run(dag, names), run(dag, names, seed=3)
    figure = gantt(trace, planned=planned, width_in=width_in)
    assert sticks_out_in(figure) < 0.02
    assert figure.get_size_inches()[1] < 9
    if workers:
        assert {f"w{number}" for number in range(min(workers, width))} <= set(texts(figure))


def test_overlay_says_how_far_off() -> None:
    """Both makespans and their ratio are in the title."""
    planned = run(DIAMOND, ["a", "a", "a", "a"])
    trace = run(DIAMOND, ["a", "a", "a", "a"], seconds=2.0)
    title = gantt(trace, planned=planned).axes[0].get_title(loc="left")
    assert title.endswith("pale, above: planned, 5 s; below: as it went (+80%)")


def test_overlay_of_another_dag_is_refused() -> None:
    """A plan is for one DAG; the error names both."""
    with pytest.raises(PlanError, match=r"plan is for DAG 'layered' \(.*\), the run is one of 'fake' \(hash-1\)"):
        gantt(synthetic(4, 2), planned=run(FakeDag(((),), name="layered", structure_hash="other"), ["a"]))


@pytest.mark.parametrize("planner", ["critical_path", "wukong"])
def test_run_over_its_plan(planner: str) -> None:
    """run.gantt() marks what the plan is predicted to take, and draws the plan if asked to."""
    dag = DAG(generators.fan(4), name="fan")
    plan = dag.plan(planner, draws=64)
    with fl.Lab(fl.InlineLauncher(), config=fl.Config(runs_dir="")) as lab:
        run, unpredicted = lab.submit(dag, plan=plan), lab.submit(dag, planner=planner, predict=False)
        run.result(20)
        unpredicted.result(20)
    mark = f"average: {plan.predicted.makespan_s:.3g} s"
    assert mark in texts(run.gantt())
    over = run.gantt(planned=True)
    assert mark in texts(over)
    assert "pale, above: planned" in over.axes[0].get_title(loc="left")
    assert not any("average" in text for text in texts(unpredicted.gantt()))
    with pytest.raises(PlanError, match="has no prediction"):
        unpredicted.gantt(planned=True)
