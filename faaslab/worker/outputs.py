"""What becomes of the outputs of an invocation: kept, held, stored, streamed, told of; see ``machine``."""

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

from faaslab.policy.successors import Onward, Waiting
from faaslab.protocol.messages import (
    Completion,
    EmptyInvocations,
    News,
    Offer,
    Reply,
    Successor,
    empty_name,
    pool_of,
)
from faaslab.protocol.payload import (
    Payload,
    Reference,
    cut,
    mark_own,
    output_bytes,
)
from faaslab.trace.events import (
    OutputHeld,
    OutputKept,
    OutputStreamed,
    WorkerWaited,
)
from faaslab.worker.actions import Action, Call, Outcome
from faaslab.worker.kept import HELD
from faaslab.worker.served import FLUSH_EVENTS, FLUSH_S, Held, Served, words
from faaslab.worker.shelf import MEMORY_PART
from faaslab.worker.streaming import Producer, pieces_of


class OwnFailed(Exception):
    """An optimization of the user's raised while the output of ``task`` was to be stored."""

    def __init__(self, task: int, message: str) -> None:
        super().__init__(message)
        self.task = task


class Outputs(Served):
    """An invocation that has made outputs."""

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

    def _prewarm_after(self, task: int) -> None:
        """Have the next call ask for the empty invocations that follow a task."""
        image = self._container.image
        self._prewarms = tuple(
            EmptyInvocations(empty_name(task, position), pool_of(image, size_mib), delay_s, count)
            for position, (size_mib, delay_s, count) in enumerate(self._dag.prewarms(task))
        )

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
        self._held[task] = Held(left, way.late, way.wait_s, kept=bool(consumers))
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
                message = f"optimization {optimization.name!r} can't make of its output what is stored: {words(error)}"
                raise OwnFailed(task, message) from error
        return frame if changed else payload

    def _keep(self, task: int, value: Any, payload: Payload, *, stored: bool = False) -> None:
        consumers = self._consumers(task)
        self._kept.keep(task, value, payload, consumers, alone=not stored)
        if consumers and not stored:
            self._event(OutputKept(self._container.now_s(), task, self._claim.invocation, payload.nbytes))

    def _flush(self) -> Generator[Action, Any, Reply | None]:
        """Report events of a worker that had no reason to call the store for a while; tells it if it is fenced.

        One that holds outputs asks every time what has become of them; empty invocations can't wait either.
        """
        urgent = self._held or self._prewarms or len(self._events) >= FLUSH_EVENTS
        if not urgent and self._container.now_s() < self._flushed_s + FLUSH_S:
            return None
        return (yield from self._obey((yield from self._tell(Completion(self._claim)))))
