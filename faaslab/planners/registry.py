"""The planners by name, and planning a DAG with one."""

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from typing import Any

from faaslab.errors import PlanError
from faaslab.model.estimates import Estimates
from faaslab.model.history import Snapshot
from faaslab.model.knowledge import HistoryLike, check_knowledge, known_estimates, snapshot_of
from faaslab.model.measured import MeasuredLauncher, platform_from
from faaslab.model.platform import Platform
from faaslab.model.sizes import DEFAULT_SIZE_MIB, check_sizes
from faaslab.model.sla import Sla
from faaslab.plan import DEFAULT_OPTIMIZATIONS, OPTIMIZATIONS, DagView, Plan, Predicted, check_plan
from faaslab.planners.bounds import lower_bounds
from faaslab.planners.composer import check_own, compose
from faaslab.planners.critical_path import CriticalPath
from faaslab.planners.dask import Dask
from faaslab.planners.els import Els
from faaslab.planners.faaslab import FaaSLab
from faaslab.planners.heft import Heft
from faaslab.planners.objective import Objective
from faaslab.planners.optimal import Optimal
from faaslab.planners.per_task import PerTask
from faaslab.planners.planner import DEFAULT_BUDGET, PlanContext, Planner
from faaslab.planners.single_worker import SingleWorker
from faaslab.planners.uniform import Uniform
from faaslab.planners.wukong import Wukong
from faaslab.policy.optimization import Optimization

PLANNERS: dict[str, type[Planner]] = {
    "per_task": PerTask,
    "single_worker": SingleWorker,
    "wukong": Wukong,
    "uniform": Uniform,
    "critical_path": CriticalPath,
    "heft": Heft,
    "dask": Dask,
    "els": Els,
    "faaslab": FaaSLab,
    "optimal": Optimal,
}

ATTEMPTS = 6
"""How often a plan is made at most if it misses a limit at the SLA."""
LEAST_STEP = 1.3
"""By what a margin grows at least from one attempt to the next. How far the SLA lies above the median depends on the
plan, so a margin that fits one may not fit the next."""


def get_planner(planner: str | Planner) -> Planner:
    """Return the planner of a name, or the given object if it is one.

    Raises:
        PlanError: The name is unknown, or the object has no ``name`` and ``plan``.
    """
    if isinstance(planner, str):
        if planner not in PLANNERS:
            raise PlanError(f"unknown planner {planner!r}; known: {', '.join(PLANNERS)}")
        return PLANNERS[planner]()
    if isinstance(planner, type):
        raise PlanError(f"planner is the class {planner.__name__}; pass an object, {planner.__name__}()")
    if not isinstance(getattr(planner, "name", None), str) or not callable(getattr(planner, "plan", None)):
        raise PlanError(
            f"{planner!r} is no planner: it needs a text attribute `name` and a method `plan(dag, ctx)`; "
            f"known names: {', '.join(PLANNERS)}"
        )
    return planner


