import math

import pytest

from faaslab.errors import ConfigError
from faaslab.model.prices import Prices
from faaslab.model.sizes import check_sizes, vcpus


def test_vcpus_follow_memory() -> None:
    """One vCPU per 1,769 MiB, at most six."""
    assert vcpus(1769) == 1.0
    assert vcpus(3538) == 2.0
    assert vcpus(20_000) == 6.0


def test_sizes_are_sorted_and_distinct() -> None:
    """Allowed sizes come back once each, in rising order."""
    assert check_sizes([2048, 512, 2048]) == (512, 2048)


def test_billing_rounds_up_to_the_millisecond() -> None:
    """A part of a millisecond is billed whole, floating-point noise is not."""
    prices = Prices()
    assert prices.billed_s(0.1) == pytest.approx(0.1)
    assert prices.billed_s(0.1 + 1e-12) == pytest.approx(0.1)
    assert prices.billed_s(0.1001) == pytest.approx(0.101)
    assert prices.billed_s(0.0) == 0.0
    assert prices.gb_seconds(2048, 0.5) == pytest.approx(1.0)


def test_price_of_an_invocation() -> None:
    """One second at 1,024 MiB costs a GB-second and a request."""
    assert Prices().invocation_usd(1024, 1.0) == pytest.approx(1.66667e-5 + 2e-7)


@pytest.mark.parametrize(
    "change",
    [{"usd_per_gb_s": -1.0}, {"usd_per_request": math.nan}, {"billing_step_s": 0.0}, {"usd_per_gb_s": math.inf}],
)
def test_bad_prices(change: dict[str, float]) -> None:
    """A negative, infinite or missing price is refused by its field's name."""
    with pytest.raises(ConfigError, match=next(iter(change))):
        Prices(**change)  # type: ignore[arg-type]
