"""From a plan and the optimizations that were asked for to a plan that uses those that are predicted to pay.

All are applied first. Then each is left out in turn, and the one whose absence helps most goes, until none does: so
those that only pay together stay. What the others save is told by leaving each out of what is left.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from faaslab.errors import PlanError
from faaslab.plan import DEFAULT_OPTIMIZATIONS, OPTIMIZATIONS, DagView, Instructions, Plan, Saving, check_plan
from faaslab.planners.parts import clustering, preload, prewarm, streaming, task_dup
from faaslab.planners.planner import PlanContext
from faaslab.policy.optimization import Optimization, works
from faaslab.simulate.montecarlo import SEARCH_DRAWS

CLUSTERING = ("fan_out_clustering", "fan_in_clustering", "delayed_io")
"""Together they are one policy."""
ORDER = (*CLUSTERING, "streaming", "preload", "task_dup", "prewarm")
"""In which optimizations are applied, one's own before the last: each sees what those before it have changed."""
Part = Callable[[DagView, Plan, PlanContext], Plan]
PARTS: Mapping[str, Part] = {
    **dict.fromkeys(CLUSTERING, clustering.apply),
    "preload": preload.apply,
    "streaming": streaming.apply,
    "task_dup": task_dup.apply,
    "prewarm": prewarm.apply,
}
"""The planning part of each shipped optimization that is not always on."""
PARTS_OF_COMPOSING = 4
"""What part of the budget composing may take."""
SIMULATED_PLANS = 40
"""About how many plans are compared for one composition."""
NOTHING_TO_DO = "there is no task that it could help"
SURE = 1e-9
"""By what part a score has to be better to count as better."""


def compose(dag: DagView, plan: Plan, ctx: PlanContext, *, per_task: bool = False) -> Plan:
    """Return a plan that uses those of the context's optimizations that are predicted to pay.

    Args:
        dag: The DAG.
        plan: Who runs what; the defaults are in force already.
        ctx: What planning has to heed. With ``keep_harmful`` all that were asked for stay.
        per_task: Take single tasks away again, too.

    Raises:
        PlanError: An optimization of one's own returned no plan, or one that can't be run.
    """
    asked = [name for name in (*ORDER[:-1], *(one.name for one in ctx.own), ORDER[-1]) if name in ctx.optimizations]
    if not asked or plan.instructions.savings:
        return plan
    bench = _Bench(dag, plan, ctx)
    idle = [name for name in asked if bench.changes_nothing(name)]
    chosen = bench.assembled([name for name in asked if name not in idle])
    left_out: dict[str, Saving] = {name: Saving(name, 0, 0.0, 0.0, NOTHING_TO_DO) for name in idle}
    without: dict[str, _Assembled] = {}
    while chosen.names:
        without = {name: bench.assembled([other for other in chosen.names if other != name]) for name in chosen.names}
        if ctx.keep_harmful:
            break
        name = min(without, key=lambda one: without[one].score)
        if not _better(without[name].score, chosen.score):
            break
        left_out[name] = _saving(name, 0, without[name], chosen, "it is predicted to do harm here, so it is left out")
        chosen = without[name]
    if per_task:
        chosen = bench.pruned(chosen)
    plan = chosen.plan
    savings = tuple(
        left_out[name] if name in left_out else _used(name, tasks_of(dag, plan, name, ctx), without[name], chosen)
        for name in asked
    )
    return replace(plan, instructions=replace(plan.instructions, savings=savings))


@dataclass(frozen=True)
class _Assembled:
    """A plan with some optimizations, and what it comes to."""

    names: tuple[str, ...]
    plan: Plan
    makespan_s: float
    cost_usd: float
    score: tuple[float, ...]


class _Bench:
    """Assembles plans from one base plan, and remembers what they come to."""

    def __init__(self, dag: DagView, plan: Plan, ctx: PlanContext) -> None:
        self._dag, self._base, self._ctx = dag, plan, ctx
        self._known: dict[tuple[str, ...], _Assembled] = {}
        affordable = ctx.budget // (PARTS_OF_COMPOSING * SIMULATED_PLANS * max(1, len(dag)))
        self._draws = min(SEARCH_DRAWS, affordable)

    def changes_nothing(self, name: str) -> bool:
        """Whether an optimization finds nothing to do in the plan as it is."""
        changed = assemble(self._dag, self._base, [name], self._ctx)
        own = [one for one in self._ctx.own if one.name == name]
        if any(works(one) for one in own):
            return False
        told = replace(changed.instructions, own=self._base.instructions.own)
        return replace(changed, optimizations=self._base.optimizations, instructions=told) == self._base

    def assembled(self, names: Iterable[str]) -> _Assembled:
        """Return the base plan with some optimizations."""
        key = tuple(names)
        if key not in self._known:
            plan = assemble(self._dag, self._base, key, self._ctx)
            self._known[key] = _Assembled(key, plan, *self._rated(plan))
        return self._known[key]

    def _rated(self, plan: Plan) -> tuple[float, float, tuple[float, ...]]:
        if self._draws < 2:
            median = self._ctx.simulate(self._dag, plan)
            return median.makespan_s, median.cost_usd, self._ctx.rate(median)
        makespan_s, cost_usd = self._ctx.at_sla(self._dag, plan, self._draws)
        return makespan_s, cost_usd, self._ctx.objective.score(makespan_s, cost_usd)

    def pruned(self, whole: _Assembled) -> _Assembled:
        """Return a plan without those instructions that do harm by themselves, in groups first, then one by one."""
        found = whole
        best = whole.plan
        left = SIMULATED_PLANS * 4
        for field in ("preload", "stream", "duplicates", "prewarms"):
            told = (
                sorted(getattr(best.instructions, field))
                if field in ("preload", "stream")
                else list(getattr(best.instructions, field))
            )
            size = len(told)
            while size > 1:
                size = (size + 1) // 2
                for start in range(0, len(told), size):
                    if left <= 0:
                        return found
                    kept = [*told[:start], *told[start + size :]]
                    fewer = replace(best, instructions=replace(best.instructions, **{field: _like(field, kept)}))
                    left -= 1
                    rated = self._rated(fewer)
                    if _better(rated[2], found.score):
                        best, told = fewer, kept
                        found = _Assembled(whole.names, fewer, *rated)
        return found


