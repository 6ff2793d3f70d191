"""Dask's own scheduler, asked offline: its state machine decides, an event loop of ours stands for its workers.

Nothing here decides where a task runs. ``dask.order`` gives the priorities, ``SchedulerState`` of ``distributed`` makes
every transition (root-ish or not, queue, holder of the inputs, release of what nobody needs any more); there is no
cluster, network, clock or event loop of asyncio. What a Dask worker does is played here::

    told of a task ─► fetch what it lacks, one input after the other ─► ready, by priority ─► execute on its one thread

The names used are private to Dask. They were the same in all versions from 2025.1 to ``TESTED``; where one is missing
or behaves in another way, the error says so.
"""

import heapq
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from operator import attrgetter
from typing import Any

from faaslab.errors import PlanError, PlannerUnavailable
from faaslab.plan import DagView

TESTED = "2026.8.0"
"""Version of ``distributed`` that plans are pinned with in tests."""
BANDWIDTH_BYTES_PER_S = 100e6
"""What Dask takes for the bandwidth between two workers (``distributed.scheduler.bandwidth``)."""
_SETTINGS = {
    "distributed.scheduler.bandwidth": int(BANDWIDTH_BYTES_PER_S),
    "distributed.scheduler.unknown-task-duration": "500ms",
    "distributed.scheduler.default-task-durations": {},
    "distributed.scheduler.rootish-taskgroup": 5,
    "distributed.scheduler.rootish-taskgroup-dependencies": 5,
}
"""Dask's defaults, whatever this machine's configuration of Dask says: a plan must not depend on it."""
_ARRIVED, _EXECUTED = range(2)


@dataclass(frozen=True, slots=True)
class Schedule:
    """What Dask would do with a DAG on a cluster.

    Attributes:
        orders: Tasks of each worker in the order in which it executes them.
        start_s: When each task begins to execute, by task index.
        finish_s: When it ends.
        rootish: Which tasks Dask takes for roots, or for like them, by task index.
    """

    orders: tuple[tuple[int, ...], ...]
    start_s: tuple[float, ...]
    finish_s: tuple[float, ...]
    rootish: tuple[bool, ...]


def dask_schedule(
    dag: DagView, exec_s: Sequence[float], output_bytes: Sequence[int], workers: int, saturation: float
) -> Schedule:
    """Return what Dask would do with ``dag`` on a cluster of workers with one thread each.

    Args:
        dag: The DAG.
        exec_s: How long each task takes; Dask learns it of the tasks of one function as they end.
        output_bytes: Size of each output; Dask learns it when the task ends.
        workers: How many workers there are.
        saturation: Root-ish tasks sent to a worker at a time, for each of its threads; infinite: all, and neighbours
            go to the same worker.

    Raises:
        PlannerUnavailable: Dask is not installed, or another version than this was written for.
        PlanError: Dask's scheduler stopped before all tasks had ended.
    """
    try:
        import dask
        import distributed  # noqa: F401
    except ImportError as error:
        raise PlannerUnavailable(f"planner 'dask' needs Dask ({error}): pip install 'faaslab[dask]'") from None
    logger = logging.getLogger("distributed.scheduler")
    logger.addFilter(_important)
    try:
        with dask.config.set({"distributed.scheduler.worker-saturation": saturation, **_SETTINGS}):
            return _Cluster(dag, exec_s, output_bytes, workers, saturation).run()
    except (ImportError, AttributeError, TypeError, KeyError, AssertionError) as error:
        installed = version("distributed")
        if installed == TESTED:
            raise
        raise PlannerUnavailable(
            f"planner 'dask' asks Dask's scheduler by names that are private to it, and distributed "
            f"{installed} does not answer as {TESTED} does, with which it was tested: "
            f"{type(error).__name__}: {error}. Install that version, or use another planner"
        ) from error
    finally:
        logger.removeFilter(_important)


def _important(record: logging.LogRecord) -> bool:
    """Tell whether a message is more than that a scheduler has started: there is none."""
    return record.levelno > logging.INFO


