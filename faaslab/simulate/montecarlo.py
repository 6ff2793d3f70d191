"""Monte Carlo: what a plan comes to in many runs of different luck.

No quantile can be had by adding quantiles of tasks up: along a chain they overestimate, as not all tasks are unlucky at
once, and over a fan-out they underestimate, as one of many always is.
"""

from dataclasses import dataclass

from faaslab.errors import ConfigError
from faaslab.model.distribution import Distribution
from faaslab.plan import Plan
from faaslab.simulate.draws import Draws
from faaslab.simulate.simulator import Simulator

SEARCH_DRAWS = 64
"""Runs by which plans are told apart while searching: their common luck makes differences surer than values."""
MOST_DRAWS = 1000
SEARCH_TASKS = 20_000
"""Simulated tasks that telling one plan of a small DAG from others is worth."""
REPORT_TASKS = 200_000
"""Simulated tasks that a report is worth: half a second in plain Python."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What many simulated runs of a plan came to.

    Attributes:
        makespan: Seconds.
        cost: USD.
    """

    makespan: Distribution
    cost: Distribution


def search_draws(tasks: int) -> int:
    """Return how many runs tell plans of so many tasks apart: 64, and up to 1,000 where that costs next to nothing."""
    return max(SEARCH_DRAWS, min(MOST_DRAWS, SEARCH_TASKS // max(1, tasks)))


def report_draws(tasks: int) -> int:
    """Return how many runs a report on a plan of so many tasks rests on: from 64 for large ones to 1,000."""
    return max(SEARCH_DRAWS, min(MOST_DRAWS, REPORT_TASKS // max(1, tasks)))


def monte_carlo(simulator: Simulator, plan: Plan, draws: int = SEARCH_DRAWS, *, seed: int = 0) -> Outcomes:
    """Simulate ``draws`` runs of a plan; the same seed gives every plan the same luck.

    Args:
        simulator: Of the plan's DAG.
        plan: A plan that can be run.
        draws: How many runs, at least 1.
        seed: Of the luck.

    Raises:
        ConfigError: ``draws`` is below 1, or an estimate is out of its range.
        PlanError: The plan can't be run.
    """
    if draws < 1:
        raise ConfigError(f"draws is {draws!r}, must be 1 simulated run or more")
    placement = simulator.place(plan, runs=draws)
    makespans_s, costs_usd = [], []
    for simulation in simulator.run_all(placement, [Draws(seed, number) for number in range(draws)]):
        makespans_s.append(float(simulation.makespan_s))
        costs_usd.append(float(simulation.cost_usd))
    return Outcomes(Distribution(tuple(sorted(makespans_s))), Distribution(tuple(sorted(costs_usd))))
