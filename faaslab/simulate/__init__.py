"""What a plan would come to: an event simulator of the engine."""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from faaslab.model.estimates import Estimates
from faaslab.model.platform import Platform, platform_named
from faaslab.model.predictors import known_estimates
from faaslab.plan import DagView, Plan, check_plan
from faaslab.simulate.draws import Draws
from faaslab.simulate.montecarlo import Outcomes, monte_carlo
from faaslab.simulate.placement import FlatDag, Layout, Placement, place
from faaslab.simulate.simulation import SimulatedWorker, Simulation, run_placement
from faaslab.simulate.simulator import Simulator
from faaslab.trace import Trace

if TYPE_CHECKING:
    from faaslab.model.history import History, Snapshot

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
    platform: str | Platform = "lambda",
    estimates: Estimates | None = None,
    history: "History | Snapshot | None" = None,
    seed: int | None = None,
) -> Trace:
    """Return the trace that a run of ``plan`` would leave.

    Args:
        dag: The DAG.
        plan: How to run it.
        platform: A name (``"lambda"``, ``"openwhisk"``, ``"this machine"``, ``"none"``), or a platform.
        estimates: What is known of the tasks; None: what ``@task(expected_s=, output_bytes=)`` says of them.
        history: What earlier runs teach of them, in place of ``estimates``.
        seed: Draws executions, starts, transfers and invocations as they are known to scatter; None: everything takes
            its median.

    Raises:
        PlanError: The plan is for another DAG, or can't be run, or both ``estimates`` and ``history`` are given.
        ConfigError: There is no such platform, an estimate is negative or not a number, or the seed is no whole number
            of 0 or more.
    """
    where = platform if isinstance(platform, Platform) else platform_named(platform)
    known = known_estimates(dag, estimates, history)
    return simulate_plan(dag, plan, known, where, draws=None if seed is None else Draws(seed)).trace()


class _Callable(ModuleType):
    """Makes ``fl.simulate`` the function, also where importing this package has put the package in its place."""

    def __call__(self, *args: Any, **settings: Any) -> Trace:
        return simulate(*args, **settings)


sys.modules[__name__].__class__ = _Callable
