"""``els``: cost-aware elastic list scheduling; each task where time and money together are least.

Fidelity card
    Source: FaaSLab's own; list scheduling as in ``heft``, with FaaS billing in place of a fixed machine.
    Decisions: tasks in the order of their upward ranks. Each goes to a worker of one of its upstream tasks, to the one
    that is free last before its inputs are there, to the one that is free first after, or to a new one, whichever has
    the least ``finish + kappa * extra cost``. On an open worker, the time from when it was free until the end of the
    task is billed, gaps included; on a new one, the time from its start, and the request; on either, storing and
    fetching of inputs that would otherwise have stayed in memory. A new worker is warm if a container is idle, whose
    old worker then gets no more tasks. The exchange rate ``kappa`` (seconds that a dollar is worth) and the size are
    those whose plan has the best objective.
    Deviations: none.
    Use: a plan nobody has to search for, and the seed of ``faaslab``.
"""

import math
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
        return ctx.best(dag, (self._plan(kappa, workers, ctx) for kappa, workers in self.filled(dag, ctx)))

    def _plan(self, kappa: float, workers: Workers, ctx: PlanContext) -> Plan:
        return workers.plan(
            ctx, self.name, lambda _, where: f"least time and cost, at {kappa:g} s a dollar: on {where}"
        )

    def filled(self, dag: DagView, ctx: PlanContext) -> Iterator[tuple[float, Workers]]:
        """Yield exchange rates and the workers they lead to, at every size."""
        for size_mib in ctx.sizes_for(dag):
            timing = Timing.at(size_mib, dag, ctx.predictor, ctx.platform)
            order = by_rank(dag, timing)
            for kappa in KAPPAS:
                yield kappa, self._at(kappa, timing, order, dag, ctx)

    def _at(self, kappa: float, timing: Timing, order: list[int], dag: DagView, ctx: PlanContext) -> Workers:
        prices, keep_alive_s = ctx.platform.prices, ctx.platform.profile.keep_alive_s
        usd_per_s = timing.size_mib / 1024 * prices.usd_per_gb_s
        billed_before_s = timing.cold_s - timing.warm_s if prices.bill_cold_start else 0.0
        workers = Workers(dag, timing)
        free_s = workers.free_s
        for task in order:
            exec_s = timing.exec_s[task]
            inputs = workers.inputs(task)
            ready_s = inputs.ready_s
            around = workers.free_around(ready_s)
            # A new worker: on the container that became idle last, which then gets no more of its old worker's tasks.
            idle = next((w for w in around if free_s[w] <= ready_s <= free_s[w] + keep_alive_s), -1)
            started_s, billed_s = (timing.cold_s, billed_before_s) if idle < 0 else (timing.warm_s, 0.0)
            start_s = ready_s + started_s + inputs.fetch_s
            usd = (billed_s + inputs.fetch_s + exec_s + inputs.store_s) * usd_per_s + prices.usd_per_request
            best = (start_s + exec_s + kappa * usd, len(workers.tasks), start_s)
            for worker in {*inputs.makers, *around}:
                if free_s[worker] == math.inf:
                    continue
                start_s = workers.start_s(worker, inputs)
                usd = (start_s + exec_s - free_s[worker] + inputs.store_for_s(worker)) * usd_per_s
                best = min(best, (start_s + exec_s + kappa * usd, worker, start_s))
            _, worker, start_s = best
            if worker == len(workers.tasks) and idle >= 0:
                workers.end(idle)
            workers.place(task, worker, start_s)
        return workers
