"""Confidence intervals for figures, and tests of paired comparisons for tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

RESAMPLES = 10_000
CONFIDENCE = 0.95
TOLERANCE = 0.02
"""Ratios closer to 1 than this are ties."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate, its confidence interval, and how many samples it comes from."""

    estimate: float
    low: float
    high: float
    n: int


def bootstrap(
    samples: Sequence[float],
    statistic: Literal["median", "mean"] = "median",
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Return a statistic of samples with its bootstrap confidence interval.

    The interval is bias-corrected and accelerated (BCa; Efron 1987). Where BCa is undefined, because (nearly) all
    samples are equal, the percentile interval is used. A single sample has no interval: low and high are NaN.

    Args:
        samples: At least one finite number.
        statistic: What to estimate.
        confidence: Of the interval, between 0 and 1.
        resamples: Number of bootstrap resamples.
        seed: Of the resampling.

    Raises:
        ValueError: There is no sample, or one that is not finite.
    """
    import numpy as np
    from scipy import stats

    values = np.asarray(samples, dtype=float)
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"a confidence interval needs finite samples, got {list(samples)[:5]}")
    function: Any = np.median if statistic == "median" else np.mean
    estimate = float(function(values))
    if values.size == 1:
        return Interval(estimate, float("nan"), float("nan"), 1)
    if np.ptp(values) == 0:
        return Interval(estimate, estimate, estimate, int(values.size))

    def interval(method: str) -> tuple[float, float]:
        found = stats.bootstrap(
            (values,),
            function,
            confidence_level=confidence,
            n_resamples=resamples,
            method=method,
            rng=np.random.default_rng(seed),
        ).confidence_interval
        return float(found.low), float(found.high)

    # BCa estimates skewness by leaving out one sample at a time; if that changes nothing, it divides zero by zero.
    jackknife = [function(np.delete(values, index)) for index in range(values.size)]
    low, high = interval("BCa" if np.ptp(jackknife) > 0 else "percentile")
    return Interval(estimate, low, high, int(values.size))


@dataclass(frozen=True, slots=True)
class Ratios:
    """What paired ratios say, such as makespans of one planner over those of another; below 1, the first is better.

    Attributes:
        median: With its confidence interval.
        geometric_mean: Of all.
        p_value: Of the null hypothesis that ratios are as often as far above 1 as below.
        wins: How many are below 1 by more than the tolerance.
        ties: How many are neither.
        losses: How many are above 1 by more than the tolerance.
    """

    median: Interval
    geometric_mean: float
    p_value: float
    wins: int
    ties: int
    losses: int


def paired_ratios(ratios: Sequence[float], *, tolerance: float = TOLERANCE, seed: int = 0) -> Ratios:
    """Return statistics of ratios of pairs that are independent of each other.

    The test is Wilcoxon's signed-rank test of their logarithms, two-sided (Biometrics Bulletin 1(6), 1945); ratios of
    1 count for neither side.

    Args:
        ratios: At least one; above 0 and finite.
        tolerance: Ratios from ``1 / (1 + tolerance)`` to ``1 + tolerance`` are ties.
        seed: Of the bootstrap.

    Raises:
        ValueError: There is no ratio, or one that is not a finite number above 0.
    """
    import numpy as np
    from scipy import stats

    values = np.asarray(ratios, dtype=float)
    if values.size == 0 or not np.isfinite(values).all() or not (values > 0).all():
        raise ValueError(f"paired ratios must be finite and above 0, got {list(ratios)[:5]}")
    logs = np.log(values)
    wins, losses = int((logs < -np.log1p(tolerance)).sum()), int((logs > np.log1p(tolerance)).sum())
    return Ratios(
        median=bootstrap(ratios, seed=seed),
        geometric_mean=float(np.exp(logs.mean())),
        p_value=float(stats.wilcoxon(logs).pvalue) if logs.any() else 1.0,
        wins=wins,
        ties=int(values.size) - wins - losses,
        losses=losses,
    )


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return p-values adjusted for there being several tests, in the order given (Holm 1979).

    Those that stay below a level can be rejected together: the chance that any of them is rejected wrongly is below it.

    Args:
        p_values: By the name of the test.
    """
    adjusted: dict[str, float] = {}
    least = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = least
    return {name: adjusted[name] for name in p_values}
