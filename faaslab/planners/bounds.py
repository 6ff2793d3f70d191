"""What no plan of a DAG can be better than."""

from dataclasses import dataclass

from faaslab.model.estimates import Estimates
from faaslab.plan import DagView
from faaslab.planners.planner import PlanContext


@dataclass(frozen=True, slots=True)
class Bounds:
    """What no plan can be better than, under the model.

    Attributes:
        makespan_s: Longest path of executions, each at its fastest size, after one start of a warm container.
        cost_usd: Every task at its cheapest size, and one request.
    """

    makespan_s: float
    cost_usd: float


def lower_bounds(dag: DagView, ctx: PlanContext) -> Bounds:
    """Return bounds on makespan and cost of every plan of a DAG."""
    estimates: Estimates = ctx.predictor
    prices = ctx.platform.prices
    longest_s = [0.0] * len(dag)
    cost_usd = prices.usd_per_request if len(dag) else 0.0
    for task in range(len(dag)):
        exec_s = {size: estimates.exec_s(task, size) for size in ctx.sizes}
        before_s = max((longest_s[upstream] for upstream in dag.upstreams(task)), default=0.0)
        longest_s[task] = before_s + min(exec_s.values())
        cost_usd += min(size / 1024 * seconds for size, seconds in exec_s.items()) * prices.usd_per_gb_s
    start_s = ctx.platform.profile.invocation_latency_s if len(dag) else 0.0
    return Bounds(start_s + max(longest_s, default=0.0), cost_usd)
