"""The one event vocabulary: real, virtual and simulated runs emit the same records.

Times are seconds since the epoch on the clock of the store (rule: every container measures its offset when it
starts and corrects its own readings). Tasks are indices into the DAG; the trace holds the table of ids.
"""

from collections.abc import Iterable

import msgspec


class Event(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Something that happened at ``at_s``; intervals end at ``at_s`` and lasted ``duration_s``."""

    at_s: float


class RunSubmitted(Event, frozen=True):
    """The client handed the run to the store."""

    run: str
    tasks: int
    dag_bytes: int
    """Size of the DAG's structure and code on the wire."""
    client: str = ""


class RunEnded(Event, frozen=True):
    """The run reached a terminal status: ``finished``, ``failed`` or ``cancelled``."""

    status: str
    reason: str = ""


class InvocationRequested(Event, frozen=True):
    """Somebody asked for a container to run ``tasks`` (the first ones; later ones are found on the way)."""

    invocation: str
    attempt: int
    tasks: tuple[int, ...]
    size_mib: int
    by: str = ""
    """Invocation that asked; empty: the client; ``retry``, ``lapse`` or ``yield`` for another attempt."""


class ContainerExited(Event, frozen=True):
    """A container died during an invocation; ``reason`` is ``killed``, ``left`` or ``lost`` (its lease ended)."""

    container: str
    reason: str


class WorkerStarted(Event, frozen=True):
    """A container began an invocation."""

    invocation: str
    attempt: int
    container: str
    size_mib: int
    cold: bool
    requested_s: float = 0.0
    """When the invocation was asked for."""
    dag_bytes: int = 0
    """DAG and code bytes that travelled to this container for it."""
    input_bytes: int = 0
    """Inputs that rode along."""
    phases_s: dict[str, float] = {}
    """For a cold start: where the time went (``launch``, ``boot``, ``import``, ``ready``, ``emulated``)."""


class Prewarmed(Event, frozen=True):
    """An empty invocation has done what it can: it lasted ``duration_s`` since it was asked for.

    ``how``: ``started`` a new container, ``refreshed`` one that was idle, or was ``reserved``: an invocation with tasks
    took its place before there was a container, which is not known here.
    """

    invocation: str
    container: str
    size_mib: int
    how: str
    duration_s: float = 0.0


class TaskStarted(Event, frozen=True):
    """A worker turned to a task: fetches its inputs, then executes it."""

    task: int
    invocation: str
    container: str
    attempt: int


class InputFetched(Event, frozen=True):
    """An input is in the worker's hands; ``source`` is ``local``, ``inline``, ``store``, ``preload`` or ``stream``.

    One that was preloaded came from the store while the worker executed other tasks, one that was streamed while its
    producer wrote it: ``at_s`` may be before the worker turned to this task.

    ``upstream`` is -1 for what no task made: code and large constants that did not ride along.
    """

    task: int
    upstream: int
    invocation: str
    bytes: int
    source: str
    duration_s: float = 0.0


class TaskExecuted(Event, frozen=True):
    """User code returned."""

    task: int
    invocation: str
    duration_s: float
    cpu_s: float
    input_bytes: int = 0
    peak_rss_bytes: int = 0
    throttled_s: float = 0.0
    """Held back by the CPU quota of the worker's size: wanted."""
    queued_s: float = 0.0
    """Waited for a CPU that others had."""
    steal_s: float = 0.0
    """Lost to other guests of the hypervisor."""


class OutputStored(Event, frozen=True):
    """An output is visible to all workers."""

    task: int
    invocation: str
    bytes: int
    duration_s: float = 0.0


class OutputStreamed(Event, frozen=True):
    """Workers that waited for an output received it while it was written."""

    task: int
    invocation: str
    bytes: int
    consumers: int
    duration_s: float = 0.0
    stored: bool = False
    """Whether it was stored as well, for others or since a consumer failed."""


class OutputKept(Event, frozen=True):
    """An output stays in the memory of the worker that made it."""

    task: int
    invocation: str
    bytes: int


class OutputHeld(Event, frozen=True):
    """An output stays with the worker that made it for tasks that it may come to run: it is stored later, or never."""

    task: int
    invocation: str
    bytes: int


class TaskDuplicated(Event, frozen=True):
    """A worker executed a task of another one for its own tasks only; it does not store the output."""

    task: int
    invocation: str
    container: str
    attempt: int
    duration_s: float
    cpu_s: float
    input_bytes: int
    output_bytes: int
    lost: bool = False
    """Whether it did not do so rather than wait: the output had arrived, but only a worker had it which died."""


class TaskSkipped(Event, frozen=True):
    """A worker saved itself a task, or only storing its output: all who need it have made copies (task_dup)."""

    task: int
    invocation: str
    executed: bool
    """Whether it was too late for the execution."""
    bytes: int = 0
    """Size of the output, if so."""


class TaskFailed(Event, frozen=True):
    """User code raised, timed out or killed its process; ``will_retry`` says whether another attempt follows."""

    task: int
    invocation: str
    container: str
    attempt: int
    error: str
    will_retry: bool


class WorkerWaited(Event, frozen=True):
    """A worker waited (billed) for a task of its own to become ready, or, holding an output, for any that takes it."""

    invocation: str
    task: int
    """The task of its own; -1: any."""
    duration_s: float


class TaskLogged(Event, frozen=True):
    """What a task printed (its end, bounded)."""

    task: int
    invocation: str
    text: str
    dropped_bytes: int = 0


class WorkerExited(Event, frozen=True):
    """An invocation ended; ``reason`` is ``ended``, ``yielded``, ``retry``, ``failed``, or why its container died.

    One that has yielded left rather than wait, since its plan says so or it was asked to.
    """

    invocation: str
    attempt: int
    container: str
    reason: str


AnyEvent = (
    RunSubmitted
    | RunEnded
    | InvocationRequested
    | ContainerExited
    | WorkerStarted
    | Prewarmed
    | TaskStarted
    | InputFetched
    | TaskExecuted
    | OutputStored
    | OutputStreamed
    | OutputKept
    | OutputHeld
    | TaskDuplicated
    | TaskSkipped
    | TaskFailed
    | WorkerWaited
    | TaskLogged
    | WorkerExited
)

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[AnyEvent])


def encode_events(events: Iterable[AnyEvent]) -> bytes:
    """Return a batch of events as bytes (msgpack)."""
    return _encoder.encode(list(events))


def decode_events(data: bytes) -> list[AnyEvent]:
    """Return the events of a batch made by ``encode_events``.

    Raises:
        msgspec.ValidationError: The bytes are not a batch of known events.
    """
    return _decoder.decode(data)
