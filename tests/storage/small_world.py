"""A run so small that all its courses can be tried: at most three tasks, two containers, and what can go wrong.

Workers here are as simple as the protocol lets them be: no arguments, no user code, one store call a step. A ``World``
offers every step that could happen next; whoever drives it picks one.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from faaslab.errors import Fenced
from faaslab.protocol.messages import (
    Claim,
    Completion,
    Failure,
    Invocation,
    Ready,
    RunSpec,
    Start,
    Successor,
    Suspension,
)
from faaslab.protocol.storage import Storage
from faaslab.storage.memory import MemoryStorage
from faaslab.trace.events import OutputStored, decode_events
from tests.storage.scene import LONG_S, SMALL

RUN, CLIENT = "run", "client"


@dataclass(frozen=True)
class Shape:
    """A DAG with its plan.

    Attributes:
        edges: Task to its successors.
        sinks: Tasks that the client asked for.
        starts: First invocations with their tasks; none for a planned worker.
        orders: Tasks of each planned worker.
    """

    edges: Mapping[int, tuple[int, ...]]
    sinks: tuple[int, ...]
    starts: Mapping[str, tuple[int, ...]]
    orders: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def worker_of(self, task: int) -> str:
        """Return the planned worker of a task, empty for none."""
        return next((name for name, order in self.orders.items() if task in order), "")

    def remote_upstreams(self, task: int) -> list[int]:
        """Return the inputs of a task that come through the store."""
        own = self.orders.get(self.worker_of(task), ())
        return [u for u, successors in self.edges.items() if task in successors and u not in own]

    def successors(self, task: int) -> tuple[Successor, ...]:
        """Return the tasks that wait for this one elsewhere, or may."""
        own = self.orders.get(self.worker_of(task), ())
        found = []
        for s in self.edges.get(task, ()):
            if s not in own:
                worker = self.worker_of(s)
                gate = bool(worker) and self.orders[worker][0] == s
                found.append(Successor(s, len(self.remote_upstreams(s)), worker, gate, SMALL))
        return tuple(found)

    def spec(self) -> RunSpec:
        """Return the run."""
        starts = tuple(Start(name, SMALL, tasks) for name, tasks in self.starts.items())
        return RunSpec(RUN, CLIENT, "s", {"s": b"DAG"}, ("s",), self.sinks, starts, 1000, 1000)


SHAPES = {
    "fan-in": Shape({0: (2,), 1: (2,)}, (2,), {"a": (0,), "b": (1,)}),
    "fan-in, one worker": Shape({0: (2,), 1: (2,)}, (2,), {"ab": (0, 1)}),
    "fan-out": Shape({0: (1, 2)}, (1, 2), {"a": (0,)}),
    "chain": Shape({0: (1,), 1: (2,)}, (2,), {"a": (0,)}),
    "planned gate": Shape({0: (2,), 1: (2,)}, (2,), {"P": (), "Q": ()}, {"P": (0,), "Q": (1,), "R": (2,)}),
    "planned wait": Shape({0: (2,), 1: (2,)}, (2,), {"P": (), "Q": ()}, {"P": (0,), "Q": (1, 2)}),
    "mixed": Shape({0: (2,), 1: (2,)}, (2,), {"P": (), "b": (1,)}, {"P": (0,), "R": (2,)}),
}


@dataclass(frozen=True)
class Worker:
    """A container and where it stands: ``ask``, ``idle``, ``work``, ``wait``, ``dead`` (not yet noticed)."""

    name: str
    phase: str = "ask"
    claim: Claim | None = None
    todo: tuple[int, ...] = ()
    cursor: str = "0"
    served: frozenset[tuple[str, int]] = frozenset()
    number: int = 0


Step = tuple[str, int]
"""What happens, and to which of the containers (or copies of calls)."""


@dataclass
class World:
    """A store, its workers, and how many faults may still happen."""

    store: Storage
    shape: Shape
    faults: int
    workers: list[Worker] = field(default_factory=list)
    sent: list[Completion] = field(default_factory=list)
    started: int = 0
    due: int = 0

    def begin(self, containers: int = 2) -> None:
        """Submit the run and start the containers."""
        self.store.renew_client(CLIENT, LONG_S)
        self.store.create_run(self.shape.spec())
        self.workers = [self._fresh() for _ in range(containers)]

    def _fresh(self) -> Worker:
        self.started += 1
        name = f"c{self.started}"
        self.store.register(name, SMALL, LONG_S)
        return Worker(name)

    def clone(self) -> "World":
        """Return a copy; only of a world on a memory store."""
        assert isinstance(self.store, MemoryStorage)
        store = MemoryStorage()
        shared = {"_clock": self.store._clock, "_changed": store._changed}
        inner = {name: value for name, value in vars(self.store).items() if name not in shared}
        vars(store).update(copy.deepcopy(inner), **shared)
        return replace(self, store=store, workers=list(self.workers), sent=list(self.sent))

    def key(self) -> str:
        """Return a text that two worlds share if they have the same future."""
        assert isinstance(self.store, MemoryStorage)
        inner = [value for name, value in vars(self.store).items() if name not in ("_clock", "_changed", "_demand")]
        return repr((inner, self.workers, self.sent, self.faults, self.due))

    # -- what can happen ------------------------------------------------------------------------------------------

    def progress(self) -> list[Step]:
        """Return the steps that happen by themselves if nothing goes wrong any more."""
        steps: list[Step] = [("sweep", 0)] if self.due else []
        for i, worker in enumerate(self.workers):
            if worker.phase == "dead":
                steps.append(("notice", i))
            elif worker.phase in ("ask", "work"):
                steps.append(("step", i))
            elif self.store.listen(worker.name, worker.cursor, 0.0)[1] is not None:
                steps.append(("read", i))
            elif self.store.renew(worker.name, LONG_S).stop:  # its heartbeat hears that it was taken for dead
                steps.append(("ask again", i))
        return steps

    def trouble(self) -> list[Step]:
        """Return the steps that need not happen: faults, and things that only waiting for longer brings."""
        steps: list[Step] = [
            ("ask again", i) for i, worker in enumerate(self.workers) if worker.phase in ("idle", "wait")
        ]
        if self.faults:
            for i, worker in enumerate(self.workers):
                if worker.phase == "dead":
                    continue
                steps += [("crash", i), ("false alarm", i)]
                if worker.phase in ("ask", "work"):
                    steps += [("crash after", i), ("answer lost", i)]
                if worker.phase == "work":
                    steps.append(("fail", i))
                if worker.phase == "wait":
                    steps.append(("yield", i))
            steps += [("late copy", i) for i in range(len(self.sent))]
        return steps

    def apply(self, step: Step) -> None:
        """Let it happen."""
        what, i = step
        if what in ("crash", "crash after", "false alarm", "answer lost", "fail", "yield", "late copy"):
            self.faults -= 1
        if what == "sweep":
            self.store.sweep(LONG_S)
            self.due = 0
        elif what == "late copy":
            try:
                self.store.complete(self.sent[i])
            except Fenced:
                pass
        elif what == "notice":
            self.store.remove(self.workers[i].name, "killed")
            self.workers[i] = self._fresh()
        elif what == "false alarm":
            self.store.remove(self.workers[i].name, "lost")
        elif what == "crash":
            self.workers[i] = replace(self.workers[i], phase="dead")
        else:
            try:
                self.workers[i] = self._next_of(what, self.workers[i])
            except Fenced:
                self.workers[i] = replace(self.workers[i], phase="ask", claim=None, todo=())
                try:
                    self.store.next(self.workers[i].name)
                except Fenced:
                    self.workers[i] = self._fresh()  # forgotten: it leaves, and another one comes
            if what == "crash after":
                self.workers[i] = replace(self.workers[i], phase="dead")

    def _next_of(self, what: str, worker: Worker) -> Worker:
        if what == "read":
            cursor, message = self.store.listen(worker.name, worker.cursor, 0.0)
            worker = replace(worker, cursor=cursor)
            if isinstance(message, Ready) and worker.phase == "wait":
                return self._go_on(worker)
            fresh = isinstance(message, Invocation) and (message.invocation, message.attempt) not in worker.served
            if fresh and worker.phase == "idle":
                assert isinstance(message, Invocation)
                return self._serve(worker, message)
            return worker
        if what == "ask again" and worker.phase == "wait":
            return self._go_on(worker)
        if worker.phase in ("ask", "idle"):
            invocation = self.store.next(worker.name)
            if what == "answer lost":
                invocation = self.store.next(worker.name)
            return self._serve(worker, invocation)
        assert worker.claim is not None
        if what == "yield":
            reply = self.store.suspend(Suspension(worker.claim, worker.todo[0], {1: b"kept"}))
            return self._serve(worker, reply.next)
        if what == "fail":
            failure = Failure(worker.claim, worker.todo[0], "x", b"", 99, remaining=self._dynamic(worker.todo))
            reply = self.store.fail(failure)
            self.due += 1
            return self._serve(worker, reply.next)
        return self._complete(worker, twice=what == "answer lost")

    def _dynamic(self, todo: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(task for task in todo if not self.shape.worker_of(task))

    def _complete(self, worker: Worker, twice: bool) -> Worker:
        assert worker.claim is not None
        task, *later = worker.todo
        number = worker.number + 1
        completion = Completion(
            worker.claim,
            task,
            b"output %d" % task,
            sink=task in self.shape.sinks,
            successors=self.shape.successors(task),
            take=0 if later else 1,
            remaining=self._dynamic(tuple(later)),
            ends=not later,
            number=number,
        )
        self.sent.append(completion)
        reply = self.store.complete(completion)
        if twice:
            reply = self.store.complete(completion)
        if reply.ended:
            return self._serve(worker, reply.next)
        return self._go_on(replace(worker, todo=(*later, *reply.taken), number=number))

    def _serve(self, worker: Worker, invocation: Invocation | None) -> Worker:
        if invocation is None:
            return replace(worker, phase="idle", claim=None, todo=())
        todo = invocation.tasks or self.shape.orders.get(invocation.invocation, ())
        if not todo:
            claim = invocation.claim(worker.name)
            return self._serve(worker, self.store.complete(Completion(claim, ends=True)).next)
        served = worker.served | {(invocation.invocation, invocation.attempt)}
        claim = invocation.claim(worker.name)
        return self._go_on(replace(worker, claim=claim, todo=todo, served=served))

    def _go_on(self, worker: Worker) -> Worker:
        """Turn to the first task; a planned one may have to wait."""
        assert worker.claim is not None
        task = worker.todo[0]
        if self.shape.worker_of(task) and self.shape.remote_upstreams(task):
            ready, _ = self.store.wait_ready(worker.claim, task, [])
            return replace(worker, phase="work" if ready else "wait")
        return replace(worker, phase="work")

    # -- what must be true ----------------------------------------------------------------------------------------

    def check(self) -> None:
        """Check what holds at every moment."""
        state = self.store.run_status(RUN)
        assert state is not None
        assert state.status in ("running", "finished"), f"{state.status}: {state.reason}"
        _, batches = self.store.read_events(RUN, "0", 0.0)
        written = [event.task for b in batches for event in decode_events(b) if isinstance(event, OutputStored)]
        assert len(written) == len(set(written)), f"written twice: {written}"
        owners = [task for task in (0, 1, 2) for worker in self.workers if self._owns(worker, task)]
        assert len(owners) == len(set(owners)), f"two workers own one of {owners}"

    def _owns(self, worker: Worker, task: int) -> bool:
        """Whether a worker would be allowed to complete a task now."""
        if worker.claim is None or task not in worker.todo or worker.phase == "dead":
            return False
        try:
            self.store.stored(worker.claim)
        except Fenced:
            return False
        return True

    def check_end(self) -> None:
        """Check what holds when nothing more happens by itself."""
        state = self.store.run_status(RUN)
        assert state is not None
        assert state.status == "finished"
        assert set(self.store.fetch(RUN, self.shape.sinks)) == set(self.shape.sinks)
        assert all(output == b"output %d" % task for task, output in self.store.fetch(RUN, self.shape.sinks).items())
        assert self.store.demand().pending == {}
        self.store.delete_run(RUN)
        assert self.store.leftovers() == []
