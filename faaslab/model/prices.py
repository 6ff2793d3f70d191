"""What running costs."""

import math
from dataclasses import dataclass, fields

from faaslab.errors import ConfigError

_ROUNDING = 1e-6
"""Part of a billing step that is taken for floating-point error: 100 ms must not be billed as 101 ms."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices of a platform; the defaults are AWS Lambda's.

    Source: AWS Lambda pricing page, x86, us-east-1, first tier, without the free tier. Memory is billed in GB of
    1,024 MB, time is rounded up to the millisecond, and the initialization of a cold start is billed (since
    August 2025).

    Raises:
        ConfigError: A price is negative or not a number, or the billing step is not above 0.
    """

    usd_per_gb_s: float = 1.66667e-5
    usd_per_request: float = 2e-7
    billing_step_s: float = 0.001
    bill_cold_start: bool = True

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value < math.inf:
                raise ConfigError(f"Prices.{field.name} is {value}, must be a finite number of 0 or more")
        if self.billing_step_s == 0:
            raise ConfigError("Prices.billing_step_s is 0 s, must be above 0")

    def billed_s(self, wall_s: float) -> float:
        """Return the seconds that are billed for ``wall_s`` seconds of one invocation: whole billing steps."""
        return max(0, math.ceil(wall_s / self.billing_step_s - _ROUNDING)) * self.billing_step_s

    def gb_seconds(self, size_mib: int, wall_s: float) -> float:
        """Return the GB-seconds that are billed for ``wall_s`` seconds at ``size_mib``."""
        return size_mib / 1024 * self.billed_s(wall_s)

    def invocation_usd(self, size_mib: int, wall_s: float) -> float:
        """Return what one invocation of ``wall_s`` seconds at ``size_mib`` costs, its request included."""
        return self.gb_seconds(size_mib, wall_s) * self.usd_per_gb_s + self.usd_per_request
