"""``faaslab``: never worse than what it starts from, and golden decisions of its parts."""

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faaslab.model.platform import Platform, platform_named
from faaslab.model.profiles import PlatformProfile
from faaslab.plan import Plan
from faaslab.planners import plan_dag
from faaslab.planners.candidates import Archive, Bench
from faaslab.planners.downgrade import downgraded, slack_s
from faaslab.planners.faaslab import FaaSLab
from faaslab.planners.gap_cuts import cut_gaps
from faaslab.planners.planner import PlanContext
from faaslab.planners.portfolio import seeds
from faaslab.planners.registry import plan_context, plan_with
from faaslab.planners.search import climb, polished
from faaslab.simulate.montecarlo import search_draws
from tests.plan.dags import FakeDag, dags
from tests.simulate.scene import Known

BASELINES = ("per_task", "single_worker", "wukong", "uniform", "critical_path", "heft", "els")
SLOW_START = Platform(
    PlatformProfile(
        "slow start",
        "made up",
        cold_start_s=3.0,
        invocation_latency_s=0.5,
        store_latency_s=0.25,
        upload_bytes_per_s=1e6,
        download_bytes_per_s=2e6,
    )
)


@st.composite
def timed_dags(draw: st.DrawFn) -> FakeDag:
    """DAGs whose tasks take from nothing to a minute and leave from nothing to megabytes."""
    dag = draw(dags(max_tasks=9))
    tasks = range(len(dag))
    expected_s = {task: draw(st.sampled_from((0.0, 0.01, 0.5, 2.0, 60.0))) for task in tasks}
    output_bytes = {task: draw(st.sampled_from((0, 1000, 5_000_000, 80_000_000))) for task in tasks}
    return FakeDag(dag.wiring, memory_mib=dag.memory_mib, expected_s=expected_s, output_bytes=output_bytes)


objectives = st.sampled_from(("makespan", "cost", 3e3, 1e5))
platforms = st.sampled_from((platform_named("lambda"), platform_named("none"), SLOW_START))
some_sizes = st.sampled_from(((3008,), (1024, 3008), (512, 1769, 3538, 10_240)))


@settings(max_examples=12)
@given(timed_dags(), platforms, some_sizes, objectives, st.sampled_from((1, 3, 1000)))
def test_never_dominated(
    dag: FakeDag, platform: Platform, sizes: tuple[int, ...], objective: str | float, concurrency: int
) -> None:
    """In the runs that decide, no planner's plan is preferred, or better in makespan or cost and as good in both."""
    where = Platform(platform.profile, concurrency=concurrency)
    ctx = plan_context(dag, platform=where, sizes=[*sizes, 3008], objective=objective)
    draws = search_draws(len(dag))
    makespan_s, cost_usd = ctx.at_sla(dag, plan_with("faaslab", dag, ctx), draws)
    score = ctx.objective.score(makespan_s, cost_usd)
    for name in BASELINES:
        other_s, other_usd = ctx.at_sla(dag, plan_with(name, dag, ctx), draws)
        assert score <= ctx.objective.score(other_s, other_usd), name
        dominated = other_s <= makespan_s and other_usd <= cost_usd
        assert not dominated or (other_s, other_usd) == (makespan_s, cost_usd), name


def bench(dag: FakeDag, **planning: object) -> Bench:
    """Return a bench for a DAG."""
    ctx: PlanContext = plan_context(dag, **planning)  # type: ignore[arg-type]
    return Bench(dag, ctx)


@settings(max_examples=30)
@given(timed_dags(), platforms, objectives, st.integers(0, 5))
def test_candidates_come_to_what_their_plans_come_to(
    dag: FakeDag, platform: Platform, objective: str | float, seed: int
) -> None:
    """What a candidate is evaluated at is what the simulator says of its plan, whatever was moved."""
    at = bench(dag, platform=platform, sizes=[1024, 3008], objective=objective)
    rng = random.Random(seed)
    start = at.evaluate(rng.choice(list(seeds(at))))
    found = [start, polished(at, start), climb(at, start, rng, 30), *at.archive.found]
    for evaluated in found:
        simulation = at.ctx.simulate(dag, at.plan(evaluated.candidate, "test"))
        assert (simulation.makespan_s, simulation.cost_usd) == (evaluated.makespan_s, evaluated.cost_usd)


