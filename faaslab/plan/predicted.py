"""What a plan is predicted to come to: distributions of makespan and cost, and the course of a median run."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Self, get_args

import msgspec

from faaslab.errors import PlanError
from faaslab.model.distribution import Distribution, Promise
from faaslab.model.estimates import Basis
from faaslab.model.sla import Sla
from faaslab.trace.events import AnyEvent
from faaslab.trace.manifest import Manifest
from faaslab.trace.trace import Trace

__all__ = ["Distribution", "Predicted"]


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
        basis_of: What each task's time rests on, by task index.
        history: Digest of the history that this was learnt from; empty: from none.
        promise: The makespan before calibration, with which that of a run is compared.
        calibration: How many times what it would be without calibration ``makespan_s`` is.
        calibrated_on: Number of earlier runs that rests on.
    """

    sla: Sla
    makespan: Distribution
    cost: Distribution
    trace: Trace
    critical_path: tuple[int, ...] = ()
    why: tuple[str, ...] = ()
    basis_of: tuple[str, ...] = ()
    history: str = ""
    promise: Promise | None = None
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

    @property
    def bases(self) -> dict[str, int]:
        """How many tasks' times are ``measured``, ``extrapolated``, ``declared`` and ``unknown``."""
        counts = Counter(self.basis_of)
        return {basis: counts[basis] for basis in get_args(Basis)}

    def plot(self) -> Any:
        """Return histograms of makespan and cost with their quantiles, as a matplotlib figure."""
        from faaslab.viz.distributions import distribution_figure

        return distribution_figure(self)

    def __repr__(self) -> str:
        return f"Predicted({self.sla.name}: {self.makespan_s:.4g} s, {self.cost_usd:.4g} USD; {self.makespan!r})"


class PredictedJson(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """JSON form of a prediction; its types are what reading a plan checks."""

    sla: str
    makespan_s: tuple[float, ...]
    cost_usd: tuple[float, ...]
    events: tuple[AnyEvent, ...]
    manifest: Manifest
    critical_path: tuple[int, ...]
    why: tuple[str, ...]
    basis_of: tuple[str, ...]
    history: str
    promise: Promise | None
    calibration: float
    calibrated_on: int

    @classmethod
    def of(cls, predicted: Predicted) -> Self:
        """Return the JSON form of a prediction."""
        return cls(
            sla=predicted.sla.name,
            makespan_s=predicted.makespan.draws,
            cost_usd=predicted.cost.draws,
            events=predicted.trace.events,
            manifest=predicted.trace.manifest,
            critical_path=predicted.critical_path,
            why=predicted.why,
            basis_of=predicted.basis_of,
            history=predicted.history,
            promise=predicted.promise,
            calibration=predicted.calibration,
            calibrated_on=predicted.calibrated_on,
        )

    def value(self, tasks: int) -> Predicted:
        """Return the prediction of a plan of so many tasks.

        Raises:
            PlanError: It is not one of such a plan.
        """
        if not all(0 <= task < tasks for task in self.critical_path):
            raise PlanError(
                f"the plan's prediction has the critical path {list(self.critical_path[:5])}…, the plan only {tasks} "
                "tasks; plan it again"
            )
        for name in ("why", "basis_of"):
            if len(getattr(self, name)) not in (0, tasks):
                raise PlanError(
                    f"the plan's prediction has {len(getattr(self, name))} entries in {name!r}, the plan {tasks} "
                    "tasks; plan it again"
                )
        return Predicted(
            sla=Sla.named(self.sla),
            makespan=Distribution(self.makespan_s),
            cost=Distribution(self.cost_usd),
            trace=Trace(self.events, self.manifest),
            critical_path=self.critical_path,
            why=self.why,
            basis_of=self.basis_of,
            history=self.history,
            promise=self.promise,
            calibration=self.calibration,
            calibrated_on=self.calibrated_on,
        )
