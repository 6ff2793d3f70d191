"""What a store in this process is made of: runs, invocations, containers, and what its calls do with them."""

import threading
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from faaslab.errors import Fenced
from faaslab.protocol.clock import Clock, WallClock
from faaslab.protocol.messages import (
    EMPTY,
    RUN_TIME,
    Claim,
    Completion,
    EmptyInvocations,
    Invocation,
    Message,
    News,
    Ready,
    RunSpec,
    Successor,
)
from faaslab.protocol.payload import output_bytes
from faaslab.protocol.storage import Storage
from faaslab.storage.flows import Flow, Watcher
from faaslab.trace.events import (
    AnyEvent,
    ContainerExited,
    InvocationRequested,
    OutputStored,
    Prewarmed,
    RunEnded,
    WorkerExited,
    encode_events,
)

NARROW = 64
"""Inputs of a fan-in wider than this do not ride along with the message that starts it (as in ``lib.lua``)."""
INBOX = 8
"""Messages an inbox holds; a container that has not read the last few has no use for older ones (as in ``lib.lua``)."""


@dataclass(slots=True)
class InvocationState:
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
class RunState:
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
    invocations: dict[str, InvocationState] = field(default_factory=dict)
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
class ContainerState:
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


class MemoryState(Storage):
    """The state, and the parts of calls; whoever calls these holds the lock."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or WallClock()
        self._changed = threading.Condition()
        self._runs: dict[str, RunState] = {}
        self._containers: dict[str, ContainerState] = {}
        self._clients: dict[str, float] = {}
        self._idle: dict[str, list[str]] = {}
        self._pending: dict[str, deque[tuple[str, str, int]]] = {}
        self._empty: dict[str, deque[tuple[str, str, int]]] = {}
        self._due: list[tuple[float, str, str, int]] = []
        self._waiting: dict[str, float] = {}
        self._demand = 0

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

    def _check(self, claim: Claim) -> tuple[RunState, InvocationState]:
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
        self, run: RunState, invocation: InvocationState, completion: Completion, inputs_of: dict[int, tuple[int, ...]]
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

    def _arrive(self, run: RunState, successor: Successor, upstream: int, me: str) -> bool:
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
        self, run: RunState, invocation: InvocationState, completion: Completion, inputs_of: dict[int, tuple[int, ...]]
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
        self, run: RunState, invocation: InvocationState, completion: Completion
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

    def _elect(self, run: RunState, task: int, me: str, *, fresh: bool) -> None:
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

    def _give(self, run: RunState, task: int, owner: str) -> None:
        """Make an invocation the owner of a task that is ready for it."""
        for upstream in tuple(run.held.get(task, ())):
            self._drop(run, task, upstream)
        run.arrived.pop(task, None)
        run.owner[task] = owner

    def _drop(self, run: RunState, task: int, upstream: int) -> None:
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

    def _tell(self, run: RunState, name: str, me: str) -> None:
        """Tell a holder, if it is not the one that calls, that the next answer has something for it."""
        if name != me:
            self._containers[run.invocations[name].container].push(News(run.spec.run, name))

    def _let_go(self, run: RunState, name: str) -> None:
        """What an attempt held is missing again, and what it was given has to be run by the next one."""
        invocation = run.invocations[name]
        invocation.tasks += invocation.given
        invocation.given = invocation.due = ()
        for task in tuple(run.held):
            for upstream in [u for u, (holder, _) in run.held[task].items() if holder == name]:
                self._drop(run, task, upstream)

    def _store(self, run: RunState, completion: Completion) -> None:
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

    def _store_kept(self, run: RunState, claim: Claim, outputs: Mapping[int, bytes]) -> None:
        """Write what a leaving worker kept for tasks that will run elsewhere."""
        for task, output in outputs.items():
            flow = run.flows.get(task)
            if flow is not None and flow.producer.invocation != claim.invocation and task not in run.delivered:
                continue  # what is stored must have arrived: its producer has not told yet, and will store it
            if task not in run.outputs:
                run.outputs[task] = output
                run.fresh.append(OutputStored(self._clock.now_s(), task, claim.invocation, output_bytes(output)))
                self._tell_watchers(run, task)

    def _tell_watchers(self, run: RunState, task: int) -> None:
        """Ring for whoever watches a task, and tell who looks for it: it is stored."""
        if run.spec.timed:
            run.stored_s[task] = self._clock.now_s()
        for name, attempt, container in run.watched.pop(task, ()):
            if self._wanted(container, (run.spec.run, name, attempt)):
                self._containers[container].ring()
        for name, attempt, container in run.looked.pop(task, ()):
            if self._wanted(container, (run.spec.run, name, attempt)):
                self._containers[container].push(News(run.spec.run, name))

    def _ready(self, run: RunState, successor: Successor, inputs_of: tuple[int, ...], by: str) -> None:
        """Give a task that has all its inputs to its planned worker, or to an invocation of its own."""
        name = successor.worker or f"{RUN_TIME}{successor.task}"
        run.owner[successor.task] = name
        invocation = run.invocations.get(name)
        if invocation is None:
            if successor.worker and not successor.gate:
                return  # its worker will find it ready when it gets there
            tasks = () if successor.worker else (successor.task,)
            run.invocations[name] = InvocationState(successor.pool, tasks, () if successor.worker else inputs_of)
            self._activate(run, name, by)
        elif invocation.state == "dormant" and invocation.gate == successor.task:
            self._activate(run, name, by)
        elif invocation.state == "assigned" and invocation.waits_for == successor.task:
            invocation.waits_for = -1
            self._waiting.pop(invocation.container, None)
            self._containers[invocation.container].push(Ready(run.spec.run, name, successor.task))

    def _activate(self, run: RunState, name: str, by: str) -> None:
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

    def _count(self, run: RunState, name: str, by: int) -> None:
        """Count an invocation that the run lives by; an empty one is none."""
        if not name.startswith(EMPTY):
            run.live += by

    def _schedule(self, at_s: float, run: RunState, name: str) -> None:
        """Have an invocation dispatched later; whoever sweeps hears of it if nothing else is due before."""
        entry = (at_s, run.spec.run, name, run.invocations[name].attempt)
        self._due.append(entry)
        if entry == min(self._due):
            self._demand += 1

    def _prewarm(self, run: RunState, batches: Sequence[EmptyInvocations]) -> None:
        """Schedule empty invocations, unless they have been."""
        now_s = self._clock.now_s()
        for batch in batches:
            for number in range(batch.count):
                name = f"{batch.name}.{number}"
                if name not in run.invocations:
                    run.invocations[name] = InvocationState(batch.pool, state="due")
                    self._schedule(now_s + batch.delay_s, run, name)

    def _reserve(self, run: RunState, pool: str) -> None:
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

    def _assign(self, container: str, run: RunState, name: str) -> Invocation:
        invocation = run.invocations[name]
        invocation.state = "assigned"
        invocation.container = container
        invocation.number = 0
        self._containers[container].assigned = (run.spec.run, name, invocation.attempt)
        return self._message(container, run, name)

    def _message(self, container: str, run: RunState, name: str) -> Invocation:
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

    def _small(self, run: RunState, tasks: Iterable[int]) -> dict[int, bytes]:
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

    def _end(self, run: RunState, claim: Claim, reason: str) -> None:
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

    def _settle(self, run: RunState) -> None:
        """End the run when it has all it was asked for, or when nothing can bring it there any more."""
        if run.status != "running":
            return
        if run.sinks_left == 0:
            self._end_run(run, "finished", "")
        elif run.live == 0:
            self._end_run(run, "failed", "stalled")

    def _end_run(self, run: RunState, status: str, reason: str, error: bytes = b"") -> None:
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

    def _publish(self, run: RunState, events: bytes = b"") -> None:
        if events:
            run.events.append(events)
        if run.fresh:
            run.events.append(encode_events(run.fresh))
            run.fresh = []