def plan_context(
    dag: DagView,
    *,
    sizes: Iterable[int] | None = None,
    optimizations: Iterable[str | Optimization] | str | None = None,
    keep_harmful: bool = False,
    seed: int = 0,
    sla: str | Sla = "average",
    budget: int = DEFAULT_BUDGET,
    platform: "str | Platform | MeasuredLauncher" = "lambda",
    objective: str | float = "makespan",
    deadline_s: float | None = None,
    cost_cap_usd: float | None = None,
    estimates: Estimates | None = None,
    history: HistoryLike = None,
) -> PlanContext:
    """Return what planners are told about planning ``dag``.

    Args:
        dag: The DAG to plan.
        sizes: Allowed worker sizes in MiB; by default one vCPU (1,769 MiB) and whatever more tasks ask for.
        optimizations: Names of optimizations beside the two that are always on, or optimizations of one's own;
            ``"all"``: all that are shipped; an empty list turns all off. One that is predicted to do harm is left out.
        keep_harmful: Use them all the same.
        seed: For planners that draw random numbers.
        sla: ``"average"``, or the percentile with which makespan and cost are predicted, like ``"p90"``.
        budget: How much a planner may search, in simulated tasks: simulations of a plan times its number of tasks.
        platform: What the plan is for: a name (``"lambda"``, ``"openwhisk"``, ``"this machine"``, ``"none"``), a
            platform, or a launcher (``"process"``, ``"docker"``, or one with settings of its own): what its runs in the
            history have shown it to be.
        objective: ``"makespan"``, ``"cost"``, or how many seconds of makespan a dollar is worth.
        deadline_s: Makespan that must not be exceeded.
        cost_cap_usd: Cost that must not be exceeded.
        estimates: What is known of the tasks, in place of what a history teaches.
        history: Earlier runs to learn from: a ``History``, a snapshot of one, or a folder with one. None: the default
            one (``Config.history_dir``), if there is any. False: none. What it does not know is as ``@task(expected_s=,
            output_bytes=)`` says. It is read when a planner asks what is known of a task, which not all do.

    Raises:
        ConfigError: No size, one that no worker can have, or there is no such platform, or no such history.
        PlanError: An optimization, the objective or the SLA is unknown, a limit or the budget is not above 0, or both
            ``estimates`` and ``history`` are given.
    """
    asked: object = budget
    if isinstance(asked, bool) or not isinstance(asked, int) or asked < 1:
        raise PlanError(f"budget is {budget!r}, must be a whole number of simulated tasks, 1 or more")
    check_knowledge(dag, estimates, history)

    @cache
    def recall() -> Snapshot | None:
        return None if estimates is not None else snapshot_of(history)

    where = platform_from(platform, history, dag)

    @cache
    def learn() -> Estimates:
        return known_estimates(dag, estimates, recall() or False, sizes_enforced=where.sizes_enforced)

    if sizes is None:
        least_mib = {dag.options(task).memory_mib or 0 for task in range(len(dag))}
        sizes = {DEFAULT_SIZE_MIB} | {size_mib for size_mib in least_mib if size_mib > DEFAULT_SIZE_MIB}
    names, own = _optimizations(optimizations)
    return PlanContext(
        learn=learn,
        recall=recall,
        sizes=check_sizes(sizes),
        seed=seed,
        sla=Sla.named(sla),
        budget=budget,
        optimizations=names,
        own=own,
        keep_harmful=keep_harmful,
        platform=where,
        objective=Objective.named(objective, deadline_s, cost_cap_usd),
    )


def plan_with(
    planner: str | Planner, dag: DagView, ctx: PlanContext, *, predict: bool = False, draws: int | None = None
) -> Plan:
    """Return the checked plan that ``planner`` makes for ``dag`` within ``ctx``.

    Planners simulate from medians, and what is promised at the SLA lies above. If their plan misses a limit by that,
    they plan again with as much of a margin; the last time for the limit alone, whatever else was asked for.

    Args:
        planner: Name or object.
        dag: The DAG to plan.
        ctx: What the planner is told.
        predict: Give the plan a prediction; if there are limits, it has one in any case.
        draws: How many runs the prediction rests on; None: from 64 for large DAGs to 1,000.

    Raises:
        ConfigError: ``draws`` is below 1.
        PlanError: The planner is unknown, its plan can't be run, or it is predicted to exceed a limit.
    """
    chosen = get_planner(planner)
    _check_reachable(chosen, dag, ctx)
    plan = _checked(chosen, dag, ctx)
    if ctx.objective.deadline_s is None and ctx.objective.cost_cap_usd is None:
        return replace(plan, predicted=ctx.predict(dag, plan, draws)) if predict else plan
    predicted = ctx.predict(dag, plan, draws)
    above, dearer = 1.0, 1.0
    for attempt in range(2, ATTEMPTS + 1):
        if _within(predicted, ctx.objective):
            break
        median = ctx.simulate(dag, plan)
        above = _margin(above, predicted.makespan_s, median.makespan_s, ctx.objective.deadline_s)
        dearer = _margin(dearer, predicted.cost_usd, median.cost_usd, ctx.objective.cost_cap_usd)
        objective = ctx.objective
        if attempt == ATTEMPTS:
            late = objective.deadline_s is not None and predicted.makespan_s > objective.deadline_s
            objective = replace(objective, makespan_weight=float(late), cost_weight=float(not late))
        plan = _checked(chosen, dag, replace(ctx, objective=objective, margins=(above, dearer)))
        predicted = ctx.predict(dag, plan, draws)
    if not _within(predicted, ctx.objective):
        raise _too_much(plan, predicted, dag, ctx)
    return replace(plan, predicted=predicted)


def asked_for(planner: str | Planner, dag: DagView, ctx: PlanContext) -> Plan:
    """Return the checked plan of a planner, without what ``compose`` adds.

    Raises:
        PlanError: The planner is unknown, or its plan can't be run.
    """
    planner = get_planner(planner)
    plan = planner.plan(dag, ctx)
    if not isinstance(plan, Plan):
        raise PlanError(f"planner {planner.name!r} returned {type(plan).__name__}, must return a Plan (see ctx.plan)")
    check_plan(dag, plan)
    return plan


