"""The life of a container as a sans-IO state machine: a generator of actions, without socket, clock or thread.

::

    register ─► next ─► idle: listen ◄──────────────┐
                 │         │ invocation             │ none waiting
                 ▼         ▼                        │
              serve (``machine``) ─► next invocation or none

A real driver performs the actions on sockets and processes, a virtual one on a virtual clock; the decisions are these.
Here is what outlives an invocation: leases, the inbox, and what a warm container remembers.
"""

from collections import OrderedDict, deque
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from faaslab.errors import Fenced
from faaslab.policy.successors import Arrivals
from faaslab.protocol.clock import Clock
from faaslab.protocol.messages import Invocation, Message, Retire, size_of_pool
from faaslab.protocol.payload import Codec
from faaslab.protocol.wire import WorkerDag, load_part
from faaslab.worker.actions import Action, Call, ContainerSettings, Listen, Sleep, Wait
from faaslab.worker.machine import WorkerMachine
from faaslab.worker.served import Steps

DAGS_KEPT = 4
"""Decoded DAGs that a warm container holds on to."""
PARTS_KEPT = 256
"""Functions and large constants that a warm container holds on to."""
CONSTANT_BYTES_KEPT = 64 * 1024 * 1024
"""Large constants that a warm container holds on to, in bytes."""


