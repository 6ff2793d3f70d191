"""One invocation in a container, as a sans-IO state machine (see ``container``).

::

    decode DAG ─► task ─► inputs ─► execute ─► complete ─► next invocation
                   ▲                               │
                   └── own next task, or a taken ──┘

Whatever the store answers ``Fenced`` to is dropped: somebody else owns it now.
"""

from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from faaslab.errors import Fenced, PayloadError, StorageError
from faaslab.policy.duplication import pays
from faaslab.policy.recovery import lost_work, unfinished
from faaslab.policy.successors import Arrivals, Onward, Waiting, announced, onward
from faaslab.protocol.messages import (
    EMPTY,
    RUN_TIME,
    Claim,
    Completion,
    EmptyInvocations,
    Failure,
    Invocation,
    News,
    Offer,
    Reply,
    Successor,
    Suspension,
    YieldRequest,
    empty_name,
    pool_of,
)
from faaslab.protocol.payload import (
    Codec,
    Payload,
    Reference,
    cut,
    join,
    mark_own,
    output_bytes,
    read_own,
    read_reference,
    run_key,
)
from faaslab.protocol.report import ErrorReport, printable
from faaslab.protocol.wire import WorkerDag
from faaslab.trace.events import (
    AnyEvent,
    InputFetched,
    OutputHeld,
    OutputKept,
    OutputStreamed,
    Prewarmed,
    TaskDuplicated,
    TaskExecuted,
    TaskLogged,
    TaskSkipped,
    TaskStarted,
    WorkerStarted,
    WorkerWaited,
    encode_events,
)
from faaslab.worker.actions import Action, Assist, Await, Call, Execute, Outcome, Sleep, Turn
from faaslab.worker.assistant import Assistant
from faaslab.worker.kept import HELD, Kept
from faaslab.worker.shelf import MEMORY_PART, Fetched, Shelf
from faaslab.worker.streaming import Producer, pieces_of

if TYPE_CHECKING:
    from faaslab.worker.container import Container

Steps = Generator[Action, Any, Any]

FLUSH_EVENTS = 256
FLUSH_S = 0.5
"""A worker that needs no store call for a while reports its events after so many, or so long."""


@dataclass(slots=True)
class _Held:
    """An output that is not stored yet: for whom it is, and what the policy says of it (``policy.successors.Onward``).

    ``kept``: it has been reported as kept.
    """

    waiting: list[Waiting]
    late: int
    wait_s: float
    kept: bool = False


