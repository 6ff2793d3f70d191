"""What the state machine asks its driver to do. The driver sends the answer back into the generator.

=============  ==========================================  =================================================
action         answer                                      may raise into the machine
=============  ==========================================  =================================================
``Call``       what the storage method returns             ``Fenced``, ``StorageError``
``Listen``     new cursor, message or None after ``wait_s``  ``StorageError``
``Turn``       None                                        nothing
``Execute``    an ``Outcome``                              nothing: failures of user code are outcomes
``Sleep``      None, at ``until_s``                        nothing
``Assist``     whether the driver can run two things at    nothing
               once
``Await``      None, when the shelf has changed            nothing
``Wait``       what the storage method returns, None after ``wait_s``  ``Fenced``, ``StorageError``
=============  ==========================================  =================================================
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from faaslab.config import Config
from faaslab.protocol.emulation import Emulation
from faaslab.worker.shelf import Shelf


@dataclass(frozen=True, slots=True)
class Call:
    """Call a method of the storage."""

    method: str
    args: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Listen:
    """Wait for a message in the container's inbox after ``cursor``.

    ``bounded``: there need not come any, so that a wait that has lasted ``wait_s`` must end.
    """

    cursor: str
    wait_s: float
    bounded: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """Take note that from now on everything is done for this task: its inputs are loaded, then it is executed."""

    task: int
    task_id: str
    run: str
    invocation: str
    attempt: int
    retries: int
    pure: bool


@dataclass(frozen=True, slots=True)
class Execute:
    """Run user code (``graph.functions.call``); ``timeout_s`` None: as long as it takes.

    ``copy``: another worker's task. Whatever happens to it, even to the container, is no failure of that task.
    """

    task: int
    task_id: str
    run: str
    invocation: str
    attempt: int
    retries: int
    pure: bool
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    timeout_s: float | None
    outputs: int = 1
    copy: bool = False


@dataclass(frozen=True, slots=True)
class Sleep:
    """Do nothing until ``until_s`` on the machine's clock (emulated delays)."""

    until_s: float


@dataclass(frozen=True, slots=True)
class Assist:
    """Perform the actions of ``life`` besides, and tell ``shelf`` when it has ended, and with which error."""

    life: "Generator[Action, Any, None]"
    shelf: Shelf


@dataclass(frozen=True, slots=True)
class Await:
    """Wait until a shelf has changed since ``version``, at most ``wait_s``."""

    shelf: Shelf
    version: int
    wait_s: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Call a method of the storage that waits: until it has another answer than None, at most ``wait_s``."""

    method: str
    args: tuple[Any, ...]
    wait_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """How user code ended: with ``value``, or with ``error`` and its traceback as text.

    Attributes:
        logs: The end of what it printed.
        dropped_bytes: How much of what it printed is not in ``logs``.
        throttled_s: What it lost of CPU, and to whom (see ``worker.cgroup.CpuLoss``); so do the next two.
    """

    value: Any = None
    error: BaseException | None = None
    traceback: str = ""
    duration_s: float = 0.0
    cpu_s: float = 0.0
    peak_rss_bytes: int = 0
    logs: str = ""
    dropped_bytes: int = 0
    throttled_s: float = 0.0
    queued_s: float = 0.0
    steal_s: float = 0.0


Action = Call | Listen | Turn | Execute | Sleep | Assist | Await | Wait


@dataclass(frozen=True, slots=True)
class ContainerSettings:
    """What a container is told when it is launched.

    Attributes:
        pool: Image and size, ``image/size``.
        secret: The lab's secret, which never passes through the store.
        launched_s: When the launcher decided to start it, on the store's clock.
        clock_offset_s: Store's clock minus this container's.
        phases_s: How long the phases of its cold start took so far.
        ready_s: Emulated cold start: it must not look ready before; 0: none.
        emulation: Delays that it emulates, in real seconds.
        dilation: How many real seconds one of the user's takes: ``timeout_s`` of a task is that much longer.
    """

    container: str
    pool: str
    secret: bytes
    keep_alive_s: float
    lease_s: float
    wait_slice_s: float
    retry_backoff_s: float
    retry_backoff_cap_s: float
    inline_output_bytes: int
    blob_chunk_bytes: int
    launched_s: float = 0.0
    clock_offset_s: float = 0.0
    ready_s: float = 0.0
    phases_s: Mapping[str, float] = field(default_factory=dict)
    emulation: Emulation = field(default_factory=Emulation)
    dilation: float = 1.0

    @classmethod
    def for_config(cls, config: Config, **settings: Any) -> Self:
        """Return settings whose limits are those of a lab's configuration, unless ``settings`` say otherwise."""
        names = (
            "lease_s",
            "wait_slice_s",
            "retry_backoff_s",
            "retry_backoff_cap_s",
            "inline_output_bytes",
            "blob_chunk_bytes",
        )
        return cls(**{name: getattr(config, name) for name in names} | settings)
