"""``faaslab``: the best of all planners, improved by gap cuts, slack downgrades and a search along the bottleneck.

Fidelity card
    Source: FaaSLab's own. Its parts: HEFT's ranks (Topcuoglu et al., 2002), elastic list scheduling (``els``), late
    acceptance (Burke and Bykov, 2017).
    Decisions: the plans of all other planners at all sizes are simulated, each also with its workers ended where they
    would wait (gap cuts). The best ``POLISHED`` get smaller sizes where there is slack, and gaps cut again, as long as
    that helps. From the best ``CLIMBED`` of these a search changes one thing after the other: where the makespan is
    made of waiting for another worker, tasks are put together; of queueing, apart; of execution, on larger workers; and
    elsewhere smaller sizes and fewer workers are tried. Of all that was simulated, the ``FINALISTS`` that the objective
    likes best are compared once more with the confidence that the SLA asks for.
    Deviations: none.
    Use: the plan to run. Under the model it is never worse than that of any planner it starts from.
"""

import random
from dataclasses import replace

from faaslab.plan import DagView, Plan
from faaslab.planners.candidates import Bench, Candidate, Evaluated
from faaslab.planners.gap_cuts import THRESHOLDS_S, cut_gaps
from faaslab.planners.planner import PlanContext
from faaslab.planners.portfolio import seeds
from faaslab.planners.search import climb, polished

POLISHED = 6
"""Seeds that are polished."""
CLIMBED = 2
"""Candidates that the search starts from."""
FINALISTS = 10
"""Candidates among which the SLA decides."""
MOST_SIMULATIONS = 4000
"""Simulations of a search, however small the DAG: more find next to nothing."""


class FaaSLab:
    """Plans by portfolio and search."""

    name = "faaslab"

    def plan(self, dag: DagView, ctx: PlanContext, /) -> Plan:
        """Return the plan; see the module's fidelity card."""
        bench = Bench(dag, ctx)
        bench.simulator.expect(min(ctx.budget, MOST_SIMULATIONS * len(dag)))
        seeded = [found for seed in seeds(bench) for found in _with_gaps_cut(bench, seed)]
        start = min(seeded, key=lambda found: found.score)
        best = self._searched(bench, seeded)
        chosen = _decide(bench, self.name)
        improved = {
            "seed": start.candidate.seed,
            "seed_score": list(start.score),
            "search_score": list(best.score),
            "simulations": bench.simulations,
        }
        return replace(chosen, settings={**chosen.settings, "search": improved})

    def _searched(self, bench: Bench, seeded: list[Evaluated]) -> Evaluated:
        ranked = _distinct(seeded, POLISHED)
        ranked = _distinct([polished(bench, found) for found in ranked], CLIMBED)
        rng = random.Random(bench.ctx.seed)
        left = min(MOST_SIMULATIONS, bench.ctx.budget // max(1, len(bench.dag)) - bench.simulations)
        climbed = [climb(bench, found, rng, left // len(ranked)) for found in ranked]
        return min(climbed, key=lambda found: found.score)


def _with_gaps_cut(bench: Bench, seed: Candidate) -> list[Evaluated]:
    """Return a seed as it is, and with its gaps cut at each threshold."""
    found = [bench.evaluate(seed)]
    for threshold_s in THRESHOLDS_S:
        cut = cut_gaps(found[0], threshold_s)
        if cut is None:
            break  # and so do larger ones
        found.append(bench.evaluate(cut))
    return found


def _distinct(found: list[Evaluated], count: int) -> list[Evaluated]:
    """Return the best candidates, of those with the same makespan and cost only one."""
    ranked: dict[tuple[float, ...], Evaluated] = {}
    for one in sorted(found, key=lambda one: one.score):
        ranked.setdefault(one.score, one)
    return list(ranked.values())[:count]


def _decide(bench: Bench, planner: str) -> Plan:
    """Return the plan that the objective prefers at the SLA, of the best candidates at the median."""
    finalists = bench.archive.best(FINALISTS)
    return bench.ctx.best(bench.dag, [bench.plan(found.candidate, planner) for found in finalists])
