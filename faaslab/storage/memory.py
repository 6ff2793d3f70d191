"""A store in this process: the model of what the Redis scripts do, and the store of inline and virtual runs."""

import math
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from faaslab.errors import Fenced, PayloadError, StorageError
from faaslab.protocol.clock import Clock, WallClock
from faaslab.protocol.messages import (
    EMPTY,
    RUN_TIME,
    Claim,
    Completion,
    Demand,
    EmptyInvocations,
    Failure,
    FlowState,
    Invocation,
    Message,
    News,
    Offer,
    Orders,
    Ready,
    Reply,
    Retire,
    RunSpec,
    RunStatus,
    Seen,
    Successor,
    Suspension,
    YieldRequest,
)
from faaslab.protocol.payload import output_bytes, read_reference
from faaslab.protocol.storage import Storage
from faaslab.storage.flows import Flow, Watcher
from faaslab.trace.events import (
    AnyEvent,
    ContainerExited,
    InvocationRequested,
    OutputStored,
    Prewarmed,
    RunEnded,
    TaskFailed,
    WorkerExited,
    encode_events,
)

NARROW = 64
"""Inputs of a fan-in wider than this do not ride along with the message that starts it (as in ``lib.lua``)."""
INBOX = 8
"""Messages an inbox holds; a container that has not read the last few has no use for older ones (as in ``lib.lua``)."""


@dataclass(slots=True)
class _Invocation:
    """Mutable state of one invocation; ``state`` is pending, assigned, due, dormant or ended."""

    pool: str
    tasks: tuple[int, ...] = ()
    inputs_of: tuple[int, ...] = ()
    state: str = "dormant"
    attempt: int = 1
    container: str = ""
    gate: int = -1
    waits_for: int = -1
    requested_s: float = 0.0
    lapses: int = 0
    number: int = 0
    watches: int = 0
    """Last attempt that watched anything."""
    given: tuple[int, ...] = ()
    due: tuple[int, ...] = ()


@dataclass(slots=True)
class _Run:
    """Mutable state of one run."""

    spec: RunSpec
    status: str = "running"
    reason: str = ""
    error: bytes = b""
    sinks_left: int = 0
    live: int = 0
    ended_s: float = 0.0
    outputs: dict[int, bytes] = field(default_factory=dict)
    owner: dict[int, str] = field(default_factory=dict)
    arrived: dict[int, dict[int, None]] = field(default_factory=dict)
    held: dict[int, dict[int, tuple[str, int]]] = field(default_factory=dict)
    holds: Counter[int] = field(default_factory=Counter)
    invocations: dict[str, _Invocation] = field(default_factory=dict)
    watched: dict[int, dict[tuple[str, int, str], None]] = field(default_factory=dict)
    """Tasks that are not stored, with invocation, attempt and container of who watches them."""
    looked: dict[int, dict[Watcher, None]] = field(default_factory=dict)
    """The same of those who look for them."""
    began_s: float = 0.0
    stored_s: dict[int, float] = field(default_factory=dict)
    """When outputs were stored; only if the run is ``timed``."""
    tries: dict[int, int] = field(default_factory=dict)
    begun: dict[int, int] = field(default_factory=dict)
    blobs: dict[str, dict[int, bytes]] = field(default_factory=dict)
    """Chunks by their numbers."""
    flows: dict[int, Flow] = field(default_factory=dict)
    """Outputs that are, or were, streamed."""
    delivered: set[int] = field(default_factory=set)
    """Tasks whose outputs were streamed to all who needed them."""
    events: list[bytes] = field(default_factory=list)
    fresh: list[AnyEvent] = field(default_factory=list)


@dataclass(slots=True)
class _Container:
    """Mutable state of one container."""

    pool: str
    expires_s: float
    assigned: tuple[str, str, int] | None = None
    inbox: deque[tuple[int, Message]] = field(default_factory=lambda: deque(maxlen=INBOX))
    sent: int = 0
    rings: int = 0
    unheard: bool = False
    known: set[str] = field(default_factory=set)

    def push(self, message: Message) -> None:
        """Put a message into the inbox."""
        self.sent += 1
        self.inbox.append((self.sent, message))

    def ring(self) -> None:
        """Ring the bell."""
        self.rings += 1
        self.unheard = True


