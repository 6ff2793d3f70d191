"""Measures of predictions, by hand and against what is known of them."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from faaslab.errors import ConfigError
from faaslab.model.distribution import Distribution
from faaslab.model.scoring import (
    Pairs,
    coverage,
    coverage_of,
    holm,
    mape,
    median_log_error,
    pinball_loss,
    pit_values,
    sharpness,
)

FIVE = Distribution((1.0, 2.0, 3.0, 4.0, 5.0))


def drawn(scale: float, runs: int = 400) -> Pairs:
    """Return runs of a lognormal truth and predictions that are ``scale`` times as large."""
    rng = random.Random(5)
    truth = Distribution(tuple(sorted(scale * rng.lognormvariate(0, 0.5) for _ in range(1000))))
    return [(truth, rng.lognormvariate(0, 0.5)) for _ in range(runs)]


def test_coverage_by_hand() -> None:
    """Nine of ten below p90; the interval of Clopper and Pearson as in their tables."""
    pairs = [(FIVE, value) for value in (1, 1, 2, 2, 3, 3, 4, 4, 4.6, 4.7)]
    found = coverage(pairs, 0.9)
    assert (found.hits, found.runs, found.rate) == (9, 10, 0.9)
    assert found.low == pytest.approx(0.5550, abs=1e-4)
    assert found.high == pytest.approx(0.9975, abs=1e-4)
    assert found.p_value == 1.0
    assert coverage(pairs, 0.9, confidence=0.5).low > found.low


def test_exact_test() -> None:
    """340 of 400 at a promised p90 are too few, 352 are not."""
    assert coverage_of(340, 400, 0.9).p_value < 0.01
    assert coverage_of(352, 400, 0.9).p_value > 0.1


def test_holm_by_hand() -> None:
    """The smallest counts as often as there are tests, each next one less, and none less than one before."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_between_none_and_bonferroni(p_values: list[float]) -> None:
    """Adjusted values are no smaller than raw ones, no larger than Bonferroni's, and in the same order."""
    for raw, adjusted in zip(p_values, holm(p_values), strict=True):
        assert raw <= adjusted <= min(1.0, len(p_values) * raw) + 1e-12


def test_pinball_loss_is_least_for_the_truth() -> None:
    """By hand, and of predictions that are too small, right and too large the right ones lose least."""
    assert pinball_loss([(FIVE, 4.0)], 0.5) == 0.5
    assert pinball_loss([(FIVE, 2.0)], 0.75) == pytest.approx(0.25 * 2.0)
    for quantile in (0.5, 0.9, 0.99):
        losses = [pinball_loss(drawn(scale), quantile) for scale in (0.5, 1.0, 2.0)]
        assert losses[1] == min(losses)


def test_pit_is_even_if_predictions_are_right() -> None:
    """A test of evenness accepts right predictions and rejects wrong ones."""
    assert pit_values([(FIVE, 3.0), (FIVE, 0.0), (FIVE, 9.0)]) == [0.6, 0.0, 1.0]
    assert stats.kstest(pit_values(drawn(1.0)), "uniform").pvalue > 0.05
    assert stats.kstest(pit_values(drawn(1.3)), "uniform").pvalue < 0.001


def test_errors_of_medians() -> None:
    """Their size as a part of the actual value, and their direction."""
    pairs = [(FIVE, 6.0), (FIVE, 2.0), (FIVE, 3.0)]
    assert mape(pairs) == pytest.approx((0.5 + 0.5 + 0.0) / 3)
    assert median_log_error(pairs) == 0.0
    assert median_log_error([(FIVE, 6.0)]) == pytest.approx(np.log(2))


def test_sharpness() -> None:
    """How far the promised quantile is from the median."""
    assert sharpness([(FIVE, 1.0)], 0.75) == pytest.approx(4 / 3)
    assert sharpness(drawn(3.0), 0.9) == pytest.approx(np.exp(0.5 * 1.2816), rel=0.1)


def test_what_can_not_be_scored() -> None:
    """No prediction, a quantile outside its range and runs that took no time are refused."""
    for score in (mape, median_log_error):
        with pytest.raises(ConfigError, match="no prediction"):
            score([])
    with pytest.raises(ConfigError, match="quantile is 1"):
        coverage([(FIVE, 1.0)], 1.0)
    with pytest.raises(ConfigError, match="above 0"):
        mape([(FIVE, 0.0)])
    with pytest.raises(ConfigError, match="5 hits in 4 runs"):
        coverage_of(5, 4, 0.9)
