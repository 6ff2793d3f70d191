"""The best plan: against all plans there are, against other planners, within limits, and where it can't be had."""

import sys
from collections.abc import Iterator, Sequence
from itertools import permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faaslab.errors import PlanError, PlannerUnavailable
from faaslab.graph import DAG
from faaslab.graph.generators import chain, random_dag
from faaslab.model.platform import Platform, platform_named
from faaslab.plan import Assignment, Plan, check_plan
from faaslab.planners import PLANNERS, compare, plan_dag
from faaslab.planners.optimal import MAX_TASKS
from faaslab.planners.optimal_model import Model
from faaslab.planners.planner import PlanContext
from faaslab.planners.registry import plan_context, plan_with
from tests.plan.dags import FakeDag, dags
from tests.simulate.scene import Known, platform

pytest.importorskip("ortools")

QUICK = 1_000_000
"""Simulated tasks of budget: a tenth of the default search."""
SLOW_START = platform(cold_start_s=2.0, store_latency_s=0.01, upload_bytes_per_s=1e7, download_bytes_per_s=2e7)
"""A platform on which sharing a worker, moving data and reusing a container all matter."""


def groupings(tasks: Sequence[int]) -> Iterator[list[list[int]]]:
    """Yield every way to share workers."""
    if not tasks:
        yield []
        return
    last, rest = tasks[-1], tasks[:-1]
    for groups in groupings(rest):
        yield [*groups, [last]]
        for place in range(len(groups)):
            yield [*groups[:place], [*groups[place], last], *groups[place + 1 :]]


def all_plans(dag: FakeDag, ctx: PlanContext) -> Iterator[Plan]:
    """Yield every plan with fixed workers that can be run."""
    for groups in groupings(range(len(dag))):
        for orders in product(*(permutations(group) for group in groups)):
            for sizes in product(ctx.sizes, repeat=len(groups)):
                size_of = {task: size for group, size in zip(groups, sizes, strict=True) for task in group}
                worker_of = {task: f"w{w}" for w, group in enumerate(groups) for task in group}
                plan = ctx.plan(
                    dag,
                    "any",
                    [Assignment(worker_of[task], size_of[task]) for task in range(len(dag))],
                    orders={f"w{w}": order for w, order in enumerate(orders)},
                )
                try:
                    check_plan(dag, plan)
                except PlanError:
                    continue
                yield plan


def value(ctx: PlanContext, dag: FakeDag | DAG, plan: Plan) -> float:
    """Return what the objective is under the simulator."""
    found = ctx.simulate(dag, plan)
    return ctx.objective.score(found.makespan_s, found.cost_usd)[1]


def known(draw_seconds: list[float], draw_mb: list[float]) -> Known:
    """Return estimates that scale with size."""
    by_size = {(task, 3538): seconds * 0.6 for task, seconds in enumerate(draw_seconds)}
    return Known(draw_seconds, {task: mb * 1e6 for task, mb in enumerate(draw_mb)}, by_size)


@given(
    dags(max_tasks=4),
    st.lists(st.floats(0.1, 4.0), min_size=4, max_size=4),
    st.lists(st.floats(0.0, 30.0), min_size=4, max_size=4),
    st.sampled_from(["makespan", "cost", 20_000.0]),
    st.booleans(),
)
@settings(max_examples=20)
def test_no_plan_is_better(
    dag: FakeDag, seconds: list[float], megabytes: list[float], objective: str | float, two_sizes: bool
) -> None:
    """Of all plans there are of up to four tasks, none is better, and none is below the bound."""
    sizes = [3538] if not two_sizes else [1769, 3538]
    dag = FakeDag(dag.wiring)
    ctx = plan_context(
        dag, sizes=sizes, platform=SLOW_START, objective=objective, estimates=known(seconds, megabytes), budget=QUICK
    )
    plan = plan_with("optimal", dag, ctx)
    best = min(value(ctx, dag, other) for other in all_plans(dag, ctx))
    assert plan.settings["status"] in ("optimal", "feasible")
    assert plan.settings["bound"] <= best * (1 + 1e-3)
    if plan.settings["status"] == "optimal":
        assert value(ctx, dag, plan) <= best * (1 + max(plan.settings["modelling_gap"], 0.0) + 1e-3)


