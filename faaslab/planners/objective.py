"""What makes one plan better than another: makespan, cost, or both, within a deadline or a cap on cost."""

import math
from dataclasses import dataclass
from typing import Self

from faaslab.errors import PlanError


@dataclass(frozen=True, slots=True)
class Objective:
    """What a planner is to minimize.

    Attributes:
        makespan_weight: Weight of a second of makespan.
        cost_weight: Weight of a dollar.
        deadline_s: Makespan that must not be exceeded; None: any will do.
        cost_cap_usd: Cost that must not be exceeded; None: any will do.

    Raises:
        PlanError: A weight or limit is negative or not a number, or both weights are 0.
    """

    makespan_weight: float = 1.0
    cost_weight: float = 0.0
    deadline_s: float | None = None
    cost_cap_usd: float | None = None

    def __post_init__(self) -> None:
        for name in ("makespan_weight", "cost_weight"):
            if not 0 <= getattr(self, name) < math.inf:
                raise PlanError(f"objective: {name} is {getattr(self, name)}, must be a finite number of 0 or more")
        if self.makespan_weight == self.cost_weight == 0:
            raise PlanError("objective: both weights are 0, nothing would make one plan better than another")
        for name in ("deadline_s", "cost_cap_usd"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise PlanError(f"{name} is {value}, must be a finite number above 0")

    @classmethod
    def named(
        cls, objective: "str | float", deadline_s: float | None = None, cost_cap_usd: float | None = None
    ) -> Self:
        """Return ``"makespan"``, ``"cost"``, or the makespan plus so many seconds for every dollar.

        Raises:
            PlanError: The name is unknown, or a number is outside its range.
        """
        if objective == "makespan":
            return cls(1.0, 0.0, deadline_s, cost_cap_usd)
        if objective == "cost":
            return cls(0.0, 1.0, deadline_s, cost_cap_usd)
        if isinstance(objective, (str, bool)):
            raise PlanError(
                f"unknown objective {objective!r}; known: 'makespan', 'cost', or how many seconds a dollar is worth"
            )
        return cls(1.0, float(objective), deadline_s, cost_cap_usd)

    def score(self, makespan_s: float, cost_usd: float) -> tuple[float, float, float, float]:
        """Return what to minimize: by what part limits are exceeded, the objective, then makespan and cost for ties."""
        excess = 0.0
        if self.deadline_s is not None:
            excess += max(0.0, makespan_s / self.deadline_s - 1.0)
        if self.cost_cap_usd is not None:
            excess += max(0.0, cost_usd / self.cost_cap_usd - 1.0)
        value = self.makespan_weight * makespan_s + self.cost_weight * cost_usd
        return excess, value, makespan_s, cost_usd
