"""What list schedulers share: how long things take at one size, the ranks of tasks, and workers being filled.

The timing is a model for placing tasks one after the other; what a whole plan comes to is for the simulator to say.

::

    a task's inputs from its own worker are there at once, others after:   put ─► get
    a new worker costs:   latency ─► cold start
"""

import bisect
import math
from collections.abc import Callable, Sequence
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


@dataclass(slots=True)
class Inputs:
    """Where the inputs of a task are, while its worker is sought.

    Attributes:
        makers: Workers that made some of them, in the order of their numbers.
        ready_s: When all of them are visible: when a worker of its own could be invoked.
        fetch_s: How long a worker fetches them that has made none.
        store_s: How long those that no worker had to store so far would take to be stored.
    """

    makers: list[int]
    ready_s: float
    fetch_s: float
    store_s: float
    _visible_s: dict[int, float]
    _second_s: float
    _fetch_s: dict[int, float]
    _store_s: dict[int, float]

    def remote_s(self, worker: int) -> float:
        """Return when all inputs are visible that a worker has not made itself."""
        if self._visible_s.get(worker) == self.ready_s:
            return self._second_s
        return self.ready_s

    def fetch_by_s(self, worker: int) -> float:
        """Return how long a worker fetches the inputs that it has not made itself."""
        return max(0.0, self.fetch_s - self._fetch_s.get(worker, 0.0))

    def store_for_s(self, worker: int) -> float:
        """Return how long inputs take to be stored that only a task on this worker would not need stored."""
        return max(0.0, self.store_s - self._store_s.get(worker, 0.0))


class Workers:
    """Workers being filled with tasks, one after the other; a worker takes its tasks in the order they are given.

    Attributes:
        size_mib: Size of all workers.
        of: Worker of each task that is placed, by task index; -1: not yet.
        free_s: When each worker has done what it was given.
        finish_s: When each placed task ends.
        visible_s: When each placed task's output could be fetched by other workers.
        tasks: Tasks of each worker, in their order.
        placed: All tasks, in the order in which they were placed.
    """

    def __init__(self, dag: DagView, timing: Timing) -> None:
        self._dag = dag
        self._timing = timing
        self.size_mib = timing.size_mib
        self.of = [-1] * len(dag)
        self.free_s: list[float] = []
        self.finish_s = [0.0] * len(dag)
        self.visible_s = [0.0] * len(dag)
        self.tasks: list[list[int]] = []
        self.placed: list[int] = []
        self._stored = [False] * len(dag)
        self._free: list[tuple[float, int]] = []

    def inputs(self, task: int) -> Inputs:
        """Return where a task's inputs are: what placing it depends on, in time linear in their number."""
        timing, of = self._timing, self.of
        visible_s: dict[int, float] = {}
        fetch_of: dict[int, float] = {}
        store_of: dict[int, float] = {}
        fetch_s = store_s = 0.0
        for upstream in self._dag.upstreams(task):
            maker = of[upstream]
            get_s = timing.get_s[upstream]
            put_s = 0.0 if self._stored[upstream] else timing.put_s[upstream]
            fetch_s += get_s
            store_s += put_s
            if maker in visible_s:
                visible_s[maker] = max(visible_s[maker], self.visible_s[upstream])
                fetch_of[maker] += get_s
                store_of[maker] += put_s
            else:
                visible_s[maker], fetch_of[maker], store_of[maker] = self.visible_s[upstream], get_s, put_s
        ready_s = second_s = 0.0
        for one_s in visible_s.values():
            if one_s > ready_s:
                ready_s, second_s = one_s, ready_s
            elif one_s > second_s:
                second_s = one_s
        return Inputs(sorted(visible_s), ready_s, fetch_s, store_s, visible_s, second_s, fetch_of, store_of)

    def start_s(self, worker: int, inputs: Inputs) -> float:
        """Return when a worker could begin to execute a task after all that it has been given."""
        return max(self.free_s[worker], inputs.remote_s(worker)) + inputs.fetch_by_s(worker)

    def free_around(self, at_s: float) -> list[int]:
        """Return the worker that is free last up to a time, and the one that is free first after it, if there are."""
        found = []
        at = bisect.bisect_right(self._free, (at_s, len(self.tasks)))
        while at and self._is_stale(at - 1):
            at -= 1
            del self._free[at]
        if at:
            found.append(self._free[at - 1][1])
        while at < len(self._free) and self._is_stale(at):
            del self._free[at]
        if at < len(self._free):
            found.append(self._free[at][1])
        return found

    def first_free(self) -> int | None:
        """Return the worker that is, or will be, free for longest; None: there is no worker."""
        while self._free and self._is_stale(0):
            del self._free[0]
        return self._free[0][1] if self._free else None

    def end(self, worker: int) -> None:
        """Give a worker no more tasks: its container takes another invocation."""
        self.free_s[worker] = math.inf

    def _is_stale(self, at: int) -> bool:
        """Whether a worker has got another task, or ended, since it was noted when it is free."""
        return self.free_s[self._free[at][1]] != self._free[at][0]

    def place(self, task: int, worker: int, start_s: float) -> None:
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
        self._is_free(worker, self.finish_s[task])
        for upstream in self._dag.upstreams(task):
            maker = self.of[upstream]
            if maker == worker:
                continue
            self._stored[upstream] = True
            if self.tasks[maker][-1] == upstream and self.free_s[maker] < self.visible_s[upstream]:
                self._is_free(maker, self.visible_s[upstream])

    def _is_free(self, worker: int, at_s: float) -> None:
        self.free_s[worker] = at_s
        bisect.insort(self._free, (at_s, worker))

    def plan(self, ctx: PlanContext, planner: str, why: Callable[[int, str], str]) -> Plan:
        """Return the plan, once all tasks are placed.

        Args:
            ctx: What planning has to heed.
            planner: Name of the planner.
            why: Returns why a task is where it is, told its worker: ``w3``, or ``a new worker``.
        """
        dag, size_mib = self._dag, self.size_mib
        new = {tasks[0] for tasks in self.tasks}
        return ctx.plan(
            dag,
            planner,
            [Assignment(f"w{worker}", size_mib) for worker in self.of],
            orders={f"w{worker}": tasks for worker, tasks in enumerate(self.tasks)},
            reasons=[why(task, "a new worker" if task in new else f"w{worker}") for task, worker in enumerate(self.of)],
        )
