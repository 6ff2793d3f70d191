"""``faaslab``: never worse than what it starts from, and golden decisions of its parts."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from faaslab.model.platform import Platform, platform_named
from faaslab.model.profiles import PlatformProfile
from faaslab.planners.candidates import Bench
from faaslab.planners.planner import PlanContext
from faaslab.planners.portfolio import seeds
from faaslab.planners.registry import plan_context, plan_with
from faaslab.planners.search import climb, polished
from tests.plan.dags import FakeDag, dags

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


@settings(max_examples=40)
@given(timed_dags(), platforms, some_sizes, objectives, st.sampled_from((1, 3, 1000)))
def test_never_dominated(
    dag: FakeDag, platform: Platform, sizes: tuple[int, ...], objective: str | float, concurrency: int
) -> None:
    """No planner's plan is better in one of makespan and cost and as good in the other, nor preferred."""
    where = Platform(platform.profile, concurrency=concurrency)
    ctx = plan_context(dag, platform=where, sizes=[*sizes, 3008], objective=objective, budget=2000)
    plan = plan_with("faaslab", dag, ctx)
    found = ctx.simulate(dag, plan)
    score = ctx.objective.score(found.makespan_s, found.cost_usd)
    for name in BASELINES:
        other = ctx.simulate(dag, plan_with(name, dag, ctx))
        assert score <= ctx.objective.score(other.makespan_s, other.cost_usd), name
        dominated = other.makespan_s <= found.makespan_s and other.cost_usd <= found.cost_usd
        assert not dominated or (other.makespan_s, other.cost_usd) == (found.makespan_s, found.cost_usd), name


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