class _Cluster:
    """Dask's scheduler, and workers that do what it says."""

    def __init__(
        self, dag: DagView, exec_s: Sequence[float], output_bytes: Sequence[int], workers: int, saturation: float
    ) -> None:
        self._dag, self._exec_s, self._bytes = dag, exec_s, output_bytes
        self._saturation = saturation
        self._keys = [_Key.of(dag, task) for task in range(len(dag))]
        self._state, self._states, self._workers, self._slots = _scheduler(dag, self._keys, workers)
        self._number = {state.address: number for number, state in enumerate(self._workers)}
        self._rank = [state.priority for state in self._states]
        self._events: list[tuple[float, int, int, int, int]] = []
        self._link_free_s = [0.0] * workers
        self._lacks: dict[int, int] = {}
        self._arrival: dict[tuple[int, int], list[int]] = {}
        self._ready: list[list[tuple[Any, int]]] = [[] for _ in range(workers)]
        self._busy = [False] * workers
        self._orders: list[list[int]] = [[] for _ in range(workers)]
        self._start_s = [0.0] * len(dag)
        self._finish_s = [math.inf] * len(dag)

    def run(self) -> Schedule:
        """Play until all tasks have ended."""
        rootish = tuple(bool(self._state.is_rootish(state)) for state in self._states)
        wanted = [state for state in self._states if state.who_wants]
        wanted.sort(key=attrgetter("priority"), reverse=True)  # as Scheduler.update_graph; the last one comes first
        self._settle({state.key: "waiting" for state in wanted}, 0.0)
        self._start_idle(0.0)
        while self._events:
            now_s, kind, _, worker, task = heapq.heappop(self._events)
            if kind == _ARRIVED:
                self._state.add_replica(self._states[task], self._workers[worker])
                for waiting in self._arrival.pop((worker, task)):
                    self._lacks[waiting] -= 1
                    if not self._lacks[waiting]:
                        heapq.heappush(self._ready[worker], (self._rank[waiting], waiting))
            else:
                self._busy[worker] = False
                self._report(task, worker)
            self._start_idle(now_s)
        left = sum(1 for finish_s in self._finish_s if finish_s == math.inf)
        if left:
            raise PlanError(
                f"Dask's scheduler stopped with {left} of {len(self._dag)} tasks of {self._dag.name!r} left"
            )
        return Schedule(tuple(map(tuple, self._orders)), tuple(self._start_s), tuple(self._finish_s), rootish)

    def _report(self, task: int, worker: int) -> None:
        """Tell the scheduler that a task has ended; it answers with what can be done now."""
        now_s = self._finish_s[task]
        recommendations, _, messages = self._state._transition(
            self._keys[task],
            "memory",
            "task-finished",
            worker=self._workers[worker].address,
            nbytes=self._bytes[task],
            type=b"",
            typename="object",
            startstops=[{"action": "compute", "start": self._start_s[task], "stop": now_s}],
        )
        self._tell(messages, now_s)
        self._settle(recommendations, now_s)
        if math.isinf(self._saturation):
            return
        # As Scheduler.stimulus_queue_slots_maybe_opened, which needs a running scheduler.
        for _ in range(sum(self._slots(state, self._saturation) for state in self._state.idle_task_count)):
            if not self._state.queued:
                break
            self._settle({self._state.queued.peek().key: "processing"}, now_s)

    def _settle(self, recommendations: dict[Any, str], now_s: float) -> None:
        messages: dict[str, list[dict[str, Any]]] = {}
        self._state._transitions(recommendations, {}, messages, "faaslab")
        self._tell(messages, now_s)

    def _tell(self, messages: dict[str, list[dict[str, Any]]], now_s: float) -> None:
        """Give tasks to workers, which fetch what they lack."""
        for address, letters in messages.items():
            worker = self._number[address]
            for letter in letters:
                if letter["op"] != "compute-task":
                    continue  # what is to be released takes no time
                task = letter["key"].task
                lacks = 0
                for upstream in self._dag.upstreams(task):
                    state = self._states[upstream]
                    if self._workers[worker] in state.who_has:
                        continue
                    lacks += 1
                    under_way = self._arrival.get((worker, upstream))
                    if under_way is not None:
                        under_way.append(task)
                        continue
                    self._arrival[worker, upstream] = [task]
                    arrives_s = max(now_s, self._link_free_s[worker]) + self._bytes[upstream] / BANDWIDTH_BYTES_PER_S
                    self._link_free_s[worker] = arrives_s
                    self._push(arrives_s, _ARRIVED, worker, upstream)
                self._lacks[task] = lacks
                if not lacks:
                    heapq.heappush(self._ready[worker], (self._rank[task], task))

    def _start_idle(self, now_s: float) -> None:
        """Let workers whose thread is free execute what is ready."""
        if self._events and self._events[0][0] == now_s:
            return  # what happens at this moment may bring something of higher priority
        for worker, ready in enumerate(self._ready):
            if self._busy[worker] or not ready:
                continue
            _, task = heapq.heappop(ready)
            self._busy[worker] = True
            self._orders[worker].append(task)
            self._start_s[task] = now_s
            self._finish_s[task] = now_s + self._exec_s[task]
            self._push(self._finish_s[task], _EXECUTED, worker, task)

    def _push(self, at_s: float, kind: int, worker: int, task: int) -> None:
        heapq.heappush(self._events, (at_s, kind, self._rank[task][-1], worker, task))


