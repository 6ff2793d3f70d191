"""Luck: what shares it, that it is the same for every plan, and that it has the spread that it is to have."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from faaslab.errors import ConfigError
from faaslab.model.variation import Spread
from faaslab.planners import plan_dag
from faaslab.simulate import Draws, FlatDag, Placement, place, run_placement
from faaslab.simulate.draws import CHUNK, Drawn, drawn_runs, student_t
from faaslab.simulate.flat import filled_list, listed
from tests.plan.dags import CHAIN, FakeDag
from tests.simulate.scene import Known, plan_of, platform

WIDE = FakeDag((*[()] * 40,))
FORK = FakeDag(((), (0,), (0,), (1, 2)))


def placed(dag: FakeDag, scatter: Spread, workers: Sequence[str | None] | None = None, **settings: Any) -> Placement:
    """Return a placement of tasks that take a second each, by default each on its own worker."""
    names = [f"w{task}" for task in range(len(dag))] if workers is None else workers
    known = Known([1.0] * len(dag), dict.fromkeys(range(len(dag)), 500_000), scatter=scatter)
    return place(FlatDag.of(dag, known), plan_of(dag, names), platform(**settings))


def drawn(placement: Placement, runs: Sequence[Draws]) -> list[Drawn]:
    """Return the times of some runs."""
    return list(drawn_runs(placement, runs, listed, filled_list))


def factors(placement: Placement, number: int = 0) -> list[float]:
    """Return how many times its median each task takes in a run."""
    (run,) = drawn(placement, [Draws(7, number)])
    return [float(value) for value in run.exec_s]


def test_the_same_luck_gives_the_same_run() -> None:
    """Seed and number of a run decide all that is drawn; another one of either draws anew."""
    placement = placed(CHAIN, Spread(0.1, 0.1, 0.1), cold_start_sigma=0.3)
    makespans_s = [
        run_placement(placement, draws).makespan_s for draws in (Draws(1), Draws(1, 0), Draws(2), Draws(1, 1))
    ]
    assert makespans_s[0] == makespans_s[1]
    assert len(set(makespans_s)) == 3


def test_without_scatter_everything_takes_its_median() -> None:
    """Where nothing scatters, luck changes nothing."""
    placement = placed(FORK, Spread(0.0, 0.0, 0.0), store_latency_s=0.01, invocation_latency_s=0.02)
    assert run_placement(placement, Draws(3)).tasks == run_placement(placement).tasks


@given(st.integers(1, 40), st.integers(0, 3))
def test_a_task_has_its_luck_in_every_dag_and_plan(tasks: int, number: int) -> None:
    """What befalls a task does not depend on how many others there are, nor on the sizes of the plan."""
    scatter = Spread(0.1, 0.2, 0.3, 6.0)
    few = placed(replace(WIDE, wiring=WIDE.wiring[:tasks]), scatter)
    assert factors(few, number) == factors(placed(WIDE, scatter), number)[:tasks]


def test_all_tasks_of_a_run_share_its_luck() -> None:
    """The effect of a run is one factor for all, another one in the next run."""
    placement = placed(FORK, Spread(0.3, 0.0, 0.0))
    first, second = factors(placement), factors(placement, 1)
    assert len(set(first)) == len(set(second)) == 1
    assert first[0] != second[0] != 1.0


def test_tasks_of_a_planned_worker_share_its_luck() -> None:
    """A worker has the luck of its first task, whatever else it runs."""
    one = factors(placed(FORK, Spread(0.0, 0.3, 0.0), ["a", "b", "a", "b"]))
    assert one[0] == one[2] != one[1] == one[3]
    other = factors(placed(FORK, Spread(0.0, 0.3, 0.0), ["a", "b", "b", "b"]))
    assert other == [one[0], one[1], one[1], one[1]]


def test_run_time_workers_are_known_as_far_as_their_tasks_follow_each_other() -> None:
    """A chain stays on one worker under any luck; who goes on with a fan-out is decided by its course."""
    chain = factors(placed(CHAIN, Spread(0.0, 0.3, 0.0), [None] * 3))
    assert len(set(chain)) == 1
    assert len(set(factors(placed(FORK, Spread(0.0, 0.3, 0.0), [None] * 4)))) == 4


def test_what_a_task_has_of_its_own() -> None:
    """Factors of single tasks have the median 1 and the scale that the spread says, around which t has its tails."""
    placement = placed(WIDE, Spread(0.0, 0.0, 0.4))
    logs = [math.log(factor) for number in range(100) for factor in factors(placement, number)]
    assert statistics.fmean(logs) == pytest.approx(0.0, abs=0.02)
    assert statistics.stdev(logs) == pytest.approx(0.4, abs=0.02)
    tailed = placed(WIDE, Spread(0.0, 0.0, 0.4, 4.0))
    logs = [math.log(factor) for number in range(200) for factor in factors(tailed, number)]
    low, high = np.quantile(logs, [0.05, 0.95])
    assert high == pytest.approx(0.4 * stats.t.ppf(0.95, 4.0), rel=0.04)
    assert low == pytest.approx(-high, rel=0.06)


def test_parts_add_up() -> None:
    """The logarithm of a factor is the sum of what run, worker and task have drawn."""
    scales = [Spread(0.3, 0.0, 0.0), Spread(0.0, 0.2, 0.0), Spread(0.0, 0.0, 0.1)]
    parts = [np.log(factors(placed(FORK, scatter))) for scatter in scales]
    assert np.log(factors(placed(FORK, Spread(0.3, 0.2, 0.1)))) == pytest.approx(sum(parts))


@pytest.mark.parametrize("degrees", [3.0, 5.0, 10.0, 40.0])
def test_students_t(degrees: float) -> None:
    """Up to two standard deviations the approximation is within 1.5 %, and it never falls."""
    normal = np.linspace(-2.0, 2.0, 401)
    found = student_t(normal, np.full(401, degrees))
    exact = stats.t.ppf(stats.norm.cdf(normal), degrees)
    assert found == pytest.approx(exact, rel=0.015, abs=1e-9)
    assert (np.diff(student_t(np.linspace(-4, 4, 801), np.full(801, degrees))) > 0).all()
    assert (student_t(normal, np.full(401, math.inf)) == normal).all()


def test_the_platform_scatters_as_it_says() -> None:
    """Transfers, invocations and cold starts are lognormal around the platform's medians."""
    placement = placed(
        FORK,
        Spread(0.0, 0.0, 0.0),
        store_latency_s=0.01,
        store_sigma=0.2,
        download_bytes_per_s=1e6,
        upload_bytes_per_s=1e6,
        invocation_latency_s=0.05,
        invocation_sigma=0.4,
        cold_start_sigma=0.3,
    )
    runs = drawn(placement, [Draws(0, number) for number in range(1000)])

    def sigma(column: str, median_s: float, at: int) -> float:
        logs = [math.log(getattr(run, column)[at] / median_s) for run in runs]
        assert statistics.fmean(logs) == pytest.approx(0.0, abs=0.05)
        return statistics.stdev(logs)

    fetch_s, blob_s = placement.changing[3], placement.arrays[11]
    assert sigma("fetch_s", fetch_s[3], 3) == pytest.approx(0.2, abs=0.02)
    assert sigma("blob_s", blob_s[0], 0) == pytest.approx(0.2, abs=0.02)
    assert sigma("invocation_s", 0.05, 2) == pytest.approx(0.4, abs=0.04)
    assert sigma("cold_s", 1.0, 5) == pytest.approx(0.3, abs=0.03)
    assert run_placement(placement, Draws(0, 1)).exec_s == [1.0] * 4