class Container:
    """One container: cold until ``life`` has begun, then serving one invocation at a time.

    Args:
        settings: What the launcher told it.
        clock: Its own clock; event times are corrected by ``settings.clock_offset_s``.
    """

    def __init__(self, settings: ContainerSettings, clock: Clock) -> None:
        self.settings = settings
        self.image = settings.pool.rsplit("/", 1)[0]
        self.size_mib = size_of_pool(settings.pool)
        self._clock = clock
        self._cursor = self._bell_cursor = "0"
        self._cold = True
        self._phases_s = dict(settings.phases_s)
        self._ready_s = 0.0
        self._completions = 0
        self._served: deque[tuple[str, str, int]] = deque(maxlen=128)
        self._lab_codec = Codec(settings.secret)
        self._dags: OrderedDict[str, tuple[WorkerDag, Arrivals]] = OrderedDict()
        self._sealed: dict[str, bytes] = {}
        self._loaded: dict[str, Any] = {}
        self._constant_bytes = 0

    # -- between invocations --------------------------------------------------------------------------------------

    def life(self) -> Generator[Action, Any, str]:
        """Run until the container leaves; returns why: ``idle``, ``retired`` or ``forgotten``."""
        settings = self.settings
        yield Call("register", (settings.container, settings.pool, settings.lease_s))
        now_s = self.now_s()
        if self._phases_s:
            self._phases_s["ready"] = max(0.0, now_s - settings.launched_s - sum(self._phases_s.values()))
        if settings.ready_s > now_s:
            self._phases_s["emulated"] = settings.ready_s - now_s
            yield Sleep(settings.ready_s)
        self._ready_s = self.now_s()
        invocation = yield from self._next()
        while True:
            if invocation is None:
                try:
                    invocation = yield from self._idle()
                except Fenced:
                    return "forgotten"
                if isinstance(invocation, str):
                    return invocation
            self._served.append((invocation.run, invocation.invocation, invocation.attempt))
            worker = WorkerMachine(self, invocation)
            try:
                invocation = yield from worker.serve()
            except Fenced:
                try:
                    invocation = yield from self._next()
                except Fenced:
                    return "forgotten"

    def _next(self) -> Steps:
        return (yield Call("next", (self.settings.container,)))

    def _idle(self) -> Steps:
        """Wait for an invocation; returns it, or why the container leaves."""
        settings = self.settings
        until_s = self.now_s() + settings.keep_alive_s
        while True:
            left_s = until_s - self.now_s()
            message = yield from self.listen(max(0.0, min(left_s, settings.wait_slice_s)))
            if isinstance(message, Invocation):
                # What `next` redelivered before its message was read comes a second time, and is not meant again.
                if (message.run, message.invocation, message.attempt) not in self._served:
                    return message
            elif isinstance(message, Retire) or (message is None and self.now_s() >= until_s):
                if (yield Call("leave", (settings.container,))):
                    return "retired" if isinstance(message, Retire) else "idle"
            elif message is not None:
                continue
            # A message may have got lost, or it was assigned something meanwhile: ask.
            invocation = yield from self._next()
            if invocation is not None:
                return invocation

    def listen(self, wait_s: float, *, bounded: bool = False) -> Generator[Action, Any, Message | None]:
        """Wait for a message; see ``Listen``."""
        message: Message | None
        self._cursor, message = yield Listen(self._cursor, wait_s, bounded)
        return message

    def wait_bell(self) -> Generator[Action, Any, None]:
        """Wait until something that is watched has changed, or for a while: a ring may have got lost."""
        cursor = yield Wait("wait_bell", (self.settings.container, self._bell_cursor), self.settings.wait_slice_s)
        self._bell_cursor = cursor or self._bell_cursor

    # -- what warm containers remember ----------------------------------------------------------------------------

    def now_s(self) -> float:
        """Return the time on the store's clock."""
        return self._clock.now_s() + self.settings.clock_offset_s

    def first_start(self, requested_s: float) -> tuple[bool, Mapping[str, float]]:
        """Return whether an invocation asked for at ``requested_s`` had to wait for a cold start, and its phases if so.

        The first invocation of a container that was idle by then has not.
        """
        cold, self._cold = self._cold and requested_s <= self._ready_s, False
        return cold, self._phases_s if cold else {}

    def number(self) -> int:
        """Return the number of the next completing call, so that a copy that arrives late does no harm.

        It counts on over invocations: one that is delivered again goes on where it was.
        """
        self._completions += 1
        return self._completions

    def latency_s(self, invocation: Invocation) -> float:
        """Return the emulated latency of an invocation."""
        return self.settings.emulation.latency_s(invocation.invocation, invocation.attempt)

    def remember(self, parts: Mapping[str, bytes]) -> int:
        """Keep parts of DAGs for later runs; returns their size."""
        self._sealed.update(parts)
        return sum(map(len, parts.values()))

    def missing(self, digests: Sequence[str]) -> list[str]:
        """Return those of the parts that this container does not have."""
        return [d for d in digests if d not in self._sealed and d not in self._loaded and d not in self._dags]

    def dag(self, digest: str) -> tuple[WorkerDag, Arrivals]:
        """Return a DAG whose structure is here, and its fan-ins."""
        if digest not in self._dags:
            dag = WorkerDag.decode(self._lab_codec.unseal(self._sealed.pop(digest)))
            self._dags[digest] = dag, Arrivals(dag)
            while len(self._dags) > DAGS_KEPT:
                self._dags.popitem(last=False)
        self._dags.move_to_end(digest)
        return self._dags[digest]

    def loaded(self, digest: str) -> Any:
        """Return the function that a part holds."""
        if digest not in self._loaded:
            self._loaded[digest] = load_part(self._lab_codec.unseal(self._sealed.pop(digest)))
        return self._loaded[digest]

    def constant(self, digest: str) -> bytes:
        """Return the part that holds a large constant."""
        if digest not in self._loaded:
            self._loaded[digest] = self._lab_codec.unseal(self._sealed.pop(digest))
            self._constant_bytes += len(self._loaded[digest])
        part: bytes = self._loaded[digest]
        return part

    def tidy(self) -> None:
        """Forget code and constants before they fill the container; what is needed again is fetched again."""
        if len(self._loaded) + len(self._sealed) > PARTS_KEPT or self._constant_bytes > CONSTANT_BYTES_KEPT:
            self._constant_bytes = 0
            self._loaded.clear()
            self._sealed.clear()