class WorkerMachine:
    """One invocation in a container."""

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
        self._held: dict[int, _Held] = {}
        self._silent: frozenset[int] = frozenset()
        self._prewarms: tuple[EmptyInvocations, ...] = ()
        self._copies: set[int] = set()
        self._given_up: set[int] = set()
        self._turned_to = -1
        self._shelf: Shelf | None = None

    def serve(self) -> Generator[Action, Any, Invocation | None]:
        """Run the invocation to its end; returns the next one if the store had one waiting.

        Raises:
            Fenced: It is somebody else's now, or the run is over.
        """
        try:
            following = yield from self._serve()
        except StorageError as ended:
            yield from self._dismiss()
            raise ended
        yield from self._dismiss()
        return following

    def _serve(self) -> Generator[Action, Any, Invocation | None]:
        container, invocation = self._container, self._invocation
        latest_s = invocation.requested_s + container.latency_s(invocation)
        if latest_s > container.now_s():
            yield Sleep(latest_s)
        container.tidy()
        dag_bytes = container.remember(invocation.parts)
        dag_bytes += yield from self._fetch_parts([invocation.structure])
        self._dag, self._arrivals = container.dag(invocation.structure)
        cold, phases_s = container.first_start(invocation.requested_s)
        self._event(
            WorkerStarted(
                container.now_s(),
                invocation.invocation,
                invocation.attempt,
                container.settings.container,
                container.size_mib,
                cold,
                invocation.requested_s,
                dag_bytes,
                sum(map(len, invocation.inputs.values())),
                dict(phases_s),
            )
        )
        if invocation.invocation.startswith(EMPTY):
            return (yield from self._warm(cold))
        yield from self._plan_work()
        yield from self._call_assistant()
        while True:
            reply: Reply | None
            if self._held and (not self._todo or self._is_planned(self._todo[0])):
                reply = yield from self._let_go()
            elif self._todo:
                reply = yield from self._task(self._todo.popleft())
            else:
                reply = yield from self._tell(Completion(self._claim, ends=True))
            if reply is not None and reply.ended:
                return reply.next

    def _warm(self, cold: bool) -> Generator[Action, Any, Invocation | None]:
        """Serve an empty invocation: load all code that this run can use in this container."""
        container, dag = self._container, self._dag
        digests = dag.digests_at(container.size_mib)
        yield from self._fetch_parts(digests)
        for digest in digests:
            try:
                container.loaded(digest)
            except Exception:  # the task that needs it says so, and ends the run
                continue
        now_s = container.now_s()
        how, took_s = "started" if cold else "refreshed", now_s - self._invocation.requested_s
        self._event(
            Prewarmed(now_s, self._claim.invocation, self._claim.container, container.size_mib, how, max(0.0, took_s))
        )
        reply = yield from self._tell(Completion(self._claim, ends=True))
        return reply.next

    # -- which tasks ----------------------------------------------------------------------------------------------

    def _plan_work(self) -> Steps:
        """Find what this invocation has to run; another attempt runs only what was lost."""
        invocation, dag = self._invocation, self._dag
        again = invocation.attempt > 1
        stored: frozenset[int] = (yield Call("stored", (self._claim,))) if again else frozenset()
        if invocation.invocation.startswith(RUN_TIME):
            # All inputs of a first attempt are stored; what another one lost it runs again without announcing it.
            lost = lost_work(dag, invocation.tasks, stored) if again else frozenset(invocation.tasks)
            self._todo.extend(sorted(lost))
            self._silent = lost.difference(invocation.tasks)
        else:
            self._planned = invocation.invocation
            order = dag.order(invocation.invocation)
            self._todo.extend((yield from self._unfinished(order, stored)) if again else order)
            self._silent = frozenset(
                task for task in self._todo if not self._is_planned(task) and task not in invocation.tasks
            )
        self._wanted = set(self._todo)

    def _unfinished(self, order: Sequence[int], stored: frozenset[int]) -> Generator[Action, Any, Sequence[int]]:
        """Return what another attempt of a planned worker has to run."""
        dag, invocation = self._dag, self._invocation
        sinks = [task for task in order if self._visible(task)]
        owned: frozenset[int] = (yield Call("owned", (self._claim,))) if dag.policy else frozenset()
        delivered: frozenset[int] = (yield Call("delivered", (self._claim,))) if dag.has_streams else frozenset()
        return unfinished(dag, invocation.invocation, sinks, stored, invocation.tasks, owned, delivered)

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

    # -- the assistant --------------------------------------------------------------------------------------------

    def _call_assistant(self) -> Steps:
        """Have inputs of future tasks fetched or received besides, where the plan says so and the driver can."""
        if self._planned is None:
            return
        dag, own, wanted = self._dag, set(self._dag.order(self._planned)), dict[int, bool | None]()
        for place, task in enumerate(self._todo):
            for upstream in dag.upstreams(task):
                if upstream not in own and upstream not in self._inputs:
                    # Where an earlier task takes it, that is the one which decides; inputs of the first are there.
                    wanted.setdefault(upstream, dag.preloads(task) if place else None)
        later = {u: preload for u, preload in wanted.items() if preload is not None}
        tasks = {u: preload for u, preload in later.items() if preload or dag.streams(u)}
        if not tasks:
            return
        limit_bytes = MEMORY_PART * self._container.size_mib * 2**20
        shelf = Shelf(tasks, limit_bytes, lambda: self._kept.total_bytes)
        if (yield Assist(Assistant(self._container, self._claim, shelf).life(), shelf)):
            self._shelf = shelf

    def _from_shelf(self, upstream: int) -> Generator[Action, Any, Fetched | None]:
        """Return what was fetched beforehand, once it is here; None: it has to be fetched."""
        shelf = self._shelf
        if shelf is None:
            return None
        while True:
            version = shelf.version
            if shelf.error is not None:
                raise shelf.error
            if not shelf.under_way(upstream):
                return shelf.take(upstream)
            yield Await(shelf, version, self._container.settings.wait_slice_s)

    def _stop_receiving(self) -> None:
        """Have the assistant acknowledge nothing any more that nobody else has: what it has is about to be stored."""
        if self._shelf is not None:
            self._shelf.stop()

    def _dismiss(self) -> Steps:
        """Send the assistant away; nothing of it is left afterwards."""
        shelf = self._shelf
        if shelf is None:
            return
        shelf.close()
        while True:
            version = shelf.version
            if shelf.error is not None:
                raise shelf.error
            if shelf.ended:
                return
            yield Await(shelf, version, self._container.settings.wait_slice_s)

    # -- one task -------------------------------------------------------------------------------------------------

    def _task(self, task: int) -> Generator[Action, Any, Reply | None]:
        """Run one task and tell whom it concerns; None: go on with the own list."""
        container, dag = self._container, self._dag
        if self._is_planned(task):
            suspended = yield from self._wait_for(task)
            if suspended is not None:
                return suspended
        if dag.duplicable(task) and not (yield from self._is_wanted(task)):
            return (yield from self._skip(task))
        if task not in self._copies and task != self._turned_to:
            self._event(
                TaskStarted(
                    container.now_s(), task, self._claim.invocation, self._claim.container, self._invocation.attempt
                )
            )
        try:
            outcome, payload, input_bytes, now_s = yield from self._execute(task)
        except _Lacking as lacking:
            # What it lacks comes first; then its turn begins where it was.
            self._turned_to = task
            yield from self._make_again(lacking.task, task)
            return None
        except _Broken as broken:
            return (yield from self._fail(task, broken.kind, str(broken), broken.outcome))
        if task in self._copies:
            self._tell_of_copy(task, outcome, payload, input_bytes, now_s)
        else:
            self._event(
                TaskExecuted(
                    now_s,
                    task,
                    self._claim.invocation,
                    outcome.duration_s,
                    outcome.cpu_s,
                    input_bytes,
                    outcome.peak_rss_bytes,
                    outcome.throttled_s,
                    outcome.queued_s,
                    outcome.steal_s,
                )
            )
        return (yield from self._finish(task, outcome.value, payload, now_s))

    def _execute(
        self, task: int, *, spare: bool = False
    ) -> Generator[Action, Any, tuple[Outcome, Payload, int, float]]:
        """Fetch the inputs of a task and execute it.

        Returns:
            What it returned, the same serialized, the size of its inputs, and when it had ended.

        Raises:
            _Broken: It failed.
            _Lacking: An input is nowhere and has to be made first.
        """
        container, dag, claim = self._container, self._dag, self._claim
        options = dag.options(task)
        who = (task, dag.id_of(task), claim.run, claim.invocation, claim.attempt, options.retries, options.pure)
        yield Turn(*who, spare)
        function, args, kwargs, input_bytes = yield from self._prepare(task)
        if not options.pure and not (yield Call("begin", (self._claim, task))) and not options.retries:
            message = "it is not pure and may have run in part before its worker died; set retries to run it again"
            raise _Broken("impure", message)
        limit_s = options.timeout_s and options.timeout_s * container.settings.dilation
        outcome: Outcome = yield Execute(*who, function, args, kwargs, limit_s, options.outputs, spare)
        del args, kwargs
        now_s = container.now_s()
        if outcome.logs or outcome.dropped_bytes:
            self._event(TaskLogged(now_s, task, self._claim.invocation, outcome.logs, outcome.dropped_bytes))
        if outcome.error is not None:
            raise _Broken("raised", _words(outcome.error) + _cure(outcome.error), outcome)
        try:
            payload = self._codec.dumps(outcome.value)
        except Exception as error:  # whatever a user's __reduce__ raises means the same
            kind = type(outcome.value).__name__
            message = f"its result, a {kind}, can't be serialized: {_words(error)}"
            raise _Broken("serialization", message, Outcome(error=error)) from None
        return outcome, payload, input_bytes, now_s

    def _prepare(self, task: int) -> Generator[Action, Any, tuple[Any, tuple[Any, ...], dict[str, Any], int]]:
        """Return function, arguments and input bytes of a task; raises as ``_execute``."""
        container, dag = self._container, self._dag
        digests = dag.part_digests(task)
        began_s = container.now_s()
        fetched = yield from self._fetch_parts((*digests, dag.own) if dag.own else digests)
        if fetched:
            # No output of a task, but it travelled: code that did not ride along, large constants.
            now_s = container.now_s()
            self._event(InputFetched(now_s, task, -1, self._claim.invocation, fetched, "store", now_s - began_s))
        taken = yield from self._fetch_inputs(task)
        try:
            inputs, input_bytes = self._take_inputs(task, *taken)
            function = container.loaded(dag.function_digest(task))
            args, kwargs = dag.call(task, {digest: container.constant(digest) for digest in digests[1:]}, inputs)
        except Exception as error:
            message = f"its code or arguments can't be loaded on the worker: {_words(error)}{_cure(error)}"
            raise _Broken("load", message, Outcome(error=error)) from None
        return function, args, kwargs, input_bytes

    def _fetch_parts(self, digests: Sequence[str]) -> Generator[Action, Any, int]:
        """Fetch parts of the DAG that did not ride along; returns their size."""
        missing = self._container.missing(digests)
        if not missing:
            return 0
        parts = yield Call("parts", (self._claim.run, self._claim.container, missing))
        if len(parts) < len(missing):
            raise Fenced(f"run {self._claim.run} has no parts any more")
        return self._container.remember(parts)

    def _fetch_inputs(self, task: int) -> Generator[Action, Any, tuple[dict[int, str], dict[int, Fetched], float]]:
        """Have all inputs of a task at hand.

        Returns:
            The sources of those that were not, what of them was fetched beforehand, and how long fetching took.
        """
        container, kept, shelf = self._container, self._kept, self._shelf
        began_s = container.now_s()
        sources: dict[int, str] = {}
        rode_along: dict[int, bytes] = {}
        own: list[int] = []
        for upstream in self._dag.upstreams(task):
            if upstream in kept:
                continue
            rode = self._inputs.pop(upstream, None)
            if shelf is not None and (rode is None or read_reference(rode) is not None) and shelf.reserve(upstream):
                sources[upstream] = "preload"
                continue
            if rode is None:
                own.append(upstream)
                sources[upstream] = "store"
            else:
                rode_along[upstream] = rode
                if shelf is not None:
                    shelf.take(upstream)
        for upstream, frame in rode_along.items():
            # Of a large one only its reference rode along.
            sources[upstream] = "store" if (yield from self._receive(upstream, frame)) else "inline"
        yield from self._fetch(own)
        took_s = container.now_s() - began_s
        early: dict[int, Fetched] = {}
        for upstream in [u for u in sources if sources[u] == "preload"]:
            fetched = yield from self._from_shelf(upstream)
            if fetched is None:
                yield from self._fetch([upstream])
                sources[upstream] = "store"
            else:
                early[upstream] = fetched
                sources[upstream] = fetched.source
                alone = fetched.source == "stream"
                kept.receive(upstream, fetched.frame, self._consumers(upstream), alone=alone)
        return sources, early, took_s

    def _fetch(self, upstreams: Sequence[int]) -> Steps:
        """Fetch outputs that have arrived."""
        if not upstreams:
            return
        found = yield Call("fetch", (self._claim.run, upstreams))
        for upstream in upstreams:
            if upstream in found:
                yield from self._receive(upstream, found[upstream])
            else:
                yield from self._not_stored(upstream)

    def _not_stored(self, upstream: int) -> Steps:
        """Say what an output means that has arrived and is not stored.

        Raises:
            _Lacking: An attempt of this worker that died may have had the only copy.
            Fenced: The store has lost it, which ends the run.
        """
        dag = self._dag
        if dag.options(upstream).pure and (dag.streams(upstream) or dag.duplicable(upstream)):
            raise _Lacking(upstream)
        yield from self._output_lost(upstream)

    def _make_again(self, lacking: int, task: int) -> Steps:
        """Have an output made here before ``task`` that only a worker had which died, as lost work is."""
        dag = self._dag
        stored: frozenset[int] = yield Call("stored", (self._claim,))
        lost = lost_work(dag, (lacking,), {*stored, *(u for u in range(dag.n) if u in self._kept)})
        for other in lost:
            if not dag.options(other).pure:
                yield from self._output_lost(other)
        self._todo.extendleft(reversed([*sorted(lost), task]))
        self._silent |= lost
        self._copies |= lost
        self._wanted |= lost

    def _take_inputs(
        self, task: int, sources: dict[int, str], early: dict[int, Fetched], took_s: float
    ) -> tuple[dict[int, Any], int]:
        """Return private values of all inputs of a task, and their size; the arguments are ``_fetch_inputs``'s answer.

        Raises:
            Exception: Whatever loading a value raises.
        """
        container, invocation, kept = self._container, self._claim.invocation, self._kept
        inputs: dict[int, Any] = {}
        total = 0
        may_run_again = self._dag.options(task).retries > 0
        now_s = container.now_s()
        for upstream in self._dag.upstreams(task):
            size = kept.nbytes(upstream)
            total += size
            inputs[upstream] = kept.take(upstream, task, may_run_again=may_run_again)
            source, at_s, duration_s = sources.get(upstream, "local"), now_s, 0.0
            if upstream in early:
                at_s, duration_s = early[upstream].at_s, early[upstream].duration_s
            elif source != "local":
                # Inputs that came together took the same time; it counts once.
                duration_s, took_s = took_s, 0.0
            self._event(InputFetched(at_s, task, upstream, invocation, size, source, duration_s))
        return inputs, total

    def _receive(self, upstream: int, output: bytes) -> Generator[Action, Any, bool]:
        """Put an output at hand for all own tasks that need it; whether it had to be fetched by its reference."""
        reference = read_reference(output)
        if reference is not None:
            try:
                output = join((yield Call("get_blob", (self._claim.run, reference.key, reference.chunks))))
            except PayloadError:
                yield from self._output_lost(upstream)
        self._kept.receive(upstream, output, self._consumers(upstream))
        return reference is not None

    def _consumers(self, task: int) -> list[int]:
        """Return the own tasks, still to run, that need an output."""
        successors = self._dag.successors(task)
        if len(successors) <= len(self._wanted):
            return [successor for successor in successors if successor in self._wanted]
        # Each of the many consumers of one output runs here alone and asks this.
        return [wanted for wanted in self._wanted if task in self._dag.upstreams(wanted)]

    def _output_lost(self, upstream: int) -> Steps:
        """End the run: an output that had arrived is not there, so the store has lost data."""
        reason = f"state lost|{upstream}"
        yield Call("cancel_run", (self._claim.run, "failed", reason))
        raise Fenced(reason)

    # -- what follows from it -------------------------------------------------------------------------------------

    def _finish(self, task: int, value: Any, payload: Payload, began_s: float) -> Generator[Action, Any, Reply | None]:
        """Keep or store an output, announce it, and take on what became ready."""
        dag, container = self._dag, self._container
        upstreams = dag.upstreams(task)
        self._kept.release(task, upstreams)
        self._wanted.discard(task)
        if task in self._silent:
            self._keep(task, value, payload)
            return (yield from self._flush())
        self._prewarm_after(task)
        if self._shelf is not None and not self._is_planned(task):
            self._shelf.take(task)  # it was to come from another worker
        visible, asks = self._visible(task), bool(dag.policy)
        if asks:
            yield from self._fetch_parts((dag.policy,))
        try:
            way: Onward = onward(
                dag,
                self._arrivals,
                task,
                self._planned if self._is_planned(task) else None,
                container.size_mib,
                visible=visible,
                policy=container.loaded(dag.policy) if asks else None,
                output_bytes=payload.nbytes,
            )
        except Exception as error:  # the policy is the user's
            message = f"the plan's policy can't be asked what follows it: {_words(error)}{_cure(error)}"
            return (yield from self._fail(task, "policy", message, Outcome(error=error)))
        self._todo.extendleft(reversed(way.here))
        self._wanted.update(way.here)
        if not visible and not way.waiting:
            self._keep(task, value, payload)
            return (yield from self._flush())
        if way.hold != "no":
            return (yield from self._hold(task, value, payload, way))
        if (
            dag.duplicable(task)
            and not visible
            and payload.nbytes > container.settings.inline_output_bytes
            and not (yield from self._lack(task, way.waiting))
        ):
            self._event(TaskSkipped(container.now_s(), task, self._claim.invocation, True, payload.nbytes))
            self._keep(task, value, payload)
            return (yield from self._flush())
        try:
            if not visible and self._is_planned(task) and dag.streams(task):
                output = yield from self._streamed(task, payload, way.waiting)
            else:
                output = yield from self._output(task, payload)
        except OwnFailed as error:
            return (yield from self._fail(task, "optimization", str(error), Outcome(error=error.__cause__)))
        completion = Completion(
            self._claim,
            task,
            output,
            0 if output is None else output_bytes(output),
            began_s,
            must_store=dag.store_all or not dag.options(task).pure,
            streamed=output is None,
            sink=dag.is_sink(task),
            successors=self._successors(way.waiting),
            take=way.take,
            ends=not self._todo and not self._held,
        )
        reply = yield from self._tell(completion)
        if reply.refused:
            # A worker that had received it all died or left meanwhile.
            try:
                output = yield from self._output(task, payload)
            except OwnFailed as error:
                return (yield from self._fail(task, "optimization", str(error), Outcome(error=error.__cause__)))
            completion = replace(completion, output=output, output_bytes=output_bytes(output), streamed=False)
            reply = yield from self._tell(completion)
        if not reply.ended:
            self._keep(task, value, payload, stored=reply.stored)
        return (yield from self._obey(reply))

    def _prewarm_after(self, task: int) -> None:
        """Have the next call ask for the empty invocations that follow a task."""
        image = self._container.image
        self._prewarms = tuple(
            EmptyInvocations(empty_name(task, position), pool_of(image, size_mib), delay_s, count)
            for position, (size_mib, delay_s, count) in enumerate(self._dag.prewarms(task))
        )

    def _successors(self, waiting: Sequence[Waiting]) -> tuple[Successor, ...]:
        image = self._container.image
        return tuple(Successor(w.task, w.expected, w.worker, w.gate, pool_of(image, w.size_mib)) for w in waiting)

    def _tell(self, completion: Completion, *first: int) -> Generator[Action, Any, Reply]:
        """Tell the store, with what is left to do and what has happened, and take on what it answers.

        Args:
            completion: The rest of the call.
            first: Tasks that another attempt has to start from as well.
        """
        call = replace(
            completion,
            remaining=self._remaining(*first),
            events=self._batch(),
            number=self._container.number(),
            prewarms=self._prewarms,
        )
        self._prewarms = ()
        reply: Reply = yield Call("complete", (call,))
        self._todo.extendleft(reversed(reply.taken))
        self._wanted.update(reply.taken)
        for upstream, frame in reply.inputs.items():
            # What is at hand for tasks taken earlier need not be read again.
            if upstream not in self._kept:
                self._inputs[upstream] = frame
        for taken in reply.taken if self._held else ():
            for upstream in self._dag.upstreams(taken):
                if upstream in self._held:
                    self._found(upstream, taken)
        return reply

    # -- tasks that are computed twice ------------------------------------------------------------------------------

    def _overtaken(self, missing: Sequence[int]) -> Generator[Action, Any, int | None]:
        """Return which of the inputs that are waited for this worker has sooner if it computes it itself; None: none.

        Only one that needs nothing but what is stored or at hand, and of several the one that would be missing longest.
        """
        dag, worker, shelf = self._dag, self._planned, self._shelf
        if worker is None or self._invocation.attempt > 1:
            return None  # another attempt takes no chances
        predicted = {u: dag.duplicate(worker, u) for u in missing if u not in self._given_up}
        candidates = {
            u: times
            for u, times in predicted.items()
            if times is not None and (shelf is None or not (shelf.comes(u) or shelf.under_way(u)))
        }
        if not candidates:
            return None
        asked = dict.fromkeys(v for u in candidates for v in dag.upstreams(u))
        run_began_s, stored_s = yield Call("look", (self._claim, tuple(candidates), tuple(asked)))
        now_s, chosen, longest_s = self._container.now_s(), None, 0.0
        dilation = self._container.settings.dilation
        for u, (own_s, expected_s) in candidates.items():
            upstreams = dag.upstreams(u)
            if u in stored_s or any(v not in stored_s and v not in self._kept for v in upstreams):
                continue
            since_s = (now_s - max((stored_s.get(v, now_s) for v in upstreams), default=run_began_s)) / dilation
            if pays(own_s, expected_s, since_s) and expected_s - since_s > longest_s:
                chosen, longest_s = u, expected_s - since_s
        return chosen

    def _compute_spare(self, task: int) -> Steps:
        """Compute a task of another worker for the own ones that need it; if that fails, nothing has happened."""
        dag, upstreams = self._dag, self._dag.upstreams(task)
        self._wanted.add(task)
        try:
            outcome, payload, input_bytes, now_s = yield from self._execute(task, spare=True)
        except (_Broken, _Lacking):
            self._given_up.add(task)
            return
        finally:
            self._wanted.discard(task)
            self._kept.release(task, upstreams)
        self._tell_of_copy(task, outcome, payload, input_bytes, now_s)
        consumers = self._consumers(task)
        self._kept.keep(task, outcome.value, payload, consumers, alone=False)
        if self._shelf is not None:
            self._shelf.take(task)
        waiting = [announced(dag, self._arrivals, consumer) for consumer in consumers]
        yield from self._tell(Completion(self._claim, task, successors=self._successors(waiting)))

    def _tell_of_copy(self, task: int, outcome: Outcome, payload: Payload, input_bytes: int, now_s: float) -> None:
        claim = self._claim
        self._event(
            TaskDuplicated(
                now_s,
                task,
                claim.invocation,
                claim.container,
                claim.attempt,
                outcome.duration_s,
                outcome.cpu_s,
                input_bytes,
                payload.nbytes,
                task in self._copies,
            )
        )

    def _is_wanted(self, task: int) -> Generator[Action, Any, bool]:
        """Whether anybody needs a task, all of whose consumers may have computed it themselves."""
        dag = self._dag
        if task in self._silent or self._visible(task) or self._consumers(task):
            return True
        if any(dag.assigned_to(successor) is None for successor in dag.successors(task)):
            return True
        return (yield from self._lack(task, [announced(dag, self._arrivals, s) for s in dag.successors(task)]))

    def _lack(self, task: int, waiting: Sequence[Waiting]) -> Generator[Action, Any, bool]:
        """Whether any of these successors lacks the output of a task."""
        lack: bool = yield Call("needed", (self._claim, task, tuple(w.task for w in waiting)))
        return lack

    def _skip(self, task: int) -> Generator[Action, Any, Reply | None]:
        """Be done with a task that nobody needs any more."""
        upstreams = self._dag.upstreams(task)
        self._event(TaskSkipped(self._container.now_s(), task, self._claim.invocation, False))
        self._prewarm_after(task)
        self._kept.release(task, upstreams)
        self._wanted.discard(task)
        for upstream in upstreams:
            if not self._consumers(upstream):
                self._inputs.pop(upstream, None)
                if self._shelf is not None:
                    self._shelf.take(upstream)
        return (yield from self._flush())

    # -- outputs that are held ------------------------------------------------------------------------------------

    def _hold(self, task: int, value: Any, payload: Payload, way: Onward) -> Generator[Action, Any, Reply]:
        """Ask who is ready for an output before it is stored, and hold it for the others if the policy says so."""
        waits = way.hold == "run" and way.wait_s > 0
        reply = yield from self._tell(
            Completion(
                self._claim,
                task,
                successors=self._successors(way.waiting),
                take=way.take,
                ends=not self._todo and not self._held and not waits,
                hold=way.hold,
                held_bytes=payload.nbytes,
            ),
            task,
        )
        if reply.ended:
            return reply
        left = [w for w in way.waiting if (w.task not in reply.taken if task in reply.due else w.task in reply.held)]
        if not left:
            self._keep(task, value, payload)
            return (yield from self._obey(reply))
        consumers = self._consumers(task)
        self._kept.keep(task, value, payload, (*consumers, HELD), alone=True)
        self._held[task] = _Held(left, way.late, way.wait_s, kept=bool(consumers))
        now_s, invocation = self._container.now_s(), self._claim.invocation
        if task not in reply.due:
            self._event(OutputHeld(now_s, task, invocation, payload.nbytes))
        if consumers:
            self._event(OutputKept(now_s, task, invocation, payload.nbytes))
        return (yield from self._obey(reply))

    def _found(self, task: int, consumer: int) -> None:
        """Take note that a task that this worker runs takes an output that it holds."""
        held = self._held[task]
        self._kept.add(task, consumer)
        held.waiting = [w for w in held.waiting if w.task != consumer]
        if not held.kept:
            held.kept = True
            self._event(OutputKept(self._container.now_s(), task, self._claim.invocation, self._kept.nbytes(task)))
        if not held.waiting:
            del self._held[task]
            self._kept.release(HELD, (task,))

    def _obey(self, reply: Reply) -> Generator[Action, Any, Reply]:
        """Store what an answer says has to be, and the oldest of what is too much; returns the last answer."""
        most_bytes = MEMORY_PART * self._container.size_mib * 2**20
        due: list[int] = []
        while self._held and not reply.ended:
            due = [task for task in self._held if task in reply.due or task in due]
            if not due and self._kept.total_bytes <= most_bytes:
                break
            reply = yield from self._release(due[0] if due else next(iter(self._held)))
        return reply

    def _release(self, task: int, *failed: int) -> Generator[Action, Any, Reply]:
        """Store an output that was held and arrive with it, where this worker has not come to run what takes it.

        Args:
            task: Whose output it is.
            failed: A task that another attempt has to run, and with it all that is left.
        """
        held, payload, began_s = self._held.pop(task), self._kept.payload(task), self._container.now_s()
        try:
            output = yield from self._output(task, payload)
        except OwnFailed as error:
            return (yield from self._fail(task, "optimization", str(error), Outcome(error=error.__cause__)))
        reply = yield from self._tell(
            Completion(
                self._claim,
                task,
                output,
                output_bytes(output),
                began_s,
                must_store=True,
                successors=self._successors(held.waiting),
                take=0 if failed else held.late,
                ends=not failed and not self._todo and not self._held,
            ),
            *failed,
        )
        if not reply.ended:
            for w in held.waiting:
                if w.task in reply.taken:
                    self._kept.add(task, w.task)
            self._kept.share(task)
            self._kept.release(HELD, (task,))
        return reply

    def _let_go(self) -> Generator[Action, Any, Reply]:
        """Wait for tasks that take what is held, if nothing else is to be done, then store all of it."""
        container = self._container
        began_s = container.now_s()
        until_s = began_s + max(held.wait_s for held in self._held.values())
        while self._held and not self._todo and began_s < until_s:
            message = yield from container.listen(min(until_s - began_s, container.settings.wait_slice_s), bounded=True)
            now_s = container.now_s()
            self._event(WorkerWaited(now_s, self._claim.invocation, -1, now_s - began_s))
            for held in self._held.values():
                held.wait_s = max(0.0, held.wait_s - (now_s - began_s)) if now_s < until_s else 0.0
            began_s = now_s
            if isinstance(message, News) and (message.run, message.invocation) == self._key:
                reply = yield from self._obey((yield from self._tell(Completion(self._claim))))
                if reply.ended:
                    return reply
                began_s = container.now_s()
        reply = Reply()
        if self._todo and not self._is_planned(self._todo[0]):
            return reply
        while self._held and not reply.ended:
            reply = yield from self._obey((yield from self._release(next(iter(self._held)))))
        return reply

    def _output(self, task: int, payload: Payload) -> Generator[Action, Any, bytes]:
        """Return what the store is to hold: the frame, or a reference to a blob written first.

        Raises:
            OwnFailed: An optimization of the user's raised.
        """
        return (yield from self._written(task, self._made(task, payload)))

    def _written(self, task: int, output: Payload | bytes | memoryview) -> Generator[Action, Any, bytes]:
        """Return what the store is to hold of an output."""
        settings = self._container.settings
        nbytes = output.nbytes if isinstance(output, Payload) else len(output)
        if nbytes <= settings.inline_output_bytes:
            return output.to_bytes() if isinstance(output, Payload) else bytes(output)
        size = settings.blob_chunk_bytes
        chunks = list(output.chunks(size) if isinstance(output, Payload) else cut(output, size))
        yield Call("put_blob", (self._claim.run, self._blob_key(task), chunks))
        return Reference(self._blob_key(task), len(chunks), nbytes).encode()

    def _blob_key(self, task: int) -> str:
        return f"{task}-{self._claim.invocation}-{self._claim.attempt}"

    def _streamed(
        self, task: int, payload: Payload, waiting: Sequence[Waiting]
    ) -> Generator[Action, Any, bytes | None]:
        """Do what ``_output`` does, but offer a large output to workers that wait for it; None: all of them have it.

        Raises:
            OwnFailed: An optimization of the user's raised.
        """
        settings, claim, container = self._container.settings, self._claim, self._container
        output = self._made(task, payload)
        nbytes = output.nbytes if isinstance(output, Payload) else len(output)
        if nbytes <= settings.inline_output_bytes:
            return (yield from self._written(task, output))
        workers = tuple(dict.fromkeys(w.worker for w in waiting if w.worker))
        pieces = pieces_of(output, settings.inline_output_bytes)
        # A key of its own: a late copy of a chunk must not get into a blob that is cut otherwise.
        key, began_s = f"{self._blob_key(task)}-s", container.now_s()
        offer = Offer(task, key, nbytes, len(pieces), workers, all(w.worker for w in waiting))
        streamed = yield from Producer(container, claim, offer).stream(pieces)
        if streamed is None:
            return (yield from self._written(task, output))
        now_s = container.now_s()
        self._event(
            OutputStreamed(
                now_s, task, claim.invocation, nbytes, streamed.consumers, now_s - began_s, not streamed.instead
            )
        )
        return None if streamed.instead else Reference(key, len(pieces), nbytes).encode()

    def _only_here(self) -> Generator[Action, Any, dict[int, bytes]]:
        """Return what the store is to hold of outputs that only this worker has; see ``_output``."""
        outputs: dict[int, bytes] = {}
        for task, payload in self._kept.only_here().items():
            outputs[task] = yield from self._output(task, payload)
        for task in self._shelf.received() if self._shelf is not None else ():
            fetched = yield from self._from_shelf(task)
            if fetched is not None:
                self._kept.receive(task, fetched.frame, self._consumers(task), alone=True)
        for task, frame in self._kept.received_only_here().items():
            outputs[task] = yield from self._written(task, frame)
        return outputs

    def _made(self, task: int, payload: Payload) -> Payload | bytes:
        """Return what is stored of an output: itself, or what the user's optimizations make of it.

        Raises:
            OwnFailed: One of them raised.
        """
        if not self._dag.own or self._dag.is_sink(task):
            return payload
        frame, changed = payload.to_bytes(), False
        for number, optimization in enumerate(self._container.loaded(self._dag.own)):
            try:
                made = optimization.outgoing(self._dag.id_of(task), frame)
                if made is not None:
                    frame, changed = mark_own(number, made), True
            except Exception as error:
                message = f"optimization {optimization.name!r} can't make of its output what is stored: {_words(error)}"
                raise OwnFailed(task, message) from error
        return frame if changed else payload

    def _undo(self, task: int, frame: bytes | memoryview) -> bytes | memoryview:
        """Return the frame that the user's optimizations had made a stored output of."""
        while (made := read_own(frame)) is not None:
            number, data = made
            frame = self._container.loaded(self._dag.own)[number].incoming(self._dag.id_of(task), data)
        return frame

    def _keep(self, task: int, value: Any, payload: Payload, *, stored: bool = False) -> None:
        consumers = self._consumers(task)
        self._kept.keep(task, value, payload, consumers, alone=not stored)
        if consumers and not stored:
            self._event(OutputKept(self._container.now_s(), task, self._claim.invocation, payload.nbytes))

    def _fail(
        self, task: int, kind: str, message: str, outcome: Outcome | None = None
    ) -> Generator[Action, Any, Reply]:
        """Report a failed task; the store decides whether another attempt follows."""
        container, claim, settings = self._container, self._claim, self._container.settings
        options = self._dag.options(task)
        retries = options.retries if kind == "raised" else 0
        outcome = outcome or Outcome()
        exception = b""
        if outcome.error is not None:
            try:
                exception = self._codec.dumps(outcome.error).to_bytes()
            except Exception:  # an exception that can't travel is described by its text
                exception = b""
        report = ErrorReport(
            task,
            kind,
            claim.attempt,
            claim.container,
            container.size_mib,
            message,
            outcome.traceback,
            exception,
            outcome.logs,
        )
        outputs: dict[int, bytes] = {}
        while retries and self._held:
            released = yield from self._release(next(iter(self._held)), task)
            if released.ended:
                return released
        if retries:
            self._stop_receiving()
            # The next attempt runs elsewhere: what this worker kept for unfinished tasks has to be found there.
            try:
                outputs = yield from self._only_here()
            except OwnFailed as error:
                return (yield from self._fail(error.task, "optimization", str(error), Outcome(error=error.__cause__)))
        remaining = self._remaining(task)
        failure = Failure(
            claim,
            task,
            message,
            report.encode(),
            retries,
            outputs,
            remaining,
            settings.retry_backoff_s,
            settings.retry_backoff_cap_s,
            self._batch(),
        )
        reply: Reply = yield Call("fail", (failure,))
        return reply

    # -- waiting --------------------------------------------------------------------------------------------------

    def _wait_for(self, task: int) -> Generator[Action, Any, Reply | None]:
        """Wait until all remote inputs of a planned task have arrived; a reply: the slot was given up.

        It is if that is the plan, or if the gateway asks for it.
        """
        container, dag = self._container, self._dag
        upstreams = dag.upstreams(task)
        if not self._arrivals(task):
            return None
        began_s, asked = container.now_s(), False
        while True:
            remote = [u for u in upstreams if u not in self._kept and u not in self._inputs]
            if self._shelf is not None:
                # What was stored has arrived as well: these need no asking.
                remote = [u for u in remote if not self._shelf.comes(u)]
            if not remote:
                if asked:
                    self._waited(task, began_s)
                return None
            asked = True
            ready, inputs = yield Call("wait_ready", (self._claim, task, remote))
            if ready:
                self._inputs.update(inputs)
                self._waited(task, began_s)
                return None
            if dag.leaves(task):
                return (yield from self._suspend(task, container.now_s() - began_s))
            overtaken = (yield from self._overtaken(remote)) if dag.has_duplicates else None
            if overtaken is not None:
                self._waited(task, began_s)
                yield from self._compute_spare(overtaken)
                began_s, asked = container.now_s(), False
                continue
            message = yield from container.listen(container.settings.wait_slice_s)
            if isinstance(message, YieldRequest) and (message.run, message.invocation) == self._key:
                return (yield from self._suspend(task, container.now_s() - began_s))

    def _waited(self, task: int, began_s: float) -> None:
        now_s = self._container.now_s()
        self._event(WorkerWaited(now_s, self._claim.invocation, task, now_s - began_s))

    def _suspend(self, gate: int, waited_s: float) -> Generator[Action, Any, Reply]:
        """Give up the slot: what is kept for the own later tasks goes to the store first."""
        self._event(WorkerWaited(self._container.now_s(), self._claim.invocation, gate, waited_s))
        self._stop_receiving()
        try:
            outputs = yield from self._only_here()
        except OwnFailed as error:
            return (yield from self._fail(error.task, "optimization", str(error), Outcome(error=error.__cause__)))
        reply: Reply = yield Call("suspend", (Suspension(self._claim, gate, outputs, self._batch()),))
        return reply

    # -- events ---------------------------------------------------------------------------------------------------

    def _event(self, event: AnyEvent) -> None:
        self._events.append(event)

    def _batch(self) -> bytes:
        events, self._events = self._events, []
        self._flushed_s = self._container.now_s()
        return encode_events(events) if events else b""

    def _flush(self) -> Generator[Action, Any, Reply | None]:
        """Report events of a worker that had no reason to call the store for a while; tells it if it is fenced.

        One that holds outputs asks every time what has become of them; empty invocations can't wait either.
        """
        urgent = self._held or self._prewarms or len(self._events) >= FLUSH_EVENTS
        if not urgent and self._container.now_s() < self._flushed_s + FLUSH_S:
            return None
        return (yield from self._obey((yield from self._tell(Completion(self._claim)))))