def test_chunks_change_nothing() -> None:
    """Runs that are drawn together are those that are drawn one by one."""
    placement = placed(WIDE, Spread(0.1, 0.1, 0.1, 5.0), cold_start_sigma=0.3)
    assert len(WIDE) * 7 * 20 < CHUNK
    together = drawn(placement, [Draws(5, number) for number in range(20)])
    assert together == [drawn(placement, [Draws(5, number)])[0] for number in range(20)]


@pytest.mark.parametrize("arguments", [(-1,), (1, -1), (0.5,), (1, True), ("a",)])
def test_draws_are_named_by_whole_numbers(arguments: tuple[Any, ...]) -> None:
    """A seed or number that is none is refused."""
    with pytest.raises(ConfigError, match="must be a whole number of 0 or more"):
        Draws(*arguments)


@pytest.mark.parametrize(
    "scatter", [Spread(-0.1, 0, 0), Spread(0, math.nan, 0), Spread(0, 0, math.inf), Spread(0, 0, 0, 0)]
)
def test_a_spread_that_is_none(scatter: Spread) -> None:
    """Estimates of a spread that is out of its range are refused by the task's id."""
    with pytest.raises(ConfigError, match=r"'f#0'.*1769 MiB.*scatter"):
        run_placement(placed(CHAIN, scatter), Draws(0))


def test_plans_are_compared_under_the_same_luck() -> None:
    """What a faster start gains is seen run by run: once or twice, as the slower branch has a warm container or not."""
    flat = FlatDag.of(FORK, Known([1.0] * 4, scatter=Spread(0.3, 0.0, 0.3)))
    plan = plan_dag(FORK, "per_task")
    slow, fast = (place(flat, plan, platform(cold_start_s=cold_s)) for cold_s in (0.2, 0.1))
    for number in range(30):
        slower, faster = (run_placement(placement, Draws(1, number)) for placement in (slow, fast))
        assert 0.1 - 1e-9 <= slower.makespan_s - faster.makespan_s <= 0.2 + 1e-9
