"""Confidence intervals for figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

RESAMPLES = 10_000
CONFIDENCE = 0.95


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
