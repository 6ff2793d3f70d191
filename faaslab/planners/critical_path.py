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

from faaslab.plan import Assignment, DagView, Plan
from faaslab.planners.planner import PlanContext
from faaslab.planners.uniform import group

MAX_SIMULATIONS = 200
"""How many downgrades are tried at most from each size; plans of many workers are downgraded in groups."""
_ROUNDING = 1e-9


class CriticalPath:
    """Plans sizes by the critical path."""

    name = "critical_path"

    def plan(self, dag: DagView, ctx: PlanContext, /) -> Plan:
        """Return the plan; see the module's fidelity card."""
        sizes = ctx.sizes
        workers, reasons = group(dag, ctx, sizes[-1])
        search = _Search(dag, ctx, self.name, workers, reasons, sizes)
        return min((search.downgraded(tier) for tier in reversed(range(len(sizes)))), key=lambda found: found[0])[1]


class _Search:
    """Sizes of workers, as good as found so far."""

    def __init__(
        self, dag: DagView, ctx: PlanContext, name: str, workers: list[int], reasons: list[str], sizes: tuple[int, ...]
    ) -> None:
        self._dag, self._ctx, self._name = dag, ctx, name
        self._workers, self._reasons, self._sizes = workers, reasons, sizes
        self._least = [0] * (max(workers) + 1)
        for task, worker in enumerate(workers):
            wanted = sizes.index(ctx.size_for(dag, (task,)))
            self._least[worker] = max(self._least[worker], wanted)

    def downgraded(self, start: int) -> tuple[tuple[float, ...], Plan]:
        """Return what lowering sizes comes to, and the plan, if all workers begin with one size, or their least."""
        self._left = MAX_SIMULATIONS
        self._tier = [max(start, least) for least in self._least]
        self._best = self._plan(self._tier)
        self._score = self._rate(self._best)
        changed = True
        while changed and self._left > 0:
            lower = [worker for worker, tier in enumerate(self._tier) if tier > self._least[worker]]
            changed = bool(lower) and self._try(lower)
        return self._score, self._best

    def _try(self, workers: list[int]) -> bool:
        """Lower these workers by a size, or those halves of them that can be; whether any was."""
        if not workers or self._left <= 0:
            return False
        self._left -= 1
        tier = list(self._tier)
        for worker in workers:
            tier[worker] -= 1
        plan = self._plan(tier)
        score = self._rate(plan)
        if score < self._score:
            self._tier, self._best, self._score = tier, plan, score
            return True
        if len(workers) == 1:
            return False
        middle = len(workers) // 2
        return any([self._try(workers[:middle]), self._try(workers[middle:])])

    def _rate(self, plan: Plan) -> tuple[float, ...]:
        score = self._ctx.rate(self._ctx.simulate(self._dag, plan))
        # So that a makespan that is longer by a rounding error does not outweigh what is saved.
        return tuple(round(part / _ROUNDING) * _ROUNDING if part < 1e6 else part for part in score[:-1]) + score[-1:]

    def _plan(self, tier: list[int]) -> Plan:
        assignments = [Assignment(f"w{worker}", self._sizes[tier[worker]]) for worker in self._workers]
        return self._ctx.plan(self._dag, self._name, assignments, reasons=self._reasons)