def _like(field: str, kept: list[Any]) -> Any:
    return frozenset(kept) if field in ("preload", "stream") else tuple(kept)


def _better(score: tuple[float, ...], than: tuple[float, ...]) -> bool:
    """Whether a score is lower, by more than rounding."""
    for one, other in zip(score, than, strict=True):
        if abs(one - other) > SURE * max(abs(one), abs(other)):
            return one < other
    return False


def _used(name: str, tasks: int, without: _Assembled, using: _Assembled) -> Saving:
    return _saving(name, tasks, without, using, "" if tasks else NOTHING_TO_DO)


def _saving(name: str, tasks: int, without: _Assembled, using: _Assembled, why: str) -> Saving:
    return Saving(name, tasks, without.makespan_s - using.makespan_s, without.cost_usd - using.cost_usd, why)


def assemble(dag: DagView, plan: Plan, names: Iterable[str], ctx: PlanContext) -> Plan:
    """Return a plan with some optimizations, whether they pay or not.

    Args:
        dag: The DAG.
        plan: Who runs what, without optimizations but those that are always on.
        names: Of the optimizations.
        ctx: What planning has to heed; it knows those of one's own.

    Raises:
        PlanError: An optimization of one's own returned no plan, or one that can't be run.
    """
    chosen = frozenset(names)
    own = {one.name: one for one in ctx.own}
    told = replace(ctx, optimizations=DEFAULT_OPTIMIZATIONS | chosen)
    clustered = False
    for name in (*ORDER[:-1], *own, ORDER[-1]):
        if name not in chosen:
            continue
        if name in own:
            plan = _with_own(dag, plan, own[name], told)
        elif name not in CLUSTERING or not clustered:
            clustered = clustered or name in CLUSTERING
            plan = PARTS[name](dag, plan, told)
    return replace(plan, optimizations=plan.optimizations | chosen)


def _with_own(dag: DagView, plan: Plan, one: Optimization, ctx: PlanContext) -> Plan:
    """Return a plan with an optimization of the user's.

    Raises:
        PlanError: It returned no plan, or one that can't be run.
    """
    changed = one.plan(dag, plan, ctx)
    if not isinstance(changed, Plan):
        raise PlanError(f"optimization {one.name!r} returned {type(changed).__name__} from plan(), must return a Plan")
    instructions = replace(changed.instructions, own=(*changed.instructions.own, one))
    changed = replace(changed, instructions=instructions, optimizations=changed.optimizations | {one.name})
    check_plan(dag, changed)
    return changed


def tasks_of(dag: DagView, plan: Plan, name: str, ctx: PlanContext) -> int:
    """Return to how many tasks of a plan an optimization is applied."""
    told: Instructions = plan.instructions
    if name == "preload":
        return len(told.preload)
    if name == "streaming":
        return len(told.stream)
    if name == "task_dup":
        return len(told.duplicates)
    if name == "prewarm":
        return sum(prewarm.count for prewarm in told.prewarms)
    if name in CLUSTERING:
        large_bytes = getattr(plan.policy, "threshold_bytes", 0.0)
        free = [any(plan.assignments[s].worker is None for s in dag.successors(task)) for task in range(len(dag))]
        return sum(free[task] and ctx.predictor.output_bytes(task) >= large_bytes for task in range(len(dag)))
    sinks = set(dag.sinks)
    own = [one for one in told.own if one.name == name]
    touched = [
        task
        for task in range(len(dag))
        if task not in sinks
        and any(one.effect(dag.ids[task], ctx.predictor.output_bytes(task)) is not None for one in own)
    ]
    return len(touched) or len(dag)


def check_own(optimizations: Iterable[object]) -> tuple[Optimization, ...]:
    """Return optimizations of the user's, checked.

    Raises:
        PlanError: One is a class, no ``fl.Optimization``, without a name, or with the name of another.
    """
    checked: list[Optimization] = []
    for one in optimizations:
        if isinstance(one, type):
            raise PlanError(f"the optimization is the class {one.__name__}; give an object, {one.__name__}()")
        if not isinstance(one, Optimization):
            raise PlanError(
                f"{one!r} is no optimization: give a name ({', '.join(OPTIMIZATIONS)}) or an fl.Optimization"
            )
        if not one.name or one.name in OPTIMIZATIONS or any(one.name == other.name for other in checked):
            raise PlanError(
                f"an optimization of one's own is named {one.name!r}; it needs a name that no other one has"
            )
        checked.append(one)
    return tuple(checked)
