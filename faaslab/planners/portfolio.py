"""The portfolio: what every planner that needs no extra would do, as candidates to start a search from.

Each planner's own plan is among them, so that whatever is found is no worse than any of them.
"""

from collections.abc import Iterator

from faaslab.planners.candidates import Bench, Candidate
from faaslab.planners.critical_path import CriticalPath
from faaslab.planners.els import Els
from faaslab.planners.heft import Heft
from faaslab.planners.list_scheduling import Workers
from faaslab.planners.per_task import PerTask
from faaslab.planners.single_worker import SingleWorker
from faaslab.planners.uniform import group
from faaslab.planners.wukong import Wukong

FIXED_WORKERS = (2, 4, 8, 16, 32)
"""Numbers of workers of which a fixed HEFT is tried, as far as there are tasks for them."""
LARGE = 3000
"""Tasks above which only what other planners themselves do is tried, so that some of the budget is left."""


def seeds(bench: Bench) -> Iterator[Candidate]:
    """Yield the plans of all planners at all sizes as candidates."""
    dag, ctx = bench.dag, bench.ctx
    for planner in (PerTask(), SingleWorker(), Wukong()):
        yield bench.candidate(planner.plan(dag, ctx), planner.name)
    tiers = {size_mib: tier for tier, size_mib in enumerate(ctx.sizes)}
    large = len(dag) > LARGE
    groups = {tuple(group(dag, ctx, ctx.sizes[-1])[0]): None}
    for size_mib in ctx.sizes_for(dag):
        if size_mib > ctx.size_for(dag, range(len(dag))):
            for name, worker in (("single_worker", 0), ("wukong", -1)):
                yield bench.seed(f"{name} at {size_mib} MiB", [worker] * len(dag), tiers[size_mib], bench.all_tasks)
            yield bench.seed(f"per_task at {size_mib} MiB", range(len(dag)), tiers[size_mib], bench.all_tasks)
        workers, _ = group(dag, ctx, size_mib)
        yield bench.seed(f"uniform at {size_mib} MiB", workers, tiers[size_mib], bench.all_tasks)
        if not large:
            groups[tuple(workers)] = None
        for counted in (None, *(count for count in FIXED_WORKERS if count < len(dag) and not large)):
            filled = Heft(counted).filled(size_mib, dag, ctx)
            name = "heft" if counted is None else f"heft on {counted} workers"
            yield _listed(bench, f"{name} at {size_mib} MiB", filled, tiers[size_mib])
    for workers_of in groups:
        yield CriticalPath().best(bench, list(workers_of)).candidate
    for kappa, filled in Els().filled(dag, ctx):
        yield _listed(bench, f"els at {kappa:g} s a dollar and {filled.size_mib} MiB", filled, tiers[filled.size_mib])


def _listed(bench: Bench, name: str, filled: Workers, tier: int) -> Candidate:
    import numpy as np

    return bench.seed(name, filled.of, tier, np.array(filled.placed, dtype=np.int64))
