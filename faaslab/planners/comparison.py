"""Planners side by side on one DAG, without running anything: what each plan comes to, and how far from the bounds."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from faaslab.plan import DagView, Plan
from faaslab.planners.bounds import Bounds, lower_bounds
from faaslab.planners.planner import Planner
from faaslab.planners.registry import PLANNERS, plan_context, plan_with
from faaslab.simulate import Simulation

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Compared:
    """One planner's plan and what it comes to."""

    plan: Plan
    simulation: Simulation


@dataclass(frozen=True, slots=True)
class Comparison:
    """Plans of one DAG, in the order of their planners; shows as a table in a notebook.

    Attributes:
        bounds: What no plan can be better than.
    """

    plans: tuple[Compared, ...]
    bounds: Bounds

    def __getitem__(self, planner: str) -> Plan:
        """Return the plan of a planner."""
        for compared in self.plans:
            if compared.plan.planner == planner:
                return compared.plan
        raise KeyError(planner)

    @property
    def pareto(self) -> tuple[str, ...]:
        """Planners whose plan no other one beats in makespan and cost both, fastest first."""
        front: list[Compared] = []
        for compared in sorted(self.plans, key=lambda c: (c.simulation.makespan_s, c.simulation.cost_usd)):
            if not front or compared.simulation.cost_usd < front[-1].simulation.cost_usd:
                front.append(compared)
        return tuple(compared.plan.planner for compared in front)

    @property
    def table(self) -> "pd.DataFrame":
        """One row for each planner; gaps are parts by which a plan exceeds the lower bounds."""
        import pandas as pd

        front = set(self.pareto)
        rows: list[dict[str, Any]] = []
        for compared in self.plans:
            simulation = compared.simulation
            rows.append(
                {
                    "planner": compared.plan.planner,
                    "makespan_s": simulation.makespan_s,
                    "cost_usd": simulation.cost_usd,
                    "makespan_gap": _gap(simulation.makespan_s, self.bounds.makespan_s),
                    "cost_gap": _gap(simulation.cost_usd, self.bounds.cost_usd),
                    "pareto": compared.plan.planner in front,
                    "workers": len({*compared.plan.orders}) or None,
                    "invocations": simulation.invocations,
                    "cold_starts": simulation.cold_starts,
                    "stored_bytes": simulation.stored_bytes,
                    "sizes_mib": compared.plan.sizes_mib,
                }
            )
        return pd.DataFrame(rows).set_index("planner")

    def _repr_html_(self) -> str:
        return str(self.table.to_html(float_format=lambda value: f"{value:.4g}"))


def _gap(value: float, bound: float) -> float:
    return value / bound - 1.0 if bound else 0.0


def compare(dag: DagView, planners: Iterable[str | Planner] | None = None, **planning: Any) -> Comparison:
    """Plan a DAG with several planners and simulate each plan.

    Args:
        dag: The DAG.
        planners: Names or planner objects; None: all that there are.
        planning: As for ``dag.plan``: ``sizes``, ``platform``, ``objective``, ``deadline_s``, ``estimates`` …

    Raises:
        PlanError: A planner is unknown, or its plan can't be run.
        ConfigError: No size, one that no worker can have, or there is no such platform.
    """
    ctx = plan_context(dag, **planning)
    plans = [plan_with(planner, dag, ctx) for planner in (PLANNERS if planners is None else planners)]
    return Comparison(tuple(Compared(plan, ctx.simulate(dag, plan)) for plan in plans), lower_bounds(dag, ctx))
