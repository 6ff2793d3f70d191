"""Planners side by side on one DAG, without running anything: what each plan comes to, and how far from the bounds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from faaslab.errors import PlanError, PlannerUnavailable
from faaslab.plan import DagView, Plan, Predicted
from faaslab.planners.bounds import Bounds, lower_bounds
from faaslab.planners.planner import Planner
from faaslab.planners.registry import PLANNERS, plan_context, plan_with
from faaslab.simulate import Simulation

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Compared:
    """One planner's plan and what it comes to.

    Attributes:
        plan: The plan, with its prediction.
        simulation: The run in which everything takes its median.
    """

    plan: Plan
    simulation: Simulation

    @property
    def predicted(self) -> Predicted:
        """What the plan is predicted to come to."""
        assert self.plan.predicted is not None
        return self.plan.predicted


@dataclass(frozen=True, slots=True)
class Comparison:
    """Plans of one DAG, in the order of their planners; shows as a table in a notebook.

    Attributes:
        bounds: What no plan can be better than.
        left_out: Planners that can't be used here or for this DAG, and why.
    """

    plans: tuple[Compared, ...]
    bounds: Bounds
    left_out: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, planner: str) -> Plan:
        """Return the plan of a planner."""
        for compared in self.plans:
            if compared.plan.planner == planner:
                return compared.plan
        raise KeyError(planner)

    @property
    def pareto(self) -> tuple[str, ...]:
        """Planners whose plan no other one beats in makespan and cost at the SLA both, fastest first."""
        front: list[Compared] = []
        for compared in sorted(self.plans, key=lambda c: (c.predicted.makespan_s, c.predicted.cost_usd)):
            if not front or compared.predicted.cost_usd < front[-1].predicted.cost_usd:
                front.append(compared)
        return tuple(compared.plan.planner for compared in front)

    @property
    def table(self) -> "pd.DataFrame":
        """One row for each planner: makespan and cost at the SLA, and the parts by which they exceed the lower bounds.

        Invocations, cold starts and stored bytes are those of the run in which everything takes its median.
        """
        import pandas as pd

        front = set(self.pareto)
        rows: list[dict[str, Any]] = []
        for compared in self.plans:
            simulation, predicted = compared.simulation, compared.predicted
            rows.append(
                {
                    "planner": compared.plan.planner,
                    "makespan_s": predicted.makespan_s,
                    "cost_usd": predicted.cost_usd,
                    "makespan_p50_s": predicted.makespan.quantile(0.5),
                    "makespan_p90_s": predicted.makespan.quantile(0.9),
                    "makespan_gap": _gap(predicted.makespan_s, self.bounds.makespan_s),
                    "cost_gap": _gap(predicted.cost_usd, self.bounds.cost_usd),
                    "pareto": compared.plan.planner in front,
                    "workers": len({*compared.plan.orders}) or None,
                    "invocations": simulation.invocations,
                    "cold_starts": simulation.cold_starts,
                    "stored_bytes": simulation.stored_bytes,
                    "sizes_mib": compared.plan.sizes_mib,
                }
            )
        return pd.DataFrame(rows).set_index("planner")

    def plot(self) -> Any:
        """Return cost against makespan, with Pareto front and lower bounds, as a matplotlib figure."""
        from faaslab.viz.tradeoff import comparison_figure

        return comparison_figure(self)

    def _repr_html_(self) -> str:
        left_out = "".join(f"<p>left out: {escape(reason)}</p>" for reason in self.left_out.values())
        return str(self.table.to_html(float_format=lambda value: f"{value:.4g}")) + left_out


def _gap(value: float, bound: float) -> float:
    return value / bound - 1.0 if bound else 0.0


def compare(
    dag: DagView, planners: Iterable[str | Planner] | None = None, *, draws: int | None = None, **planning: Any
) -> Comparison:
    """Plan a DAG with several planners and predict what each plan comes to, under the same luck.

    Args:
        dag: The DAG.
        planners: Names or planner objects; None: all that can be used. Those that need an extra that isn't installed,
            or refuse a DAG of this size, are then left out, and the comparison says why; named ones raise.
        draws: How many simulated runs each prediction rests on; None: from 64 for large DAGs to 1,000.
        planning: As for ``dag.plan``: ``sla``, ``sizes``, ``platform``, ``objective``, ``deadline_s``, ``estimates`` …

    Raises:
        PlanError: There is no planner, one is unknown, or its plan can't be run.
        PlannerUnavailable: A planner that was named can't be used.
        ConfigError: No size, one that no worker can have, no draws, or there is no such platform.
    """
    planners = None if planners is None else list(planners)
    if planners == []:
        raise PlanError("the list of planners is empty; name at least one, or leave it out for all")
    ctx = plan_context(dag, **planning)
    plans: list[Plan] = []
    left_out: dict[str, str] = {}
    for planner in PLANNERS if planners is None else planners:
        try:
            plans.append(plan_with(planner, dag, ctx, predict=True, draws=draws))
        except PlannerUnavailable as error:
            if planners is not None:
                raise
            left_out[str(planner)] = str(error)
    compared = tuple(Compared(plan, ctx.simulate(dag, plan)) for plan in plans)
    return Comparison(compared, lower_bounds(dag, ctx), left_out)
