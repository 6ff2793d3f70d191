"""What client, workers, store and lab host say to each other.

Tasks are indices into the DAG; bytes in ``parts``, ``inputs`` and ``output`` are opaque here (see ``wire`` and
``payload``).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Claim:
    """Who writes: one attempt of one invocation of a run, in a container. Every store call of a worker carries it."""

    run: str
    invocation: str
    attempt: int
    container: str


@dataclass(frozen=True, slots=True)
class Invocation:
    """The message that makes a container do work.

    Attributes:
        tasks: Unfinished tasks to start from; for a planned worker, whose own list is in the DAG, those decided at
            run time that it had taken.
        pool: Image and size, ``image/size``.
        requested_s: When it was asked for, on the store's clock.
        structure: Digest of the DAG's structure, or of the part that this invocation can still reach.
        parts: Structure and code by digest, as far as this container lacks them and they may ride along.
        inputs: Small inputs of ``tasks`` that the store already has.
    """

    run: str
    invocation: str
    attempt: int
    tasks: tuple[int, ...]
    pool: str
    requested_s: float
    structure: str
    parts: Mapping[str, bytes] = field(default_factory=dict)
    inputs: Mapping[int, bytes] = field(default_factory=dict)

    def claim(self, container: str) -> Claim:
        """Return the claim with which ``container`` serves this invocation."""
        return Claim(self.run, self.invocation, self.attempt, container)


@dataclass(frozen=True, slots=True)
class Ready:
    """To a container whose invocation waits: ``task`` has all inputs now."""

    run: str
    invocation: str
    task: int


@dataclass(frozen=True, slots=True)
class YieldRequest:
    """To a container whose invocation waits: store what you keep and give up the slot."""

    run: str
    invocation: str


@dataclass(frozen=True, slots=True)
class Retire:
    """To an idle container: leave."""


@dataclass(frozen=True, slots=True)
class News:
    """To a container whose worker holds outputs: the next answer to a completion says what happened to them.

    It may get lost: that answer says so whether it was heard or not.
    """

    run: str
    invocation: str


Message = Invocation | Ready | YieldRequest | Retire | News


@dataclass(frozen=True, slots=True)
class Successor:
    """A task that waits for an output, as the completing worker describes it to the store.

    Attributes:
        expected: Number of distinct upstream tasks that arrive through the store, at least 1.
        worker: Planned worker; empty: decided at run time.
        gate: Whether it is the first task of that planned worker, so that its readiness is what invokes the worker.
        pool: Image and size to run it on.
    """

    task: int
    expected: int
    worker: str
    gate: bool
    pool: str


@dataclass(frozen=True, slots=True)
class EmptyInvocations:
    """Empty invocations that overlap: as many containers are to be warm afterwards. They run no task.

    Attributes:
        name: Of the batch, the same whoever sends it: a second time it changes nothing. See ``empty_name``.
        pool: Image and size.
        delay_s: How long after this message they are sent.
        count: How many.
    """

    name: str
    pool: str
    delay_s: float
    count: int


@dataclass(frozen=True, slots=True)
class Completion:
    """What one finished task changes, applied as a whole by one store call.

    Attributes:
        task: The finished task; -1: none, only end or report.
        output: Framed payload or blob reference; None: kept by the worker, nobody else needs it.
        must_store: Store even if all successors are taken by this worker (impure tasks).
        sink: The client asked for this output.
        successors: Tasks that wait for it and are not certain to run in this invocation.
        hold: ``no``: store the output, if any, and arrive at the successors. Otherwise there is no output yet, and
            those that need nothing else are taken as if it had arrived. ``run``: the worker holds it for the others,
            if it has something to run and none of them is ready; ``check``: it stores it by another call.
        held_bytes: Size of an output that may be held.
        streamed: All who need the output have received it while it was written; there is none to store.
        take: How many successors that become ready this invocation wants to run itself, first ones first.
        remaining: Tasks that this invocation would still have to run if it were restarted now, those whose outputs it
            holds included; of a planned worker those that are decided at run time.
        ends: If nothing is taken, and no output has to be stored any more, end the invocation and hand out the next
            one. An output is not held by a worker that has nothing else to do.
        started_s: When the worker began to serialize and store the output.
        output_bytes: Size of the output, which is not that of ``output`` where that is a reference.
        events: Encoded batch of events; may be empty.
        number: Position of this call among those of its container, from 1; a call that a later one has overtaken on
            the network is refused, since it would put back the record of what the invocation still has to do. The same
            number again is the same call again. 0: not numbered.
        prewarms: Empty invocations that follow the task.
    """

    claim: Claim
    task: int = -1
    output: bytes | None = None
    output_bytes: int = 0
    started_s: float = 0.0
    must_store: bool = False
    sink: bool = False
    successors: tuple[Successor, ...] = ()
    take: int = 0
    remaining: tuple[int, ...] = ()
    ends: bool = False
    events: bytes = b""
    number: int = 0
    hold: str = "no"
    held_bytes: int = 0
    streamed: bool = False
    prewarms: tuple[EmptyInvocations, ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer to a completion, a failure or a suspension.

    Attributes:
        taken: Ready tasks that now belong to this invocation: of the successors, then those that have become ready
            since its last call since all that they still needed was held by it.
        stored: Whether the output is visible to others: somebody needs it, and this or an earlier call wrote it.
        inputs: Small stored inputs of the taken tasks; those of a repeated call, or of a wide fan-in, are left out.
        ended: The invocation is over for this container.
        next: The next invocation for this container, if one was waiting.
        will_retry: After a failure: another attempt follows.
        attempt: After a failure: how often the task has failed.
        held: Successors for which this invocation now holds the output.
        due: Tasks whose outputs it has to store and to arrive with now: for somebody who is ready otherwise.
        refused: Nothing was done: of those to whom the output was streamed not all are there any more, so that it has
            to be stored.
    """

    taken: tuple[int, ...] = ()
    stored: bool = False
    inputs: Mapping[int, bytes] = field(default_factory=dict)
    ended: bool = False
    next: Invocation | None = None
    will_retry: bool = False
    attempt: int = 0
    held: tuple[int, ...] = ()
    due: tuple[int, ...] = ()
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """A task that failed.

    Attributes:
        message: What happened, in a line, for the trace.
        error: Encoded report for the client.
        retries: How many further attempts the task may have.
        outputs: Kept outputs that the next attempt needs, to be stored first.
        remaining: Tasks to restart from; None: as last recorded (the worker died).
        backoff_s: First pause, doubled with every failure up to ``backoff_cap_s``.
        leaves: The container ends with it (its process was killed): it is handed nothing any more.
        pool: Another attempt follows whatever ``retries`` says, in containers of this image and size, since those it
            had will not do; it counts as one of the tries all the same. Empty: in containers as before.
    """

    claim: Claim
    task: int
    message: str
    error: bytes
    retries: int
    outputs: Mapping[int, bytes] = field(default_factory=dict)
    remaining: tuple[int, ...] | None = None
    backoff_s: float = 0.0
    backoff_cap_s: float = 0.0
    events: bytes = b""
    leaves: bool = False
    pool: str = ""


