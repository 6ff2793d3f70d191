"""How much times vary around what is predicted, and what varies together.

A logarithmic residual is the sum of what a run has in common (a slow hour), a worker (a slow machine), a task (its
own data) and the rest. Draws for a simulation must keep these apart: what all tasks of a run share does not average
out over a wide DAG.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIGMA = 0.15
"""Assumed spread (standard deviation of the logarithm) of a task that has run too rarely to tell."""
SIGMA_WEIGHT = 3.0
"""So many residuals the assumption, or what other functions show, counts as."""
DECLARED_SIGMA = 0.7
"""Assumed spread around what a user declared: right within a factor of two for two tasks of three."""
UNKNOWN_SIGMA = 1.5
"""Assumed spread around a default."""
SIZE_SIGMA = 0.1
"""Spread added for each doubling between the size asked for and the closest one measured."""
BYTES_SIGMA = 0.3
"""Spread added for each doubling that an input is larger or smaller than all measured ones."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Parts of the variance of logarithmic residuals; they sum to 1."""

    run: float
    worker: float
    task: float
    rest: float


NO_SHARES = Shares(0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Spread:
    """How the logarithm of a time scatters around that of the prediction: one draw of each part, added up.

    Attributes:
        run: Scale of what all tasks of a run share.
        worker: Scale of what all tasks of a worker share.
        task: Scale of what is the task's own, execution by execution, doubts about the prediction included.
        degrees: Degrees of freedom of Student's t, which all parts follow; infinite: normal.
    """

    run: float
    worker: float
    task: float
    degrees: float = math.inf

    @property
    def total(self) -> float:
        """Scale of the sum."""
        return math.sqrt(self.run**2 + self.worker**2 + self.task**2)

    def factor(self, quantile: float) -> float:
        """Return what to multiply a predicted median with for another quantile, above 0 and below 1."""
        from scipy.special import ndtri, stdtrit

        steps = ndtri(quantile) if math.isinf(self.degrees) else stdtrit(self.degrees, quantile)
        return math.exp(min(700.0, float(steps) * self.total))


def shares(
    residuals: "NDArray[np.float64]",
    run: "NDArray[Any]",
    worker: "NDArray[Any]",
    task: "NDArray[Any]",
    assumed_task: float = 0.0,
) -> Shares:
    """Return how the variance of residuals splits, by the method of moments.

    What two residuals have in common is the mean of their products over all pairs that share just that.

    Args:
        residuals: Logarithmic residuals of standard deviation 1.
        run: Number of the run of each.
        worker: Number of the worker of each; one worker is in one run.
        task: Number of the task of each, the same in every run; negative: none.
        assumed_task: The share of tasks if none of them was seen in two runs, which is what would tell.
    """
    import numpy as np

    total = float(residuals @ residuals)
    if len(residuals) < 2 or total <= 0:
        return NO_SHARES
    total /= len(residuals)
    by_run, by_worker = _pairs(residuals, run), _pairs(residuals, worker)
    named = task >= 0
    by_task = _pairs(residuals[named], task[named])
    # The same task again in the same run shares both.
    again = _pairs(residuals[named], np.unique(np.stack([run[named], task[named]]), axis=1, return_inverse=True)[1])
    of_run = _mean(by_run[0] - by_worker[0] - again[0], by_run[1] - by_worker[1] - again[1])
    of_worker = max(0.0, _mean(*by_worker) - of_run) if by_worker[1] > 0 else 0.0
    of_task = _mean(by_task[0] - again[0], by_task[1] - again[1])
    if by_task[1] - again[1] <= 0 and named.any():
        of_task = assumed_task * (total - of_run - of_worker)
    rest = max(total - of_run - of_worker - of_task, 0.05 * total)
    whole = of_run + of_worker + of_task + rest
    return Shares(of_run / whole, of_worker / whole, of_task / whole, rest / whole)


def _pairs(residuals: "NDArray[np.float64]", group: "NDArray[Any]") -> tuple[float, float]:
    """Return the sum of products over ordered pairs within groups, and the number of such pairs."""
    import numpy as np

    if not len(residuals):
        return 0.0, 0.0
    _, codes = np.unique(group, return_inverse=True)
    codes = codes.ravel()
    sums = np.bincount(codes, residuals)
    counts = np.bincount(codes).astype(float)
    return float(sums @ sums - residuals @ residuals), float(counts @ counts - len(residuals))


def _mean(products: float, pairs: float) -> float:
    return max(0.0, products / pairs) if pairs > 0.5 else 0.0


def shrunk_variance(squares: float, degrees: float, prior: float) -> float:
    """Return a variance from a sum of squares, drawn towards ``prior`` where there are few."""
    return (squares + SIGMA_WEIGHT * prior) / (max(degrees, 0.0) + SIGMA_WEIGHT)


def task_effects(
    residuals: "NDArray[np.float64]", task: "NDArray[Any]", parts: Shares
) -> dict[int, tuple[float, float]]:
    """Return by task the part of its residuals that is its own and will come again, and how sure that is.

    Means of few residuals are drawn towards 0: the best linear unbiased prediction of a random effect (Robinson, That
    BLUP is a Good Thing, Statistical Science 1991).

    Args:
        residuals: Logarithmic residuals.
        task: Number of the task of each; negative: none.
        parts: How their variance splits.

    Returns:
        For each task the logarithm of a factor, and which part of the task's variance it explains, from 0 to 1.
    """
    import numpy as np

    named = task >= 0
    if parts.task <= 0 or not named.any():
        return {}
    tasks, codes, counts = np.unique(task[named], return_inverse=True, return_counts=True)
    means = np.bincount(codes.ravel(), residuals[named]) / counts
    weights = parts.task / (parts.task + (1 - parts.task) / counts)
    return {
        int(number): (float(mean * weight), float(weight))
        for number, mean, weight in zip(tasks, means, weights, strict=True)
    }
