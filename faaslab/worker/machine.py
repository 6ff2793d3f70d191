"""One invocation in a container, as a sans-IO state machine (see ``container``).

::

    decode DAG ─► task ─► inputs ─► execute ─► complete ─► next invocation
                   ▲                               │
                   └── own next task, or a taken ──┘

Whatever the store answers ``Fenced`` to is dropped: somebody else owns it now.
"""

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

from faaslab.errors import StorageError
from faaslab.policy.duplication import pays
from faaslab.policy.recovery import lost_work, unfinished
from faaslab.policy.successors import Onward, Waiting, announced, onward
from faaslab.protocol.messages import (
    EMPTY,
    RUN_TIME,
    Completion,
    Failure,
    Invocation,
    Reply,
    Suspension,
    YieldRequest,
)
from faaslab.protocol.payload import (
    Payload,
    output_bytes,
)
from faaslab.protocol.report import ErrorReport
from faaslab.trace.events import (
    InputFetched,
    Prewarmed,
    TaskDuplicated,
    TaskExecuted,
    TaskLogged,
    TaskSkipped,
    TaskStarted,
    WorkerStarted,
    WorkerWaited,
)
from faaslab.worker.actions import Action, Call, Execute, Outcome, Sleep, Turn
from faaslab.worker.inputs import Inputs
from faaslab.worker.outputs import Outputs, OwnFailed
from faaslab.worker.served import Steps, words


class WorkerMachine(Inputs, Outputs):
    """One invocation in a container."""

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
            raise _Broken("raised", words(outcome.error) + _cure(outcome.error), outcome)
        try:
            payload = self._codec.dumps(outcome.value)
        except Exception as error:  # whatever a user's __reduce__ raises means the same
            kind = type(outcome.value).__name__
            message = f"its result, a {kind}, can't be serialized: {words(error)}"
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
            message = f"its code or arguments can't be loaded on the worker: {words(error)}{_cure(error)}"
            raise _Broken("load", message, Outcome(error=error)) from None
        return function, args, kwargs, input_bytes

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
            message = f"the plan's policy can't be asked what follows it: {words(error)}{_cure(error)}"
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
