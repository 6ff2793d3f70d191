"""From events to records: what each task attempt, worker, container, transfer and invocation did.

A stream may be incomplete (a crashed worker sends no ``WorkerExited``; a run may still be going), its events may come
in any order, and the same task may have been run several times. Records are read off in two passes: containers,
invocations and workers first, then everything that refers to them.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from faaslab.trace.events import (
    AnyEvent,
    ContainerExited,
    InputFetched,
    InvocationRequested,
    OutputHeld,
    OutputKept,
    OutputStored,
    OutputStreamed,
    Prewarmed,
    RunEnded,
    RunSubmitted,
    TaskDuplicated,
    TaskExecuted,
    TaskFailed,
    TaskSkipped,
    TaskStarted,
    WorkerExited,
    WorkerStarted,
    WorkerWaited,
)

EMPTY = "!"
"""First character of empty invocations (``protocol.messages``)."""
PHASES = ("exec", "fetch", "store", "wait", "startup")
"""What a worker's time is spent on, most telling first: where two overlap, the first one counts."""

CONTENDED_PART = 0.05
"""A task that took so much longer than it would have alone is contended: less is lost in how much repetitions of the
same task differ, and would not change which of two planners looks better."""
CONTENDED_S = 0.005
"""Less than this is never contention: one or two time slices (3 ms on Linux), which the store or a supervisor takes
while it serves the run itself; for tasks of a few milliseconds that would always be more than the part above."""


@dataclass(slots=True)
class WorkerRecord:
    """One attempt of one invocation: what is billed."""

    invocation: str
    attempt: int
    container: str
    size_mib: int
    cold: bool
    requested_s: float
    """When it was asked for; the start if that is not known."""
    launched_s: float
    """When its container began to start (cold), or when it started (warm): billing begins."""
    started_s: float
    ended_s: float
    """When it ended; without ``WorkerExited``: when its container was found gone or began something else, when the run
    ended, or its last sign of life. A lost container is only found gone when its lease lapses."""
    reason: str
    """Why it ended. Without ``WorkerExited``: ``lost`` with its container, ``fenced`` by its successor or the end of
    the run; empty while the run goes on."""
    dag_bytes: int
    input_bytes: int
    tasks: int = 0
    """Task attempts started."""
    empty: bool = False
    """Whether it had nothing to run: it was to make its container warm."""
    intervals: list[tuple[str, float, float, int]] = field(default_factory=list)
    """Phase, start, end, task (-1: none)."""

    @property
    def wall_s(self) -> float:
        """Seconds from launch to end."""
        return self.ended_s - self.launched_s


@dataclass(slots=True)
class TaskRecord:
    """One attempt of one task; ``throttled_s``, ``queued_s`` and ``steal_s`` are parts of ``exec_s``."""

    task: int
    attempt: int
    invocation: str
    invocation_attempt: int
    container: str
    size_mib: int
    start_s: float
    end_s: float
    fetch_s: float = 0.0
    exec_s: float = 0.0
    cpu_s: float = 0.0
    throttled_s: float = 0.0
    queued_s: float = 0.0
    steal_s: float = 0.0
    store_s: float = 0.0
    input_bytes: int = 0
    output_bytes: int = 0
    peak_rss_bytes: int = 0
    stored: bool = False
    kept: bool = False
    held: bool = False
    """Its worker went on before it stored the output, if it did."""
    skipped: bool = False
    """Its output was not stored: all who need it have made copies."""
    duplicate: bool = False
    """A copy that a worker made for itself of another one's task; it counts if that was spared executing it."""
    error: str = ""
    counted: bool = False
    """Whether the run went on with this attempt's output."""

    @property
    def outcome(self) -> str:
        """``finished``, ``failed`` or ``unfinished`` (its worker died, or it still runs)."""
        if self.stored or self.kept or self.held or self.skipped:
            return "finished"
        return "failed" if self.error else "unfinished"

    @property
    def contention_s(self) -> float:
        """How much longer it took because others had the CPU: other work on the machine, or other machines on it."""
        return self.queued_s + self.steal_s

    @property
    def contended(self) -> bool:
        """Whether that is so much that its execution time says something of the others."""
        alone_s = self.exec_s - self.contention_s
        return self.contention_s > max(CONTENDED_S, CONTENDED_PART * alone_s)


