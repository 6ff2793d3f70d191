"""The front of a planner: what each dollar more saves of the makespan, as plans that no other of its plans beats."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from faaslab.errors import PlanError
from faaslab.plan import DagView, Plan
from faaslab.planners.comparison import Compared
from faaslab.planners.objective import Objective
from faaslab.planners.planner import PlanContext, Planner
from faaslab.planners.registry import get_planner, plan_context, plan_with

if TYPE_CHECKING:
    import pandas as pd

EXCHANGE_RATES = (1e2, 1e3, 3e3, 1e4, 3e4, 1e5)
"""Seconds that a dollar is worth: what planners without a front of their own are asked for, beside the two ends."""


@runtime_checkable
class FrontPlanner(Protocol):
    """A planner that knows how to find its own front."""

    def front(self, dag: DagView, ctx: PlanContext, points: int) -> list[Plan]:
        """Return about so many plans, from cheap to fast."""
        ...


@dataclass(frozen=True, slots=True)
class Front:
    """Plans of one DAG that trade cost for makespan, the cheapest first; shows as a table in a notebook.

    Attributes:
        plans: The plans with what each comes to; each is faster and dearer than the one before.
    """

    plans: tuple[Compared, ...]

    def __len__(self) -> int:
        return len(self.plans)

    def __iter__(self) -> Iterator[Plan]:
        return (found.plan for found in self.plans)

    @property
    def points(self) -> tuple[tuple[float, float], ...]:
        """Makespan in seconds and cost in USD of each plan."""
        return tuple((float(p.simulation.makespan_s), float(p.simulation.cost_usd)) for p in self.plans)

    def hypervolume(self, makespan_s: float | None = None, cost_usd: float | None = None) -> float:
        """Return the area between the front and a reference point, in seconds times USD: larger is better.

        Fronts can be compared if both are given the same point, for instance the worst of both.

        Args:
            makespan_s: Of the reference; plans that are slower don't count. None: the slowest of the front.
            cost_usd: Of the reference; plans that are dearer don't count. None: the dearest of the front.
        """
        most_s = max((s for s, _ in self.points), default=0.0) if makespan_s is None else makespan_s
        most_usd = max((usd for _, usd in self.points), default=0.0) if cost_usd is None else cost_usd
        area, last_s = 0.0, most_s
        for at_s, usd in self.points:  # from slow to fast, from cheap to dear
            if at_s < last_s and usd < most_usd:
                area += (last_s - at_s) * (most_usd - usd)
                last_s = at_s
        return area

    @property
    def table(self) -> "pd.DataFrame":
        """One row for each plan."""
        import pandas as pd

        rows: list[dict[str, Any]] = [
            {
                "makespan_s": found.simulation.makespan_s,
                "cost_usd": found.simulation.cost_usd,
                "workers": len(found.plan.orders) or None,
                "invocations": found.simulation.invocations,
                "cold_starts": found.simulation.cold_starts,
                "sizes_mib": found.plan.sizes_mib,
            }
            for found in self.plans
        ]
        return pd.DataFrame(rows)

    def plot(self) -> Any:
        """Return cost against makespan of the plans, as a matplotlib figure."""
        from faaslab.viz.tradeoff import front_figure

        return front_figure({", ".join(dict.fromkeys(plan.planner for plan in self)): self})

    def _repr_html_(self) -> str:
        return str(self.table.to_html(float_format=lambda value: f"{value:.4g}"))


def pareto(dag: DagView, *, points: int = 12, planner: str | Planner = "faaslab", **planning: Any) -> Front:
    """Return the plans between the cheapest and the fastest of a planner, of which none beats another in both.

    ``faaslab`` looks for the fastest plan under each of ``points`` caps on cost (epsilon-constraint). Others are asked
    at each size and at all of them, for the fastest, the cheapest and some exchange rates.

    Args:
        dag: The DAG.
        points: How many plans there should be about.
        planner: Name of a planner, or an object with ``name`` and ``plan``, and perhaps a ``front``.
        planning: As for ``dag.plan``, without ``objective``, ``deadline_s`` and ``cost_cap_usd``: all are looked at.

    Raises:
        PlanError: An objective or a limit is given, ``points`` is below 2, or as ``dag.plan`` does.
        ConfigError: As ``dag.plan`` does.
    """
    for name in ("objective", "deadline_s", "cost_cap_usd"):
        if name in planning:
            raise PlanError(
                f"pareto got {name}={planning[name]!r}; a front has no one objective, use dag.plan for that"
            )
    if points < 2:
        raise PlanError(f"points is {points!r}, must be 2 or more: a front has two ends")
    ctx, chosen = plan_context(dag, **planning), get_planner(planner)
    plans = chosen.front(dag, ctx, points) if isinstance(chosen, FrontPlanner) else _asked(chosen, dag, ctx)
    found = sorted(
        (Compared(plan, ctx.simulate(dag, plan)) for plan in plans),
        key=lambda one: (one.simulation.cost_usd, one.simulation.makespan_s),
    )
    kept: list[Compared] = []
    for one in found:
        if not kept or one.simulation.makespan_s < kept[-1].simulation.makespan_s:
            kept.append(one)
    return Front(tuple(kept))


def _asked(planner: Planner, dag: DagView, ctx: PlanContext) -> Iterator[Plan]:
    """Yield a planner's plans at each size, and at all of them, under all objectives."""
    for sizes in [ctx.sizes, *((size_mib,) for size_mib in ctx.sizes_for(dag) if len(ctx.sizes) > 1)]:
        for objective in ("makespan", "cost", *EXCHANGE_RATES):
            yield plan_with(planner, dag, replace(ctx, sizes=sizes, objective=Objective.named(objective)))