@given(dags(max_tasks=6), st.sampled_from(["makespan", "cost"]), st.sampled_from(["lambda", "none"]))
@settings(max_examples=10)
def test_no_planner_is_better(dag: FakeDag, objective: str, where: str) -> None:
    """Whatever the others find is not better, nor, if it has fixed workers, below the bound."""
    planning = {"sizes": [3008], "objective": objective, "platform": where, "budget": QUICK}
    ctx = plan_context(dag, **planning)
    plan = plan_dag(dag, "optimal", **planning)
    for name in ("faaslab", "els", "heft", "uniform", "critical_path", "single_worker", "per_task", "wukong"):
        other = value(ctx, dag, plan_dag(dag, name, **planning))
        assert value(ctx, dag, plan) <= other * (1 + 1e-12)
        assert name == "wukong" or plan.settings["bound"] <= other * (1 + 1e-3)
    assert plan_dag(dag, "optimal", **planning) == plan


def test_a_container_is_reused() -> None:
    """Where waiting costs more than it saves, a worker ends, and the next task starts warm in its container."""
    dag = FakeDag(((), (), (0,), (0,)))
    ctx = plan_context(dag, estimates=Known([10.0, 1.0, 5.0, 5.0]), platform=SLOW_START, objective=1000.0)
    start = plan_with("per_task", dag, ctx)
    model = Model(dag, ctx.platform, ctx.sizes, start, ctx.simulate(dag, start), ctx.objective)
    answer = model.solve(0, 0.1)
    assert answer.status == "optimal"
    best = answer.solutions[-1]
    assert set(best.orders) in ({(0, 2), (1,), (3,)}, {(0, 3), (1,), (2,)})
    # A cold start, the first task and storing it, a warm start, asking for the input, the second task and storing it;
    # billed are two cold starts without half a round trip, all tasks, what is stored and asked for, and three requests.
    makespan_s = 2.02 + 10.005 + 0.005 + 0.01 + 5.005
    billed_s = 2 * 2.01 + 21.0 + 4 * 0.005 + 0.01
    assert best.value == pytest.approx(makespan_s + 1000 * (billed_s * 1769 / 1024 * 1.66667e-5 + 3 * 2e-7), rel=1e-4)


def test_limits() -> None:
    """The cheapest plan within a deadline costs more than the cheapest, and keeps it under the simulator, too."""
    dag = DAG(random_dag(3, 7), name="random")
    times = Known([2.0, 3.0, 1.0, 4.0, 2.5, 1.5, 2.0])
    where: Platform = platform_named("lambda")
    cheapest = compare(dag, ["optimal"], objective="cost", estimates=times, platform=where, budget=QUICK).plans[0]
    deadline_s = cheapest.simulation.makespan_s * 0.8
    within = compare(
        dag, ["optimal"], objective="cost", deadline_s=deadline_s, estimates=times, platform=where, budget=QUICK
    ).plans[0]
    assert within.simulation.makespan_s <= deadline_s
    assert within.simulation.cost_usd > cheapest.simulation.cost_usd
    assert within.plan.settings["bound"] > cheapest.plan.settings["bound"]
    with pytest.raises(PlanError, match="within 1 s"):
        plan_dag(dag, "optimal", deadline_s=1.0, estimates=times, budget=QUICK)


def test_a_search_that_ends_early_says_so() -> None:
    """With next to no budget the plan is that of another planner, and nothing is claimed to be proven."""
    dag = DAG(random_dag(1, MAX_TASKS), name="random")
    plan = plan_dag(dag, "optimal", budget=1)
    assert plan.settings["status"] in ("feasible", "unknown")
    assert plan.settings["start"] in PLANNERS
    assert plan.settings["gap"] > 0


def test_large_dags_are_refused() -> None:
    """More tasks than the limit raise by name, and are left out side by side."""
    dag = DAG(chain(MAX_TASKS + 1), name="long")
    with pytest.raises(PlannerUnavailable, match=r"up to 24 tasks, 'long' has 25"):
        plan_dag(dag, "optimal")
    found = compare(dag)
    assert "optimal" not in found.table.index
    assert "24 tasks" in found.left_out["optimal"]


def test_without_ortools(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install."""
    monkeypatch.setitem(sys.modules, "ortools", None)
    with pytest.raises(PlannerUnavailable, match=r"pip install 'faaslab\[opt\]'"):
        plan_dag(FakeDag(((),)), "optimal")
