"""What a plan would come to: an event simulator of the engine."""

import sys
from types import ModuleType
from typing import Any

from faaslab.model.estimates import DeclaredEstimates, Estimates
from faaslab.model.platform import Platform, platform_named
from faaslab.plan import DagView, Plan, check_plan
from faaslab.simulate.draws import Draws
from faaslab.simulate.placement import FlatDag, Layout, Placement, place
from faaslab.simulate.simulation import SimulatedWorker, Simulation, run_placement
from faaslab.simulate.simulator import Simulator
from faaslab.trace import Trace

__all__ = [
    "Draws",
    "FlatDag",
    "Layout",
    "Placement",
    "SimulatedWorker",
    "Simulation",
    "Simulator",
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
        estimates: How long its tasks take and how large their outputs are.
        platform: Where it runs.
        draws: Factors on medians; None: everything takes its median.

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
    seed: int | None = None,
) -> Trace:
    """Return the trace that a run of ``plan`` would leave.

    Args:
        dag: The DAG.
        plan: How to run it.
        platform: A name (``"lambda"``, ``"openwhisk"``, ``"this machine"``, ``"none"``), or a platform.
        estimates: What is known of the tasks; None: what ``@task(expected_s=, output_bytes=)`` says of them.
        seed: Draws cold starts with the platform's spread; None: everything takes its median.

    Raises:
        PlanError: The plan is for another DAG, or can't be run.
        ConfigError: There is no such platform, or an estimate is negative or not a number.
    """
    where = platform if isinstance(platform, Platform) else platform_named(platform)
    known = DeclaredEstimates(dag) if estimates is None else estimates
    return simulate_plan(dag, plan, known, where, draws=None if seed is None else Draws(seed)).trace()


class _Callable(ModuleType):
    """Makes ``fl.simulate`` the function, also where importing this package has put the package in its place."""

    def __call__(self, *args: Any, **settings: Any) -> Trace:
        return simulate(*args, **settings)


sys.modules[__name__].__class__ = _Callable