def _checked(planner: Planner, dag: DagView, ctx: PlanContext) -> Plan:
    return compose(dag, asked_for(planner, dag, ctx), ctx)


def _margin(before: float, at_sla: float, at_median: float, limit: float | None) -> float:
    """Return by how much more than its median a plan is taken to come to: what this plan does, and what it missed."""
    if limit is None or at_sla <= limit:
        return before
    return max(before * max(LEAST_STEP, at_sla / limit), at_sla / at_median if at_median > 0 else 1.0)


def _within(predicted: Predicted, objective: Objective) -> bool:
    """Whether a prediction is within the deadline and the cap on cost."""
    deadline_s, cap_usd = objective.deadline_s, objective.cost_cap_usd
    in_time = deadline_s is None or predicted.makespan_s <= deadline_s
    return in_time and (cap_usd is None or predicted.cost_usd <= cap_usd)


def _check_reachable(planner: Planner, dag: DagView, ctx: PlanContext) -> None:
    """Refuse, before anything is searched, a limit that no plan can keep even if everything takes its median."""
    objective, quantile = ctx.objective, ctx.sla.quantile
    if (objective.deadline_s is None and objective.cost_cap_usd is None) or (quantile is not None and quantile < 0.5):
        return
    bounds = lower_bounds(dag, ctx)
    for limit, bound, unit in (
        (objective.deadline_s, bounds.makespan_s, "s"),
        (objective.cost_cap_usd, bounds.cost_usd, "USD"),
    ):
        if limit is not None and limit < bound:
            raise PlanError(
                f"planner {planner.name!r} finds no plan for {dag.name!r} within {limit:g} {unit}: none can be below "
                f"{bound:.4g} {unit} at these sizes, even if everything takes its median; allow more, or other sizes"
            )


def _too_much(plan: Plan, predicted: Predicted, dag: DagView, ctx: PlanContext) -> PlanError:
    """Return the error that tells by how much the first limit is missed, and whether it can be kept at all."""
    deadline_s, bounds = ctx.objective.deadline_s, lower_bounds(dag, ctx)
    if deadline_s is not None and predicted.makespan_s > deadline_s:
        what, value, limit, bound, unit = "makespan", predicted.makespan_s, deadline_s, bounds.makespan_s, "s"
    else:
        cap_usd = ctx.objective.cost_cap_usd
        assert cap_usd is not None
        what, value, limit, bound, unit = "cost", predicted.cost_usd, cap_usd, bounds.cost_usd, "USD"
    return PlanError(
        f"planner {plan.planner!r} finds no plan for {plan.dag_name!r} within {limit:g} {unit}: its best has a "
        f"predicted {what} of {value:.4g} {unit} ({ctx.sla.name}), and none can be below {bound:.4g} {unit} at these "
        "sizes; allow more, other sizes, another SLA, or try another planner"
    )


def plan_dag(
    dag: DagView,
    planner: str | Planner = "wukong",
    *,
    predict: bool = False,
    draws: int | None = None,
    **planning: Any,
) -> Plan:
    """Return the checked plan that ``planner`` makes for ``dag``.

    Args:
        dag: The DAG to plan.
        planner: Name of a planner, or an object with ``name`` and ``plan``.
        predict: Give the plan a prediction, as ``dag.plan`` does; see ``plan_with``.
        draws: How many simulated runs the prediction rests on; None: from 64 for large DAGs to 1,000.
        planning: See ``plan_context``.

    Raises:
        ConfigError: See ``plan_context`` and ``plan_with``.
        PlanError: See ``plan_context`` and ``plan_with``.
    """
    return plan_with(planner, dag, plan_context(dag, **planning), predict=predict, draws=draws)


def _optimizations(
    chosen: Iterable[str | Optimization] | str | None,
) -> tuple[frozenset[str], tuple[Optimization, ...]]:
    """Return the names of all optimizations that were asked for, and those of one's own among them."""
    if chosen is None:
        return DEFAULT_OPTIMIZATIONS, ()
    if isinstance(chosen, str):
        if chosen != "all":
            raise PlanError(f"optimizations is the text {chosen!r}, must be 'all' or a list of names: [{chosen!r}]")
        return frozenset(OPTIMIZATIONS), ()
    given = list(chosen)
    names = frozenset(one for one in given if isinstance(one, str))
    for unknown in sorted(names - set(OPTIMIZATIONS)):
        raise PlanError(f"unknown optimization {unknown!r}; known: {', '.join(OPTIMIZATIONS)}")
    own = check_own(one for one in given if not isinstance(one, str))
    if not given:
        return frozenset(), ()
    return names | DEFAULT_OPTIMIZATIONS | {one.name for one in own}, own
