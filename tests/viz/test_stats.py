import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faaslab.viz import bootstrap, holm, paired_ratios


def test_interval_of_known_samples() -> None:
    """The median of 1…9 is 5, its interval lies inside the samples, and the same seed gives the same interval."""
    first = bootstrap([float(value) for value in range(1, 10)], seed=1)
    assert (first.estimate, first.n) == (5.0, 9)
    assert 1 <= first.low < 5 < first.high <= 9
    assert bootstrap([float(value) for value in range(1, 10)], seed=1) == first


def test_interval_covers_the_mean() -> None:
    """The mean of many samples has a narrow interval around it."""
    found = bootstrap([10.0 + (index % 7 - 3) for index in range(140)], "mean")
    assert found.low < 10.0 < found.high
    assert found.high - found.low < 1.0


def test_one_sample_has_no_interval() -> None:
    """A single run shows its value and no interval."""
    found = bootstrap([3.0])
    assert (found.estimate, found.n) == (3.0, 1)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


@pytest.mark.parametrize("samples", [[2.0, 2.0, 2.0], [1.0, 2.0, 2.0, 2.0, 3.0], [1.0, 1.0, 1.0, 5.0], [1.0, 2.0]])
@pytest.mark.parametrize("statistic", ["median", "mean"])
def test_ties_are_no_problem(samples: list[float], statistic: str) -> None:
    """Where BCa is undefined because of ties, there is an interval all the same."""
    found = bootstrap(samples, statistic)  # type: ignore[arg-type]
    assert min(samples) <= found.low <= found.estimate <= found.high <= max(samples)


@pytest.mark.parametrize("samples", [[], [1.0, math.nan], [math.inf]])
def test_bad_samples(samples: list[float]) -> None:
    """No samples, or ones that are not finite, are refused."""
    with pytest.raises(ValueError, match="finite samples"):
        bootstrap(samples)


@given(st.lists(st.sampled_from([1.0, 1.5, 2.0, 8.0]), min_size=2, max_size=12))
def test_interval_stays_within_the_samples(samples: list[float]) -> None:
    """Whatever the samples, the interval is finite and inside their range."""
    found = bootstrap(samples, resamples=200)
    assert min(samples) <= found.low <= found.high <= max(samples)


def test_ratios_by_hand() -> None:
    """Of 1/2, 1/2, 1/4 and 1/8 the median is 3/8, the geometric mean 2 ** -1.75."""
    found = paired_ratios([0.5, 0.5, 0.25, 0.125])
    assert found.median.estimate == 0.375
    assert 0.125 <= found.median.low <= 0.375 <= found.median.high <= 0.5
    assert found.geometric_mean == pytest.approx(2**-1.75)
    assert (found.wins, found.ties, found.losses) == (4, 0, 0)
    # Signs of 4 ranks: all of one sign in 2 of 2 ** 4 cases.
    assert paired_ratios([0.5, 0.4, 0.25, 0.125]).p_value == pytest.approx(2 / 16)


def test_signed_ranks_by_hand() -> None:
    """Of the ratios 1/2, 1/4, 1/8 and 1.1 the one loss has the least rank: 4 of 16 sign patterns are as extreme."""
    found = paired_ratios([0.5, 0.25, 0.125, 1.1])
    assert found.p_value == pytest.approx(4 / 16)
    assert (found.wins, found.ties, found.losses) == (3, 0, 1)


def test_ties_are_symmetric() -> None:
    """Two per cent longer and two per cent shorter are both ties, a little more is not."""
    found = paired_ratios([1.0199, 1 / 1.0199, 1.0, 1.0201, 1 / 1.0201])
    assert (found.wins, found.ties, found.losses) == (1, 3, 1)
    assert found.geometric_mean == pytest.approx(1.0)


def test_equal_pairs() -> None:
    """Where nothing differs, nothing is significant."""
    found = paired_ratios([1.0, 1.0, 1.0])
    assert (found.median.estimate, found.geometric_mean, found.p_value, found.ties) == (1.0, 1.0, 1.0, 3)


@pytest.mark.parametrize("ratios", [[], [0.0, 1.0], [-1.0], [math.inf], [math.nan]])
def test_no_ratios(ratios: list[float]) -> None:
    """What is no ratio is refused."""
    with pytest.raises(ValueError, match="finite and above 0"):
        paired_ratios(ratios)


def test_holm_by_hand() -> None:
    """The least of three counts three times, the next twice; none falls below the one before it, none is above 1."""
    assert holm({"a": 0.02, "b": 0.01, "c": 0.04}) == pytest.approx({"a": 0.04, "b": 0.03, "c": 0.04})
    assert holm({"a": 0.03, "b": 0.02}) == pytest.approx({"a": 0.04, "b": 0.04})
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}
    assert list(holm({"a": 0.9, "b": 0.8})) == ["a", "b"]
    assert holm({}) == {}


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1), max_size=8))
def test_holm_only_raises_p_values(p_values: dict[str, float]) -> None:
    """No adjusted p-value is below its own, and the order stays."""
    adjusted = holm(p_values)
    assert all(1 >= adjusted[name] >= p_values[name] for name in p_values)
    for one in p_values:
        assert all(adjusted[one] <= adjusted[other] for other in p_values if p_values[one] <= p_values[other])
