"""``heft``: each task, by falling upward rank, on the worker that finishes it first.

Fidelity card
    Source: H. Topcuoglu, S. Hariri and M. Wu, "Performance-Effective and Low-Complexity Task Scheduling for
    Heterogeneous Computing", IEEE TPDS 13(3), 2002: ranks (section 4.1) and earliest finish time (section 4.2).
    Decisions: tasks in the order of their upward ranks; each goes where it ends first, to a new worker only where that
    is sooner than on any other (elastic), or to one of a fixed number of workers.
    Deviations: workers of one size are alike, so costs are no means. A worker runs its tasks in the order they were
    placed: gaps are not filled later (no insertion), since a gap of a FaaS worker is billed and would better end it.
    Fixed workers start cold with their first task. Of several sizes the plan with the best objective is taken.
    Use: the warning example. It knows no cost: workers wait, and waiting is billed.
"""

from faaslab.errors import ConfigError
from faaslab.plan import DagView, Plan
from faaslab.planners.list_scheduling import Timing, Workers, by_rank
from faaslab.planners.planner import PlanContext


class Heft:
    """Plans by earliest finish time.

    Args:
        workers: How many workers there are; None: as many as pay off.

    Raises:
        ConfigError: ``workers`` is below 1.
    """

    name = "heft"

    def __init__(self, workers: int | None = None) -> None:
        if workers is not None and workers < 1:
            raise ConfigError(f"Heft.workers is {workers}, must be at least 1")
        self._limit = workers

    def plan(self, dag: DagView, ctx: PlanContext, /) -> Plan:
        """Return the plan; see the module's fidelity card."""
        return ctx.best(dag, (self._at(size_mib, dag, ctx) for size_mib in ctx.sizes_for(dag)))

    def _at(self, size_mib: int, dag: DagView, ctx: PlanContext) -> Plan:
        workers = self.filled(size_mib, dag, ctx)

        def why(task: int, where: str) -> str:
            return f"earliest finish: on {where}, {workers.finish_s[task]:.3g} s after the run starts"

        return workers.plan(ctx, self.name, why)

    def filled(self, size_mib: int, dag: DagView, ctx: PlanContext) -> Workers:
        """Return the workers at one size."""
        timing = Timing.at(size_mib, dag, ctx.predictor, ctx.platform)
        workers = Workers(dag, timing)
        for task in by_rank(dag, timing):
            inputs = workers.inputs(task)
            candidates = [(workers.start_s(worker, inputs), worker) for worker in inputs.makers]
            # Workers that made none of a task's inputs differ only by when they are free: the one that has been free
            # for longest is as good as any that is free when the inputs are there, and better than those that are not.
            free = workers.first_free()
            if free is not None:
                candidates.append((workers.start_s(free, inputs), free))
            started = len(workers.tasks)
            if not candidates or self._limit is None or started < self._limit:
                candidates.append((inputs.ready_s + timing.cold_s + inputs.fetch_s, started))
            start_s, worker = min(candidates)
            workers.place(task, worker, start_s)
        return workers
