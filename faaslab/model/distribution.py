"""The values that a predicted quantity may take, and what of them is kept with a run."""

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import Self

import msgspec

from faaslab.errors import PlanError
from faaslab.model.sla import Sla

LEVELS = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999)
"""Quantiles of a prediction that are kept with a run."""
SHOWN = (0.1, 0.5, 0.9, 0.99)
"""Quantiles that people and scripts are told."""


@dataclass(frozen=True, slots=True, repr=False)
class Distribution:
    """Predicted values of one quantity, one for each simulated run.

    Attributes:
        draws: The values, rising and finite; at least one.

    Raises:
        PlanError: There is none, they do not rise, or one is not finite.
    """

    draws: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.draws or any(b < a for a, b in zip(self.draws, self.draws[1:], strict=False)):
            raise PlanError("a distribution needs values, in rising order")
        if not all(map(math.isfinite, self.draws)):
            raise PlanError("a distribution needs finite values")

    @property
    def mean(self) -> float:
        """Average of all draws."""
        return math.fsum(self.draws) / len(self.draws)

    def quantile(self, quantile: float) -> float:
        """Return the value that a part ``quantile`` of all runs, from 0 to 1, stays below; it never falls with it.

        Raises:
            PlanError: It is not from 0 to 1.
        """
        if not 0 <= quantile <= 1:
            raise PlanError(f"quantile is {quantile}, must be from 0 to 1")
        place = quantile * (len(self.draws) - 1)
        low = math.floor(place)
        high = min(low + 1, len(self.draws) - 1)
        below, above = self.draws[low], self.draws[high]
        return min(above, below + (above - below) * (place - low))

    def at(self, sla: Sla) -> float:
        """Return the mean, or the SLA's percentile."""
        return self.mean if sla.quantile is None else self.quantile(sla.quantile)

    @property
    def percentiles(self) -> dict[str, float]:
        """Some quantiles by name, and the mean."""
        return {f"p{100 * level:g}": self.quantile(level) for level in SHOWN} | {"mean": self.mean}

    def rank(self, value: float) -> float:
        """Return the part of all draws, from 0 to 1, that ``value`` is not below (the PIT)."""
        return bisect_right(self.draws, value) / len(self.draws)

    def __repr__(self) -> str:
        low, middle, high = (self.quantile(quantile) for quantile in (0.1, 0.5, 0.9))
        return f"Distribution(p10 {low:.4g}, p50 {middle:.4g}, p90 {high:.4g}, mean {self.mean:.4g})"


class Promise(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a run's plan was predicted to take, before calibration: what its makespan is compared with.

    Attributes:
        platform: Name of the platform that it was predicted for.
        degrees: Degrees of freedom of what was known of the least known task; 0: it was declared or assumed.
        quantiles_s: Makespans at ``LEVELS``, seconds, above 0.
        mean_s: Mean makespan, seconds.

    Raises:
        ValueError: There is not one quantile for each level, or one is not above 0.
    """

    platform: str
    degrees: float
    quantiles_s: tuple[float, ...]
    mean_s: float

    def __post_init__(self) -> None:
        if len(self.quantiles_s) != len(LEVELS) or not all(0 < value < math.inf for value in self.quantiles_s):
            raise ValueError(f"a promise has {len(LEVELS)} quantiles above 0, not {list(self.quantiles_s)}")

    @classmethod
    def of(cls, makespan: Distribution, platform: str, degrees: float) -> Self | None:
        """Return what an uncalibrated distribution of makespans promises; None: that runs may take no time at all."""
        if not makespan.draws[0] > 0:
            return None
        return cls(platform, degrees, tuple([makespan.quantile(level) for level in LEVELS]), makespan.mean)
