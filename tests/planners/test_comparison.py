"""Planners side by side, lower bounds, and limits that can't be kept."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import faaslab as fl
from faaslab.graph.generators import fork_join
from faaslab.model.estimates import DeclaredEstimates
from faaslab.planners import PLANNERS, compare, plan_dag
from faaslab.planners.bounds import lower_bounds
from faaslab.planners.registry import plan_context
from tests.plan.dags import FakeDag, dags

CHAIN = FakeDag(((), (0,)), expected_s={0: 2.0, 1: 3.0})


def test_bounds_by_hand() -> None:
    """The longest path at the fastest sizes after a warm start; the cheapest size for each task and one request."""
    bounds = lower_bounds(CHAIN, plan_context(CHAIN, sizes=[1769]))
    assert bounds.makespan_s == pytest.approx(0.025 + 5.0)
    assert bounds.cost_usd == pytest.approx(5.0 * 1769 / 1024 * 1.66667e-5 + 2e-7)
    none = FakeDag(())
    assert lower_bounds(none, plan_context(none, sizes=[1769])) == lower_bounds(none, plan_context(none, sizes=[512]))


@given(dags(max_tasks=8), st.sampled_from(sorted(PLANNERS)), st.sampled_from(["lambda", "none"]))
def test_no_plan_is_below_the_bounds(dag: FakeDag, name: str, platform: str) -> None:
    """Whatever is planned costs and takes at least as much."""
    found = compare(dag, [name], platform=platform, sizes=[1024, 3008], draws=8, budget=30_000)
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
    with pytest.raises(fl.PlanError, match=r"within 1 s: .*predicted makespan of .*none can be below 5\.0.*s"):
        plan_dag(CHAIN, "els", deadline_s=1.0)
    with pytest.raises(fl.PlanError, match=r"within 1e-09 USD: .*predicted cost"):
        plan_dag(CHAIN, "single_worker", cost_cap_usd=1e-9)
    assert plan_dag(CHAIN, "els", deadline_s=60.0)


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
    assert dag.plan("els", history=kept) == dag.plan("els", history=kept)
    with pytest.raises(fl.PlanError, match="both estimates and history"):
        dag.plan("els", history=kept, estimates=DeclaredEstimates(dag))
