import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faaslab.viz import bootstrap


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
