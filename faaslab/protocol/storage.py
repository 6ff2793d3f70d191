"""The storage interface: not a key-value store but the operations of the protocol, each atomic.

``MemoryStorage`` is their model in Python; ``RedisStorage`` runs them as server-side scripts. All methods raise
``StoreUnavailable`` or ``StorageError`` when the store does not answer within its time limit. Times are seconds
on the store's clock.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from faaslab.protocol.messages import (
    Claim,
    Completion,
    Demand,
    Failure,
    FlowState,
    Invocation,
    Message,
    Offer,
    Orders,
    Reply,
    RunSpec,
    RunStatus,
    Seen,
    Suspension,
)


class Storage(ABC):
    """One lab's store."""

    # -- runs, as the client sees them ----------------------------------------------------------------------------

    @abstractmethod
    def create_run(self, spec: RunSpec) -> None:
        """Make the run known and dispatch its first invocations, atomically; the same call again changes nothing.

        Its client must hold a lease, otherwise the next sweep cancels the run.

        Raises:
            StorageError: Another run of that id exists.
        """

    @abstractmethod
    def run_status(self, run: str) -> RunStatus | None:
        """Return the run's state, None if the store has never heard of it (or has forgotten it)."""

    @abstractmethod
    def read_events(self, run: str, cursor: str, wait_s: float) -> tuple[str, list[bytes]]:
        """Return batches of events after ``cursor`` (``"0"``: the start), waiting up to ``wait_s`` for the first."""

    @abstractmethod
    def fetch(self, run: str, tasks: Sequence[int]) -> dict[int, bytes]:
        """Return those of the outputs that are stored: framed payloads or blob references."""

    @abstractmethod
    def cancel_run(self, run: str, status: str, reason: str, error: bytes = b"") -> bool:
        """End a running run as ``cancelled`` or ``failed``; False if it has ended already."""

    @abstractmethod
    def delete_run(self, run: str) -> None:
        """Remove every key of the run; does nothing if there is none."""

    @abstractmethod
    def renew_client(self, client: str, lease_s: float) -> None:
        """Extend the lease of a client (created by the first call)."""

    @abstractmethod
    def remove_client(self, client: str) -> None:
        """Forget a client that says goodbye."""

    # -- containers -----------------------------------------------------------------------------------------------

    @abstractmethod
    def register(self, container: str, pool: str, lease_s: float) -> None:
        """Make a container known; it holds a lease from now on."""

    @abstractmethod
    def renew(self, container: str, lease_s: float) -> Orders:
        """Extend a container's lease and hear whether its work is still wanted."""

    @abstractmethod
    def next(self, container: str) -> Invocation | None:
        """Return what this container must serve: the invocation assigned to it, else the oldest pending of its pool.

        None: it is idle now and may be handed one through its inbox.

        Raises:
            Fenced: The store does not know the container (any more).
        """

    @abstractmethod
    def listen(self, container: str, cursor: str, wait_s: float) -> tuple[str, Message | None]:
        """Return the next message in the container's inbox after ``cursor``, waiting up to ``wait_s``."""

    @abstractmethod
    def leave(self, container: str) -> bool:
        """Remove an idle container; False: it has been assigned an invocation meanwhile and must read its inbox."""

    @abstractmethod
    def remove(self, container: str, reason: str) -> None:
        """Remove a dead container; its invocation, if any, lapses and is dispatched again."""

    # -- a worker's calls; all raise Fenced when the claim does not hold any more ---------------------------------

    @abstractmethod
    def complete(self, completion: Completion) -> Reply:
        """Apply what one finished task changes: store, arrive, hold, take, dispatch, end, append events.

        An input of a task is missing, held by a worker, or has arrived. When none is missing, those that hold some
        are told to store them, but for the one that holds most (of equals, the one that made the first of them); when
        all that is left is held by one, the task is given to it, in the next answer to a completion.
        """

    @abstractmethod
    def fail(self, failure: Failure) -> Reply:
        """Record a failed attempt: schedule another one after a pause, or fail the run."""

    @abstractmethod
    def suspend(self, suspension: Suspension) -> Reply:
        """Give up the slot until ``gate`` is ready; the invocation is dispatched again then."""

    @abstractmethod
    def wait_ready(self, claim: Claim, task: int, upstreams: Sequence[int]) -> tuple[bool, dict[int, bytes]]:
        """Return whether all remote inputs of a planned task have arrived, with the small ones among ``upstreams``.

        If not, the caller is registered and its container's inbox gets ``Ready``.
        """

    @abstractmethod
    def watch(
        self, claim: Claim, tasks: Sequence[int], acks: Mapping[int, tuple[str, int]] = MappingProxyType({})
    ) -> dict[int, Seen]:
        """Return which outputs are stored, or just offered to this worker; when that changes, its bell rings.

        It rings once more when the attempt ends, so that nobody waits for it in vain.

        Args:
            claim: Who asks.
            tasks: Whose outputs it needs.
            acks: By task, the key of a stream and how many of its chunks have been received; -1: it is declined.
        """

    @abstractmethod
    def offer(self, claim: Claim, offer: Offer) -> FlowState:
        """Offer an output to those workers that watch it; nothing happens if there are none."""

    @abstractmethod
    def put_chunk(
        self, claim: Claim, task: int, key: str, index: int, chunk: bytes | memoryview, digest: bytes = b""
    ) -> FlowState:
        """Write a piece of an offered output; ``digest``, of the whole, comes with the last one.

        Chunks that are gone may be written again once nothing is streamed ``instead`` any more.
        """

    @abstractmethod
    def flow(self, claim: Claim, task: int, key: str, give_up: bool = False) -> FlowState:
        """Return how far a stream has come; ``give_up``: it will be stored in any case."""

    @abstractmethod
    def wait_bell(self, container: str, cursor: str, wait_s: float) -> str | None:
        """Wait until a container's bell rings after ``cursor`` (``"0"``: the start), at most ``wait_s``.

        Returns:
            The new cursor, None if it has not rung. Rings that nobody has heard yet are one.
        """

    @abstractmethod
    def look(self, claim: Claim, tasks: Sequence[int], inputs: Sequence[int]) -> tuple[float, dict[int, float]]:
        """Return when the run began, and when those outputs came to be that are stored; the run has to be ``timed``.

        Args:
            claim: Who asks.
            tasks: Whose outputs it could compute itself.
            inputs: What these need; when one that is not stored yet is, the caller's inbox gets ``News``, once.
        """

    @abstractmethod
    def needed(self, claim: Claim, task: int, successors: Sequence[int]) -> bool:
        """Return whether the output of a task has not arrived yet at one of ``successors``."""

    @abstractmethod
    def begin(self, claim: Claim, task: int) -> bool:
        """Record that an impure task starts; False if an earlier attempt had begun it."""

    @abstractmethod
    def stored(self, claim: Claim) -> frozenset[int]:
        """Return all tasks of the run whose outputs are stored."""

    @abstractmethod
    def delivered(self, claim: Claim) -> frozenset[int]:
        """Return all tasks whose outputs were streamed to all who needed them, and need not be made for them again."""

    @abstractmethod
    def owned(self, claim: Claim) -> frozenset[int]:
        """Return all tasks that became ready and were given to this invocation, finished ones included."""

    @abstractmethod
    def parts(self, run: str, container: str, digests: Sequence[str]) -> dict[str, bytes]:
        """Return parts of the run's DAG by digest and remember that this container has them."""

    @abstractmethod
    def put_blob(self, run: str, key: str, chunks: Iterable[bytes | memoryview]) -> None:
        """Write a large output outside the coordination keys; ``key`` is unique to task and attempt."""

    @abstractmethod
    def get_blob(self, run: str, key: str, chunks: int, first: int = 0) -> list[bytes]:
        """Return the chunks of a blob up to its ``chunks``-th, from number ``first`` on.

        Raises:
            PayloadError: A chunk is missing.
        """

    # -- lab host: watchdog and gateway ---------------------------------------------------------------------------

    @abstractmethod
    def sweep(self, grace_s: float) -> tuple[str, ...]:
        """Dispatch what is due, lapse containers whose lease ended, cancel and delete runs whose client is gone.

        Returns:
            Ids of the containers that were removed.
        """

    @abstractmethod
    def demand(self) -> Demand:
        """Return what waits for containers and what could serve it."""

    @abstractmethod
    def wait_demand(self, cursor: str, wait_s: float) -> str:
        """Wait until an invocation found no idle container, at most ``wait_s``; returns the new cursor.

        A worker that begins to wait while some are pending counts as well: it can be asked to make room.
        """

    @abstractmethod
    def retire_idle(self, pool: str) -> str | None:
        """Tell the longest-idle container of a pool to leave; returns its id, None if none is idle."""

    @abstractmethod
    def ask_yield(self, container: str) -> bool:
        """Ask a container whose invocation waits to give up its slot; False if it does not wait any more."""

    @abstractmethod
    def clients(self) -> Mapping[str, float]:
        """Return the clients with the seconds their leases still have."""

    @abstractmethod
    def now_s(self) -> float:
        """Return the store's clock."""

    @abstractmethod
    def leftovers(self) -> list[str]:
        """Return what is still stored for any run (keys or their likeness): empty when all runs are deleted."""

    def close(self) -> None:  # noqa: B027  a store without connections has nothing to do here
        """Release connections."""
