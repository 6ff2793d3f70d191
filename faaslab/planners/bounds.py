"""What no plan of a DAG can be better than."""

from dataclasses import dataclass

from faaslab.config import Config
from faaslab.model.sizes import vcpus
from faaslab.plan import DagView
from faaslab.planners.planner import PlanContext


@dataclass(frozen=True, slots=True)
class Bounds:
    """What no plan can be better than, under the model, in a run that starts without containers.

    Attributes:
        makespan_s: A cold start, then the longest path of executions, each at its fastest size, and the storing of its
            end; or all executions, on as many workers as there may be at a time.
        cost_usd: Every task at its cheapest size, storing of sinks, a cold start at the smallest size and a request.
    """

    makespan_s: float
    cost_usd: float


def lower_bounds(dag: DagView, ctx: PlanContext) -> Bounds:
    """Return bounds on makespan and cost of every plan of a DAG.

    Raises:
        PlanError: A task asks for more memory than the largest allowed size.
    """
    if not len(dag):
        return Bounds(0.0, 0.0)
    ctx.sizes_for(dag)
    platform, flat = ctx.platform, ctx.simulator(dag).flat
    profile, prices = platform.profile, platform.prices
    rows = {size_mib: flat.exec_s([size_mib] * len(dag)) for size_mib in ctx.sizes}
    latency_s = profile.store_latency_s
    blob_s, frame_s, _ = flat.times(profile, Config().inline_output_bytes, list)
    longest_s = [0.0] * len(dag)
    # The least of each task that fills up what all workers share: time on a worker, on cores, of vCPUs, of memory.
    worker_s = core_s = vcpu_s = mib_s = 0.0
    path_s = 0.0
    for task in range(len(dag)):
        least_mib = dag.options(task).memory_mib or 0
        exec_s = {size_mib: row[task] for size_mib, row in rows.items() if size_mib >= least_mib}
        worker_s += min(exec_s.values())
        core_s += min(seconds * min(1.0, vcpus(size_mib)) for size_mib, seconds in exec_s.items())
        vcpu_s += min(seconds * vcpus(size_mib) for size_mib, seconds in exec_s.items())
        # A sink keeps its worker until it is stored.
        put_s = 0.0 if dag.successors(task) else blob_s[task] + latency_s / 2 + frame_s[task]
        mib_s += min(size_mib * (seconds + put_s) for size_mib, seconds in exec_s.items())
        before_s = max((longest_s[upstream] for upstream in dag.upstreams(task)), default=0.0)
        longest_s[task] = before_s + min(exec_s.values())
        path_s = max(path_s, longest_s[task] + put_s)
    # No container is there when the run starts: asking for one and for work takes a round trip each.
    start_s = max(profile.invocation_latency_s, profile.cold_start_s + 2 * latency_s)
    shared_s = max(
        worker_s / platform.concurrency,
        core_s / platform.cores,
        vcpu_s / platform.vcpus,
        mib_s / platform.memory_mib,
    )
    billed_start_s = profile.cold_start_s if prices.bill_cold_start else 0.0
    gb_s = (mib_s + ctx.sizes[0] * billed_start_s) / 1024
    return Bounds(start_s + max(path_s, shared_s), gb_s * prices.usd_per_gb_s + prices.usd_per_request)