NOTHING = platform_named("none")
GB_S_USD = 1769 / 1024 * 1.66667e-5
"""A second of one vCPU."""
REQUEST_USD = 2e-7
SURE = Known([10.0] * 8)
"""Ten seconds each, whatever happens, and no output."""
EIGHT = FakeDag(((),) * 8, expected_s=dict.fromkeys(range(8), 10.0), output_bytes=dict.fromkeys(range(8), 0))
"""Eight tasks of ten seconds that need nothing: each further worker costs one request."""


def test_a_gap_is_cut() -> None:
    """A worker that would be billed for 99 s of waiting ends instead; the rest is invoked again."""
    dag = FakeDag(((), (), (0, 1)), expected_s={0: 1.0, 1: 100.0, 2: 1.0})
    at = bench(dag, platform=NOTHING)
    waiting = at.evaluate(at.seed("by hand", [0, 1, 0], 0, at.all_tasks))
    assert waiting.cost_usd == pytest.approx((101 + 100) * GB_S_USD + 2 * REQUEST_USD)
    cut = cut_gaps(waiting, 2.0)
    assert cut is not None
    assert len({*cut.worker.tolist()}) == 3
    ended = at.evaluate(cut)
    assert ended.cost_usd == pytest.approx((1 + 100 + 1) * GB_S_USD + 3 * REQUEST_USD)
    assert ended.makespan_s == pytest.approx(waiting.makespan_s)
    assert cut_gaps(waiting, 99.5) is None
    assert "a wait of more than 2 s before it was cut" in at.plan(cut, "test").reasons[2]


def test_a_cut_between_two_workers() -> None:
    """All tasks after the gap move to the new worker, those before it and those of others stay together."""
    dag = FakeDag(((), (), (1,), (2,), ()), expected_s=dict.fromkeys(range(5), 10.0))
    at = bench(dag, platform=NOTHING)
    found = at.evaluate(at.seed("by hand", [0, 1, 0, 0, 2], 0, at.all_tasks))
    assert cut_gaps(found, 0.0) is None  # both are busy with their first task for as long
    slow = FakeDag(dag.wiring, expected_s={**dag.expected_s, 1: 30.0})
    at = bench(slow, platform=NOTHING)
    cut = cut_gaps(at.evaluate(at.seed("by hand", [0, 1, 0, 0, 2], 0, at.all_tasks)), 0.0)
    assert cut is not None
    orders = at.plan(cut, "test").orders
    assert sorted(orders.values()) == [(0,), (1,), (2, 3), (4,)]


def test_slack_and_downgrade() -> None:
    """The short branch of a fork may take as much longer as the long one lasts; its worker shrinks, no other."""
    dag = FakeDag(((), (0,), (0,), (1, 2)), expected_s={0: 1.0, 1: 30.0, 2: 4.0, 3: 1.0}, output_bytes={})
    at = bench(dag, platform=NOTHING, sizes=[512, 1769])
    fork = at.evaluate(at.seed("by hand", [0, 0, 1, 0], 1, at.all_tasks))
    assert slack_s(at, fork).tolist() == pytest.approx([0.0, 0.0, 26.0, 0.0])
    lower = downgraded(at, fork, 1.0)
    assert lower is not None
    assert lower.tier.tolist() == [1, 1, 0, 1]  # 4 s become 12.2
    smaller = at.evaluate(lower)
    assert smaller.makespan_s == fork.makespan_s
    assert smaller.cost_usd < fork.cost_usd
    assert downgraded(at, fork, 0.25) is None  # 8.2 s more are more than a quarter of 26
    assert polished(at, fork).candidate.tier.tolist() == [1, 1, 0, 1]


