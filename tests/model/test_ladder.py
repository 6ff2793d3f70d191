"""The ladder of rules, rung by rung, with numbers worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faaslab.model.estimates import prior_scale
from faaslab.model.ladder import Ladder
from faaslab.model.regression import nonnegative_fit
from faaslab.model.sizes import MIB_PER_VCPU, vcpus

ONE = MIB_PER_VCPU


def fit(*samples: tuple[int, float, float]) -> Ladder:
    """Fit to samples of size, bytes, seconds."""
    sizes, inputs, seconds = zip(*samples, strict=True)
    return Ladder.fit(np.array(sizes, dtype=np.int32), np.array(inputs, dtype=float), np.array(seconds, dtype=float))


def at(ladder: Ladder, size_mib: int, size_bytes: float = 100.0) -> float:
    """Return the seconds for one input."""
    return float(ladder.predict(np.array([size_bytes]), size_mib)[0])


def test_rung_1_is_a_line_at_the_size() -> None:
    """Six samples at a size: what a byte costs there, whatever other sizes say."""
    samples = [(1024, n, 2.0 + 0.01 * n) for n in (100.0, 200.0, 300.0, 400.0, 500.0, 600.0)]
    ladder = fit(*samples, (512, 100.0, 50.0), (4096, 100.0, 0.1))
    assert at(ladder, 1024, 100) == pytest.approx(3.0)
    assert at(ladder, 1024, 1000) == pytest.approx(12.0)
    assert ladder.weight(1024) == 1.0


def test_rung_2_separates_what_scales() -> None:
    """Three sizes and eight samples: fixed, per byte, shared by vCPUs and per byte shared by vCPUs are told apart."""

    def truth(size: int, n: float) -> float:
        return 1.0 + 0.01 * n + (2.0 + 0.02 * n) / vcpus(size)

    samples = [(size, n, truth(size, n)) for size in (ONE, 2 * ONE, 4 * ONE) for n in (100.0, 300.0, 900.0)]
    ladder = fit(*samples)
    assert at(ladder, 3 * ONE, 500) == pytest.approx(truth(3 * ONE, 500))
    assert ladder.weight(3 * ONE) == 0.0


def test_rung_2_knows_one_thread() -> None:
    """A task of one thread is throttled below one vCPU and gains nothing above."""
    samples = [(size, 100.0, 1.0 / min(1.0, vcpus(size))) for size in (512, 1024, ONE, 4096) for _ in range(2)]
    ladder = fit(*samples)
    assert at(ladder, 700) == pytest.approx(ONE / 700)
    assert at(ladder, 3000) == pytest.approx(1.0)
    assert at(ladder, 8000) == pytest.approx(1.0)


def test_rung_2_needs_eight_samples() -> None:
    """With seven samples at three sizes, the two closest sizes are interpolated instead."""
    seven = fit(*[(ONE, 100.0, 8.0)] * 3, *[(2 * ONE, 100.0, 4.0)] * 2, *[(4 * ONE, 100.0, 1.0)] * 2)
    assert not seven.surface
    assert at(seven, round(2 * ONE * 2**0.5)) == pytest.approx(2.0, rel=1e-3)


def test_rung_3_interpolates_logarithms() -> None:
    """Half way between 1 and 4 vCPUs, at 2, 9 s and 4 s give their geometric mean."""
    ladder = fit((ONE, 100.0, 9.0), (4 * ONE, 100.0, 4.0))
    assert at(ladder, 2 * ONE) == pytest.approx(6.0)


def test_rung_4_follows_the_slope_of_the_closest_two() -> None:
    """From 8 s at 2 and 4 s at 3.2 vCPUs on: the slope is clamped to -1; rising times are clamped to 0."""
    steep = fit((2 * ONE, 100.0, 8.0), (round(3.2 * ONE), 100.0, 4.0))
    assert at(steep, round(4.8 * ONE)) == pytest.approx(4.0 * 3.2 / 4.8, rel=1e-3)
    mild = fit((2 * ONE, 100.0, 4.0), (4 * ONE, 100.0, 4.0 / 2**0.5))
    assert at(mild, 3 * ONE) < 4.0
    assert at(mild, 5 * ONE) == pytest.approx(4.0 / 2**0.5 * (5 / 4) ** -0.5)
    rising = fit((2 * ONE, 100.0, 4.0), (4 * ONE, 100.0, 5.0))
    assert at(rising, 5 * ONE) == at(rising, 4 * ONE)


def test_rung_4_takes_the_prior_from_a_single_size() -> None:
    """One size alone: exponent 0.9 below one vCPU, 0.4 above."""
    ladder = fit((ONE, 100.0, 2.0))
    assert at(ladder, ONE // 2) == pytest.approx(2.0 * (ONE / (ONE // 2)) ** 0.9)
    assert at(ladder, 4 * ONE) == pytest.approx(2.0 * 4**-0.4)
    above = fit((4 * ONE, 100.0, 2.0))
    assert at(above, 884) == pytest.approx(2.0 * 4**0.4 * (ONE / 884) ** 0.9)


def test_one_vcpu_is_crossed_by_the_prior() -> None:
    """Sizes on one side of one vCPU do not tell how a task scales on the other."""
    flat_above = [(size, 100.0, 3.0) for size in (ONE, 2 * ONE, 4 * ONE) for _ in range(3)]
    assert at(fit(*flat_above), 900) == pytest.approx(3.0 * (ONE / 900) ** 0.9)
    steep_below = [(size, 100.0, ONE / size) for size in (256, 512, 1024) for _ in range(3)]
    assert at(fit(*steep_below), 4 * ONE) == pytest.approx(4**-0.4)


def test_few_samples_are_blended() -> None:
    """Three samples at a size count as much as interpolation by its neighbours; one counts a quarter."""
    sides = [(ONE, 100.0, 16.0), (4 * ONE, 100.0, 4.0)]
    three = fit(*sides, *[(2 * ONE, 100.0, 2.0)] * 3)
    assert three.weight(2 * ONE) == 0.5
    assert at(three, 2 * ONE) == pytest.approx(math.sqrt(2.0 * 8.0))
    one = fit(*sides, (2 * ONE, 100.0, 2.0))
    assert at(one, 2 * ONE) == pytest.approx(2.0**0.25 * 8.0**0.75)


def test_a_single_size_is_not_blended() -> None:
    """Where nothing else is known, one sample is all there is."""
    assert at(fit((ONE, 100.0, 2.5)), ONE) == pytest.approx(2.5)


def test_what_a_byte_costs_comes_from_other_sizes() -> None:
    """A size that has only seen inputs of one size scales them as its neighbours do."""
    known = [(ONE, n, 0.01 * n) for n in (100.0, 200.0, 300.0, 400.0, 500.0, 600.0)]
    ladder = fit(*known, *[(2 * ONE, 100.0, 0.5)] * 6)
    assert at(ladder, 2 * ONE, 100) == pytest.approx(0.5)
    assert at(ladder, 2 * ONE, 400) == pytest.approx(2.0)


def test_noise_does_not_turn_sizes_around_below_one_vcpu() -> None:
    """Where more memory was measured as slower below one vCPU, both sizes get their mean."""
    ladder = fit(*[(512, 100.0, 2.0)] * 6, *[(1024, 100.0, 8.0)] * 6)
    assert at(ladder, 512) == at(ladder, 1024) == pytest.approx(4.0)


def test_half_of_the_times_are_longer() -> None:
    """A fit is centred: with skewed noise, as many samples lie above it as below."""
    rng = np.random.default_rng(1)
    inputs = rng.uniform(100, 1000, 400)
    seconds = (1 + 0.01 * inputs) * np.exp(rng.normal(0, 0.5, 400))
    found = nonnegative_fit(np.column_stack([np.ones(400), inputs]), seconds)
    assert np.mean(seconds > found[0] + found[1] * inputs) == pytest.approx(0.5, abs=0.01)
    assert found[0] + found[1] * 500 == pytest.approx(6.0, rel=0.1)


def test_nonnegative_fit_agrees_with_scipy() -> None:
    """Trying all subsets finds what the active-set method finds."""
    from scipy.optimize import nnls

    rng = np.random.default_rng(2)
    for _ in range(50):
        columns = rng.uniform(0.1, 3, (12, 4))
        target = np.abs(columns @ rng.normal(0, 1, 4)) + 0.1
        found = nonnegative_fit(columns, target)
        wanted, _ = nnls(columns / target[:, None], np.ones(12))
        wanted *= np.median(target / (columns @ wanted))
        assert found == pytest.approx(wanted, abs=1e-6)


def test_distances() -> None:
    """Distances are in doublings; downwards, inputs are at most two away."""
    ladder = fit((ONE, 1000.0, 1.0), (4 * ONE, 2000.0, 1.0))
    assert ladder.distance(ONE) == 0
    assert ladder.distance(2 * ONE) == pytest.approx(1.0)
    assert ladder.bytes_distance(1500) == 0
    assert ladder.bytes_distance(900) == 0
    assert ladder.bytes_distance(0) == 2.0
    assert ladder.bytes_distance(2000 * 8) == pytest.approx(math.log2(8 / 1.5), rel=0.01)


SIZES = st.integers(128, 10_240)
SAMPLES = st.lists(
    st.tuples(SIZES, st.sampled_from([0.0, 1.0, 1e3, 1e6, 3e6, 1e10]), st.floats(0.0, 1e6)), min_size=1, max_size=25
)
FEW_SIZES = st.lists(
    st.tuples(st.sampled_from([256, 512, 1024, 1769, 4096]), st.sampled_from([0.0, 1e3, 1e6]), st.floats(1e-5, 1e4)),
    min_size=1,
    max_size=25,
)
INPUTS = st.sampled_from([0.0, 10.0, 1e3, 2e6, 1e12])


@settings(max_examples=150, deadline=None)
@given(st.one_of(SAMPLES, FEW_SIZES), SIZES, INPUTS)
def test_predictions_are_positive_numbers(samples: list[tuple[int, float, float]], size: int, n: float) -> None:
    """Whatever was measured, a prediction is finite and above 0."""
    assert 0 < at(fit(*samples), size, n) < math.inf


@settings(max_examples=150, deadline=None)
@given(st.one_of(SAMPLES, FEW_SIZES), SIZES, SIZES, INPUTS)
def test_more_memory_is_never_slower_below_one_vcpu(
    samples: list[tuple[int, float, float]], one: int, other: int, n: float
) -> None:
    """Up to one vCPU, whatever was measured, times do not rise with the size."""
    small, large = sorted([1 + one % ONE, 1 + other % ONE])
    ladder = fit(*samples)
    assert at(ladder, large, n) <= at(ladder, small, n) * (1 + 1e-9)


@settings(max_examples=150, deadline=None)
@given(st.one_of(SAMPLES, FEW_SIZES), SIZES, SIZES, INPUTS)
def test_more_memory_is_never_slower_by_extrapolation(
    samples: list[tuple[int, float, float]], one: int, other: int, n: float
) -> None:
    """Beyond the largest and the smallest measured size, times do not rise with the size."""
    ladder = fit(*samples)
    small, large = sorted([one, other])
    if small >= max(ladder.lines) or large <= min(ladder.lines):
        assert at(ladder, large, n) <= at(ladder, small, n) * (1 + 1e-9)


def test_the_prior_is_continuous() -> None:
    """The prior has no step at one vCPU."""
    assert prior_scale(ONE + 1) == pytest.approx(prior_scale(ONE), rel=1e-3)
