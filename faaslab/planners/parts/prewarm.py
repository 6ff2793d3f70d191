"""When to make containers warm, so that no worker but the first ones waits for a cold start.

A worker is *wanted* when its first task can run. Over many simulated runs::

    moment = q10(wanted) - q90(cold start)       if not before  q90(wanted) - q10(cold start) - keep-alive

and otherwise the one that saves most. It is told as "after task X plus a delay", X being the one that is stored last
before the moment: runs scatter, and the worker's ancestors are late with it. Of equal sizes, those whose windows allow
it are sent together, since an empty invocation that finds an idle container merely refreshes it: ``k`` overlapping ones
make ``k`` containers warm. So where containers are kept for long, all of a size go at the first moment, and at once if
nothing limits how many there may be.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from faaslab.model.platform import Platform
from faaslab.model.sizes import vcpus
from faaslab.plan import DagView, Plan, Prewarm
from faaslab.planners.planner import PlanContext
from faaslab.simulate import Draws, Simulation
from faaslab.simulate.montecarlo import SEARCH_DRAWS

EARLY, LATE = 0.1, 0.9
"""Quantiles of what a prewarm has to be in time for."""
ROUNDS = 3
"""How often moments are found anew: without the cold starts before it, a worker is wanted earlier."""
USEFUL_PART = 0.05
"""Of a cold start; a prewarm that is predicted to save less is not sent."""
PARTS_OF_BUDGET = 20
"""What part of a planner's budget is spent on one round at the most."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A worker that would start cold: when it is wanted, from run to run, and by which task.

    ``visible_s``: for each run, when each task was stored.
    """

    worker: str
    size_mib: int
    task: int
    wanted_s: Sequence[float]
    runs: Sequence[int]


@dataclass(slots=True)
class _Batch:
    """Empty invocations of one size that are sent together."""

    moment_s: float
    first: _Wanted
    wanted_s: list[float]


def apply(dag: DagView, plan: Plan, ctx: PlanContext) -> Plan:
    """Return the plan with an empty invocation for each worker that is predicted to start cold and can be helped."""
    plan = replace(plan, instructions=replace(plan.instructions, prewarms=()))
    targets: dict[str, None] = {}
    for _ in range(ROUNDS):
        runs = _runs(dag, plan, ctx)
        wanted = _wanted(runs, targets)
        prewarms = _Moments(dag, ctx.platform, runs).prewarms(wanted)
        if prewarms == plan.instructions.prewarms:
            break
        plan = replace(plan, instructions=replace(plan.instructions, prewarms=prewarms))
    return plan


def _runs(dag: DagView, plan: Plan, ctx: PlanContext) -> list[Simulation]:
    affordable = ctx.budget // (PARTS_OF_BUDGET * ROUNDS * max(1, len(dag)))
    draws = [Draws(ctx.seed, number) for number in range(min(SEARCH_DRAWS, affordable))]
    simulator = ctx.simulator(dag)
    placement = simulator.place(plan, runs=max(1, len(draws)))
    return list(simulator.run_all(placement, draws if len(draws) > 1 else [None]))


def _wanted(runs: Sequence[Simulation], targets: dict[str, None]) -> list[_Wanted]:
    """Return the workers that start cold in half of the runs, and those that did in earlier rounds (``targets``)."""
    seen: dict[str, list[tuple[int, float, bool]]] = {}
    known: dict[str, tuple[int, int]] = {}
    for number, run in enumerate(runs):
        for worker in run.workers:
            # One that gave up its slot has had a container, which is warm.
            if worker.tasks and worker.attempt == 1:
                seen.setdefault(worker.invocation, []).append((number, worker.requested_s, worker.cold))
                known.setdefault(worker.invocation, (worker.size_mib, worker.tasks[0]))
    for name, starts in seen.items():
        if 2 * sum(cold for *_, cold in starts) >= len(runs):
            targets.setdefault(name)
    return [
        _Wanted(name, *known[name], [at_s for _, at_s, _ in seen[name]], [number for number, *_ in seen[name]])
        for name in targets
        if name in seen
    ]


class _Moments:
    """Finds when to send what, for one plan."""

    def __init__(self, dag: DagView, platform: Platform, runs: Sequence[Simulation]) -> None:
        self._dag, self._runs = dag, runs
        profile = platform.profile
        self._keep_s = profile.keep_alive_s
        starts = sorted([float(cold_s) for run in runs for cold_s in list(run.cold_s)[: max(1, run.containers)]])
        overhead_s = profile.store_latency_s * 2 + profile.invocation_latency_s
        self._soon_s, self._late_s = (quantile(starts, part) + overhead_s for part in (EARLY, LATE))
        self._visible = [[float(at_s) for at_s in run.visible_s] for run in runs]
        self._submit_s = quantile(sorted(min(w.requested_s for w in run.workers) for run in runs), EARLY)
        median = runs[0]
        self._unlimited = _fits(median, platform) and math.isinf(platform.cores)

    def prewarms(self, wanted: Sequence[_Wanted]) -> tuple[Prewarm, ...]:
        """Return the empty invocations for some workers."""
        batches: dict[int, list[_Batch]] = {}
        aimed = [(self._aim_s(one), one) for one in wanted]
        for moment_s, one in sorted(aimed, key=lambda pair: (pair[0], pair[1].task)):
            middle_s = quantile(sorted(one.wanted_s), 0.5)
            # It has to save something: the first ones are wanted at once.
            if middle_s - max(moment_s, self._submit_s) < USEFUL_PART * self._late_s:
                continue
            found = batches.setdefault(one.size_mib, [])
            batch = next((batch for batch in found if batch.moment_s >= self._earliest_s(one)), None)
            if batch is None:
                found.append(_Batch(moment_s, one, [middle_s]))
            else:
                batch.wanted_s.append(middle_s)
        made = []
        for size_mib, found in sorted(batches.items()):
            for number, batch in enumerate(found):
                # Those that idle at this moment would be refreshed in place of a start.
                idle = sum(
                    at_s > batch.moment_s
                    for earlier in found[:number]
                    if earlier.moment_s + self._late_s <= batch.moment_s
                    for at_s in earlier.wanted_s
                )
                made.append(self._told(size_mib, batch, len(batch.wanted_s) + idle))
        return tuple(made)

    def _earliest_s(self, one: _Wanted) -> float:
        """Return from when on a container that is started is still kept when it is wanted."""
        return quantile(sorted(one.wanted_s), LATE) - self._soon_s - self._keep_s

    def _aim_s(self, one: _Wanted) -> float:
        earliest_s = self._earliest_s(one)
        if self._unlimited and earliest_s <= self._submit_s:
            return self._submit_s
        aim_s = max(self._submit_s, quantile(sorted(one.wanted_s), EARLY) - self._late_s)
        if earliest_s <= aim_s:
            return aim_s
        # No moment is right for nearly all runs: one that saves most of the waiting, taken together.
        moments = sorted({aim_s, *(max(aim_s, at_s - self._late_s) for at_s in one.wanted_s)})
        return max(moments, key=lambda moment_s: (self._saved_s(one, moment_s), -moment_s))

    def _saved_s(self, one: _Wanted, moment_s: float) -> float:
        """Return how much less is waited in all runs for a container that is started at a moment."""
        ready_s = moment_s + self._late_s
        return sum(
            min(self._late_s, max(0.0, at_s - moment_s)) for at_s in one.wanted_s if at_s <= ready_s + self._keep_s
        )

    def _told(self, size_mib: int, batch: _Batch, count: int) -> Prewarm:
        """Return a batch, its moment counted from what is stored last before it."""
        one = batch.first
        after = self._after(one, batch.moment_s) if batch.moment_s > self._submit_s else None
        if after is None:
            return Prewarm(size_mib, None, max(0.0, batch.moment_s - self._submit_s), count)
        since_s = sorted(at_s - self._visible[run][after] for run, at_s in zip(one.runs, one.wanted_s, strict=True))
        # The batch may be early for its first worker, since that is kept long enough.
        lead_s = quantile(sorted(one.wanted_s), EARLY) - batch.moment_s
        return Prewarm(size_mib, after, max(0.0, quantile(since_s, EARLY) - lead_s), count)

    def _after(self, one: _Wanted, moment_s: float) -> int | None:
        """Return the task that is stored last before a moment, one that the worker waits for if there is any."""
        stored: Mapping[int, float] = {
            task: latest_s
            for task in range(len(self._dag))
            if (latest_s := quantile(sorted(self._visible[run][task] for run in one.runs), 0.5)) <= moment_s
            and max(self._visible[run][task] for run in one.runs) < math.inf
        }
        ancestors, left = set[int](), [one.task]
        while left:
            for upstream in self._dag.upstreams(left.pop()):
                if upstream not in ancestors:
                    ancestors.add(upstream)
                    left.append(upstream)
        candidates = [task for task in stored if task in ancestors] or list(stored)
        return max(candidates, key=lambda task: (stored[task], -task), default=None)


def _fits(run: Simulation, platform: Platform) -> bool:
    """Whether all containers of a run may exist at the same time."""
    size_of = {worker.container: worker.size_mib for worker in run.workers if worker.container >= 0}
    return (
        len(size_of) <= platform.concurrency
        and sum(map(vcpus, size_of.values())) <= platform.vcpus
        and sum(size_of.values()) <= platform.memory_mib
    )


def quantile(rising: Sequence[Any], part: float) -> float:
    """Return a quantile of sorted numbers: the smallest that so many of them do not exceed."""
    return float(rising[min(len(rising) - 1, max(0, math.ceil(part * len(rising)) - 1))])
