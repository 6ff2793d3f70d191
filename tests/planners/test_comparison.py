"""Planners side by side, lower bounds, and limits that can't be kept."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import faaslab as fl
from faaslab.graph.generators import fork_join
from faaslab.model.estimates import DeclaredEstimates
from faaslab.model.platform import platform_named
from faaslab.plan import DagView, Plan
from faaslab.planners import PLANNERS, PlanContext, compare, plan_dag
from faaslab.planners.bounds import Bounds, lower_bounds
from faaslab.planners.registry import plan_context
from tests.plan.dags import FakeDag, dags

CHAIN = FakeDag(((), (0,)), expected_s={0: 2.0, 1: 3.0})


def test_bounds_by_hand() -> None:
    """A cold start, the longest path at the fastest sizes, the last output; each task at its cheapest size."""
    start_s = 2.26 + 2 * 0.00023
    put_s = 0.00023 * 1.5 + 1e6 / 75e6
    bounds = lower_bounds(CHAIN, plan_context(CHAIN, sizes=[1769]))
    assert bounds.makespan_s == pytest.approx(start_s + 5.0 + put_s)
    assert bounds.cost_usd == pytest.approx((5.0 + put_s + 2.26) * 1769 / 1024 * 1.66667e-5 + 2e-7)
    none = FakeDag(())
    assert lower_bounds(none, plan_context(none, sizes=[1769])) == Bounds(0.0, 0.0)


def test_bounds_of_what_workers_share() -> None:
    """Eight tasks of a second take four on two workers, and eight on one core or in the memory of one worker."""
    wide = FakeDag(((),) * 8, expected_s=dict.fromkeys(range(8), 1.0), output_bytes=dict.fromkeys(range(8), 0))
    nothing = platform_named("none")
    for limits, least_s in (
        ({"concurrency": 2}, 4.0),
        ({"cores": 1.0}, 8.0),
        ({"vcpus": 1.0}, 8.0),
        ({"memory_mib": 1769.0}, 8.0),
        ({}, 1.0),
    ):
        where = dataclasses.replace(nothing, **limits)
        assert lower_bounds(wide, plan_context(wide, sizes=[1769], platform=where)).makespan_s == pytest.approx(least_s)


@given(
    dags(max_tasks=8),
    st.sampled_from(sorted(PLANNERS)),
    st.sampled_from(["lambda", "none"]),
    st.sampled_from(["makespan", "cost"]),
    st.sampled_from([{}, {"concurrency": 2}, {"cores": 1.5}, {"vcpus": 2.0}, {"memory_mib": 4000.0}]),
)
def test_no_plan_is_below_the_bounds(
    dag: FakeDag, name: str, platform: str, objective: str, limits: dict[str, float]
) -> None:
    """Whatever is planned costs and takes at least as much."""
    where = dataclasses.replace(platform_named(platform), **limits)
    found = compare(dag, [name], platform=where, sizes=[1024, 3008], objective=objective, draws=8, budget=5000)
    simulation = found.plans[0].simulation
    assert simulation.makespan_s >= found.bounds.makespan_s - 1e-9
    assert simulation.cost_usd >= found.bounds.cost_usd - 1e-12


def test_side_by_side() -> None:
    """A row for each planner, those on the Pareto front marked, and the plans themselves."""
    dag = fl.DAG(fork_join(3, 4), name="fork")
    found = fl.compare(dag, sizes=[1024, 1769], budget=30_000)
    table = found.table
    assert list(table.index) == list(PLANNERS)
    assert set(table.index[table["pareto"]]) == set(found.pareto)
    assert (table["makespan_gap"] >= 0).all()
    assert (table["makespan_p50_s"] < table["makespan_s"]).all()  # the mean of times that scatter upwards
    assert (table["makespan_s"] < table["makespan_p90_s"]).all()
    best = table.sort_values(["makespan_s", "cost_usd"]).index[0]
    assert found.pareto[0] == best
    assert found["els"] == dag.plan("els", sizes=[1024, 1769])
    assert not found.left_out
    assert "single_worker" in found._repr_html_()
    with pytest.raises(KeyError):
        found["no such planner"]


def test_unreachable_limits() -> None:
    """A deadline or a cap that no plan keeps is an error with what was predicted and what is possible."""
    bounds = lower_bounds(CHAIN, plan_context(CHAIN))
    with pytest.raises(fl.PlanError, match=r"within 7\.5 s: .*predicted makespan of .*none can be below 7\.27.*s"):
        plan_dag(CHAIN, "els", deadline_s=7.5)
    with pytest.raises(fl.PlanError, match=r"USD: .*predicted cost"):
        plan_dag(CHAIN, "single_worker", cost_cap_usd=bounds.cost_usd * 1.001)
    assert plan_dag(CHAIN, "els", deadline_s=60.0)


def test_impossible_limits_are_refused_before_planning() -> None:
    """What is below the bounds is refused at once, unless the SLA asks for luck."""

    class Busy:
        name = "busy"

        def plan(self, dag: DagView, ctx: PlanContext) -> Plan:
            raise AssertionError("it was asked")

    with pytest.raises(fl.PlanError, match=r"'busy' finds no plan for 'fake' within 1 s: none can be below 7\.27.* s"):
        plan_dag(CHAIN, Busy(), deadline_s=1.0)
    with pytest.raises(fl.PlanError, match=r"within 1e-09 USD: none can be below"):
        plan_dag(CHAIN, Busy(), cost_cap_usd=1e-9, sla="p90")
    with pytest.raises(AssertionError, match="it was asked"):
        plan_dag(CHAIN, Busy(), deadline_s=1.0, sla="p10")


def test_no_planners_to_compare() -> None:
    """An empty list is a mistake, not an empty table."""
    with pytest.raises(fl.PlanError, match="list of planners is empty"):
        compare(CHAIN, [])


def test_history_sharpens_predictions(tmp_path: Path) -> None:
    """After runs have been recorded, plans are predicted from what they took, and not from what was assumed."""
    dag = fl.DAG(fork_join(2, 3), name="fork")
    history = fl.History(tmp_path)
    before = fl.compare(dag, ["per_task"], platform="none", history=history).plans[0].simulation.makespan_s
    with fl.Lab("inline", config=fl.Config(runs_dir="")) as lab:
        for _ in range(3):
            run = lab.submit(dag, planner="per_task")
            run.result()
            history.record(run.trace, dag)
    after = fl.compare(dag, ["per_task"], platform="none", history=history).plans[0].simulation.makespan_s
    assert before >= 3.0  # a second each is assumed of what is not known
    assert after < 0.1
    kept = history.snapshot()
    plan = dag.plan("els", history=kept)
    assert plan == dag.plan("els", history=kept)
    simulated = fl.simulate(dag, plan, history=kept, platform="none", seed=1)
    assert simulated.metrics["makespan_s"] < 0.1
    assert simulated.manifest.settings["predicted"]["platform"] == "lambda"
    assert simulated.events != fl.simulate(dag, plan, history=history, platform="none", seed=2).events
    with pytest.raises(fl.PlanError, match="both estimates and history"):
        dag.plan("els", history=kept, estimates=DeclaredEstimates(dag))
    with pytest.raises(fl.PlanError, match="both estimates and history"):
        fl.simulate(dag, plan, history=kept, estimates=DeclaredEstimates(dag))