class MemoryStorage(Storage):
    """Everything in dictionaries behind one lock; blocking calls wait on a condition."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or WallClock()
        self._changed = threading.Condition()
        self._runs: dict[str, _Run] = {}
        self._containers: dict[str, _Container] = {}
        self._clients: dict[str, float] = {}
        self._idle: dict[str, list[str]] = {}
        self._pending: dict[str, deque[tuple[str, str, int]]] = {}
        self._empty: dict[str, deque[tuple[str, str, int]]] = {}
        self._due: list[tuple[float, str, str, int]] = []
        self._waiting: dict[str, float] = {}
        self._demand = 0

    # -- runs -----------------------------------------------------------------------------------------------------

    def create_run(self, spec: RunSpec) -> None:
        """See ``Storage``."""
        with self._changed:
            existing = self._runs.get(spec.run)
            if existing is not None and existing.spec == spec:
                return
            if existing is not None:
                raise StorageError(f"run {spec.run!r} exists already; run ids must be unique")
            run = self._runs[spec.run] = _Run(spec, sinks_left=len(spec.sinks), began_s=self._clock.now_s())
            for start in spec.starts:
                run.invocations[start.invocation] = _Invocation(start.pool, start.tasks)
                for task in start.tasks:
                    run.owner[task] = start.invocation
                self._activate(run, start.invocation, by="")
            self._prewarm(run, spec.prewarms)
            self._publish(run, spec.events)
            self._changed.notify_all()

    def run_status(self, run: str) -> RunStatus | None:
        """See ``Storage``."""
        with self._changed:
            state = self._runs.get(run)
            return None if state is None else RunStatus(state.status, state.reason, state.error, state.live)

    def read_events(self, run: str, cursor: str, wait_s: float) -> tuple[str, list[bytes]]:
        """See ``Storage``."""
        with self._changed:

            def unread() -> bool:
                state = self._runs.get(run)
                return state is None or len(state.events) > int(cursor)

            self._changed.wait_for(unread, wait_s)
            state = self._runs.get(run)
            if state is None:
                return cursor, []
            return str(len(state.events)), state.events[int(cursor) :]

    def fetch(self, run: str, tasks: Sequence[int]) -> dict[int, bytes]:
        """See ``Storage``."""
        with self._changed:
            state = self._runs.get(run)
            return {} if state is None else {task: state.outputs[task] for task in tasks if task in state.outputs}

    def cancel_run(self, run: str, status: str, reason: str, error: bytes = b"") -> bool:
        """See ``Storage``."""
        with self._changed:
            state = self._runs.get(run)
            if state is None or state.status != "running":
                return False
            self._end_run(state, status, reason, error)
            self._publish(state)
            self._changed.notify_all()
            return True

    def delete_run(self, run: str) -> None:
        """See ``Storage``."""
        with self._changed:
            self._runs.pop(run, None)
            self._unqueue(run)
            self._changed.notify_all()

    def renew_client(self, client: str, lease_s: float) -> None:
        """See ``Storage``."""
        with self._changed:
            self._clients[client] = self._clock.now_s() + lease_s

    def remove_client(self, client: str) -> None:
        """See ``Storage``."""
        with self._changed:
            self._clients.pop(client, None)

    # -- containers -----------------------------------------------------------------------------------------------

    def register(self, container: str, pool: str, lease_s: float) -> None:
        """See ``Storage``."""
        with self._changed:
            state = self._containers.setdefault(container, _Container(pool, 0.0))
            state.expires_s = self._clock.now_s() + lease_s

    def renew(self, container: str, lease_s: float) -> Orders:
        """See ``Storage``."""
        with self._changed:
            state = self._containers.get(container)
            if state is None:
                return Orders(known=False, stop=True)
            state.expires_s = self._clock.now_s() + lease_s
            return Orders(known=True, stop=state.assigned is not None and not self._wanted(container, state.assigned))

    def next(self, container: str) -> Invocation | None:
        """See ``Storage``."""
        with self._changed:
            return self._next(container, new=True)

    def listen(self, container: str, cursor: str, wait_s: float) -> tuple[str, Message | None]:
        """See ``Storage``."""
        with self._changed:

            def ready() -> bool:
                state = self._containers.get(container)
                return state is None or state.sent > int(cursor)

            self._changed.wait_for(ready, wait_s)
            state = self._containers.get(container)
            for number, message in state.inbox if state is not None else ():
                if number > int(cursor):
                    return str(number), message
            return cursor, None

    def leave(self, container: str) -> bool:
        """See ``Storage``."""
        with self._changed:
            state = self._containers.get(container)
            if state is not None and state.assigned is not None and self._wanted(container, state.assigned):
                return False
            self._forget(container)
            return True

    def remove(self, container: str, reason: str) -> None:
        """See ``Storage``."""
        with self._changed:
            self._lapse(container, reason)
            self._changed.notify_all()

    # -- a worker's calls -----------------------------------------------------------------------------------------

    def complete(self, completion: Completion) -> Reply:
        """See ``Storage``."""
        with self._changed:
            run, invocation = self._check(completion.claim)
            if 0 < completion.number < invocation.number:
                name = completion.claim.invocation
                raise Fenced(f"call {completion.number} of {name} was overtaken by call {invocation.number}")
            me = completion.claim.invocation
            again = 0 < completion.number == invocation.number
            # What was applied before tells nothing new.
            events = b"" if again else completion.events
            invocation.number = completion.number
            if completion.streamed:
                flow = run.flows.get(completion.task)
                if flow is None or not flow.is_received(self._condition_in(run)):
                    self._publish(run, events)
                    return Reply(refused=True)
            inputs_of: dict[int, tuple[int, ...]] = {}
            if again:
                taken = [task for task in invocation.tasks if task not in completion.remaining]
                stored = self._has_to_store(completion, taken)
            else:
                if completion.streamed:
                    run.delivered.add(completion.task)
                ready: list[Successor] = []
                if completion.hold == "no":
                    taken, ready = self._arrive_all(run, invocation, completion, inputs_of)
                else:
                    taken = self._hold_for(run, invocation, completion, inputs_of)
                taken += invocation.given
                invocation.given = ()
                stored = self._has_to_store(completion, taken)
                if stored:
                    self._store(run, completion)
                for successor in ready:
                    self._ready(run, successor, inputs_of[successor.task], me)
                invocation.tasks = (*completion.remaining, *taken)
                invocation.inputs_of = ()
                self._prewarm(run, completion.prewarms)
            held, due = self._open(run, invocation, completion)
            wanted = dict.fromkeys(u for task in taken for u in inputs_of.get(task, ()) if u != completion.task)
            due = tuple(dict.fromkeys((*invocation.due, *due)))
            reply = Reply(tuple(taken), stored, self._small(run, wanted), held=held, due=due)
            if completion.ends and not taken and not due:
                self._end(run, completion.claim, "ended")
                self._settle(run)
                self._publish(run, events)
                reply = Reply((), stored, {}, ended=True, next=self._next(completion.claim.container))
            else:
                self._settle(run)
                self._publish(run, events)
            self._changed.notify_all()
            return reply

    def fail(self, failure: Failure) -> Reply:
        """See ``Storage``."""
        with self._changed:
            run, invocation = self._check(failure.claim)
            self._store_kept(run, failure.claim, failure.outputs)
            if failure.remaining is not None:
                invocation.tasks = failure.remaining
            invocation.inputs_of = ()
            tries = run.tries[failure.task] = run.tries.get(failure.task, 0) + 1
            will_retry = bool(failure.pool) or tries <= failure.retries
            run.fresh.append(
                TaskFailed(
                    self._clock.now_s(),
                    failure.task,
                    failure.claim.invocation,
                    failure.claim.container,
                    tries,
                    failure.message,
                    will_retry,
                )
            )
            if will_retry:
                self._end(run, failure.claim, "retry")
                pause_s = min(failure.backoff_cap_s, failure.backoff_s * 2.0 ** (tries - 1))
                invocation.state = "due"
                invocation.attempt += 1
                invocation.pool = failure.pool or invocation.pool
                self._count(run, failure.claim.invocation, 1)
                self._schedule(self._clock.now_s() + pause_s, run, failure.claim.invocation)
            else:
                self._end(run, failure.claim, "failed")
                self._end_run(run, "failed", f"task failed|{tries}", failure.error)
            self._publish(run, failure.events)
            following = None if failure.leaves else self._next(failure.claim.container)
            self._changed.notify_all()
            return Reply(ended=True, next=following, will_retry=will_retry, attempt=tries)

    def suspend(self, suspension: Suspension) -> Reply:
        """See ``Storage``."""
        with self._changed:
            run, invocation = self._check(suspension.claim)
            self._store_kept(run, suspension.claim, suspension.outputs)
            self._end(run, suspension.claim, "yielded")
            invocation.attempt += 1
            invocation.gate = suspension.gate
            if suspension.gate in run.owner:
                self._activate(run, suspension.claim.invocation, by="yield")
            else:
                invocation.state = "dormant"
            self._settle(run)
            self._publish(run, suspension.events)
            following = self._next(suspension.claim.container)
            self._changed.notify_all()
            return Reply(ended=True, next=following)

    def wait_ready(self, claim: Claim, task: int, upstreams: Sequence[int]) -> tuple[bool, dict[int, bytes]]:
        """See ``Storage``."""
        with self._changed:
            run, invocation = self._check(claim)
            if task in run.owner:
                invocation.waits_for = -1
                self._waiting.pop(claim.container, None)
                return True, self._small(run, upstreams)
            invocation.waits_for = task
            if claim.container not in self._waiting:
                self._waiting[claim.container] = self._clock.now_s()
                # The gateway may have found nobody before who could make room for what is pending.
                if any(self._pending.values()):
                    self._demand += 1
            return False, {}

    def watch(
        self, claim: Claim, tasks: Sequence[int], acks: Mapping[int, tuple[str, int]] = MappingProxyType({})
    ) -> dict[int, Seen]:
        """See ``Storage``."""
        with self._changed:
            run, invocation = self._check(claim)
            watcher = (claim.invocation, claim.attempt, claim.container)
            for task, (key, position) in acks.items():
                self._acknowledge(run, watcher, task, key, position)
            if invocation.watches != claim.attempt:
                invocation.watches = claim.attempt
                self._containers[claim.container].unheard = False
            seen = {}
            for task in tasks:
                output = run.outputs.get(task)
                if output:
                    reference = read_reference(output)
                    where = () if reference is None else (reference.key, reference.chunks)
                    seen[task] = Seen(output_bytes(output), *where)
                else:
                    run.watched.setdefault(task, {})[watcher] = None
                    flow = run.flows.get(task)
                    if flow is not None and flow.acked.get(watcher, -1) >= 0:
                        seen[task] = flow.seen()
            return seen

    def _acknowledge(self, run: _Run, watcher: Watcher, task: int, key: str, position: int) -> None:
        flow = run.flows.get(task)
        if flow is None or flow.offer.key != key:
            return
        for index in flow.acknowledge(watcher, position):
            run.blobs[key].pop(index, None)
        if position == flow.offer.chunks:
            run.watched.get(task, {}).pop(watcher, None)  # another attempt need not offer it to this one again
        producer = flow.producer
        if self._wanted(producer.container, (run.spec.run, producer.invocation, producer.attempt)):
            self._containers[producer.container].ring()
            self._changed.notify_all()

    def offer(self, claim: Claim, offer: Offer) -> FlowState:
        """See ``Storage``."""
        with self._changed:
            run, _ = self._check(claim)
            before = run.flows.get(offer.task)
            if before is not None and before.offer.key == offer.key:
                return before.state(self._condition_in(run))
            if before is not None:
                run.blobs.pop(before.offer.key, None)
                del run.flows[offer.task]
            consumers = {
                watcher: 0
                for watcher in run.watched.get(offer.task, ())
                if watcher[0] in offer.workers and self._condition_in(run)(watcher) == "active"
            }
            if not consumers:
                return FlowState(0, False, 0, 0)
            flow = run.flows[offer.task] = Flow(
                offer, claim, offer.only and len(consumers) == len(offer.workers), consumers
            )
            self._ring_for(flow)
            return flow.state(self._condition_in(run))

    def _ring_for(self, flow: Flow) -> None:
        for name, attempt, container in flow.acked:
            if self._wanted(container, (flow.producer.run, name, attempt)):
                self._containers[container].ring()
        self._changed.notify_all()

    def _condition_in(self, run: _Run) -> Callable[[Watcher], str]:
        """Return what says of consumers in a run whether they are active."""

        def condition(watcher: Watcher) -> str:
            name, attempt, container = watcher
            invocation = run.invocations[name]
            if invocation.attempt != attempt:
                return "gone"
            if invocation.state == "assigned" and invocation.container == container:
                return "active"
            return "ended" if invocation.state == "ended" else "gone"

        return condition

    def put_chunk(
        self, claim: Claim, task: int, key: str, index: int, chunk: bytes | memoryview, digest: bytes = b""
    ) -> FlowState:
        """See ``Storage``."""
        data = bytes(chunk)
        with self._changed:
            run, flow = self._flow(claim, task, key)
            state = flow.state(self._condition_in(run))
            if not flow.instead or index >= flow.freed:
                run.blobs.setdefault(key, {})[index] = data
            if index >= flow.written:
                flow.written = index + 1
                flow.digest = digest or flow.digest
                self._ring_for(flow)
            return state

    def flow(self, claim: Claim, task: int, key: str, give_up: bool = False) -> FlowState:
        """See ``Storage``."""
        with self._changed:
            run, flow = self._flow(claim, task, key)
            flow.instead = flow.instead and not give_up
            return flow.state(self._condition_in(run))

    def _flow(self, claim: Claim, task: int, key: str) -> tuple[_Run, Flow]:
        run, _ = self._check(claim)
        flow = run.flows.get(task)
        if flow is None or flow.offer.key != key:
            raise StorageError(f"nothing is streamed to {key!r} in run {claim.run}; offer it first")
        return run, flow

    def wait_bell(self, container: str, cursor: str, wait_s: float) -> str | None:
        """See ``Storage``."""
        with self._changed:

            def rung() -> bool:
                state = self._containers.get(container)
                return state is not None and state.unheard and state.rings > int(cursor)

            if not self._changed.wait_for(rung, wait_s):
                return None
            return str(self._containers[container].rings)

    def look(self, claim: Claim, tasks: Sequence[int], inputs: Sequence[int]) -> tuple[float, dict[int, float]]:
        """See ``Storage``."""
        with self._changed:
            run, _ = self._check(claim)
            for task in inputs:
                if task not in run.outputs:
                    watcher = (claim.invocation, claim.attempt, claim.container)
                    run.looked.setdefault(task, {})[watcher] = None
            return run.began_s, {task: run.stored_s[task] for task in (*tasks, *inputs) if task in run.stored_s}

    def needed(self, claim: Claim, task: int, successors: Sequence[int]) -> bool:
        """See ``Storage``."""
        with self._changed:
            run, _ = self._check(claim)
            return any(s not in run.owner and task not in run.arrived.get(s, ()) for s in successors)

    def begin(self, claim: Claim, task: int) -> bool:
        """See ``Storage``."""
        with self._changed:
            run, _ = self._check(claim)
            return run.begun.setdefault(task, claim.attempt) == claim.attempt

    def stored(self, claim: Claim) -> frozenset[int]:
        """See ``Storage``."""
        with self._changed:
            run, _ = self._check(claim)
            return frozenset(run.outputs)

    def delivered(self, claim: Claim) -> frozenset[int]:
        """See ``Storage``."""
        with self._changed:
            run, _ = self._check(claim)
            return frozenset(run.delivered)

    def owned(self, claim: Claim) -> frozenset[int]:
        """See ``Storage``."""
        with self._changed:
            run, _ = self._check(claim)
            return frozenset(task for task, owner in run.owner.items() if owner == claim.invocation)

    def parts(self, run: str, container: str, digests: Sequence[str]) -> dict[str, bytes]:
        """See ``Storage``."""
        with self._changed:
            state = self._runs.get(run)
            if state is None:
                return {}
            found = {digest: state.spec.parts[digest] for digest in digests if digest in state.spec.parts}
            if container in self._containers:
                self._containers[container].known.update(found)
            return found

    def put_blob(self, run: str, key: str, chunks: Iterable[bytes | memoryview]) -> None:
        """See ``Storage``."""
        data = {index: bytes(chunk) for index, chunk in enumerate(chunks)}
        with self._changed:
            if run in self._runs:
                self._runs[run].blobs[key] = data

    def get_blob(self, run: str, key: str, chunks: int, first: int = 0) -> list[bytes]:
        """See ``Storage``."""
        with self._changed:
            state = self._runs.get(run)
            data = {} if state is None else state.blobs.get(key, {})
            for index in range(first, chunks):
                if index not in data:
                    raise PayloadError(f"blob {key!r} of run {run} has {index} of {chunks} chunks")
            return [data[index] for index in range(first, chunks)]

    # -- lab host -------------------------------------------------------------------------------------------------

    def sweep(self, grace_s: float) -> tuple[str, ...]:
        """See ``Storage``."""
        with self._changed:
            now_s = self._clock.now_s()
            due, self._due = [e for e in self._due if e[0] <= now_s], [e for e in self._due if e[0] > now_s]
            for _, run_id, name, attempt in sorted(due):
                run = self._runs.get(run_id)
                if run is not None and run.status == "running":
                    invocation = run.invocations[name]
                    if invocation.state == "due" and invocation.attempt == attempt:
                        self._count(run, name, -1)
                        self._activate(run, name, by="prewarm" if name.startswith(EMPTY) else "retry")
                        self._publish(run)
            lapsed = sorted(
                (state.expires_s, name) for name, state in self._containers.items() if state.expires_s <= now_s
            )
            gone = tuple(name for _, name in lapsed)
            for container in gone:
                self._lapse(container, "lost")
            for client in [name for name, expires_s in self._clients.items() if expires_s + grace_s <= now_s]:
                del self._clients[client]
            for run_id, run in list(self._runs.items()):
                if run.spec.client in self._clients:
                    run.ended_s = 0.0
                elif run.status == "running":
                    self._end_run(run, "cancelled", "its client is gone")
                    self._publish(run)
                elif run.ended_s == 0.0:
                    run.ended_s = now_s  # the client may come back and read it within the grace time
                elif run.ended_s + grace_s <= now_s:
                    self.delete_run(run_id)
            self._changed.notify_all()
            return gone

    def demand(self) -> Demand:
        """See ``Storage``."""
        with self._changed:
            return Demand(
                pending={pool: len(queue) for pool, queue in self._pending.items() if queue},
                empty={pool: len(queue) for pool, queue in self._empty.items() if queue},
                idle={pool: len(names) for pool, names in self._idle.items() if names},
                containers={name: state.pool for name, state in self._containers.items()},
                waiting=tuple(sorted(self._waiting, key=lambda name: (self._waiting[name], name))),
                assigned=frozenset(
                    name
                    for name, state in self._containers.items()
                    if state.assigned is not None and not state.assigned[1].startswith(EMPTY)
                ),
                warming=frozenset(
                    name
                    for name, state in self._containers.items()
                    if state.assigned is not None and state.assigned[1].startswith(EMPTY)
                ),
                next_due_s=min((entry[0] for entry in self._due), default=math.inf),
            )

    def wait_demand(self, cursor: str, wait_s: float) -> str:
        """See ``Storage``."""
        with self._changed:
            self._changed.wait_for(lambda: self._demand > int(cursor), wait_s)
            return str(self._demand)

    def retire_idle(self, pool: str) -> str | None:
        """See ``Storage``."""
        with self._changed:
            names = self._idle.get(pool)
            if not names:
                return None
            container = names.pop(0)
            self._containers[container].push(Retire())
            self._changed.notify_all()
            return container

    def ask_yield(self, container: str) -> bool:
        """See ``Storage``."""
        with self._changed:
            state = self._containers.get(container)
            if self._waiting.pop(container, None) is None or state is None or state.assigned is None:
                return False
            state.push(YieldRequest(state.assigned[0], state.assigned[1]))
            self._changed.notify_all()
            return True

    def clients(self) -> Mapping[str, float]:
        """See ``Storage``."""
        with self._changed:
            now_s = self._clock.now_s()
            return {name: expires_s - now_s for name, expires_s in self._clients.items()}

    def now_s(self) -> float:
        """See ``Storage``."""
        return self._clock.now_s()

    def leftovers(self) -> list[str]:
        """See ``Storage``."""
        with self._changed:
            queues = (*self._pending.values(), *self._empty.values())
            pending = [f"pending:{entry[0]}" for queue in queues for entry in queue]
            return [f"run:{name}" for name in self._runs] + pending + [f"due:{entry[1]}" for entry in self._due]

    # -- what the calls are made of (the caller holds the lock) ---------------------------------------------------

    def _wanted(self, container: str, assigned: tuple[str, str, int]) -> bool:
        """Whether that attempt of that invocation is still what the run wants this container to do."""
        run = self._runs.get(assigned[0])
        if run is None or run.status != "running":
            return False
        invocation = run.invocations.get(assigned[1])
        return (
            invocation is not None
            and invocation.state == "assigned"
            and (invocation.attempt, invocation.container) == (assigned[2], container)
        )

    def _check(self, claim: Claim) -> tuple[_Run, _Invocation]:
        """Return run and invocation if the claim holds, or raise ``Fenced``."""
        run = self._runs.get(claim.run)
        if run is None:
            raise Fenced(f"run {claim.run} is not known to the store")
        if run.status != "running":
            raise Fenced(f"run {claim.run} is {run.status}")
        invocation = run.invocations.get(claim.invocation)
        if (
            invocation is None
            or invocation.state != "assigned"
            or (invocation.attempt, invocation.container) != (claim.attempt, claim.container)
        ):
            raise Fenced(f"{claim.container} no longer owns attempt {claim.attempt} of {claim.invocation}")
        return run, invocation

    def _arrive_all(
        self, run: _Run, invocation: _Invocation, completion: Completion, inputs_of: dict[int, tuple[int, ...]]
    ) -> tuple[list[int], list[Successor]]:
        """Arrive at all successors; returns those that are taken, and all others that are ready."""
        me = completion.claim.invocation
        taken: list[int] = []
        ready: list[Successor] = []
        mine: list[int] = []
        for successor in completion.successors:
            owner = run.owner.get(successor.task)
            if owner is None:
                if self._arrive(run, successor, completion.task, me):
                    ready.append(successor)
            elif owner == me and successor.task in invocation.tasks and successor.task not in completion.remaining:
                taken.append(successor.task)  # this very call was applied before and its answer got lost
        for successor in ready:
            dynamic = not successor.worker
            if dynamic and successor.pool == invocation.pool and len(taken) < completion.take:
                taken.append(successor.task)
                mine.append(successor.task)
            upstreams = run.arrived.pop(successor.task)
            inputs_of[successor.task] = tuple(upstreams) if successor.expected <= NARROW else ()
        for task in mine:
            run.owner[task] = me
        return taken, [successor for successor in ready if successor.task not in mine]

    @staticmethod
    def _has_to_store(completion: Completion, taken: Sequence[int]) -> bool:
        others = any(successor.task not in taken for successor in completion.successors)
        return completion.output is not None and (completion.must_store or completion.sink or others)

    def _arrive(self, run: _Run, successor: Successor, upstream: int, me: str) -> bool:
        """Record an input of a task; returns whether it was the last one and no worker holds one."""
        task = successor.task
        arrived = run.arrived.setdefault(task, {})
        before = len(arrived) + len(run.held.get(task, ()))
        self._drop(run, task, upstream)
        arrived[upstream] = None
        held = len(run.held.get(task, ()))
        if held and len(arrived) + held >= successor.expected:
            self._elect(run, task, me, fresh=before < successor.expected)
        return not held and len(arrived) >= successor.expected

    # -- outputs that workers hold --------------------------------------------------------------------------------

    def _hold_for(
        self, run: _Run, invocation: _Invocation, completion: Completion, inputs_of: dict[int, tuple[int, ...]]
    ) -> list[int]:
        """Take the successors that need nothing else, hold the output for the others; returns what is taken."""
        me = completion.claim.invocation
        waiting = [successor for successor in completion.successors if successor.task not in run.owner]
        needed, taken = False, list[int]()
        for successor in waiting:
            arrived = run.arrived.get(successor.task, {})
            held = run.held.get(successor.task, {})
            own = {upstream for upstream, (holder, _) in held.items() if holder == me}
            if len(own | arrived.keys() | {completion.task}) < successor.expected:
                needed = needed or bool(successor.worker) or successor.pool != invocation.pool
            elif successor.worker or successor.pool != invocation.pool or len(taken) >= completion.take:
                needed = True
            else:
                taken.append(successor.task)
                inputs_of[successor.task] = tuple(arrived) if successor.expected <= NARROW else ()
                self._give(run, successor.task, me)
        if completion.hold == "run" and not needed and (taken or invocation.given or not completion.ends):
            for successor in waiting:
                task = successor.task
                arrived = run.arrived.setdefault(task, {})
                held = run.held.get(task, {})
                if task in taken or completion.task in arrived or completion.task in held:
                    continue
                run.held.setdefault(task, held)[completion.task] = (me, completion.held_bytes)
                run.holds[completion.task] += 1
                if len(arrived) + len(held) >= successor.expected:
                    self._elect(run, task, me, fresh=True)
        return taken

    def _open(
        self, run: _Run, invocation: _Invocation, completion: Completion
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return for which successors the output is held, and whether it has to be stored: its task, if so.

        What the invocation was given and has not been told of yet is held for until it has been.
        """
        if completion.hold == "no":
            return (), ()
        tasks = [successor.task for successor in completion.successors]
        waiting = [task for task in tasks if task not in run.owner or task in invocation.given]
        held = [t for t in waiting if t in invocation.given or completion.task in run.held.get(t, ())]
        return tuple(held), (completion.task,) * (len(held) < len(waiting))

    def _elect(self, run: _Run, task: int, me: str, *, fresh: bool) -> None:
        """None of a task's inputs is missing: give it to the only holder, or have all others store what they hold."""
        held = run.held[task]
        if not fresh and len(held) > NARROW:
            return  # most of them are about to store
        sizes: dict[str, tuple[int, int]] = {}
        for upstream, (holder, nbytes) in held.items():
            total, first = sizes.get(holder, (0, upstream))
            sizes[holder] = (total + nbytes, min(first, upstream))
        owner = min(sizes, key=lambda holder: (-sizes[holder][0], sizes[holder][1]))
        if len(sizes) == 1:
            run.invocations[owner].given += (task,)
            self._give(run, task, owner)
            self._tell(run, owner, me)
            return
        told: dict[str, None] = {}
        for upstream in sorted(held):
            holder = held[upstream][0]
            if holder != owner and upstream not in run.invocations[holder].due:
                run.invocations[holder].due += (upstream,)
                told[holder] = None
        for holder in told:
            self._tell(run, holder, me)

    def _give(self, run: _Run, task: int, owner: str) -> None:
        """Make an invocation the owner of a task that is ready for it."""
        for upstream in tuple(run.held.get(task, ())):
            self._drop(run, task, upstream)
        run.arrived.pop(task, None)
        run.owner[task] = owner

    def _drop(self, run: _Run, task: int, upstream: int) -> None:
        """An output is not held for a task any more; if it is for none, nobody has to store it."""
        held = run.held.get(task)
        if held is None or upstream not in held:
            return
        holder, _ = held.pop(upstream)
        if not held:
            del run.held[task]
        run.holds[upstream] -= 1
        if not run.holds[upstream]:
            del run.holds[upstream]
            invocation = run.invocations[holder]
            invocation.due = tuple(due for due in invocation.due if due != upstream)

    def _tell(self, run: _Run, name: str, me: str) -> None:
        """Tell a holder, if it is not the one that calls, that the next answer has something for it."""
        if name != me:
            self._containers[run.invocations[name].container].push(News(run.spec.run, name))

    def _let_go(self, run: _Run, name: str) -> None:
        """What an attempt held is missing again, and what it was given has to be run by the next one."""
        invocation = run.invocations[name]
        invocation.tasks += invocation.given
        invocation.given = invocation.due = ()
        for task in tuple(run.held):
            for upstream in [u for u, (holder, _) in run.held[task].items() if holder == name]:
                self._drop(run, task, upstream)

    def _store(self, run: _Run, completion: Completion) -> None:
        """Write an output unless an earlier attempt has (first writer wins)."""
        if completion.output is None or completion.task in run.outputs:
            return
        run.outputs[completion.task] = completion.output
        now_s = self._clock.now_s()
        size = completion.output_bytes
        took_s = max(0.0, now_s - completion.started_s) if completion.started_s > 0 else 0.0
        run.fresh.append(OutputStored(now_s, completion.task, completion.claim.invocation, size, took_s))
        if completion.sink:
            run.sinks_left -= 1
        self._tell_watchers(run, completion.task)

    def _store_kept(self, run: _Run, claim: Claim, outputs: Mapping[int, bytes]) -> None:
        """Write what a leaving worker kept for tasks that will run elsewhere."""
        for task, output in outputs.items():
            flow = run.flows.get(task)
            if flow is not None and flow.producer.invocation != claim.invocation and task not in run.delivered:
                continue  # what is stored must have arrived: its producer has not told yet, and will store it
            if task not in run.outputs:
                run.outputs[task] = output
                run.fresh.append(OutputStored(self._clock.now_s(), task, claim.invocation, output_bytes(output)))
                self._tell_watchers(run, task)

    def _tell_watchers(self, run: _Run, task: int) -> None:
        """Ring for whoever watches a task, and tell who looks for it: it is stored."""
        if run.spec.timed:
            run.stored_s[task] = self._clock.now_s()
        for name, attempt, container in run.watched.pop(task, ()):
            if self._wanted(container, (run.spec.run, name, attempt)):
                self._containers[container].ring()
        for name, attempt, container in run.looked.pop(task, ()):
            if self._wanted(container, (run.spec.run, name, attempt)):
                self._containers[container].push(News(run.spec.run, name))

    def _ready(self, run: _Run, successor: Successor, inputs_of: tuple[int, ...], by: str) -> None:
        """Give a task that has all its inputs to its planned worker, or to an invocation of its own."""
        name = successor.worker or f"{RUN_TIME}{successor.task}"
        run.owner[successor.task] = name
        invocation = run.invocations.get(name)
        if invocation is None:
            if successor.worker and not successor.gate:
                return  # its worker will find it ready when it gets there
            tasks = () if successor.worker else (successor.task,)
            run.invocations[name] = _Invocation(successor.pool, tasks, () if successor.worker else inputs_of)
            self._activate(run, name, by)
        elif invocation.state == "dormant" and invocation.gate == successor.task:
            self._activate(run, name, by)
        elif invocation.state == "assigned" and invocation.waits_for == successor.task:
            invocation.waits_for = -1
            self._waiting.pop(invocation.container, None)
            self._containers[invocation.container].push(Ready(run.spec.run, name, successor.task))

    def _activate(self, run: _Run, name: str, by: str) -> None:
        """Hand an invocation to an idle container of its pool, or queue it."""
        invocation = run.invocations[name]
        now_s = self._clock.now_s()
        invocation.requested_s = now_s
        invocation.gate = invocation.waits_for = -1
        self._count(run, name, 1)
        run.fresh.append(
            InvocationRequested(
                now_s, name, invocation.attempt, invocation.tasks, int(invocation.pool.rsplit("/", 1)[1]), by
            )
        )
        idle = self._idle.get(invocation.pool)
        if idle:
            container = idle.pop()
            self._containers[container].push(self._assign(container, run, name))
        else:
            invocation.state = "pending"
            queues = self._pending
            if name.startswith(EMPTY):
                queues = self._empty
            else:
                self._reserve(run, invocation.pool)
            queues.setdefault(invocation.pool, deque()).append((run.spec.run, name, invocation.attempt))
            self._demand += 1

    def _count(self, run: _Run, name: str, by: int) -> None:
        """Count an invocation that the run lives by; an empty one is none."""
        if not name.startswith(EMPTY):
            run.live += by

    def _schedule(self, at_s: float, run: _Run, name: str) -> None:
        """Have an invocation dispatched later; whoever sweeps hears of it if nothing else is due before."""
        entry = (at_s, run.spec.run, name, run.invocations[name].attempt)
        self._due.append(entry)
        if entry == min(self._due):
            self._demand += 1

    def _prewarm(self, run: _Run, batches: Sequence[EmptyInvocations]) -> None:
        """Schedule empty invocations, unless they have been."""
        now_s = self._clock.now_s()
        for batch in batches:
            for number in range(batch.count):
                name = f"{batch.name}.{number}"
                if name not in run.invocations:
                    run.invocations[name] = _Invocation(batch.pool, state="due")
                    self._schedule(now_s + batch.delay_s, run, name)

    def _reserve(self, run: _Run, pool: str) -> None:
        """Let an invocation take the place of an empty one, and thereby the container that is started for it."""
        queue = self._empty.get(pool, deque())
        entry = next((entry for entry in queue if entry[0] == run.spec.run), None)
        if entry is None:
            return
        queue.remove(entry)
        invocation, now_s = run.invocations[entry[1]], self._clock.now_s()
        invocation.state = "ended"
        size_mib = int(pool.rsplit("/", 1)[1])
        run.fresh.append(Prewarmed(now_s, entry[1], "", size_mib, "reserved", now_s - invocation.requested_s))

    def _assign(self, container: str, run: _Run, name: str) -> Invocation:
        invocation = run.invocations[name]
        invocation.state = "assigned"
        invocation.container = container
        invocation.number = 0
        self._containers[container].assigned = (run.spec.run, name, invocation.attempt)
        return self._message(container, run, name)

    def _message(self, container: str, run: _Run, name: str) -> Invocation:
        invocation = run.invocations[name]
        known = self._containers[container].known
        cut = run.spec.cuts.get(name)
        parts = {digest: run.spec.parts[digest] for digest in run.spec.ride if digest not in known}
        known.update(parts)
        if cut is not None:
            parts = {cut: run.spec.parts[cut]}
        return Invocation(
            run.spec.run,
            name,
            invocation.attempt,
            invocation.tasks,
            invocation.pool,
            invocation.requested_s,
            cut or run.spec.structure,
            parts,
            self._small(run, invocation.inputs_of),
        )

    def _small(self, run: _Run, tasks: Iterable[int]) -> dict[int, bytes]:
        """Return stored outputs in order while they fit into the limit for inputs that ride along."""
        room = run.spec.inline_input_bytes
        found: dict[int, bytes] = {}
        for task in tasks:
            output = run.outputs.get(task)
            if output is not None and len(output) <= room:
                found[task] = output
                room -= len(output)
        return found

    def _next(self, container: str, *, new: bool = False) -> Invocation | None:
        state = self._containers.get(container)
        if state is None:
            raise Fenced(f"container {container} is not known to the store")
        idle = self._idle.setdefault(state.pool, [])
        # One that has worked or idled is warm: an empty invocation is for one that is not.
        new = new and state.assigned is None and container not in idle
        if state.assigned is not None:
            if self._wanted(container, state.assigned):
                # Parts may have got lost with the answer that carried them.
                state.known.clear()
                return self._message(container, self._runs[state.assigned[0]], state.assigned[1])
            state.assigned = None
        self._waiting.pop(container, None)
        for queues in (self._pending, self._empty) if new else (self._pending,):
            queue = queues.get(state.pool, deque())
            while queue:
                run_id, name, attempt = queue.popleft()
                waiting = self._runs.get(run_id)
                if waiting is not None and waiting.status == "running":
                    invocation = waiting.invocations[name]
                    if invocation.state == "pending" and invocation.attempt == attempt:
                        return self._assign(container, waiting, name)
        state.inbox.clear()
        if container not in idle:
            idle.append(container)
        return None

    def _end(self, run: _Run, claim: Claim, reason: str) -> None:
        """End an attempt; what comes after it is the caller's business."""
        invocation = run.invocations[claim.invocation]
        self._let_go(run, claim.invocation)
        invocation.state = "ended"
        invocation.container = ""
        invocation.waits_for = -1
        self._count(run, claim.invocation, -1)
        if invocation.watches == claim.attempt:
            self._containers[claim.container].ring()
        self._containers[claim.container].assigned = None
        self._waiting.pop(claim.container, None)
        run.fresh.append(WorkerExited(self._clock.now_s(), claim.invocation, claim.attempt, claim.container, reason))

    def _settle(self, run: _Run) -> None:
        """End the run when it has all it was asked for, or when nothing can bring it there any more."""
        if run.status != "running":
            return
        if run.sinks_left == 0:
            self._end_run(run, "finished", "")
        elif run.live == 0:
            self._end_run(run, "failed", "stalled")

    def _end_run(self, run: _Run, status: str, reason: str, error: bytes = b"") -> None:
        """End a run, and with it whatever still works for it: that was billed until now."""
        for name, state in sorted(self._containers.items()):
            if state.assigned is not None and state.assigned[0] == run.spec.run and self._wanted(name, state.assigned):
                _, invocation, attempt = state.assigned
                run.fresh.append(WorkerExited(self._clock.now_s(), invocation, attempt, name, status))
                if run.invocations[invocation].watches == attempt:
                    state.ring()
        run.status, run.reason, run.error = status, reason, error
        run.fresh.append(RunEnded(self._clock.now_s(), status, reason))
        self._unqueue(run.spec.run)

    def _unqueue(self, run: str) -> None:
        """Nothing of an ended or deleted run waits for a container or a moment any more."""
        for queues in (self._pending, self._empty):
            for pool, queue in queues.items():
                queues[pool] = deque(entry for entry in queue if entry[0] != run)
        self._due = [entry for entry in self._due if entry[1] != run]

    def _lapse(self, container: str, reason: str) -> None:
        """Forget a dead container and dispatch its invocation again, until that has died too often."""
        state = self._containers.get(container)
        if state is None:
            return
        assigned = state.assigned if state.assigned is not None and self._wanted(container, state.assigned) else None
        self._forget(container)
        if assigned is None:
            return
        run = self._runs[assigned[0]]
        invocation = run.invocations[assigned[1]]
        now_s = self._clock.now_s()
        run.fresh.append(ContainerExited(now_s, container, reason))
        run.fresh.append(WorkerExited(now_s, assigned[1], assigned[2], container, reason))
        self._let_go(run, assigned[1])
        invocation.container = ""
        if assigned[1].startswith(EMPTY):
            invocation.state = "ended"  # nobody needs it
            self._publish(run)
            return
        run.live -= 1
        invocation.lapses += 1
        invocation.attempt += 1
        if invocation.lapses > run.spec.max_lapses:
            invocation.state = "ended"
            self._end_run(run, "failed", f"lost|{assigned[1]}|{container}|{invocation.lapses}")
        else:
            invocation.inputs_of = ()
            self._activate(run, assigned[1], by="lapse")
        self._publish(run)

    def _forget(self, container: str) -> None:
        state = self._containers.pop(container, None)
        self._waiting.pop(container, None)
        if state is not None and container in self._idle.get(state.pool, []):
            self._idle[state.pool].remove(container)

    def _publish(self, run: _Run, events: bytes = b"") -> None:
        if events:
            run.events.append(events)
        if run.fresh:
            run.events.append(encode_events(run.fresh))
            run.fresh = []
