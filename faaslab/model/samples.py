"""What one run teaches: how long its tasks, transfers and starts took, and under which circumstances."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import msgspec

from faaslab.errors import TraceError
from faaslab.graph.constants import Constant
from faaslab.model.distribution import Promise
from faaslab.trace.dilation import dilation_of
from faaslab.trace.manifest import Manifest
from faaslab.trace.trace import Trace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from faaslab.graph.dag import DAG

What = Literal["exec", "in", "out", "cold", "warm"]
WHATS: tuple[What, ...] = ("exec", "in", "out", "cold", "warm")
"""An execution, an input fetched from the store, an output stored, a cold start, a warm start."""

MEASURED, VIRTUAL, SIMULATED = "real", "virtual", "simulated"
"""Kinds of runs: seconds that passed, seconds of a modelled platform, seconds that a simulator predicted."""


@dataclass(frozen=True, slots=True)
class Source:
    """The run that samples come from.

    Attributes:
        run: Its id.
        kind: ``real``, ``virtual`` or ``simulated``.
        launcher: What started its containers.
        platform: Profile that was emulated; empty: the launcher has none.
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
        function: Identity of the function of an execution.
        task: Index of its task in the DAG; -1: not an execution.
        task_id: Its id.
        worker: Container that it happened in.
        bytes: Input of an execution (outputs of upstream tasks and serialized constants), or what a transfer moved.
        output_bytes: Output of an execution.
        expected_s: What the task's user declared; 0: nothing.
        expected_bytes: What the task's user declared of its output; 0: nothing.
        cpu_s: CPU seconds of an execution.
        throttled_s: What the quota of the size held back.
        queued_s: What waiting for a CPU cost.
        steal_s: What other guests of the hypervisor took.
        contended: Whether others took so much that the time is not the task's own; such samples are not learnt from.
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
        platform=str(settings.get("profile") or (modelled.get("name") if isinstance(modelled, Mapping) else "") or ""),
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


def constant_bytes(dag: "DAG") -> list[int]:
    """Return for each task of a DAG the bytes of the serialized constants that it takes."""
    sizes = [len(constant.data) if isinstance(constant, Constant) else 0 for constant in dag.constants]
    return [sum([sizes[use] for use in uses]) for uses in dag.uses]


def samples_of(trace: Trace, dag: "DAG") -> list[Sample]:
    """Return the samples of a run: executions that finished, transfers through the store, starts.

    Args:
        trace: The run.
        dag: What was run, for the functions' identities and the sizes of inputs.
    """
    records = trace.records
    outputs = {record.task: record.output_bytes for record in records.tasks if record.counted}
    constants = constant_bytes(dag)
    samples = []
    for record in records.tasks:
        if record.outcome != "finished" or record.task >= len(dag):
            continue
        upstreams, options = dag.upstreams(record.task), dag.options(record.task)
        samples.append(
            Sample(
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
            )
        )
    size_of = {worker.container: worker.size_mib for worker in records.workers}
    for moved in records.transfers:
        size_mib = size_of.get(moved.container, 0)
        if moved.source == "store" and size_mib and moved.end_s >= moved.start_s:
            what: What = "in" if moved.direction == "in" else "out"
            samples.append(
                Sample(what, moved.end_s - moved.start_s, size_mib, worker=moved.container, bytes=moved.bytes)
            )
    for worker in records.workers:
        begin_s = worker.launched_s if worker.cold else worker.requested_s
        started = Sample(
            "cold" if worker.cold else "warm", worker.started_s - begin_s, worker.size_mib, worker=worker.container
        )
        samples.append(started)
    return samples


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