class _Broken(Exception):
    """A task failed; ``kind`` as in ``ErrorReport``."""

    def __init__(self, kind: str, message: str, outcome: Outcome | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.outcome = outcome


class _Lacking(Exception):
    """An input of a task, the output of ``task``, is nowhere any more."""

    def __init__(self, task: int) -> None:
        super().__init__(task)
        self.task = task


class OwnFailed(Exception):
    """An optimization of the user's raised while the output of ``task`` was to be stored."""

    def __init__(self, task: int, message: str) -> None:
        super().__init__(message)
        self.task = task


def _cure(error: BaseException) -> str:
    """Return what to do about a module that workers lack; empty for other errors."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    package = error.name.partition(".")[0]
    if package == "faaslab":
        return (
            ". Workers hold only what tasks need of FaaSLab: a task can't start a run of its own, plan or draw; do "
            "that in the client"
        )
    return (
        f". Workers have no module {package!r}: name the package that holds it in the launcher's requirements=, for "
        f"instance fl.DockerLauncher(requirements=[{package!r}]); a module of your own travels by itself if the client "
        "has imported it"
    )


def _words(error: BaseException) -> str:
    """Return type and message of an exception, as Python prints them."""
    try:
        text = str(error)
    except Exception:  # user code, too
        text = "<its message can't be printed>"
    return printable(f"{type(error).__name__}: {text}" if text else type(error).__name__)
