"""``per_task``: every task on a worker of its own.

Fidelity card
    Source: the function-per-task baseline that WUKONG (SoCC'20) and the FaaS workflow engines before it start from.
    Decisions: task *i* runs on worker ``w<i>``, at the smallest allowed size that holds it.
    Deviations: a worker is invoked when its task becomes ready, by whoever made it ready, not by a central scheduler.
    Use: the upper end of parallelism and of data movement; every edge of the DAG crosses storage.
"""

from faaslab.plan import Assignment, DagView, Plan
from faaslab.planners.planner import PlanContext


class PerTask:
    """Plans every task on its own worker."""

    name = "per_task"

    def plan(self, dag: DagView, ctx: PlanContext, /) -> Plan:
        """Return the plan; see the module's fidelity card."""
        assignments = [Assignment(f"w{task}", ctx.size_for(dag, (task,))) for task in range(len(dag))]
        reason = "every task has its own worker, at the smallest allowed size that holds it"
        return ctx.plan(dag, self.name, assignments, reasons=[reason] * len(dag))
