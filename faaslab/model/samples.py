"""What one run teaches: how long its tasks, transfers and starts took, and under which circumstances."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import msgspec

from faaslab.errors import TraceError
from faaslab.graph.constants import Constant
from faaslab.model.distribution import Promise
from faaslab.model.profiles import DELAYS, PROFILES
from faaslab.trace.dilation import dilation_of
from faaslab.trace.manifest import Manifest
from faaslab.trace.records import Records, TaskRecord, TransferRecord
from faaslab.trace.trace import Trace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from faaslab.graph.dag import DAG

What = Literal["exec", "in", "out", "cold", "warm", "task", "first", "submit"]
WHATS: tuple[What, ...] = ("exec", "in", "out", "cold", "warm", "task", "first", "submit")
"""An execution, an input fetched from the store, an output stored, a cold start, a warm start, what the engine itself
needs around an execution, the same of the first one in a new container, which imports what tasks import, and what it
needs from a run's submission until its first invocation is asked for."""

MEASURED, VIRTUAL, SIMULATED = "real", "virtual", "simulated"
"""Kinds of runs: seconds that passed, seconds of a modelled platform, seconds that a simulator predicted."""


@dataclass(frozen=True, slots=True)
class Source:
    """The run that samples come from.

    Attributes:
        run: Its id.
        kind: ``real``, ``virtual`` or ``simulated``.
        launcher: What started its containers.
        platform: What was emulated, see ``emulated``; empty: the launcher emulates nothing.
        image: Image of its containers; empty: the launcher has none.
        sizes_enforced: Whether workers had the CPU of their size; without, all ran at the machine's speed.
        dilation: How many real seconds one second of the samples took.
        structure_hash: Identity of its DAG.
        recorded_s: When it was recorded, in seconds since the epoch: newer samples replace older ones.
        planner: What planned it.
        makespan_s: How long it took; 0: it did not finish.
        predicted: What its plan was predicted to take, as JSON of a ``Promise``; empty: nothing was.
    """

    run: str = ""
    kind: str = MEASURED
    launcher: str = ""
    platform: str = ""
    image: str = ""
    sizes_enforced: bool = True
    dilation: float = 1.0
    structure_hash: str = ""
    recorded_s: float = 0.0
    planner: str = ""
    makespan_s: float = 0.0
    predicted: str = ""

    @property
    def promise(self) -> Promise | None:
        """What its plan was predicted to take."""
        return msgspec.json.decode(self.predicted, type=Promise) if self.predicted else None


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement.

    Attributes:
        what: What was measured.
        seconds: How long it took.
        size_mib: Size of the worker.
        function: Identity of the function of an execution, or of a first task.
        task: Index of its task in the DAG; -1: not an execution.
        task_id: Its id.
        worker: Container that it happened in.
        bytes: Input of an execution (outputs of upstream tasks and serialized constants); what a transfer moved; what
            the engine serialized, or copied, without storing it; size of the DAG on the wire.
        output_bytes: Output of an execution.
        expected_s: What the task's user declared; 0: nothing.
        expected_bytes: What the task's user declared of its output; 0: nothing.
        cpu_s: CPU seconds of an execution.
        throttled_s: What the quota of the size held back.
        queued_s: What waiting for a CPU cost.
        steal_s: What other guests of the hypervisor took.
        contended: Whether others took so much that the time is not the task's own.
        running: How many tasks of the run executed meanwhile, itself included, on average.
    """

    what: What
    seconds: float
    size_mib: int
    function: str = ""
    task: int = -1
    task_id: str = ""
    worker: str = ""
    bytes: int = 0
    output_bytes: int = 0
    expected_s: float = 0.0
    expected_bytes: int = 0
    cpu_s: float = 0.0
    throttled_s: float = 0.0
    queued_s: float = 0.0
    steal_s: float = 0.0
    contended: bool = False
    running: float = 1.0

    @property
    def contention_s(self) -> float:
        """What of ``seconds`` went to waiting for a CPU that others had; not more than it did not compute."""
        return max(0.0, min(self.queued_s + self.steal_s, self.seconds - self.cpu_s))

    @property
    def model(self) -> str:
        """What is learnt together: executions of the same function in tasks of the same name."""
        return model_name(self.function, self.task_id.rpartition("#")[0])


def model_name(function: str, name: str) -> str:
    """Return under which name the executions of a function in tasks called ``name`` are learnt.

    The function alone would not do: one that does what its arguments say may stand for many, told apart by name.
    """
    return f"{function}/{name}" if function else ""


def source_of(trace: Trace, recorded_s: float) -> Source:
    """Return what a trace's manifest says of its run.

    Args:
        trace: A real, virtual or simulated run.
        recorded_s: When it is recorded, in seconds since the epoch.

    Raises:
        TraceError: What it says of the prediction of its makespan can't be read.
    """
    manifest = trace.manifest
    launcher: Any = manifest.settings.get("launcher")
    settings: Mapping[str, Any] = launcher if isinstance(launcher, Mapping) else {}
    kind = manifest.launcher if manifest.launcher in (VIRTUAL, SIMULATED) else MEASURED
    modelled: Any = manifest.settings.get("platform")
    return Source(
        run=manifest.run,
        kind=kind,
        launcher=manifest.launcher,
        platform=emulated(settings) or (str(modelled.get("name") or "") if isinstance(modelled, Mapping) else ""),
        image=str(settings.get("image") or ""),
        # A modelled worker always has the speed of its size.
        sizes_enforced=kind != MEASURED or bool(manifest.settings.get("sizes_enforced", False)),
        dilation=dilation_of(manifest.settings),
        structure_hash=manifest.structure_hash,
        recorded_s=recorded_s,
        planner=manifest.planner,
        makespan_s=trace.metrics["makespan_s"] if trace.status == "finished" else 0.0,
        predicted=_predicted(manifest),
    )


def _predicted(manifest: Manifest) -> str:
    """Return what a plan was predicted to take, as it is kept."""
    found = manifest.settings.get("predicted")
    if found is None:
        return ""
    try:
        return msgspec.json.encode(msgspec.convert(found, Promise)).decode()
    except msgspec.ValidationError as error:
        raise TraceError(f"run {manifest.run!r}: settings.predicted of its manifest: {error}") from None


def emulated(settings: Mapping[str, Any]) -> str:
    """Return what a launcher emulates: the name of its profile, and each delay that is not as that profile says.

    Args:
        settings: The launcher's, as in manifests: values in force.
    """
    name = str(settings.get("profile") or "")
    usual = PROFILES.get(name)
    changed = [
        f"{delay}={settings[delay]:g}"
        for delay in DELAYS
        if settings.get(delay) is not None and settings[delay] != (getattr(usual, delay) if usual else 0.0)
    ]
    return " ".join([name, *changed])


def constant_bytes(dag: "DAG") -> list[int]:
    """Return for each task of a DAG the bytes of the serialized constants that it takes."""
    sizes = [len(constant.data) if isinstance(constant, Constant) else 0 for constant in dag.constants]
    return [sum([sizes[use] for use in uses]) for uses in dag.uses]


def samples_of(trace: Trace, dag: "DAG") -> list[Sample]:
    """Return the samples of a run: executions that finished, transfers, starts, and what the engine itself needed.

    Args:
        trace: The run.
        dag: What was run, for the functions' identities and the sizes of inputs.
    """
    records = trace.records
    return [
        *_executions(records, dag),
        *_transfers(records),
        *_starts(records),
        *_around_tasks(records, dag),
        *_submission(records),
    ]


def _executions(records: Records, dag: "DAG") -> Iterator[Sample]:
    outputs = {record.task: record.output_bytes for record in records.tasks if record.counted}
    constants = constant_bytes(dag)
    running = _running(records)
    for record in records.tasks:
        if record.outcome != "finished" or record.task >= len(dag):
            continue
        upstreams, options = dag.upstreams(record.task), dag.options(record.task)
        yield Sample(
            what="exec",
            seconds=record.exec_s,
            size_mib=record.size_mib,
            function=dag.functions[dag.function_of(record.task)].identity,
            task=record.task,
            task_id=dag.ids[record.task],
            worker=record.container,
            bytes=constants[record.task] + sum([outputs.get(upstream, 0) for upstream in upstreams]),
            output_bytes=record.output_bytes,
            expected_s=options.expected_s or 0.0,
            expected_bytes=options.output_bytes or 0,
            cpu_s=record.cpu_s,
            throttled_s=record.throttled_s,
            queued_s=record.queued_s,
            steal_s=record.steal_s,
            contended=record.contended,
            running=running.get((record.invocation, record.invocation_attempt, record.task), 1.0),
        )


def _running(records: Records) -> dict[tuple[str, int, int], float]:
    """Return how many tasks executed on average while each attempt did."""
    spans = [
        ((worker.invocation, worker.attempt, task), start_s, end_s)
        for worker in records.workers
        for phase, start_s, end_s, task in worker.intervals
        if phase == "exec" and end_s > start_s
    ]
    edges = sorted([*((start_s, 1) for _, start_s, _ in spans), *((end_s, -1) for _, _, end_s in spans)])
    # Task-seconds up to each edge.
    until: dict[float, float] = {}
    total = running = 0.0
    before_s = edges[0][0] if edges else 0.0
    for at_s, change in edges:
        total += running * (at_s - before_s)
        until[at_s] = total
        running += change
        before_s = at_s
    return {key: (until[end_s] - until[start_s]) / (end_s - start_s) for key, start_s, end_s in spans}


def _transfers(records: Records) -> Iterator[Sample]:
    """Yield one sample for each output that was stored, and for the inputs that a task fetched at once their mean."""
    size_of = {worker.container: worker.size_mib for worker in records.workers}
    together: dict[tuple[str, int, float], list[TransferRecord]] = {}
    for moved in records.transfers:
        if moved.source == "local" or not size_of.get(moved.container, 0) or moved.end_s < moved.start_s:
            continue
        if moved.direction == "in":
            together.setdefault((moved.invocation, moved.task, moved.end_s), []).append(moved)
        elif moved.source == "store" and moved.end_s > moved.start_s:
            # Otherwise it was streamed at its consumers' pace, or stored together with others by a worker that left.
            took_s = moved.end_s - moved.start_s
            yield Sample("out", took_s, size_of[moved.container], worker=moved.container, bytes=moved.bytes)
    for group in together.values():
        # Their time is reported with the first of them, which may have ridden along.
        stored = [moved.bytes for moved in group if moved.source == "store"]
        if stored:
            took_s = sum(moved.end_s - moved.start_s for moved in group) / len(stored)
            container = group[0].container
            yield Sample("in", took_s, size_of[container], worker=container, bytes=sum(stored) // len(stored))


def _starts(records: Records) -> Iterator[Sample]:
    """Yield starts; one that waited for its container to be free says nothing of how fast it is.

    A cold start begins when it is asked for, or when another container has made room: that is when its launcher hears
    of it, which then takes a while to act. One that had begun for an empty invocation, and was reserved, is left out.
    """
    free_s: dict[str, float] = {}
    took_s = {container.container: sum(container.phases_s.values()) for container in records.containers}
    exits_s = sorted([container.exited_s for container in records.containers if container.exited_s is not None])
    for worker in sorted(records.workers, key=lambda worker: worker.started_s):
        begin_s = worker.requested_s
        if worker.cold:
            room = bisect_right(exits_s, worker.launched_s)
            begin_s = max(begin_s, exits_s[room - 1]) if room else begin_s
        if worker.cold and records.reserved and took_s[worker.container] > worker.started_s - worker.requested_s + 1e-3:
            pass
        elif worker.cold or free_s.get(worker.container, begin_s) <= begin_s:
            what: What = "cold" if worker.cold else "warm"
            yield Sample(what, worker.started_s - begin_s, worker.size_mib, worker=worker.container)
        free_s[worker.container] = worker.ended_s


def _around_tasks(records: Records, dag: "DAG") -> Iterator[Sample]:
    """Yield what a worker needs for a task beside executing, transfers and waiting.

    That is being invoked, where its container was busy before, turning to the task, loading inputs that it has,
    serializing the output, hearing from the store, and coming to its end.
    """
    local: dict[tuple[str, int], dict[int, int]] = {}
    for moved in records.transfers:
        if moved.direction == "in" and moved.source == "local":
            local.setdefault((moved.invocation, moved.task), {})[moved.upstream] = moved.bytes
    attempts: dict[tuple[str, int], list[TaskRecord]] = {}
    for record in records.tasks:
        attempts.setdefault((record.invocation, record.invocation_attempt), []).append(record)
    free_s: dict[str, float] = {}
    for worker in sorted(records.workers, key=lambda worker: worker.started_s):
        waits = [(start_s, end_s - start_s) for phase, start_s, end_s, _ in worker.intervals if phase == "wait"]
        tasks = sorted(attempts.get((worker.invocation, worker.attempt), ()), key=lambda record: record.start_s)
        # A container that was idle before has a warm start of its own.
        queued = not worker.cold and worker.requested_s < free_s.get(worker.container, 0.0)
        begin_s = free_s[worker.container] if queued else worker.started_s
        what: What = "first" if worker.cold else "task"
        ends_s = [task.start_s for task in tasks[1:]]
        # Whoever gives up its slot stores what it keeps, which is no part of a task.
        gave_up = worker.reason == "yielded" and waits
        ends_s.append(sum(max(waits)) if gave_up else worker.ended_s)
        for record, end_s in zip(tasks, ends_s, strict=False):
            waited_s = sum([lasted_s for at_s, lasted_s in waits if begin_s <= at_s < end_s])
            if record.outcome == "finished":
                used_s = record.exec_s + record.fetch_s + record.store_s + waited_s
                handled = sum(local.get((record.invocation, record.task), {}).values())
                handled += 0 if record.stored else record.output_bytes
                spent_s = max(0.0, end_s - begin_s - used_s)
                # What a first task imports depends on its function.
                told = what == "first" and record.task < len(dag)
                yield Sample(
                    what,
                    spent_s,
                    worker.size_mib,
                    function=dag.functions[dag.function_of(record.task)].identity if told else "",
                    task_id=dag.ids[record.task] if told else "",
                    worker=worker.container,
                    bytes=handled,
                )
            begin_s, what = end_s, "task"
        free_s[worker.container] = worker.ended_s


def _submission(records: Records) -> Iterator[Sample]:
    """Yield how long a run took from its submission to its first invocation, if it got so far."""
    first_s = min([invocation.requested_s for invocation in records.invocations], default=None)
    if first_s is not None and records.workers:
        took_s, size_mib = first_s - records.submitted_s, records.workers[0].size_mib
        yield Sample("submit", max(0.0, took_s), size_mib, bytes=records.dag_wire_bytes)


@dataclass(frozen=True, slots=True, eq=False)
class SampleColumns:
    """Samples of many runs, column by column; the arrays are read-only and have one element a sample.

    Attributes:
        sources: The runs.
        functions: What is learnt together, see ``Sample.model``.
        what: Index into ``WHATS``.
        source: Index into ``sources``.
        function: Index into ``functions``.
        task: Index of the task, -1 where there is none.
        worker: Number of the container within its run.
        size_mib: Size of the worker.
        bytes: See ``Sample``.
        output_bytes: See ``Sample``.
        expected_s: See ``Sample``.
        expected_bytes: See ``Sample``.
        seconds: See ``Sample``.
        contended: See ``Sample``.
        contention_s: See ``Sample``.
        running: See ``Sample``.
    """

    sources: tuple[Source, ...]
    functions: tuple[str, ...]
    what: "NDArray[np.int8]"
    source: "NDArray[np.int32]"
    function: "NDArray[np.int32]"
    task: "NDArray[np.int32]"
    worker: "NDArray[np.int32]"
    size_mib: "NDArray[np.int32]"
    bytes: "NDArray[np.int64]"
    output_bytes: "NDArray[np.int64]"
    expected_s: "NDArray[np.float64]"
    expected_bytes: "NDArray[np.int64]"
    seconds: "NDArray[np.float64]"
    contended: "NDArray[np.bool_]"
    contention_s: "NDArray[np.float64]"
    running: "NDArray[np.float64]"

    def __post_init__(self) -> None:
        for name in COLUMN_TYPES:
            getattr(self, name).flags.writeable = False
        self.source.flags.writeable = False

    def __len__(self) -> int:
        return len(self.what)

    @classmethod
    def of(cls, runs: Iterable[tuple[Source, Sequence[Sample]]]) -> Self:
        """Return the columns of samples that are grouped by run."""
        import numpy as np

        runs = list(runs)
        functions: dict[str, int] = {}
        parts = [encode_columns(samples, functions) for _, samples in runs]
        lengths = [len(samples) for _, samples in runs]
        return cls(
            sources=tuple([source for source, _ in runs]),
            functions=tuple(functions),
            source=np.repeat(np.arange(len(runs), dtype=np.int32), lengths),
            **{
                name: np.frombuffer(b"".join([part[name] for part in parts]), dtype=kind)
                for name, kind in COLUMN_TYPES.items()
            },
        )

    def alone(self) -> Self:
        """Return the columns with the seconds that each sample would have taken had no others had the CPU."""
        import numpy as np

        columns = {name: getattr(self, name) for name in COLUMN_TYPES}
        columns["seconds"] = np.maximum(0.0, self.seconds - self.contention_s)
        return type(self)(self.sources, self.functions, source=self.source, **columns)

    def take(self, rows: "NDArray[Any]") -> Self:
        """Return the columns of some rows, given as indices or as a mask."""
        columns = {name: getattr(self, name)[rows] for name in COLUMN_TYPES}
        return type(self)(self.sources, self.functions, source=self.source[rows], **columns)


COLUMN_TYPES: Mapping[str, str] = {
    "what": "<i1",
    "function": "<i4",
    "task": "<i4",
    "worker": "<i4",
    "size_mib": "<i4",
    "bytes": "<i8",
    "output_bytes": "<i8",
    "expected_s": "<f8",
    "expected_bytes": "<i8",
    "seconds": "<f8",
    "contended": "?",
    "contention_s": "<f8",
    "running": "<f8",
}
"""Columns that are stored for each run, with their NumPy types."""


def encode_columns(samples: Sequence[Sample], functions: dict[str, int]) -> dict[str, bytes]:
    """Return the samples of one run as the bytes of its columns.

    Args:
        samples: The samples.
        functions: Number of each ``Sample.model``; new ones are added.
    """
    import numpy as np

    workers: dict[str, int] = {}
    values: dict[str, list[Any]] = {
        "what": [WHATS.index(sample.what) for sample in samples],
        "function": [functions.setdefault(sample.model, len(functions)) for sample in samples],
        "worker": [workers.setdefault(sample.worker, len(workers)) for sample in samples],
    }
    for name in COLUMN_TYPES:
        if name not in values:
            values[name] = [getattr(sample, name) for sample in samples]
    return {name: np.array(values[name], dtype=kind).tobytes() for name, kind in COLUMN_TYPES.items()}
