"""``single_worker``: all tasks on one worker.

Fidelity card
    Source: the monolithic-function baseline; none to cite.
    Decisions: one worker ``w0``, at the smallest allowed size that holds the hungriest task, runs all tasks in the
    topological order of the DAG.
    Deviations: none.
    Use: the lower end of data movement (only sinks are stored) and of parallelism.
"""

from faaslab.plan import Assignment, DagView, Plan
from faaslab.planners.planner import PlanContext


class SingleWorker:
    """Plans all tasks on one worker."""

    name = "single_worker"

    def plan(self, dag: DagView, ctx: PlanContext, /) -> Plan:
        """Return the plan; see the module's fidelity card."""
        size_mib = ctx.size_for(dag, range(len(dag)))
        reason = "all tasks share one worker, in the topological order of the DAG"
        return ctx.plan(dag, self.name, [Assignment("w0", size_mib)] * len(dag), reasons=[reason] * len(dag))
