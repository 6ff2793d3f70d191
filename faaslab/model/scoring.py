"""How good predictions were: of pairs of what was predicted, as a distribution, and what it came to.

A promise such as p90 is judged by its coverage, how many runs stayed below; that alone could be bought by predicting
too much, so it is read beside the pinball loss and the sharpness.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from faaslab.errors import ConfigError
from faaslab.model.distribution import Distribution

Pairs = Sequence[tuple[Distribution, float]]
"""What was predicted, and what it came to: positive numbers of one unit."""

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Coverage:
    """How often a promise was kept.

    Attributes:
        quantile: What was promised: the part of runs that stay below.
        hits: Runs that did, or came to just what was predicted.
        runs: All runs.
        low: Lower end of the Clopper-Pearson interval of ``rate``.
        high: Its upper end.
        p_value: Of the exact two-sided binomial test that the promise is right.
    """

    quantile: float
    hits: int
    runs: int
    low: float
    high: float
    p_value: float

    @property
    def rate(self) -> float:
        """The part of runs that stayed below."""
        return self.hits / self.runs


def coverage(pairs: Pairs, quantile: float, *, confidence: float = CONFIDENCE) -> Coverage:
    """Return how many runs stayed below a quantile of what was predicted for them.

    Args:
        pairs: At least one.
        quantile: Above 0 and below 1.
        confidence: Of the interval.

    Raises:
        ConfigError: There is no pair, or a number is outside its range.
    """
    _check(pairs, quantile)
    hits = sum(actual <= predicted.quantile(quantile) for predicted, actual in pairs)
    return coverage_of(hits, len(pairs), quantile, confidence=confidence)


def coverage_of(hits: int, runs: int, quantile: float, *, confidence: float = CONFIDENCE) -> Coverage:
    """Return what ``hits`` kept promises out of ``runs`` say of a quantile that was promised.

    The interval is that of Clopper and Pearson (Biometrika 1934).

    Raises:
        ConfigError: A number is outside its range.
    """
    from scipy import stats

    if not 0 <= hits <= runs or runs < 1 or not 0 < quantile < 1 or not 0 < confidence < 1:
        raise ConfigError(
            f"coverage of {hits} hits in {runs} runs at quantile {quantile} with confidence {confidence}: there must "
            "be a run, no more hits than runs, and both parts above 0 and below 1"
        )
    found = stats.binomtest(hits, runs, quantile)
    interval = found.proportion_ci(confidence, method="exact")
    return Coverage(quantile, hits, runs, float(interval.low), float(interval.high), float(found.pvalue))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted so that, of all tests, one rejects wrongly no more often than one alone would.

    Source: Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 1979.

    Args:
        p_values: One for each test.
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, test in enumerate(sorted(range(len(p_values)), key=lambda test: p_values[test])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[test]))
        adjusted[test] = highest
    return adjusted


def pinball_loss(pairs: Pairs, quantile: float) -> float:
    """Return the mean pinball loss of a quantile, in the unit of the values: least for the true quantile.

    Raises:
        ConfigError: There is no pair, or the quantile is not above 0 and below 1.
    """
    _check(pairs, quantile)
    losses = []
    for predicted, actual in pairs:
        above = actual - predicted.quantile(quantile)
        losses.append(max(quantile * above, (quantile - 1) * above))
    return statistics.fmean(losses)


def pit_values(pairs: Pairs) -> list[float]:
    """Return where in its predicted distribution each value lies, from 0 to 1: even, if predictions are right."""
    return [predicted.rank(actual) for predicted, actual in pairs]


def mape(pairs: Pairs) -> float:
    """Return the mean absolute error of predicted medians, as a part of the actual values.

    Raises:
        ConfigError: There is no pair.
    """
    _check(pairs)
    return statistics.fmean(abs(predicted.quantile(0.5) - actual) / actual for predicted, actual in pairs)


def median_log_error(pairs: Pairs) -> float:
    """Return the median of log(actual / predicted median): above 0, runs take longer than predicted.

    Raises:
        ConfigError: There is no pair.
    """
    _check(pairs)
    return statistics.median(math.log(actual / predicted.quantile(0.5)) for predicted, actual in pairs)


def sharpness(pairs: Pairs, quantile: float) -> float:
    """Return how many times its median a predicted quantile is, as the median over pairs: less is sharper.

    Raises:
        ConfigError: There is no pair, or the quantile is not above 0 and below 1.
    """
    _check(pairs, quantile)
    return statistics.median(predicted.quantile(quantile) / predicted.quantile(0.5) for predicted, _ in pairs)


def _check(pairs: Pairs, quantile: float = 0.5) -> None:
    if not pairs:
        raise ConfigError("there is no prediction to score")
    if not 0 < quantile < 1:
        raise ConfigError(f"quantile is {quantile}, must be above 0 and below 1")
    for predicted, actual in pairs:
        if not 0 < actual < math.inf or not predicted.draws[0] > 0:
            raise ConfigError(
                f"predictions of {predicted.draws[0]} or more are scored against {actual}: both must be finite and "
                "above 0"
            )