@dataclass(frozen=True, slots=True)
class Suspension:
    """A waiting worker that gives up its slot until ``gate`` is ready; ``outputs`` are what it kept for others.

    Among them may be outputs that were streamed to it. They are stored only if their producers have told that they
    were: whoever finds one stored must be able to rely on its having arrived.

    It was asked to, or its plan says so.
    """

    claim: Claim
    gate: int
    outputs: Mapping[int, bytes] = field(default_factory=dict)
    events: bytes = b""


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is of an output that a worker watches.

    Attributes:
        nbytes: Its size.
        key: Blob that holds it; empty: it is no blob.
        chunks: Pieces of that blob.
        written: How many of them can be read, where it is not stored: its producer is just offering it.
        stored: Whether it is stored.
        digest: Of the whole, once all of it has been offered.
    """

    nbytes: int
    key: str = ""
    chunks: int = 0
    written: int = 0
    stored: bool = True
    digest: bytes = b""


@dataclass(frozen=True, slots=True)
class Offer:
    """An output that its producer is about to stream to workers that watch it.

    Attributes:
        key: Of the blob that it is written to; unique to task and attempt.
        nbytes: Its size.
        chunks: Pieces of that blob.
        workers: Planned workers that need it.
        only: Nobody else needs it: if all of them receive it, it is not stored.
    """

    task: int
    key: str
    nbytes: int
    chunks: int
    workers: tuple[str, ...]
    only: bool


@dataclass(frozen=True, slots=True)
class FlowState:
    """How far a stream has come.

    Attributes:
        consumers: Workers that receive it; 0: none do, it is not streamed.
        instead: They are all who need the output, so that it need not be stored.
        acked: How many chunks all of them have.
        freed: How many of the first chunks are gone again.
    """

    consumers: int
    instead: bool
    acked: int
    freed: int


@dataclass(frozen=True, slots=True)
class Look:
    """How far a task is that a worker waits for.

    Attributes:
        stored: Whether its output is.
        ready: Whether all its inputs are.
        since_s: For how many seconds all of them have been, those of a root since the run was created; 0: not ready.
    """

    stored: bool
    ready: bool
    since_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Start:
    """One first invocation of a run: a planned worker (no tasks) or dynamic root tasks."""

    invocation: str
    pool: str
    tasks: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class RunSpec:
    """A run as the client hands it to the store.

    Attributes:
        structure: Digest of the structure, a key of ``parts``.
        parts: Structure, code and large constants by digest.
        ride: Digests of the parts that ride inside invocations; the others are fetched once per container.
        sinks: Tasks whose outputs the client asked for.
        cuts: Invocation -> digest of the part of a large DAG that it can still reach, which rides along in its place.
        prewarms: Empty invocations that need no task to have completed.
        dated: Record when outputs are stored, for ``Storage.look``.
    """

    run: str
    client: str
    structure: str
    parts: Mapping[str, bytes]
    ride: tuple[str, ...]
    sinks: tuple[int, ...]
    starts: tuple[Start, ...]
    inline_input_bytes: int
    max_lapses: int
    events: bytes = b""
    cuts: Mapping[str, str] = field(default_factory=dict)
    prewarms: tuple[EmptyInvocations, ...] = ()
    dated: bool = False


@dataclass(frozen=True, slots=True)
class RunStatus:
    """State of a run: ``running``, ``finished``, ``failed`` or ``cancelled``; ``error`` is the encoded report."""

    status: str
    reason: str = ""
    error: bytes = b""
    live: int = 0
    """Invocations that are pending, assigned or due."""


@dataclass(frozen=True, slots=True)
class Orders:
    """What a heartbeat brings back: ``known`` False: the container is forgotten; ``stop``: kill its work."""

    known: bool
    stop: bool


@dataclass(frozen=True, slots=True)
class Demand:
    """What the gateway needs to know.

    Attributes:
        pending: Invocations that wait for a container, by pool; empty ones are counted in ``empty``.
        idle: Idle containers by pool.
        containers: Registered containers, by id, with their pool.
        waiting: Containers whose invocation waits for an input, longest first.
        assigned: Containers that have an invocation; not those that have an empty one.
        empty: Empty invocations that wait for a new container, by pool.
        warming: Containers that have an empty invocation: they are about to ask for work.
        next_due_s: When the next sweep has something to dispatch, on the store's clock; infinite: nothing is due.
    """

    pending: Mapping[str, int]
    idle: Mapping[str, int]
    containers: Mapping[str, str]
    waiting: tuple[str, ...]
    assigned: frozenset[str] = frozenset()
    empty: Mapping[str, int] = field(default_factory=dict)
    warming: frozenset[str] = frozenset()
    next_due_s: float = field(default=math.inf, compare=False)


RUN_TIME = "~"
"""First character of invocations that no plan names: ``~<task>``, after the task they start with."""
EMPTY = "!"
"""First character of empty invocations, which no run waits for: ``!<after>.<position>.<number>``."""


def empty_name(after: int, position: int) -> str:
    """Return the name of a batch of empty invocations: the ``position``-th that follows a task, -1: the submission."""
    return f"{EMPTY}{after if after >= 0 else ''}.{position}"


def pool_of(image: str, size_mib: int) -> str:
    """Return the pool of containers that can serve invocations of this image and size."""
    return f"{image}/{size_mib}"


def size_of_pool(pool: str) -> int:
    """Return the size in MiB that a pool's name ends with."""
    return int(pool.rsplit("/", 1)[1])