@dataclass(slots=True)
class ContainerRecord:
    """One sandbox, as far as this run has seen it."""

    container: str
    size_mib: int
    started_s: float | None = None
    """None: it was there before the run."""
    exited_s: float | None = None
    reason: str = ""
    phases_s: dict[str, float] = field(default_factory=dict)
    workers: int = 0
    busy_s: float = 0.0


@dataclass(slots=True)
class TransferRecord:
    """One input that came, or one output that was stored."""

    direction: str
    """``in`` or ``out``."""
    task: int
    upstream: int
    """Where the input came from; -1 for outputs and for constants."""
    invocation: str
    container: str
    bytes: int
    source: str
    """``local``, ``inline``, ``store``, ``preload`` or ``stream``."""
    start_s: float
    end_s: float


@dataclass(slots=True)
class InvocationRecord:
    """One request for a container."""

    invocation: str
    attempt: int
    by: str
    size_mib: int
    tasks: int
    requested_s: float
    started_s: float | None = None
    cold: bool | None = None


@dataclass(frozen=True, slots=True)
class Records:
    """A run's events as records, each list in order of time."""

    tasks: tuple[TaskRecord, ...]
    workers: tuple[WorkerRecord, ...]
    containers: tuple[ContainerRecord, ...]
    transfers: tuple[TransferRecord, ...]
    invocations: tuple[InvocationRecord, ...]
    reserved: int
    """Empty invocations whose place another one took before there was a container."""
    submitted_s: float
    ended_s: float
    status: str
    """How the run ended; empty: it has not."""
    dag_wire_bytes: int
    skipped: frozenset[int] = frozenset()
    """Tasks of which a worker saved itself the execution, or storing the output: all who need them have copies."""

    def attempts(self) -> dict[tuple[str, int, int], TaskRecord]:
        """Return task attempts by invocation, its attempt, and task: what an interval of a worker belongs to."""
        return {(task.invocation, task.invocation_attempt, task.task): task for task in self.tasks}


def read_records(events: Iterable[AnyEvent]) -> Records:
    """Return the records of a run.

    Args:
        events: Its events, in any order.
    """
    ordered = sorted(events, key=lambda event: event.at_s)
    submitted = next((event for event in ordered if isinstance(event, RunSubmitted)), None)
    ended = next((event for event in ordered if isinstance(event, RunEnded)), None)
    first_s = ordered[0].at_s if ordered else 0.0
    last_s = ordered[-1].at_s if ordered else 0.0
    reader = _Reader(ordered, ended.at_s if ended else None)
    return Records(
        tasks=tuple(reader.tasks),
        workers=tuple(reader.workers),
        containers=tuple(reader.containers.values()),
        transfers=tuple(reader.transfers),
        invocations=tuple(reader.invocations.values()),
        reserved=sum(isinstance(event, Prewarmed) and event.how == "reserved" for event in ordered),
        submitted_s=submitted.at_s if submitted else first_s,
        ended_s=ended.at_s if ended else last_s,
        status=ended.status if ended else "",
        dag_wire_bytes=submitted.dag_bytes if submitted else 0,
        skipped=frozenset(event.task for event in ordered if isinstance(event, TaskSkipped)),
    )