@pytest.mark.parametrize(("deadline_s", "workers"), [(80.0, 1), (40.0, 2), (20.0, 4), (10.0, 8)])
def test_a_deadline_is_met_at_the_least_cost(deadline_s: float, workers: int) -> None:
    """Of plans in time, the one with the fewest workers, since each costs a request; in time means to the second."""
    plan = FaaSLab().plan(
        EIGHT, plan_context(EIGHT, estimates=SURE, platform=NOTHING, objective="cost", deadline_s=deadline_s + 1e-6)
    )
    assert len(plan.orders) == workers
    assert {len(order) for order in plan.orders.values()} == {8 // workers}


@pytest.mark.parametrize(("workers", "makespan_s"), [(1, 80.0), (2, 40.0), (4, 20.0), (8, 10.0)])
def test_a_cap_on_cost_is_kept(workers: int, makespan_s: float) -> None:
    """With money for so many requests, the fastest plan has as many workers, all with the same work."""
    cap_usd = 80 * GB_S_USD + (workers + 0.5) * REQUEST_USD
    ctx = plan_context(EIGHT, estimates=SURE, platform=NOTHING, cost_cap_usd=cap_usd)
    plan = FaaSLab().plan(EIGHT, ctx)
    assert len(plan.orders) == workers
    assert ctx.simulate(EIGHT, plan).makespan_s == pytest.approx(makespan_s)


def test_plans_say_what_won_and_why() -> None:
    """Settings name the seed, and what it and the best seed come to at the median; reasons name seed and worker."""
    dag = FakeDag(((), (0,), (0,), (1, 2)), expected_s={0: 1.0, 1: 30.0, 2: 4.0, 3: 1.0})
    plan = plan_dag(dag, "faaslab", sizes=[512, 1769], objective=1e4)
    search = plan.settings["search"]
    assert all(search["seed"] in reason for reason in plan.reasons)
    ctx = plan_context(dag, sizes=[512, 1769], objective=1e4)
    found = ctx.simulate(dag, plan)
    assert (search["makespan_s"], search["cost_usd"]) == (found.makespan_s, found.cost_usd)
    assert search["best_seed_makespan_s"] > 0 < search["best_seed_cost_usd"]
    assert Plan.from_json(plan.to_json()) == plan


def test_the_budget_ends_the_search() -> None:
    """Seeds are always looked at; what remains of the budget limits the search; the seed decides its luck."""
    dag = FakeDag(tuple((task - 1,) if task % 3 else () for task in range(9)), expected_s=dict.fromkeys(range(9), 3.0))
    few, many = (plan_dag(dag, "faaslab", budget=budget) for budget in (1, 100_000))
    assert few.settings["search"]["simulations"] < many.settings["search"]["simulations"]
    assert many == plan_dag(dag, "faaslab", budget=100_000)


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=30), st.integers(2, 9))
def test_the_archive_is_the_pareto_front(points: list[tuple[int, int]], count: int) -> None:
    """It keeps exactly the points that no other one beats, by rising makespan; a spread has both ends of it."""
    at = bench(EIGHT, platform=NOTHING)
    one = at.evaluate(at.seed("by hand", [0] * 8, 0, at.all_tasks))
    archive = Archive()
    for makespan_s, cost_usd in points:
        archive.add(replace(one, makespan_s=makespan_s, cost_usd=cost_usd))
    front = {(s, usd) for s, usd in points if not any(a <= s and b <= usd and (a, b) != (s, usd) for a, b in points)}
    assert [(kept.makespan_s, kept.cost_usd) for kept in archive.found] == sorted(front)
    spread = archive.spread(count)
    assert len(spread) == min(count, len(front))
    assert {spread[0].makespan_s, spread[-1].makespan_s} == {min(front)[0], max(front)[0]}


@pytest.mark.parametrize(("sla", "workers"), [("p50", 2), ("p90", 4)])
def test_a_deadline_holds_at_the_sla(sla: str, workers: int) -> None:
    """The quantile of the makespan is kept within the deadline: at p90, the 40 s of two workers are 87 s."""
    settings: dict[str, Any] = {"platform": "none", "objective": "cost", "deadline_s": 62.0, "budget": 200_000}
    plan = plan_dag(EIGHT, "faaslab", sla=sla, **settings)
    assert plan.predicted is not None
    assert plan.predicted.makespan_s <= 62.0
    assert len(plan.orders) == workers
