"""Where large outputs are brought together with what takes them: fan-out and fan-in clustering, delayed I/O (WUKONG).

Together they are one run-time policy (``policy.run_time.Clustering``), which concerns tasks whose worker is decided at
run time; a plan without any stays as it is, and so does one that has a policy.
"""

import math
from dataclasses import replace

from faaslab.model.platform import Platform
from faaslab.plan import DagView, Plan
from faaslab.planners.planner import PlanContext
from faaslab.policy.run_time import Clustering

THRESHOLD_S = 0.5
"""Predicted seconds into the store and out again from which an output is large, where nobody says otherwise.

On Lambda (75 MB/s each way) that is 19 MB. It lies between OctoFlows' 5 MB, which come to 0.13 s there and made one
worker of a DAG of 24 chains, and the 200 MB of WUKONG's code, 5.3 s, which hardly an output reaches: about the time
that a worker needs to be invoked cold, and so what running things one after the other can save.
"""


def apply(dag: DagView, plan: Plan, ctx: PlanContext) -> Plan:
    """Return the plan with a policy that does what the context's optimizations name, if it has use for one."""
    if plan.policy is not None or all(assignment.worker is not None for assignment in plan.assignments):
        return plan
    threshold_bytes = bytes_of(THRESHOLD_S, ctx.platform)
    if threshold_bytes == math.inf:
        return plan  # where nothing takes time to travel nothing is large
    used = [name in ctx.optimizations for name in ("fan_out_clustering", "fan_in_clustering", "delayed_io")]
    return replace(plan, policy=Clustering(threshold_bytes, *used)) if any(used) else plan


def bytes_of(threshold_s: float, platform: Platform) -> float:
    """Return the size of an output that takes so many seconds into the store and out again; infinite: none does."""
    profile = platform.profile
    byte_s = sum(1 / rate for rate in (profile.upload_bytes_per_s, profile.download_bytes_per_s) if rate)
    left_s = threshold_s - 2 * profile.store_latency_s
    if left_s <= 0:
        return 0.0
    return left_s / byte_s if byte_s else math.inf
