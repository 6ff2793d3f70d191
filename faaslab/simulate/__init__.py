"""What a plan would come to: an event simulator of the engine."""

import sys
from types import ModuleType
from typing import Any

from faaslab.model.estimates import Estimates
from faaslab.model.knowledge import HistoryLike, check_knowledge, known_estimates
from faaslab.model.measured import MeasuredLauncher, platform_from
from faaslab.model.platform import Platform
from faaslab.plan import DagView, Plan, check_plan
from faaslab.simulate.draws import Draws
from faaslab.simulate.flat import FlatDag
from faaslab.simulate.montecarlo import Outcomes, monte_carlo
from faaslab.simulate.placement import Layout, Placement, place
from faaslab.simulate.simulation import SimulatedWorker, Simulation, run_placement
from faaslab.simulate.simulator import Simulator
from faaslab.trace import Trace

__all__ = [
    "Draws",
    "FlatDag",
    "Layout",
    "Outcomes",
    "Placement",
    "SimulatedWorker",
    "Simulation",
    "Simulator",
    "monte_carlo",
    "place",
    "run_placement",
    "simulate",
    "simulate_plan",
]


def simulate_plan(
    dag: DagView, plan: Plan, estimates: Estimates, platform: Platform, *, draws: Draws | None = None
) -> Simulation:
    """Simulate one run of a plan.

    Args:
        dag: The DAG.
        plan: How to run it.
        estimates: How long its tasks take, how much that scatters, and how large their outputs are.
        platform: Where it runs.
        draws: The run's luck; None: everything takes its median.

    Raises:
        PlanError: The plan is for another DAG, or can't be run.
        ConfigError: An estimate is negative or not a number.
    """
    check_plan(dag, plan)
    return run_placement(place(FlatDag.of(dag, estimates), plan, platform), draws)


def simulate(
    dag: DagView,
    plan: Plan,
    *,
    platform: str | Platform | MeasuredLauncher = "lambda",
    estimates: Estimates | None = None,
    history: HistoryLike = None,
    seed: int | None = None,
) -> Trace:
    """Return the trace that a run of ``plan`` would leave.

    Args:
        dag: The DAG.
        plan: How to run it.
        platform: A name (``"lambda"``, ``"openwhisk"``, ``"this machine"``, ``"none"``), a platform, or a launcher
            (``"process"``, ``"docker"``, or one with settings of its own): what its runs in the history have shown it
            to be.
        estimates: What is known of the tasks, in place of what a history teaches.
        history: Earlier runs to learn from, as for ``dag.plan``.
        seed: Draws executions, starts, transfers and invocations as they are known to scatter; None: everything takes
            its median.

    Raises:
        PlanError: The plan is for another DAG, or can't be run, or both ``estimates`` and ``history`` are given.
        ConfigError: There is no such platform, an estimate is negative or not a number, or the seed is no whole number
            of 0 or more.
    """
    check_knowledge(dag, estimates, history)
    where = platform_from(platform, history, dag)
    known = known_estimates(dag, estimates, history, sizes_enforced=where.sizes_enforced)
    return simulate_plan(dag, plan, known, where, draws=None if seed is None else Draws(seed)).trace()


class _Callable(ModuleType):
    """Makes ``fl.simulate`` the function, also where importing this package has put the package in its place."""

    def __call__(self, *args: Any, **settings: Any) -> Trace:
        return simulate(*args, **settings)


sys.modules[__name__].__class__ = _Callable
