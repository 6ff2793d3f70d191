"""What a plan is predicted to come to: distributions of makespan and cost, and the course of a median run."""

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field

from faaslab.errors import PlanError
from faaslab.model.sla import Sla
from faaslab.trace.trace import Trace


@dataclass(frozen=True, slots=True, repr=False)
class Distribution:
    """Predicted values of one quantity, one for each simulated run.

    Attributes:
        draws: The values, rising; at least one.

    Raises:
        PlanError: There is none, or they do not rise.
    """

    draws: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.draws or any(b < a for a, b in zip(self.draws, self.draws[1:], strict=False)):
            raise PlanError("a distribution needs values, in rising order")

    @property
    def mean(self) -> float:
        """Average of all draws."""
        return math.fsum(self.draws) / len(self.draws)

    def quantile(self, quantile: float) -> float:
        """Return the value that a part ``quantile`` of all runs, from 0 to 1, stays below; it never falls with it."""
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

    def rank(self, value: float) -> float:
        """Return the part of all draws, from 0 to 1, that ``value`` is not below (the PIT)."""
        return bisect_right(self.draws, value) / len(self.draws)

    def __repr__(self) -> str:
        low, middle, high = (self.quantile(quantile) for quantile in (0.1, 0.5, 0.9))
        return f"Distribution(p10 {low:.4g}, p50 {middle:.4g}, p90 {high:.4g}, mean {self.mean:.4g})"


@dataclass(frozen=True, slots=True, repr=False)
class Predicted:
    """What a plan is predicted to come to.

    Attributes:
        sla: With which confidence ``makespan_s`` and ``cost_usd`` are given.
        makespan: Makespans of simulated runs, seconds, calibrated.
        cost: Costs of simulated runs, USD.
        trace: The course of the run in which everything takes its median, with the events of a real run.
        critical_path: The tasks that its makespan is made of, in order.
        why: What each task waits for there, by task index; see ``Simulation.why``.
        bases: How many tasks' times are ``measured``, ``extrapolated``, ``declared`` and ``unknown``.
        history: Digest of the history that this was learnt from; empty: from none.
        calibration: What makespans were multiplied with, since earlier predictions were so far off.
        calibrated_on: Number of earlier runs that rests on.
    """

    sla: Sla
    makespan: Distribution
    cost: Distribution
    trace: Trace
    critical_path: tuple[int, ...] = ()
    why: tuple[str, ...] = ()
    bases: Mapping[str, int] = field(default_factory=dict)
    history: str = ""
    calibration: float = 1.0
    calibrated_on: int = 0

    @property
    def makespan_s(self) -> float:
        """The makespan at the SLA."""
        return self.makespan.at(self.sla)

    @property
    def cost_usd(self) -> float:
        """The cost at the SLA."""
        return self.cost.at(self.sla)

    def __repr__(self) -> str:
        return f"Predicted({self.sla.name}: {self.makespan_s:.4g} s, {self.cost_usd:.4g} USD; {self.makespan!r})"
