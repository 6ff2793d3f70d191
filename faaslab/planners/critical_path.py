"""``critical_path``: large workers where they count, smaller ones elsewhere.

Fidelity card
    Source: the non-uniform planner of OctoFlows, after what its code does; it has no paper.
    Decisions: tasks are grouped as ``uniform`` groups them, all workers get the largest size, the plan is simulated.
    Then workers are downgraded, size by size, as long as the objective does not get worse: with ``makespan``, those off
    the critical path, whose cost falls while the makespan holds; with ``cost`` and a deadline, any, until the deadline
    is reached.
    Deviations: the original walks over workers in no particular order and compares times for equality; here all are
    tried together, then halves of them, down to single ones, and equal means equal within rounding. It starts from
    each size, since shrinking one after the other may end where nothing is gained any more, and takes the best.
    Use: the best that sizes alone can do for a given grouping.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from faaslab.plan import Assignment, DagView, Plan
from faaslab.planners.candidates import Bench, Candidate, Evaluated
from faaslab.planners.planner import PlanContext
from faaslab.planners.uniform import group

if TYPE_CHECKING:
    from faaslab.planners.candidates import Ints

MAX_SIMULATIONS = 200
"""How many downgrades are tried at most from each size; plans of many workers are downgraded in groups."""
PART_OF_BUDGET = 0.25
"""Part of the budget that downgrades from all sizes may take together: of large DAGs, fewer are tried."""
_ROUNDING = 1e-9


class CriticalPath:
    """Plans sizes by the critical path."""

    name = "critical_path"

    def plan(self, dag: DagView, ctx: PlanContext, /) -> Plan:
        """Return the plan; see the module's fidelity card."""
        workers, reasons = group(dag, ctx, ctx.sizes[-1])
        best = self.best(Bench(dag, ctx), workers)
        sizes = [ctx.sizes[tier] for tier in best.candidate.tier]
        assignments = [Assignment(f"w{worker}", size_mib) for worker, size_mib in zip(workers, sizes, strict=True)]
        return ctx.plan(dag, self.name, assignments, reasons=reasons)

    def best(self, bench: Bench, workers: list[int]) -> Evaluated:
        """Return the best sizes for workers, given by task index, that were found from any size downwards."""
        search = _Search(bench, bench.seed(self.name, workers, 0, bench.all_tasks))
        return min((search.downgraded(tier) for tier in reversed(range(len(bench.ctx.sizes)))), key=_rounded)


def _rounded(found: Evaluated) -> tuple[float, ...]:
    """Return the score such that a makespan longer by a rounding error does not outweigh what is saved."""
    *parts, cost_usd = found.score
    return (*(round(part / _ROUNDING) * _ROUNDING if part < 1e6 else part for part in parts), cost_usd)


class _Search:
    """Sizes of workers, as good as found so far."""

    def __init__(self, bench: Bench, grouped: Candidate) -> None:
        import numpy as np

        self._bench, self._grouped = bench, grouped
        self._least = np.zeros(int(grouped.worker.max(initial=-1)) + 1, dtype=np.int64)
        np.maximum.at(self._least, grouped.worker, bench.least_tier)

    def downgraded(self, start: int) -> Evaluated:
        """Return what lowering sizes comes to if all workers begin with one size, or their least."""
        import numpy as np

        ctx, count = self._bench.ctx, max(1, len(self._bench.dag))
        self._left = min(MAX_SIMULATIONS, int(PART_OF_BUDGET * ctx.budget / len(ctx.sizes)) // count)
        self._tier = np.maximum(self._least, start)
        self._best = self._evaluated(self._tier)
        changed = True
        while changed and self._left > 0:
            lower = np.flatnonzero(self._tier > self._least).tolist()
            changed = bool(lower) and self._try(lower)
        return self._best

    def _try(self, workers: list[int]) -> bool:
        """Lower these workers by a size, or those halves of them that can be; whether any was."""
        if not workers or self._left <= 0:
            return False
        self._left -= 1
        tier = self._tier.copy()
        tier[workers] -= 1
        found = self._evaluated(tier)
        if _rounded(found) < _rounded(self._best):
            self._tier, self._best = tier, found
            return True
        if len(workers) == 1:
            return False
        middle = len(workers) // 2
        return any([self._try(workers[:middle]), self._try(workers[middle:])])

    def _evaluated(self, tier: "Ints") -> Evaluated:
        return self._bench.evaluate(replace(self._grouped, tier=tier[self._grouped.worker]))