class _Reader:
    """Reads ordered events; its lists are the result."""

    def __init__(self, events: Sequence[AnyEvent], run_ended_s: float | None) -> None:
        self.tasks: list[TaskRecord] = []
        self.workers: list[WorkerRecord] = []
        self.containers: dict[str, ContainerRecord] = {}
        self.transfers: list[TransferRecord] = []
        self.invocations: dict[tuple[str, int], InvocationRecord] = {}
        self._attempts: dict[str, list[WorkerRecord]] = {}
        self._open: dict[tuple[int, str], TaskRecord] = {}
        self._early: dict[tuple[int, str], list[InputFetched]] = {}
        self._exits: dict[tuple[str, int], WorkerExited] = {}
        self._starts: dict[str, list[float]] = {}
        for event in events:
            self._frame(event)
        for key, exit_event in self._exits.items():
            self._unreported(key, exit_event)
        for event in events:
            self._content(event)
        for worker in self.workers:
            self._end(worker, run_ended_s)
        _flag_counted(self.tasks)

    def _frame(self, event: AnyEvent) -> None:
        """First pass: what other events refer to."""
        match event:
            case ContainerExited():
                container = self._container(event.container, 0)
                container.exited_s = event.at_s
                container.reason = event.reason
            case InvocationRequested():
                self.invocations.setdefault(
                    (event.invocation, event.attempt),
                    InvocationRecord(
                        invocation=event.invocation,
                        attempt=event.attempt,
                        by=event.by,
                        size_mib=event.size_mib,
                        tasks=len(event.tasks),
                        requested_s=event.at_s,
                    ),
                )
            case WorkerStarted():
                self._start(event)
            case WorkerExited():
                self._exits.setdefault((event.invocation, event.attempt), event)
            case _:
                pass

    def _unreported(self, key: tuple[str, int], event: WorkerExited) -> None:
        """Account for an attempt that was killed before it could report: it was billed from its request at the most."""
        invocation = self.invocations.get(key)
        if invocation is not None:
            self._start(
                WorkerStarted(
                    invocation.requested_s, event.invocation, event.attempt, event.container, invocation.size_mib, False
                )
            )

    def _start(self, event: WorkerStarted) -> None:
        attempts = self._attempts.setdefault(event.invocation, [])
        if any(worker.attempt == event.attempt for worker in attempts):
            return
        invocation = self.invocations.get((event.invocation, event.attempt))
        requested_s = event.requested_s or (invocation.requested_s if invocation else event.at_s)
        # Clocks may differ by a little: nothing starts before it was asked for.
        requested_s = min(requested_s, event.at_s)
        launched_s = max(requested_s, event.at_s - sum(event.phases_s.values())) if event.cold else event.at_s
        worker = WorkerRecord(
            invocation=event.invocation,
            attempt=event.attempt,
            container=event.container,
            size_mib=event.size_mib,
            cold=event.cold,
            requested_s=requested_s,
            launched_s=launched_s,
            started_s=event.at_s,
            ended_s=event.at_s,
            reason="",
            dag_bytes=event.dag_bytes,
            input_bytes=event.input_bytes,
            empty=event.invocation.startswith(EMPTY),
        )
        if event.cold:
            worker.intervals.append(("startup", launched_s, event.at_s, -1))
        attempts.append(worker)
        self.workers.append(worker)
        if invocation:
            invocation.started_s = event.at_s
            invocation.cold = event.cold
        self._starts.setdefault(event.container, []).append(event.at_s)
        container = self._container(event.container, event.size_mib)
        container.workers += 1
        if event.cold and container.started_s is None:
            container.started_s = event.at_s
            container.phases_s = dict(event.phases_s)

    def _content(self, event: AnyEvent) -> None:
        """Second pass: what workers did."""
        match event:
            case TaskStarted():
                self._task_started(event)
            case InputFetched():
                self._fetched(event)
            case TaskExecuted():
                self._interval(event, "exec", event.task)
                if task := self._task(event):
                    task.exec_s = event.duration_s
                    task.cpu_s = event.cpu_s
                    task.throttled_s = event.throttled_s
                    task.queued_s = event.queued_s
                    task.steal_s = event.steal_s
                    task.input_bytes = event.input_bytes or task.input_bytes
                    task.peak_rss_bytes = event.peak_rss_bytes
            case OutputStored():
                self._stored(event)
            case OutputStreamed():
                self._streamed(event)
            case OutputKept():
                self._sign_of_life(event)
                if task := self._task(event):
                    task.kept = True
                    task.output_bytes = event.bytes
            case OutputHeld():
                self._sign_of_life(event)
                if task := self._task(event):
                    task.held = True
                    task.output_bytes = event.bytes
            case TaskDuplicated():
                self._duplicated(event)
            case TaskSkipped():
                self._sign_of_life(event)
                if task := self._task(event):
                    task.skipped = event.executed
                    task.output_bytes = event.bytes
            case TaskFailed():
                self._failed(event)
            case WorkerWaited():
                self._interval(event, "wait", event.task)
            case _:
                pass

    def _task_started(self, event: TaskStarted) -> None:
        worker = self._worker(event.invocation, event.at_s, event.container)
        task = TaskRecord(
            task=event.task,
            attempt=event.attempt,
            invocation=event.invocation,
            invocation_attempt=worker.attempt if worker else 0,
            container=event.container,
            size_mib=worker.size_mib if worker else 0,
            start_s=event.at_s,
            end_s=event.at_s,
        )
        if worker:
            worker.tasks += 1
            self._alive(worker, event.at_s)
        self.tasks.append(task)
        self._open[event.task, event.invocation] = task
        for early in self._early.pop((event.task, event.invocation), ()):
            task.fetch_s += early.duration_s if early.source not in ("preload", "stream") else 0.0
            task.input_bytes += early.bytes

    def _fetched(self, event: InputFetched) -> None:
        early = event.source in ("preload", "stream")
        worker = self._sign_of_life(event) if early else self._interval(event, "fetch", event.task)
        task = self._task(event)
        if task is None:  # it came before the worker turned to the task
            self._early.setdefault((event.task, event.invocation), []).append(event)
        else:
            waited_s = event.duration_s
            if early:
                # Fetched while other tasks were executed: what counts is what it came too late.
                waited_s = min(waited_s, max(0.0, event.at_s - task.start_s))
                if worker and waited_s > 0:
                    worker.intervals.append(("fetch", event.at_s - waited_s, event.at_s, event.task))
            task.fetch_s += waited_s
            task.input_bytes += event.bytes
        self.transfers.append(
            TransferRecord(
                direction="in",
                task=event.task,
                upstream=event.upstream,
                invocation=event.invocation,
                container=worker.container if worker else "",
                bytes=event.bytes,
                source=event.source,
                start_s=event.at_s - event.duration_s,
                end_s=event.at_s,
            )
        )

    def _stored(self, event: OutputStored) -> None:
        worker = self._interval(event, "store", event.task)
        if task := self._task(event):
            task.stored = True
            task.store_s += event.duration_s
            task.output_bytes = event.bytes
        self.transfers.append(
            TransferRecord(
                direction="out",
                task=event.task,
                upstream=-1,
                invocation=event.invocation,
                container=worker.container if worker else "",
                bytes=event.bytes,
                source="store",
                start_s=event.at_s - event.duration_s,
                end_s=event.at_s,
            )
        )

    def _streamed(self, event: OutputStreamed) -> None:
        """Record an output that went to workers; if it was stored as well, that tells the rest."""
        worker = self._interval(event, "store", event.task)
        if event.stored:
            return
        if task := self._task(event):
            task.kept = True
            task.store_s += event.duration_s
            task.output_bytes = event.bytes
        self.transfers.append(
            TransferRecord(
                direction="out",
                task=event.task,
                upstream=-1,
                invocation=event.invocation,
                container=worker.container if worker else "",
                bytes=event.bytes,
                source="stream",
                start_s=event.at_s - event.duration_s,
                end_s=event.at_s,
            )
        )

    def _duplicated(self, event: TaskDuplicated) -> None:
        """Record a copy; what it took to fetch its inputs has been told before."""
        worker = self._interval(event, "exec", event.task)
        fetches = self._early.pop((event.task, event.invocation), ())
        fetch_s = sum(fetch.duration_s for fetch in fetches if fetch.source != "preload")
        if worker:
            worker.tasks += 1
        self.tasks.append(
            TaskRecord(
                task=event.task,
                attempt=event.attempt,
                invocation=event.invocation,
                invocation_attempt=event.attempt,
                container=event.container,
                size_mib=worker.size_mib if worker else 0,
                start_s=event.at_s - event.duration_s - fetch_s,
                end_s=event.at_s,
                fetch_s=fetch_s,
                exec_s=event.duration_s,
                cpu_s=event.cpu_s,
                input_bytes=event.input_bytes,
                output_bytes=event.output_bytes,
                kept=True,
                duplicate=True,
            )
        )

    def _failed(self, event: TaskFailed) -> None:
        """Record a failure; what was not executed to its end has been executed up to the failure."""
        worker = self._sign_of_life(event)
        task = self._task(event)
        if task is None:
            return
        task.error = event.error or "failed"
        begin_s = task.start_s + task.fetch_s
        if worker and task.exec_s == 0 and begin_s < event.at_s:
            task.exec_s = event.at_s - begin_s
            worker.intervals.append(("exec", begin_s, event.at_s, task.task))

    def _interval(
        self,
        event: InputFetched | TaskExecuted | TaskDuplicated | OutputStored | OutputStreamed | WorkerWaited,
        phase: str,
        task: int,
    ) -> WorkerRecord | None:
        worker = self._sign_of_life(event)
        if worker and event.duration_s > 0:
            worker.intervals.append((phase, event.at_s - event.duration_s, event.at_s, task))
        return worker

    def _sign_of_life(
        self,
        event: InputFetched
        | TaskExecuted
        | OutputStored
        | OutputStreamed
        | OutputKept
        | OutputHeld
        | TaskDuplicated
        | TaskSkipped
        | TaskFailed
        | WorkerWaited,
    ) -> WorkerRecord | None:
        container = event.container if isinstance(event, TaskFailed | TaskDuplicated) else ""
        worker = self._worker(event.invocation, event.at_s, container)
        if worker:
            self._alive(worker, event.at_s)
        return worker

    def _worker(self, invocation: str, at_s: float, container: str = "") -> WorkerRecord | None:
        """Return the attempt of ``invocation`` that was running at ``at_s``."""
        attempts = self._attempts.get(invocation, [])
        if container:
            attempts = [worker for worker in attempts if worker.container == container] or attempts
        if not attempts:
            return None
        position = bisect_right(attempts, at_s, key=lambda worker: worker.started_s)
        return attempts[max(0, position - 1)]

    def _task(
        self,
        event: InputFetched
        | TaskExecuted
        | OutputStored
        | OutputStreamed
        | OutputKept
        | OutputHeld
        | TaskSkipped
        | TaskFailed,
    ) -> TaskRecord | None:
        """Return the attempt that an event belongs to, which thereby lasted at least until the event.

        One whose output is held is over: what becomes of that is told when other tasks run.
        """
        task = self._open.get((event.task, event.invocation))
        if task and not task.held:
            task.end_s = max(task.end_s, event.at_s)
        return task

    def _alive(self, worker: WorkerRecord, at_s: float) -> None:
        worker.ended_s = max(worker.ended_s, at_s)

    def _end(self, worker: WorkerRecord, run_ended_s: float | None) -> None:
        """Settle when and why a worker ended."""
        exited = self._exits.get((worker.invocation, worker.attempt))
        container = self.containers[worker.container]
        starts = self._starts[worker.container]
        position = bisect_right(starts, worker.started_s)
        if exited:
            worker.ended_s = max(worker.started_s, exited.at_s)
            worker.reason = exited.reason
        elif position < len(starts):
            worker.ended_s = min(worker.ended_s, starts[position])
            worker.reason = "fenced"
        elif container.exited_s is not None and container.exited_s >= worker.started_s:
            worker.ended_s = container.exited_s
            worker.reason = "lost"
        elif worker is not self._attempts[worker.invocation][-1]:
            worker.reason = "fenced"
        elif run_ended_s is not None:
            worker.ended_s = max(worker.ended_s, run_ended_s)
            worker.reason = "fenced"
        container.busy_s += worker.wall_s

    def _container(self, name: str, size_mib: int) -> ContainerRecord:
        container = self.containers.setdefault(name, ContainerRecord(name, size_mib))
        container.size_mib = container.size_mib or size_mib
        return container


def _flag_counted(tasks: list[TaskRecord]) -> None:
    """Flag the attempt of each task whose output the run went on with.

    Outputs are write-once, so the first stored one counts. Where none was stored, the last kept one does: a task
    whose output was kept runs again only because that worker died. A copy counts if nothing else was made.
    """
    chosen: dict[int, TaskRecord] = {}
    for task in sorted(tasks, key=lambda task: (not task.duplicate, task.end_s)):
        before = chosen.get(task.task)
        if task.outcome == "finished" and not (before and before.stored):
            chosen[task.task] = task
    for task in chosen.values():
        task.counted = True
