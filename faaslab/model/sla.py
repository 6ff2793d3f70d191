"""SLA: the confidence with which a prediction is made."""

from dataclasses import dataclass
from typing import Self

from faaslab.errors import PlanError


@dataclass(frozen=True, slots=True)
class Sla:
    """``"average"``, or a percentile such as ``"p90"``: nine of ten runs are to stay below what is predicted.

    Attributes:
        quantile: Part of all runs that stay below; None: the average of all runs.

    Raises:
        PlanError: The quantile is not above 0 and below 1.
    """

    quantile: float | None = None

    def __post_init__(self) -> None:
        if self.quantile is not None and not 0 < self.quantile < 1:
            raise PlanError(f"the SLA's quantile is {self.quantile}, must be above 0 and below 1")

    @classmethod
    def named(cls, sla: object) -> Self:
        """Return the SLA of a name: ``"average"``, ``"p50"``, ``"p90"``, ``"p99.9"`` …

        Raises:
            PlanError: There is no such SLA.
        """
        if isinstance(sla, Sla):
            return cls(sla.quantile)
        if sla == "average":
            return cls()
        try:
            percent = float(sla[1:]) if isinstance(sla, str) and sla[:1] == "p" else 0.0
        except ValueError:
            percent = 0.0
        if not 0 < percent < 100:
            raise PlanError(
                f"unknown SLA {sla!r}; known: 'average', or a percentile above p0 and below p100, like 'p90'"
            )
        return cls(percent / 100)

    @property
    def name(self) -> str:
        """``average``, or for instance ``p90``."""
        return "average" if self.quantile is None else f"p{100 * self.quantile:.10g}"
