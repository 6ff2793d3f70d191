"""What list schedulers share: how long things take at one size, the ranks of tasks, and workers being filled.

The timing is a model for placing tasks one after the other; what a whole plan comes to is for the simulator to say.

::

    a task's inputs from its own worker are there at once, others after:   put ─► get
    a new worker costs:   latency ─► cold start
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from faaslab.model.estimates import Estimates
from faaslab.model.platform import Platform
from faaslab.plan import Assignment, DagView, Plan
from faaslab.planners.planner import PlanContext


@dataclass(frozen=True, slots=True)
class Timing:
    """How long tasks and their outputs take on workers of one size, in seconds, by task index.

    Attributes:
        exec_s: Execution.
        put_s: From the end of a task until its output is visible to all.
        get_s: To fetch an output, once it is visible.
        cold_s: From the decision to have a new worker until it works.
        warm_s: The same where an idle container is at hand.
    """

    size_mib: int
    exec_s: Sequence[float]
    put_s: Sequence[float]
    get_s: Sequence[float]
    cold_s: float
    warm_s: float

    @classmethod
    def at(cls, size_mib: int, dag: DagView, estimates: Estimates, platform: Platform) -> Self:
        """Return the timing of a DAG on workers of ``size_mib``."""
        profile = platform.profile
        sizes = [estimates.output_bytes(task) for task in range(len(dag))]
        return cls(
            size_mib,
            exec_s=[estimates.exec_s(task, size_mib) for task in range(len(dag))],
            put_s=[profile.store_latency_s + _over(size, profile.upload_bytes_per_s) for size in sizes],
            get_s=[profile.store_latency_s + _over(size, profile.download_bytes_per_s) for size in sizes],
            cold_s=profile.invocation_latency_s + profile.cold_start_s,
            warm_s=profile.invocation_latency_s,
        )


def _over(size_bytes: float, bytes_per_s: float) -> float:
    """Return how long bytes are under way; a bandwidth of 0 stands for no limit."""
    return size_bytes / bytes_per_s if bytes_per_s else 0.0


def upward_ranks(dag: DagView, timing: Timing) -> list[float]:
    """Return each task's longest way to the end of the DAG, in seconds: itself, and transfers between workers.

    Source: H. Topcuoglu, S. Hariri and M. Wu, "Performance-Effective and Low-Complexity Task Scheduling for
    Heterogeneous Computing", IEEE TPDS 13(3), 2002, section 4.1 (mean costs; workers of one size are all alike).
    """
    ranks = [0.0] * len(dag)
    for task in range(len(dag) - 1, -1, -1):
        onward_s = max((ranks[successor] for successor in dag.successors(task)), default=None)
        ranks[task] = timing.exec_s[task]
        if onward_s is not None:
            ranks[task] += timing.put_s[task] + timing.get_s[task] + onward_s
    return ranks


def by_rank(dag: DagView, timing: Timing) -> list[int]:
    """Return the tasks by falling upward rank: a topological order, ties by index."""
    ranks = upward_ranks(dag, timing)
    return sorted(range(len(dag)), key=lambda task: (-ranks[task], task))


class Workers:
    """Workers being filled with tasks, one after the other; a worker takes its tasks in the order they are given.

    Attributes:
        of: Worker of each task that is placed, by task index; -1: not yet.
        free_s: When each worker has done what it was given.
        finish_s: When each placed task ends.
        visible_s: When each placed task's output could be fetched by other workers.
        tasks: Tasks of each worker, in their order.
        placed: All tasks, in the order in which they were placed.
        why: Why each placed task is where it is.
    """

    def __init__(self, dag: DagView, timing: Timing) -> None:
        self._dag = dag
        self._timing = timing
        self.of = [-1] * len(dag)
        self.free_s: list[float] = []
        self.finish_s = [0.0] * len(dag)
        self.visible_s = [0.0] * len(dag)
        self.tasks: list[list[int]] = []
        self.placed: list[int] = []
        self.why = [""] * len(dag)

    @property
    def size_mib(self) -> int:
        """Size of all workers."""
        return self._timing.size_mib

    def ready_s(self, task: int) -> float:
        """Return when all inputs of a task are visible: when a worker of its own could be invoked."""
        return max((self.visible_s[upstream] for upstream in self._dag.upstreams(task)), default=0.0)

    def fetch_s(self, task: int, worker: int = -1) -> float:
        """Return how long a worker fetches the inputs that it has not made itself; -1: a new worker."""
        get_s = self._timing.get_s
        return sum(get_s[upstream] for upstream in self._dag.upstreams(task) if self.of[upstream] != worker)

    def start_s(self, task: int, worker: int) -> float:
        """Return when a worker could begin to execute a task after all that it has been given."""
        remote_s = max(
            (self.visible_s[upstream] for upstream in self._dag.upstreams(task) if self.of[upstream] != worker),
            default=0.0,
        )
        return max(self.free_s[worker], remote_s) + self.fetch_s(task, worker)

    def place(self, task: int, worker: int, start_s: float, why: str) -> None:
        """Give a task to a worker; the next number that no worker has: to a new one."""
        if worker == len(self.tasks):
            self.tasks.append([])
            self.free_s.append(0.0)
        timing = self._timing
        self.tasks[worker].append(task)
        self.placed.append(task)
        self.of[task] = worker
        self.finish_s[task] = start_s + timing.exec_s[task]
        self.visible_s[task] = self.finish_s[task] + timing.put_s[task]
        # Whether the output has to be stored, which keeps its worker, is only known when its consumers are placed.
        self.free_s[worker] = self.finish_s[task]
        for upstream in self._dag.upstreams(task):
            maker = self.of[upstream]
            if maker != worker and self.tasks[maker][-1] == upstream:
                self.free_s[maker] = self.visible_s[upstream]
        self.why[task] = why

    def plan(self, ctx: PlanContext, planner: str) -> Plan:
        """Return the plan, once all tasks are placed."""
        dag, size_mib = self._dag, self._timing.size_mib
        return ctx.plan(
            dag,
            planner,
            [Assignment(f"w{worker}", size_mib) for worker in self.of],
            orders={f"w{worker}": tasks for worker, tasks in enumerate(self.tasks)},
            reasons=self.why,
        )
