"""``faaslab``: the best of all planners, improved by gap cuts, slack downgrades and a search along the bottleneck.

Fidelity card
    Source: FaaSLab's own. Its parts: HEFT's ranks (Topcuoglu et al., 2002), elastic list scheduling (``els``), late
    acceptance (Burke and Bykov, 2017).
    Decisions: the plans of all planners that need no extra are simulated at all sizes, each also with its workers
    ended where they would wait (gap cuts). The best ``POLISHED`` get smaller sizes where there is slack, and gaps cut
    again, as long as that helps. From the best of these a search changes one thing after the other: where the
    makespan is made of waiting for another worker, tasks are put together; of queueing, apart; of execution, on
    larger workers; and elsewhere smaller sizes and fewer workers are tried. All that is judged by simulations in
    which everything takes its median. At the end the best of it, and each planner's own plan, are compared by many
    runs under common luck, with the confidence that the SLA asks for: what was fitted too closely to medians does not
    survive that.
    Deviations: none.
    Use: the plan to run. In the runs that decide, it is never worse than that of any planner it starts from.
"""

import random
from dataclasses import replace

from faaslab.plan import DEFAULT_OPTIMIZATIONS, DagView, Plan
from faaslab.planners.candidates import Bench, Found
from faaslab.planners.composer import compose
from faaslab.planners.gap_cuts import THRESHOLDS_S, cut_gaps
from faaslab.planners.objective import Objective
from faaslab.planners.planner import DEFAULT_BUDGET, PlanContext
from faaslab.planners.portfolio import seeds
from faaslab.planners.search import improve
from faaslab.simulate.montecarlo import SEARCH_DRAWS, search_draws

POLISHED = 6
"""Seeds that are polished."""
FINALISTS = 10
"""So many of the best candidates, and of those spread over all trades of cost for makespan, the SLA decides among."""
PARTS_OF_DECISION = 4
"""What part of the budget deciding among finalists may take."""
PARTS_OF_FRONT = 4
"""By how much a point of a front is searched less than a plan."""
COMPOSED = 3
"""So many finalists get optimizations: which is best with them need not be the one that is best without."""
_LEAST_USD = 1e-12
"""A cap on cost must be above 0."""
MOST_SIMULATIONS = 4000
"""Simulations of a search with the default budget, however small the DAG: four times as many find plans that are a few
percent better. A larger budget raises this in proportion."""


class FaaSLab:
    """Plans by portfolio and search."""

    name = "faaslab"

    def plan(self, dag: DagView, ctx: PlanContext, /) -> Plan:
        """Return the plan; see the module's fidelity card."""
        bench = _seeded(dag, ctx)
        start = bench.archive.best(1)[0]
        left = _simulations(dag, ctx) - bench.simulations
        improve(bench, bench.archive.best(POLISHED), random.Random(ctx.seed), left)
        chosen, plan = _decide(bench, self.name)
        found = {
            "seed": chosen.candidate.seed,
            "makespan_s": chosen.makespan_s,
            "cost_usd": chosen.cost_usd,
            "best_seed": start.candidate.seed,
            "best_seed_makespan_s": start.makespan_s,
            "best_seed_cost_usd": start.cost_usd,
            "simulations": bench.simulations,
        }
        return replace(plan, settings={**plan.settings, "search": found})

    def front(self, dag: DagView, ctx: PlanContext, points: int) -> list[Plan]:
        """Return plans that trade cost for makespan: the fastest that is found for each of some caps on cost.

        Caps are spread evenly by ratio from the cheapest plan to the fastest; for each, the search goes on from what it
        has found so far. Of all that it came across, the plans with most area between them are returned.

        Args:
            dag: The DAG.
            ctx: What planning has to heed, but for the objective.
            points: How many caps there are.
        """
        bench = _seeded(dag, ctx)
        rng = random.Random(ctx.seed)
        left = _simulations(dag, ctx) // PARTS_OF_FRONT

        def best(objective: Objective) -> Found:
            bench.aim(objective)
            improve(bench, bench.archive.best(POLISHED), rng, left)
            return bench.archive.best(1)[0]

        cheapest, fastest = best(Objective.named("cost")), best(Objective.named("makespan"))
        low, high = cheapest.cost_usd, fastest.cost_usd
        caps = [low * (high / low) ** (step / max(1, points - 1)) for step in range(points)] if low > 0 else [high]
        for cap_usd in caps:
            best(Objective.named("makespan", cost_cap_usd=max(cap_usd, _LEAST_USD)))
        return [bench.plan(found.candidate, self.name) for found in bench.archive.spread(points)]


def _simulations(dag: DagView, ctx: PlanContext) -> int:
    """Return how many candidates the budget allows to be simulated."""
    most = max(MOST_SIMULATIONS, MOST_SIMULATIONS * ctx.budget // DEFAULT_BUDGET)
    return min(ctx.budget // max(1, len(dag)), most)


def _seeded(dag: DagView, ctx: PlanContext) -> Bench:
    """Return a bench that has seen all seeds, as they are and with their gaps cut at each threshold."""
    bench = Bench(dag, ctx)
    bench.simulator.expect(_simulations(dag, ctx) * len(dag))
    for seed in seeds(bench):
        found = bench.evaluate_seed(seed)
        for threshold_s in THRESHOLDS_S:
            cut = cut_gaps(found, threshold_s)
            if cut is None:
                break  # and so do larger ones
            bench.evaluate(cut)
    return bench


def _decide(bench: Bench, planner: str) -> tuple[Found, Plan]:
    """Return the candidate that the objective prefers at the SLA, of the best ones at the median, and its plan.

    What is best if everything takes its median may be worst if anything does not, so there are others among them: some
    of all trades of cost for makespan that were found, and what each planner would do by itself.
    """
    dag, ctx = bench.dag, bench.ctx
    best = bench.archive.best(FINALISTS)
    own = sorted(bench.own.values(), key=lambda found: found.score)
    finalists = [*best[:1], *own, *best[1:], *bench.archive.spread(FINALISTS)]
    distinct = list({id(found.candidate): found for found in finalists}.values())
    # Rather fewer draws than fewer finalists.
    runs = ctx.budget // PARTS_OF_DECISION // max(1, len(dag))
    draws = max(SEARCH_DRAWS, min(search_draws(len(dag)), runs // len(distinct)))
    decided = [(found, bench.plan(found.candidate, planner)) for found in distinct[: max(1, runs // draws)]]
    if len(decided) > 1:
        decided.sort(key=lambda one: ctx.objective.score(*ctx.at_sla(dag, one[1], draws)))
    if ctx.optimizations <= DEFAULT_OPTIMIZATIONS:
        return decided[0]
    composed = [(found, compose(dag, plan, ctx, per_task=True)) for found, plan in decided[:COMPOSED]]
    if len(composed) == 1:
        return composed[0]
    return min(composed, key=lambda one: ctx.objective.score(*ctx.at_sla(dag, one[1], draws)))
