"""Where and when empty invocations are planned."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from faaslab.model.variation import Spread
from faaslab.plan import Plan, Prewarm, check_plan
from faaslab.planners.parts.prewarm import _runs, apply, quantile
from faaslab.planners.planner import PlanContext
from tests.plan.dags import FakeDag
from tests.simulate.scene import NO_SCATTER, Known, plan_of, platform

SMALL, MIDDLE, LARGE = 1769, 3538, 7076
CHAIN = ((), (0,), (1,))


def context(seconds: Sequence[float], scatter: Spread = NO_SCATTER, **settings: Any) -> PlanContext:
    """Return a context of a platform on which only cold starts, of 1 s, take time."""
    return PlanContext(lambda: Known(seconds, scatter=scatter), (SMALL, MIDDLE, LARGE), platform=platform(**settings))


def told(wiring: Any, workers: Any, sizes: Any, ctx: PlanContext) -> tuple[Plan, Plan, FakeDag]:
    """Return a plan without and with what ``apply`` adds."""
    dag = FakeDag(wiring)
    plan = plan_of(dag, workers, sizes)
    return plan, apply(dag, plan, ctx), dag


def test_a_chain_of_rising_sizes() -> None:
    """Where containers are kept for long, all sizes but the first are prewarmed at once, and are warm in time."""
    ctx = context([3.0, 3.0, 3.0])
    plan, better, dag = told(CHAIN, ["a", "b", "c"], [SMALL, MIDDLE, LARGE], ctx)
    assert better.instructions.prewarms == (Prewarm(MIDDLE), Prewarm(LARGE))
    check_plan(dag, better)
    before, after = ctx.simulate(dag, plan), ctx.simulate(dag, better)
    assert (before.makespan_s, after.makespan_s) == (12.0, 10.0)
    assert (before.cold_starts, after.cold_starts) == (3, 1)


def test_short_keep_alive() -> None:
    """Containers that are not kept for long start when they are wanted, counted from the task before."""
    ctx = context([3.0, 3.0, 3.0], keep_alive_s=0.5)
    _, better, dag = told(CHAIN, ["a", "b", "c"], [SMALL, MIDDLE, LARGE], ctx)
    middle, large = better.instructions.prewarms
    # The second worker is wanted at 4 s, and nothing is stored before; the third one 3 s after the first has stored.
    assert (middle.after, middle.delay_s, middle.count) == (None, pytest.approx(3.0), 1)
    assert (large.after, large.delay_s, large.count) == (0, pytest.approx(2.0), 1)
    assert ctx.simulate(dag, better).makespan_s == pytest.approx(10.0)


def test_limits_of_the_platform() -> None:
    """Where not all containers fit at a time, they start when they are wanted."""
    ctx = context([3.0, 3.0, 3.0], concurrency=2)
    _, better, _ = told(CHAIN, ["a", "b", "c"], [SMALL, MIDDLE, LARGE], ctx)
    assert [prewarm.delay_s for prewarm in better.instructions.prewarms] == [pytest.approx(3.0), pytest.approx(2.0)]


@pytest.mark.parametrize("keep_alive_s", [0.5, 600.0])
def test_a_fan_out(keep_alive_s: float) -> None:
    """As many overlapping ones are sent as containers are wanted together; the first one goes on in its own."""
    wiring = ((), (0,), (0,), (0,), (0,), (1, 2, 3, 4))
    ctx = context([3.0, 2.0, 2.0, 2.0, 2.0, 1.0], keep_alive_s=keep_alive_s)
    plan, better, dag = told(wiring, [f"w{task}" for task in range(6)], [SMALL] * 6, ctx)
    (prewarm,) = better.instructions.prewarms
    assert (prewarm.size_mib, prewarm.count) == (SMALL, 3)
    before, after = ctx.simulate(dag, plan), ctx.simulate(dag, better)
    assert before.cold_starts == 4
    assert (before.makespan_s, after.makespan_s) == (8.0, 7.0)


def test_other_batches_idle() -> None:
    """A later batch is larger by what idles then, which it merely refreshes."""
    wiring = ((), (0,), (), (2,), (), (4,))
    ctx = context([4.0, 10.0, 6.4, 10.0, 6.6, 10.0], keep_alive_s=2.5)
    _, better, dag = told(wiring, list("abcdef"), [SMALL, LARGE] * 3, ctx)
    first, second = better.instructions.prewarms
    assert (first.after, first.delay_s, first.count) == (None, pytest.approx(4.0), 2)
    assert (second.after, second.delay_s, second.count) == (0, pytest.approx(1.6), 2)
    assert ctx.simulate(dag, better).makespan_s == pytest.approx(17.6)


@pytest.mark.parametrize("keep_alive_s", [0.5, 1.0, 3.5])
def test_scattering_times(keep_alive_s: float) -> None:
    """Where times scatter, moments are right for nine runs of ten, or as many as the keep-alive allows."""
    ctx = context([3.0, 3.0], Spread(0.0, 0.0, 0.3), keep_alive_s=keep_alive_s)
    plan, better, dag = told(((), (0,)), ["a", "b"], [SMALL, LARGE], ctx)
    (prewarm,) = better.instructions.prewarms
    assert prewarm.after is None
    runs = [[run.makespan_s for run in _runs(dag, one, ctx)] for one in (plan, better)]
    saved_s = [before - after for before, after in zip(*runs, strict=True)]
    assert min(saved_s) >= -1e-9
    assert max(saved_s) == pytest.approx(1.0)
    assert sum(saved > 0.99 for saved in saved_s) >= (0.85 if keep_alive_s > 3 else 0.2) * len(saved_s)
    if keep_alive_s > 3:
        assert 1.5 < prewarm.delay_s < 2.5


def test_nothing_to_help() -> None:
    """A single worker, or workers that are all wanted at once, are left alone."""
    ctx = context([1.0, 1.0])
    for wiring, workers in ((((), (0,)), ["a", "a"]), (((), ()), ["a", "b"])):
        plan, same, _ = told(wiring, workers, [SMALL, SMALL], ctx)
        assert same == plan


def test_it_is_found_anew() -> None:
    """Empty invocations that a plan had are not counted twice."""
    ctx = context([3.0, 3.0, 3.0])
    plan, better, dag = told(CHAIN, ["a", "b", "c"], [SMALL, MIDDLE, LARGE], ctx)
    assert apply(dag, better, ctx) == better
    assert plan == replace(better, instructions=replace(better.instructions, prewarms=()))


def test_quantiles() -> None:
    """The smallest number that a part does not exceed."""
    assert [quantile([1, 2, 3, 4], part) for part in (0.0, 0.25, 0.5, 0.9, 1.0)] == [1, 1, 2, 4, 4]
