"""Sizes of outputs: which form is chosen, and what it says."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faaslab.model.outputs import OutputSize

INPUTS = np.array([1e3, 2e3, 5e3, 1e4, 3e4, 1e5])


def at(found: OutputSize, size_bytes: float) -> float:
    """Return the output for one input."""
    return float(found.at(np.array([size_bytes]))[0])


def test_constant() -> None:
    """A function that returns about the same whatever it gets."""
    found = OutputSize.fit(INPUTS, np.array([100.0, 110.0, 90.0, 105.0, 95.0, 100.0]))
    assert found.form == "constant"
    assert at(found, 1e9) == pytest.approx(100.0, rel=0.02)


def test_proportional() -> None:
    """A function that returns half of what it gets."""
    found = OutputSize.fit(INPUTS, 0.5 * INPUTS * np.array([1.01, 0.99, 1.0, 1.02, 0.98, 1.0]))
    assert found.form == "proportional"
    assert at(found, 4e3) == pytest.approx(2e3, rel=0.02)


def test_affine() -> None:
    """A function that returns a header and a tenth of its input."""
    found = OutputSize.fit(INPUTS, 5_000 + 0.1 * INPUTS)
    assert found.form == "affine"
    assert at(found, 0.0) == pytest.approx(5_000)
    assert at(found, 2e4) == pytest.approx(7_000)


def test_few_or_equal_inputs_tell_no_slope() -> None:
    """Two samples, or inputs that are all alike, give a constant: their geometric mean."""
    assert OutputSize.fit(np.array([1.0, 2.0]), np.array([10.0, 1000.0])).fixed == pytest.approx(100.0)
    assert OutputSize.fit(np.full(9, 5.0), np.full(9, 70.0)) == OutputSize("constant", pytest.approx(70.0), 0.0, 7e4)


def test_inputs_of_nothing() -> None:
    """Tasks without input can't have proportional outputs."""
    found = OutputSize.fit(np.array([0.0, 0.0, 1e3, 2e3, 4e3]), np.array([50.0, 50.0, 150.0, 250.0, 450.0]))
    assert found.form == "affine"
    assert at(found, 0.0) == pytest.approx(50.0)


def test_growth_is_bounded() -> None:
    """However large an input is predicted to be, its output stays within a thousand times what was seen."""
    found = OutputSize.fit(INPUTS, 2 * INPUTS)
    assert at(found, 1e300) == pytest.approx(1000 * 2e5)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**12)), min_size=1, max_size=20),
    st.sampled_from([0.0, 1.0, 1e6, 1e15]),
)
def test_outputs_are_positive_numbers(samples: list[tuple[int, int]], size_bytes: float) -> None:
    """Whatever was seen, an output is finite and above 0."""
    inputs, outputs = (np.array(column, dtype=float) for column in zip(*samples, strict=True))
    assert 0 < at(OutputSize.fit(inputs, outputs), size_bytes) < math.inf