class _Key(str):
    """Key of a task as Dask makes it: function and number. Its hash is the number.

    Dask keeps tasks in sets and walks over them: hashes of text, which differ between processes, would lead to other
    plans there.
    """

    task: int

    @classmethod
    def of(cls, dag: DagView, task: int) -> "_Key":
        """Return the key of a task; numbers of equal width, so that ties are broken by them."""
        function = dag.ids[task].rpartition("#")[0].strip("<>")
        key = cls(f"{function}-{task:0{len(str(len(dag)))}}")
        key.task = task
        return key

    def __hash__(self) -> int:
        return self.task


def _scheduler(dag: DagView, keys: Sequence[_Key], count: int) -> tuple[Any, list[Any], list[Any], Callable[..., int]]:
    """Return the scheduler's state, that of each task and of each worker, and what counts a worker's free slots."""
    from dask._task_spec import Task, TaskRef
    from dask.order import order
    from distributed.collections import HeapSet
    from distributed.core import Status
    from distributed.scheduler import ClientState, SchedulerState, WorkerState, _task_slots_available
    from sortedcontainers import SortedDict

    class State(SchedulerState):
        """The part of a scheduler that decides; its log goes nowhere."""

        def log_event(self, topic: Any, msg: Any) -> None:
            pass

    graph: dict[Any, Any] = {
        key: Task(key, _unused, *(TaskRef(keys[upstream]) for upstream in dag.upstreams(task)))
        for task, key in enumerate(keys)
    }
    priorities = order(graph)
    scheduler = State(
        aliases={},
        clients={},
        workers=SortedDict(),
        host_info={},
        resources={},
        tasks={},
        unrunnable={},
        queued=HeapSet(key=attrgetter("priority")),
        validate=False,
    )
    workers = []
    for number in range(count):
        identity: Any = number  # a number for text, as in _Key
        worker = WorkerState(
            address=f"tcp://w{number:06}:1",
            status=Status.running,
            pid=number,
            name=number,
            nthreads=1,
            memory_limit=0,
            local_directory="",
            nanny=None,
            server_id=identity,
            scheduler=scheduler,
        )
        scheduler.workers[worker.address] = worker
        scheduler.running.add(worker)
        scheduler.total_nthreads += 1
        workers.append(worker)
    for worker in workers:
        scheduler.check_idle_saturated(worker)
    client = ClientState("client")
    states: list[Any] = []
    for task, key in enumerate(keys):
        state = scheduler.new_task(key, graph[key], "released")
        state.priority = (0, 1, priorities[key])
        for upstream in dag.upstreams(task):
            state.add_dependency(states[upstream])
        if not dag.successors(task):
            state.who_wants = {client}
            client.wants_what.add(state)
        states.append(state)
    return scheduler, states, workers, _task_slots_available


def _unused(*inputs: object) -> None:
    """Stand for a task's function, which is never called."""
