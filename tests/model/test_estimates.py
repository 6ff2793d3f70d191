"""Estimates before anything has run."""

import math

import pytest

from faaslab.errors import ConfigError
from faaslab.graph import DAG, task
from faaslab.model.estimates import DEFAULT_EXEC_S, DEFAULT_OUTPUT_BYTES, DeclaredEstimates, Estimates, prior_scale


@task(expected_s=8.0, output_bytes=500)
def known(x: int) -> int:
    return x


@task
def silent(x: int) -> int:
    return x


@pytest.fixture
def estimates() -> Estimates:
    """Task 0 is declared, task 1 is not."""
    return DeclaredEstimates(DAG(silent(known(1))))


def test_declared_numbers_serve(estimates: Estimates) -> None:
    """What the user declared comes back at one vCPU, marked as declared."""
    assert estimates.exec_s(0, 1769) == pytest.approx(8.0)
    assert estimates.output_bytes(0) == 500
    assert estimates.basis(0, 1769) == "declared"


def test_other_sizes_follow_the_prior(estimates: Estimates) -> None:
    """A quarter of a vCPU takes 4^0.9 times as long, four vCPUs 4^-0.4 times."""
    assert prior_scale(1769) == 1.0
    assert prior_scale(4 * 1769) == pytest.approx(4**-0.4)
    assert prior_scale(442) == pytest.approx((442 / 1769) ** -0.9)
    assert prior_scale(1769, reference_vcpus=4.0) == pytest.approx(4**0.4)
    assert estimates.exec_s(0, 4 * 1769) == pytest.approx(8.0 * 4**-0.4)


def test_what_is_unknown_is_said(estimates: Estimates) -> None:
    """Without a declaration the defaults serve, marked as unknown: never 0 or NaN."""
    assert estimates.exec_s(1, 1769) == DEFAULT_EXEC_S > 0
    assert estimates.output_bytes(1) == DEFAULT_OUTPUT_BYTES > 0
    assert estimates.basis(1, 128) == "unknown"


def test_a_declared_zero_stays(estimates: Estimates) -> None:
    """A user may say that a task takes no time and returns next to nothing."""
    zero = DeclaredEstimates(DAG(known.with_options(expected_s=0.0, output_bytes=0)(1)))
    assert (zero.exec_s(0, 128), zero.output_bytes(0), zero.basis(0, 128)) == (0.0, 0.0, "declared")


@pytest.mark.parametrize("name", ["default_exec_s", "default_output_bytes"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_bad_defaults(name: str, value: float) -> None:
    """A default that is no positive number is refused by its name."""
    with pytest.raises(ConfigError, match=name):
        DeclaredEstimates(DAG(known(1)), **{name: value})
