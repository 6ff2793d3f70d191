"""Where a worker that waits for an output would have it sooner if it computed it itself.

From a median simulation: worker ``w`` turns to a task at ``z`` and waits for input ``u`` of another worker::

    own = fetch the inputs of u + execute u at the size of w        max(z, inputs of u stored) + own + margin
                                                                      < u stored + fetch u

All inputs of ``u`` have to be stored: what its own worker keeps for itself can't be had elsewhere.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from faaslab.plan import DagView, Duplicate, Plan
from faaslab.planners.planner import PlanContext
from faaslab.policy.duplication import MARGIN_S


def apply(dag: DagView, plan: Plan, ctx: PlanContext) -> Plan:
    """Return the plan with all copies that are predicted to be sooner by more than the margin."""
    plan = replace(plan, instructions=replace(plan.instructions, duplicates=()))
    run = ctx.simulate(dag, plan)
    found: list[Duplicate] = []
    for worker, order in plan.orders.items():
        size_mib = plan.assignments[order[0]].size_mib
        seen = set(order)
        # The first task waits for nothing: its worker is invoked when all its inputs are there.
        seen.update(upstream for task in order[:1] for upstream in dag.upstreams(task))
        for task in order[1:]:
            for upstream in dag.upstreams(task):
                if upstream in seen:
                    continue
                seen.add(upstream)
                if not _may(dag, upstream, size_mib):
                    continue
                inputs = dag.upstreams(upstream)
                ready_s = max((float(run.visible_s[one]) for one in inputs), default=0.0)
                here_s = float(run.visible_s[upstream]) + _fetch_s(ctx, (upstream,))
                if not (ready_s < math.inf and here_s < math.inf):
                    continue
                own_s = _fetch_s(ctx, inputs) + ctx.platform.profile.task_s + ctx.predictor.exec_s(upstream, size_mib)
                if max(float(run.turn_s[task]), ready_s) + own_s + MARGIN_S < here_s:
                    found.append(Duplicate(upstream, worker, own_s, here_s - ready_s))
    return replace(plan, instructions=replace(plan.instructions, duplicates=tuple(found))) if found else plan


def _may(dag: DagView, task: int, size_mib: int) -> bool:
    """Whether a task may be computed twice, the second time on a worker of some size."""
    options = dag.options(task)
    return bool(getattr(options, "pure", True)) and (options.memory_mib or 0) <= size_mib


def _fetch_s(ctx: PlanContext, tasks: Sequence[int]) -> float:
    """Return how long it takes to fetch outputs, one call for all and one more for each that has anything in it."""
    profile = ctx.platform.profile
    if not tasks:
        return 0.0
    size_bytes = sum(ctx.predictor.output_bytes(task) for task in tasks)
    byte_s = 1 / profile.download_bytes_per_s if profile.download_bytes_per_s else 0.0
    return profile.store_latency_s * (1 + len(tasks)) + size_bytes * byte_s
