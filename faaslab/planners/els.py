"""``els``: cost-aware elastic list scheduling; each task where time and money together are least.

Fidelity card
    Source: FaaSLab's own; list scheduling as in ``heft``, with FaaS billing in place of a fixed machine.
    Decisions: tasks in the order of their upward ranks. Each goes to the worker of one of its upstream tasks or to a
    new one, whichever has the least ``finish + kappa * extra cost``: on an open worker, the time from when it was free
    until the end of the task is billed, gaps included; on a new one, the time from its start, the request, and the
    storing and fetching of inputs that would otherwise have stayed in memory. The exchange rate ``kappa`` (seconds that
    a dollar is worth) and the size are those whose plan has the best objective.
    Deviations: none.
    Use: a plan nobody has to search for, and the seed of ``faaslab``.
"""

from collections.abc import Iterator

from faaslab.plan import DagView, Plan
from faaslab.planners.list_scheduling import Timing, Workers, by_rank
from faaslab.planners.planner import PlanContext

KAPPAS = (0.0, 3e3, 2e4, 1e5, 1e6)
"""Seconds that a dollar is worth: from nothing to where every plan becomes one worker."""


class Els:
    """Plans by finish time and billed time together."""

    name = "els"

    def plan(self, dag: DagView, ctx: PlanContext, /) -> Plan:
        """Return the plan; see the module's fidelity card."""
        return ctx.best(dag, (filled.plan(ctx, self.name) for _, filled in self.filled(dag, ctx)))

    def filled(self, dag: DagView, ctx: PlanContext) -> Iterator[tuple[float, Workers]]:
        """Yield exchange rates and the workers they lead to, at every size."""
        for size_mib in ctx.sizes_for(dag):
            timing = Timing.at(size_mib, dag, ctx.predictor, ctx.platform)
            order = by_rank(dag, timing)
            for kappa in KAPPAS:
                yield kappa, self._at(kappa, timing, order, dag, ctx)

    def _at(self, kappa: float, timing: Timing, order: list[int], dag: DagView, ctx: PlanContext) -> Workers:
        prices = ctx.platform.prices
        usd_per_s = timing.size_mib / 1024 * prices.usd_per_gb_s
        billed_before_s = timing.cold_s - timing.warm_s if prices.bill_cold_start else 0.0
        workers = Workers(dag, timing)
        for task in order:
            upstreams = dag.upstreams(task)
            exec_s = timing.exec_s[task]
            start_s = workers.ready_s(task) + timing.cold_s + workers.fetch_s(task)
            busy_s = billed_before_s + workers.fetch_s(task) + exec_s
            put_s = sum(timing.put_s[upstream] for upstream in upstreams)
            new_usd = (busy_s + put_s) * usd_per_s + prices.usd_per_request
            best = (start_s + exec_s + kappa * new_usd, len(workers.tasks), start_s)
            for worker in sorted({workers.of[upstream] for upstream in upstreams}):
                start_s = workers.start_s(task, worker)
                extra_usd = (start_s + exec_s - workers.free_s[worker]) * usd_per_s
                best = min(best, (start_s + exec_s + kappa * extra_usd, worker, start_s))
            _, worker, start_s = best
            new = worker == len(workers.tasks)
            where = "a new worker" if new else f"w{worker}, which has an input"
            why = f"least time and cost, at {kappa:g} s a dollar: on {where}"
            workers.place(task, worker, start_s, why)
        return workers
