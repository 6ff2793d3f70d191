"""Quantiles of whole runs, held against sampling them by other means."""

from typing import Any

import numpy as np
import pytest

from faaslab.errors import ConfigError
from faaslab.model.variation import Spread
from faaslab.plan import Plan
from faaslab.simulate import Simulator, monte_carlo
from faaslab.simulate.montecarlo import report_draws
from tests.plan.dags import FakeDag
from tests.simulate.scene import Known, plan_of, platform

SCATTER = Spread(0.1, 0.15, 0.2, 8.0)
WIDTH, LENGTH = 100, 20
SAMPLES = 100_000


def outcome(dag: FakeDag, workers: list[str | None], scatter: Spread, draws: int) -> Any:
    """Return what runs of one-second tasks come to where nothing but executing takes time."""
    known = Known([1.0] * len(dag), scatter=scatter)
    plan: Plan = plan_of(dag, workers)
    return monte_carlo(Simulator(dag, known, platform(cold_start_s=0.0)), plan, draws, seed=3)


def sampled(tasks: int, workers: np.ndarray, rng: np.random.Generator, samples: int) -> np.ndarray:
    """Return execution times of many runs, drawn with numpy's own Student's t."""
    run = SCATTER.run * rng.standard_t(8.0, (samples, 1))
    worker = SCATTER.worker * rng.standard_t(8.0, (samples, tasks))[:, workers]
    return np.exp(run + worker + SCATTER.task * rng.standard_t(8.0, (samples, tasks)))


def test_a_chain_against_brute_force() -> None:
    """The distribution of a chain on one worker is that of the sum of its times."""
    dag = FakeDag(tuple((task - 1,) if task else () for task in range(LENGTH)))
    found = outcome(dag, ["w"] * LENGTH, SCATTER, 4000).makespan
    times_s = sampled(LENGTH, np.zeros(LENGTH, dtype=int), np.random.default_rng(0), SAMPLES).sum(axis=1)
    for quantile in (0.1, 0.5, 0.9):
        assert found.quantile(quantile) == pytest.approx(np.quantile(times_s, quantile), rel=0.02)
    assert found.mean == pytest.approx(times_s.mean(), rel=0.02)


def test_a_fan_out_against_brute_force() -> None:
    """The distribution of a fan-out of workers is that of the largest of its times."""
    dag = FakeDag((*[()] * WIDTH, tuple(range(WIDTH))))
    found = outcome(dag, [f"w{task}" for task in range(WIDTH + 1)], SCATTER, 2000).makespan
    rng = np.random.default_rng(0)
    times_s = np.concatenate([sampled(WIDTH + 1, np.arange(WIDTH + 1), rng, 5000) for _ in range(10)])
    makespans_s = times_s[:, :WIDTH].max(axis=1) + times_s[:, WIDTH]
    for quantile in (0.1, 0.5, 0.9):
        assert found.quantile(quantile) == pytest.approx(np.quantile(makespans_s, quantile), rel=0.03)


def test_quantiles_of_tasks_are_none_of_runs() -> None:
    """Tasks that all take their own p90 are too slow for a chain's p90, and too fast for that of a fan-out."""
    own = Spread(0.0, 0.0, 0.3)
    chain = FakeDag(tuple((task - 1,) if task else () for task in range(LENGTH)))
    assert outcome(chain, ["w"] * LENGTH, own, 1000).makespan.quantile(0.9) < LENGTH * own.factor(0.9) / 1.2
    fan = FakeDag((*[()] * WIDTH, tuple(range(WIDTH))))
    p90_s = outcome(fan, [f"w{task}" for task in range(WIDTH + 1)], own, 1000).makespan.quantile(0.9)
    assert p90_s > 2 * own.factor(0.9) * 1.2


def test_draws_of_a_report_depend_on_the_number_of_tasks_alone() -> None:
    """A small DAG's report rests on a thousand runs, a large one's on as few as a search."""
    assert [report_draws(tasks) for tasks in (0, 1, 200, 1000, 10_000, 10**6)] == [1000, 1000, 1000, 200, 64, 64]


def test_more_draws_begin_with_the_same_ones() -> None:
    """A series is the longer one's beginning, and its cost is drawn with it."""
    dag = FakeDag(((), (0,)))
    few, many = (outcome(dag, ["a", "b"], SCATTER, draws) for draws in (5, 9))
    assert set(few.makespan.draws) < set(many.makespan.draws)
    assert len(many.cost.draws) == 9
    with pytest.raises(ConfigError, match="draws is 0"):
        outcome(dag, ["a", "b"], SCATTER, 0)
