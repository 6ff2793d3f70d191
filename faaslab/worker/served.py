"""What an invocation in a container is made of, and what it reports; see ``machine``."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from faaslab.policy.successors import Arrivals, Waiting
from faaslab.protocol.messages import (
    Claim,
    EmptyInvocations,
    Invocation,
    Reply,
)
from faaslab.protocol.payload import (
    Codec,
    run_key,
)
from faaslab.protocol.report import printable
from faaslab.protocol.wire import WorkerDag
from faaslab.trace.events import (
    AnyEvent,
    encode_events,
)
from faaslab.worker.actions import Action, Outcome
from faaslab.worker.kept import Kept
from faaslab.worker.shelf import Fetched, Shelf

if TYPE_CHECKING:
    from faaslab.worker.container import Container

Steps = Generator[Action, Any, Any]

FLUSH_EVENTS = 256
FLUSH_S = 0.5
"""A worker that needs no store call for a while reports its events after so many, or so long."""


@dataclass(slots=True)
class Held:
    """An output that is not stored yet: for whom it is, and what the policy says of it (``policy.successors.Onward``).

    ``kept``: it has been reported as kept.
    """

    waiting: list[Waiting]
    late: int
    wait_s: float
    kept: bool = False


class Served(ABC):
    """One invocation: where it is, what it has to do, has at hand, and has not reported yet."""

    def __init__(self, container: "Container", invocation: Invocation) -> None:
        self._container = container
        self._invocation = invocation
        self._claim: Claim = invocation.claim(container.settings.container)
        self._key = (invocation.run, invocation.invocation)
        self._codec = Codec(run_key(container.settings.secret, invocation.run))
        self._kept = Kept(self._codec, self._undo)
        self._inputs: dict[int, bytes] = dict(invocation.inputs)
        self._events: list[AnyEvent] = []
        self._flushed_s = container.now_s()
        self._dag: WorkerDag
        self._arrivals: Arrivals
        self._planned: str | None = None
        self._todo: deque[int] = deque()
        self._wanted: set[int] = set()
        self._held: dict[int, Held] = {}
        self._silent: frozenset[int] = frozenset()
        self._prewarms: tuple[EmptyInvocations, ...] = ()
        self._copies: set[int] = set()
        self._given_up: set[int] = set()
        self._turned_to = -1
        self._shelf: Shelf | None = None

    def _is_planned(self, task: int) -> bool:
        """Whether a task is on this worker's own list."""
        return self._planned is not None and self._dag.assigned_to(task) == self._planned

    def _remaining(self, *first: int) -> tuple[int, ...]:
        """Return the tasks that another attempt has to start from, beside its own list.

        Tasks whose outputs are held are among them: what they lead to is missing again if this worker dies. What is
        run again silently is left out: that attempt finds out itself what it needs, and announces none of it.
        """
        tasks = dict.fromkeys((*first, *self._todo, *self._held))
        return tuple(task for task in tasks if task not in self._silent and not self._is_planned(task))

    def _visible(self, task: int) -> bool:
        """Whether an output has to be stored whoever needs it."""
        dag = self._dag
        return dag.is_sink(task) or dag.store_all or not dag.options(task).pure

    def _event(self, event: AnyEvent) -> None:
        self._events.append(event)

    def _batch(self) -> bytes:
        events, self._events = self._events, []
        self._flushed_s = self._container.now_s()
        return encode_events(events) if events else b""

    def _consumers(self, task: int) -> list[int]:
        """Return the own tasks, still to run, that need an output."""
        successors = self._dag.successors(task)
        if len(successors) <= len(self._wanted):
            return [successor for successor in successors if successor in self._wanted]
        # Each of the many consumers of one output runs here alone and asks this.
        return [wanted for wanted in self._wanted if task in self._dag.upstreams(wanted)]

    # -- what the rest of a worker is for -------------------------------------------------------------------------

    @abstractmethod
    def _undo(self, task: int, frame: bytes | memoryview) -> bytes | memoryview:
        """Return the frame that the user's optimizations had made a stored output of."""

    @abstractmethod
    def _from_shelf(self, upstream: int) -> Generator[Action, Any, Fetched | None]:
        """Return what was fetched beforehand."""

    @abstractmethod
    def _not_stored(self, upstream: int) -> Steps:
        """Have an output that has arrived but is not stored."""

    @abstractmethod
    def _fail(
        self, task: int, kind: str, message: str, outcome: Outcome | None = None
    ) -> Generator[Action, Any, Reply]:
        """Report a failed task."""


def words(error: BaseException) -> str:
    """Return type and message of an exception, as Python prints them."""
    try:
        text = str(error)
    except Exception:  # user code, too
        text = "<its message can't be printed>"
    return printable(f"{type(error).__name__}: {text}" if text else type(error).__name__)
