"""How an invocation has inputs and code at hand: fetched, fetched beforehand, received; see ``machine``."""

from collections.abc import Generator, Sequence
from typing import Any

from faaslab.errors import Fenced, PayloadError
from faaslab.protocol.payload import (
    join,
    read_own,
    read_reference,
)
from faaslab.trace.events import (
    InputFetched,
)
from faaslab.worker.actions import Action, Assist, Await, Call
from faaslab.worker.assistant import Assistant
from faaslab.worker.served import Served, Steps
from faaslab.worker.shelf import MEMORY_PART, Fetched, Shelf


class Inputs(Served):
    """An invocation that has inputs at hand."""

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

    def _output_lost(self, upstream: int) -> Steps:
        """End the run: an output that had arrived is not there, so the store has lost data."""
        reason = f"state lost|{upstream}"
        yield Call("cancel_run", (self._claim.run, "failed", reason))
        raise Fenced(reason)

    def _undo(self, task: int, frame: bytes | memoryview) -> bytes | memoryview:
        """Return the frame that the user's optimizations had made a stored output of."""
        while (made := read_own(frame)) is not None:
            number, data = made
            frame = self._container.loaded(self._dag.own)[number].incoming(self._dag.id_of(task), data)
        return frame
