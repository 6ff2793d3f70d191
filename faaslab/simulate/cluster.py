"""A plan on machines of one's own, as a Dask cluster would run it: no invocations, no storage, always billed.

::

    all inputs of a task are there ─► its worker fetches what it lacks, directly, one input after the other
                                   ─► it executes once the tasks before it in the plan have

Workers have started before and run one task at a time; transfers go on meanwhile.
"""

import heapq
import math
from dataclasses import dataclass

from faaslab.errors import ConfigError, PlanError
from faaslab.model.estimates import Estimates
from faaslab.model.platform import Platform
from faaslab.plan import DagView, Plan, check_plan
from faaslab.simulate.flat import FlatDag

CLUSTER_BANDWIDTH_BYTES_PER_S = 100e6
"""Bandwidth into a worker: what Dask assumes (``distributed.scheduler.bandwidth``)."""


@dataclass(frozen=True, slots=True)
class ClusterSimulation:
    """What a plan comes to on machines of one's own.

    Attributes:
        makespan_s: From the start of the run to the end of its last task.
        cost_usd: All workers, from the start of the run to its end.
        gb_seconds: The same, as memory times time.
        start_s: When each task began to execute, by task index.
        finish_s: When it ended.
        moved_bytes: What went from worker to worker.
        transfers: In how many pieces: an output goes to a worker once.
    """

    makespan_s: float
    cost_usd: float
    gb_seconds: float
    start_s: tuple[float, ...]
    finish_s: tuple[float, ...]
    moved_bytes: int
    transfers: int


def simulate_cluster(
    dag: DagView,
    plan: Plan,
    estimates: Estimates,
    platform: Platform,
    *,
    workers: int | None = None,
    bandwidth_bytes_per_s: float = CLUSTER_BANDWIDTH_BYTES_PER_S,
) -> ClusterSimulation:
    """Simulate one run of a plan on a cluster.

    Args:
        dag: The DAG.
        plan: Says which worker executes what, in which order; every task must have a worker.
        estimates: How long tasks take and how large their outputs are.
        platform: Whose price of a GB-second is paid, so that both ways to run a plan can be compared. Its delays are
            those of a FaaS platform and don't count here.
        workers: How many machines are billed, of the plan's largest size where it has no work for them; None: those
            that the planner was told of (``workers`` in the plan's settings), or those that the plan uses.
        bandwidth_bytes_per_s: What a worker can receive; infinite: no limit.

    Raises:
        PlanError: The plan is for another DAG, can't be run, leaves workers to run time, or has more of them.
        ConfigError: The bandwidth is not above 0, or an estimate is negative or not a number.
    """
    if not bandwidth_bytes_per_s > 0:
        raise ConfigError(f"bandwidth_bytes_per_s is {bandwidth_bytes_per_s}, must be above 0")
    check_plan(dag, plan)
    for task, assignment in enumerate(plan.assignments):
        if assignment.worker is None:
            raise PlanError(
                f"task {dag.ids[task]!r} has no worker in the {plan.planner!r} plan; a cluster has fixed workers"
            )
    billed = int(plan.settings.get("workers", len(plan.orders))) if workers is None else workers
    if billed < len(plan.orders):
        raise PlanError(f"the {plan.planner!r} plan has {len(plan.orders)} workers, the cluster {billed}; allow more")
    flat = FlatDag.of(dag, estimates)
    exec_s = flat.exec_s([assignment.size_mib for assignment in plan.assignments])
    course = _Course(flat, plan, exec_s, 1 / bandwidth_bytes_per_s)
    course.run()
    makespan_s = max(course.finish_s, default=0.0)
    sizes_mib = [plan.assignments[order[0]].size_mib for order in plan.orders.values()]
    sizes_mib += [max(sizes_mib, default=0)] * (billed - len(sizes_mib))
    gb_seconds = sum(platform.prices.gb_seconds(size_mib, makespan_s) for size_mib in sizes_mib)
    return ClusterSimulation(
        makespan_s=makespan_s,
        cost_usd=gb_seconds * platform.prices.usd_per_gb_s,
        gb_seconds=gb_seconds,
        start_s=tuple(course.start_s),
        finish_s=tuple(course.finish_s),
        moved_bytes=course.moved_bytes,
        transfers=course.transfers,
    )


class _Course:
    """Workers that do what a plan says; events are the ends of tasks."""

    def __init__(self, flat: FlatDag, plan: Plan, exec_s: list[float], s_per_byte: float) -> None:
        count = len(exec_s)
        self._upstreams = flat.upstreams
        self._out_from, self._out_task, _ = flat.successors
        self._bytes, self._exec_s, self._s_per_byte = flat.output_bytes, exec_s, s_per_byte
        self._orders = list(plan.orders.values())
        self._worker_of, self._place = [0] * count, [0] * count
        for worker, order in enumerate(self._orders):
            for place, task in enumerate(order):
                self._worker_of[task], self._place[task] = worker, place
        self._missing = [len(row) for row in flat.upstreams]
        self._inputs_s = [math.inf] * count
        self._next = [0] * len(self._orders)
        self._free_s = [0.0] * len(self._orders)
        self._link_free_s = [0.0] * len(self._orders)
        self._arrival_s: dict[tuple[int, int], float] = {}
        self._ends: list[tuple[float, int]] = []
        self.start_s, self.finish_s = [0.0] * count, [0.0] * count
        self.moved_bytes = self.transfers = 0

    def run(self) -> None:
        """Run until nothing happens any more: a checked plan has been executed then."""
        for task, missing in enumerate(self._missing):
            if not missing:
                self._fetch(task, 0.0)
        for worker in range(len(self._orders)):
            self._advance(worker)
        while self._ends:
            now_s, ended = heapq.heappop(self._ends)
            ready = []
            for task in self._out_task[self._out_from[ended] : self._out_from[ended + 1]]:
                self._missing[task] -= 1
                if not self._missing[task]:
                    ready.append(task)
            for task in sorted(ready, key=lambda task: (self._place[task], task)):
                self._fetch(task, now_s)
                self._advance(self._worker_of[task])

    def _fetch(self, task: int, now_s: float) -> None:
        """Note when a task whose upstreams have all ended will have its inputs."""
        worker = self._worker_of[task]
        inputs_s = now_s
        for upstream in self._upstreams[task]:
            if self._worker_of[upstream] == worker:
                continue
            if (worker, upstream) not in self._arrival_s:
                begin_s = max(now_s, self._link_free_s[worker])
                self._link_free_s[worker] = begin_s + self._bytes[upstream] * self._s_per_byte
                self._arrival_s[worker, upstream] = self._link_free_s[worker]
                self.moved_bytes += self._bytes[upstream]
                self.transfers += 1
            inputs_s = max(inputs_s, self._arrival_s[worker, upstream])
        self._inputs_s[task] = inputs_s

    def _advance(self, worker: int) -> None:
        """Execute what comes next on a worker, as far as it is known when it can."""
        order = self._orders[worker]
        while self._next[worker] < len(order) and self._inputs_s[order[self._next[worker]]] < math.inf:
            task = order[self._next[worker]]
            self._next[worker] += 1
            self.start_s[task] = max(self._free_s[worker], self._inputs_s[task])
            self.finish_s[task] = self._free_s[worker] = self.start_s[task] + self._exec_s[task]
            heapq.heappush(self._ends, (self.finish_s[task], task))
