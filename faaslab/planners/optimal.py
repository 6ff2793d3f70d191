"""``optimal``: the best plan there is for a small DAG, by constraint programming.

Fidelity card
    Source: FaaSLab's own model (see ``optimal_model``), solved by CP-SAT of Google's OR-Tools.
    Decisions: which tasks share a worker, their order, each worker's size, and which workers start in a container that
    another one has left: all at once, under the objective and its limits. The search starts from the best plan of
    ``per_task``, ``single_worker``, ``uniform``, ``critical_path``, ``heft``, ``els``, ``faaslab``, and of ``wukong``
    with its run-time decisions fixed; it is a bound, too. Of equals under ``makespan`` the cheapest is looked for,
    under ``cost`` the fastest. What is found is simulated; the best of all these under the simulator is returned.
    Search effort is the solver's deterministic time, in proportion to the budget; it runs in one thread. The same
    version of OR-Tools gives the same plan on any machine.
    The plan's settings say what is known: ``status`` (``optimal``: proven; ``feasible``, ``unknown``: the search ended
    before; ``infeasible``: proven that nothing keeps the limits), ``bound`` on the objective, ``gap`` by which the
    simulated plan exceeds it, ``modelling_gap`` between the simulator and the model for what the solver found.
    Deviations: planned workers only, which stay while they wait; run-time decisions, or leaving while waiting, may do
    better, and no bound is claimed for them. Which of several waiting workers gets a container first is left to the
    solver. Concurrency limits, shared cores and the keep-alive of containers are not part of the model. The bound holds
    all the same, but what the solver finds may come to more under the simulator. Durations and outputs are medians.
    Use: how far from the optimum the other planners are.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from faaslab.errors import PlannerUnavailable
from faaslab.plan import Assignment, DagView, Plan
from faaslab.planners.bounds import lower_bounds
from faaslab.planners.critical_path import CriticalPath
from faaslab.planners.els import Els
from faaslab.planners.faaslab import FaaSLab
from faaslab.planners.heft import Heft
from faaslab.planners.objective import Objective
from faaslab.planners.per_task import PerTask
from faaslab.planners.planner import DEFAULT_BUDGET, PlanContext, Planner
from faaslab.planners.single_worker import SingleWorker
from faaslab.planners.uniform import Uniform
from faaslab.planners.wukong import Wukong
from faaslab.simulate import Simulation

MAX_TASKS = 24
"""Larger DAGs are refused: little is proven of them in reasonable time."""
EFFORT = 10.0
"""Deterministic time of the solver for the default budget: about ten seconds of a core."""
_KNOWN: tuple[type[Planner], ...] = (FaaSLab, Els, Heft, CriticalPath, Uniform, SingleWorker, PerTask)
_ATTEMPTS = 3
"""How often a limit that only the simulator exceeds is tightened for the model."""


class Optimal:
    """Plans by solving a model of the whole problem."""

    name = "optimal"

    def plan(self, dag: DagView, ctx: PlanContext, /) -> Plan:
        """Return the plan; see the module's fidelity card.

        Raises:
            PlannerUnavailable: OR-Tools are not installed, or the DAG has more than ``MAX_TASKS`` tasks.
        """
        if len(dag) > MAX_TASKS:
            raise PlannerUnavailable(
                f"planner 'optimal' plans DAGs of up to {MAX_TASKS} tasks, {dag.name!r} has {len(dag)}: larger "
                "ones have too many plans; use another planner"
            )
        try:
            import ortools  # noqa: F401
        except ImportError as error:
            raise PlannerUnavailable(
                f"planner 'optimal' needs OR-Tools ({error}): pip install 'faaslab[opt]'"
            ) from None
        if not len(dag):
            return ctx.plan(dag, self.name, [])
        known = list(_known_plans(dag, ctx))
        start = ctx.best(dag, filter(_is_fixed, known))
        found, learnt = self._solve(dag, ctx, start)
        best = ctx.best(dag, [*found, start, *known])
        if learnt["bound"]:
            learnt["gap"] = _value(ctx.objective, ctx.simulate(dag, best)) / learnt["bound"] - 1.0
        return replace(
            best,
            planner=self.name,
            settings={**best.settings, **learnt, "start": start.planner},
            reasons=tuple(_reason(best, task, learnt) for task in range(len(dag))),
        )

    def _solve(self, dag: DagView, ctx: PlanContext, start: Plan) -> tuple[list[Plan], dict[str, Any]]:
        """Return the plans that the solver finds, and what it proves."""
        from faaslab.planners.optimal_model import Model

        effort = EFFORT * ctx.budget / DEFAULT_BUDGET
        objective, known = ctx.objective, ctx.simulate(dag, start)
        plans: list[Plan] = []
        learnt: dict[str, Any] = {}
        for _ in range(_ATTEMPTS):
            answer = Model(dag, ctx.platform, ctx.sizes, start, known, objective).solve(ctx.seed, effort)
            latest = [self._plan(dag, ctx, solution.orders, solution.sizes_mib) for solution in answer.solutions]
            plans += latest
            if not learnt:
                least = lower_bounds(dag, ctx)
                bound = max(answer.bound, ctx.objective.score(least.makespan_s, least.cost_usd)[1])
                learnt = {"status": answer.status, "bound": bound if bound < math.inf else None}
            if not latest:
                break
            simulation = ctx.simulate(dag, ctx.best(dag, latest))
            if "modelling_gap" not in learnt:
                learnt["modelling_gap"] = _value(ctx.objective, simulation) / answer.solutions[-1].value - 1.0
            tighter = _tightened(objective, ctx.objective, simulation)
            if tighter == objective:
                break
            objective = tighter
        return plans, learnt

    def _plan(
        self, dag: DagView, ctx: PlanContext, orders: tuple[tuple[int, ...], ...], sizes_mib: tuple[int, ...]
    ) -> Plan:
        worker_of = {task: worker for worker, order in enumerate(orders) for task in order}
        return ctx.plan(
            dag,
            self.name,
            [Assignment(f"w{worker_of[task]}", sizes_mib[worker_of[task]]) for task in range(len(dag))],
            orders={f"w{worker}": order for worker, order in enumerate(orders)},
        )


def _known_plans(dag: DagView, ctx: PlanContext) -> Iterator[Plan]:
    """Yield what other planners make of a DAG; run-time decisions also fixed as they would be taken."""
    for planner in _KNOWN:
        yield planner().plan(dag, ctx)
    wukong = Wukong().plan(dag, ctx)
    workers = ctx.simulate(dag, wukong).workers
    worker_of = {task: worker for worker, found in enumerate(workers) for task in found.tasks}
    yield ctx.plan(
        dag,
        wukong.planner,
        [Assignment(f"w{worker_of[task]}", wukong.assignments[task].size_mib) for task in range(len(dag))],
        orders={f"w{worker}": found.tasks for worker, found in enumerate(workers) if found.tasks},
    )
    yield wukong


def _is_fixed(plan: Plan) -> bool:
    """Tell whether the model knows all that a plan does: workers are planned, and stay while they wait."""
    return all(assigned.worker is not None and assigned.wait == "stay" for assigned in plan.assignments)


def _tightened(objective: Objective, asked: Objective, simulation: Simulation) -> Objective:
    """Return limits that the model must keep so that the simulator keeps those that were asked for."""
    deadline_s, cap_usd = objective.deadline_s, objective.cost_cap_usd
    if asked.deadline_s is not None and deadline_s is not None and simulation.makespan_s > asked.deadline_s:
        deadline_s *= asked.deadline_s / simulation.makespan_s * (1 - 1e-5)
    if asked.cost_cap_usd is not None and cap_usd is not None and simulation.cost_usd > asked.cost_cap_usd:
        cap_usd *= asked.cost_cap_usd / simulation.cost_usd * (1 - 1e-5)
    return replace(objective, deadline_s=deadline_s, cost_cap_usd=cap_usd)


def _value(objective: Objective, simulation: Simulation) -> float:
    return objective.score(simulation.makespan_s, simulation.cost_usd)[1]


def _reason(plan: Plan, task: int, learnt: dict[str, Any]) -> str:
    together = len(plan.orders.get(plan.assignments[task].worker or "", (task,)))
    gap = learnt.get("gap")
    known = "nothing is known of better ones" if gap is None else f"no other is better by more than {max(gap, 0):.2%}"
    return f"one of {together} that share a worker in the best plan found ({learnt['status']}); {known}"
