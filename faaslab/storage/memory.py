"""A store in this process: the model of what the Redis scripts do, and the store of inline and virtual runs."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from faaslab.errors import Fenced, PayloadError, StorageError
from faaslab.protocol.messages import (
    EMPTY,
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
    Retire,
    RunSpec,
    RunStatus,
    Seen,
    Successor,
    Suspension,
    YieldRequest,
)
from faaslab.protocol.payload import output_bytes, read_reference
from faaslab.storage.flows import Flow, Watcher
from faaslab.storage.memory_state import ContainerState, InvocationState, MemoryState, RunState
from faaslab.trace.events import (
    TaskFailed,
)


class MemoryStorage(MemoryState):
    """Everything in dictionaries behind one lock; blocking calls wait on a condition."""

    # -- runs -----------------------------------------------------------------------------------------------------

    def create_run(self, spec: RunSpec) -> None:
        """See ``Storage``."""
        with self._changed:
            existing = self._runs.get(spec.run)
            if existing is not None and existing.spec == spec:
                return
            if existing is not None:
                raise StorageError(f"run {spec.run!r} exists already; run ids must be unique")
            run = self._runs[spec.run] = RunState(spec, sinks_left=len(spec.sinks), began_s=self._clock.now_s())
            for start in spec.starts:
                run.invocations[start.invocation] = InvocationState(start.pool, start.tasks)
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
            state = self._containers.setdefault(container, ContainerState(pool, 0.0))
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
                    if completion.task >= 0 and completion.output is None and not completion.streamed:
                        self._has_copy(run, completion.claim, completion.task)
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

    def _has_copy(self, run: RunState, claim: Claim, task: int) -> None:
        """Take note that who arrives with nothing to store has a copy of its own, and does not wait for the output."""
        watcher = (claim.invocation, claim.attempt, claim.container)
        run.watched.get(task, {}).pop(watcher, None)
        flow = run.flows.get(task)
        if flow is not None and 0 <= flow.acked.get(watcher, -1) < flow.offer.chunks:
            self._acknowledge(run, watcher, task, flow.offer.key, -1)

    def _acknowledge(self, run: RunState, watcher: Watcher, task: int, key: str, position: int) -> None:
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

    def _condition_in(self, run: RunState) -> Callable[[Watcher], str]:
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

    def _flow(self, claim: Claim, task: int, key: str) -> tuple[RunState, Flow]:
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
