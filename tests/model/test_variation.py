"""How times scatter, and what scatters together."""

import math

import numpy as np
import pytest

from faaslab.model.variation import NO_SHARES, Shares, Spread, shares, shrunk_variance, task_effects


def residuals(
    run: float, worker: float, task: float, rest: float, runs: int = 60, tasks: int = 60
) -> tuple[np.ndarray, ...]:
    """Return residuals with these standard deviations, and run, worker and task of each; six workers a run."""
    rng = np.random.default_rng(3)
    of_run, of_task = rng.normal(0, run, runs), rng.normal(0, task, tasks)
    of_worker = rng.normal(0, worker, (runs, 6))
    r, t = (grid.ravel() for grid in np.meshgrid(np.arange(runs), np.arange(tasks), indexing="ij"))
    # Which worker gets a task differs from run to run.
    w = rng.integers(0, 6, r.shape)
    return of_run[r] + of_worker[r, w] + of_task[t] + rng.normal(0, rest, r.shape), r, r * 10 + w, t


@pytest.mark.parametrize(
    "parts", [(0.3, 0.0, 0.0, 0.1), (0.0, 0.3, 0.0, 0.1), (0.0, 0.0, 0.3, 0.1), (0.2, 0.15, 0.25, 0.1), (0, 0, 0, 1)]
)
def test_shares_are_found(parts: tuple[float, float, float, float]) -> None:
    """Variances of run, worker, task and rest are recovered from their sum."""
    values, *groups = residuals(*parts)
    found = shares(values / values.std(), *groups)
    whole = sum(part**2 for part in parts)
    wanted = [part**2 / whole for part in parts]
    assert [found.run, found.worker, found.task, found.rest] == pytest.approx(wanted, abs=0.1)
    assert found.run + found.worker + found.task + found.rest == pytest.approx(1.0)


def test_shares_of_next_to_nothing() -> None:
    """One residual, or none that differs from 0, says nothing of shares."""
    one = np.zeros(1)
    assert shares(one, one, one, one) == NO_SHARES
    assert shares(np.zeros(5), np.zeros(5), np.zeros(5), np.arange(5)) == NO_SHARES


def test_one_run_leaves_tasks_to_the_assumption() -> None:
    """Whether differences are the tasks' own shows in a second run only; until then it is assumed."""
    values, run, worker, task = residuals(0.0, 0.0, 0.3, 0.1, runs=1)
    assert shares(values / values.std(), run, worker, task).task == 0.0
    assert shares(values / values.std(), run, worker, task, 0.5).task > 0.3
    unnamed = np.full(len(task), -1)
    assert shares(values / values.std(), run, worker, unnamed, 0.5).task == 0.0


def test_effects_of_tasks_are_drawn_towards_zero() -> None:
    """A task twice as slow as predicted is expected to be so again, the surer the more often it was."""
    twice = math.log(2)
    found = task_effects(np.array([twice, twice, twice, twice]), np.array([7, 7, 7, 8]), Shares(0, 0, 0.5, 0.5))
    assert found[7] == pytest.approx((0.75 * twice, 0.75))
    assert found[8] == pytest.approx((0.5 * twice, 0.5))
    assert task_effects(np.array([twice]), np.array([-1]), Shares(0, 0, 0.5, 0.5)) == {}
    assert task_effects(np.array([twice]), np.array([7]), NO_SHARES) == {}


def test_a_variance_from_few_residuals_is_drawn_to_the_assumption() -> None:
    """Without degrees of freedom the assumption stands; with many it is forgotten."""
    assert shrunk_variance(0.0, 0.0, 0.04) == pytest.approx(0.04)
    assert shrunk_variance(1000.0, 1000.0, 0.04) == pytest.approx(1.0, rel=0.01)


def test_quantiles_of_a_spread() -> None:
    """The median's factor is 1, p90 lies 1.2816 scales above it, farther with few degrees of freedom."""
    spread = Spread(0.2, 0.1, 0.2)
    assert spread.total == pytest.approx(0.3)
    assert spread.factor(0.5) == pytest.approx(1.0)
    assert spread.factor(0.9) == pytest.approx(math.exp(1.2816 * 0.3), rel=1e-4)
    assert spread.factor(0.1) == pytest.approx(1 / spread.factor(0.9))
    assert Spread(0.2, 0.1, 0.2, 4.0).factor(0.9) == pytest.approx(math.exp(1.5332 * 0.3), rel=1e-4)
    assert math.isfinite(Spread(0.0, 0.0, 1e6).factor(0.99))
