"""A worker's assistant: fetches inputs of future tasks while the machine executes others (preload).

A second sans-IO state machine beside that of the invocation; drivers run both at once::

    watch ─► nothing new: wait for the bell ◄─┐
      ▲  └─► fetch what is stored ────────────┘
      └───── it rang

It goes through what is stored in order of need, small outputs in one call, each large one in one; so it uses the
worker's line for one thing at a time. Where kept and preloaded outputs together would exceed 40 % of the size it
waits for room; what can never fit is left to the machine. An output that the machine has come to before it is the
machine's to fetch. Nothing is decided here: what is not on the shelf in time is fetched as ever.
"""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from faaslab.errors import Fenced, PayloadError
from faaslab.protocol.messages import Claim, Seen
from faaslab.protocol.payload import join, read_reference
from faaslab.worker.actions import Action, Await, Call
from faaslab.worker.shelf import Fetched, Shelf

if TYPE_CHECKING:
    from faaslab.worker.container import Container

BATCH = 64
"""Small outputs that are fetched by one call."""


class Assistant:
    """What goes on beside one invocation.

    Args:
        container: Where it is.
        claim: Of the invocation.
        shelf: Where it puts what it has fetched.
    """

    def __init__(self, container: "Container", claim: Claim, shelf: Shelf) -> None:
        self._container = container
        self._claim = claim
        self._shelf = shelf

    def life(self) -> Generator[Action, Any, None]:
        """Fetch until nothing is wanted any more; ends quietly when the invocation is somebody else's."""
        container, shelf = self._container, self._shelf
        try:
            while wanted := shelf.wanted():
                seen: dict[int, Seen] = yield Call("watch", (self._claim, wanted))
                yield from self._fetch({task: seen[task] for task in wanted if task in seen})
                if shelf.wanted():
                    yield from container.wait_bell()
        except Fenced:
            return

    def _fetch(self, seen: dict[int, Seen]) -> Generator[Action, Any, None]:
        """Fetch outputs that are stored, in the order given."""
        shelf = self._shelf
        while seen:
            task = next(iter(seen))
            if not shelf.wants(task):
                del seen[task]
            elif not (yield from self._has_room(task, seen[task].nbytes)):
                shelf.leave(task)
            elif seen[task].key:
                yield from self._fetch_blob(task, seen.pop(task))
            else:
                yield from self._fetch_small(seen)

    def _has_room(self, task: int, nbytes: int) -> Generator[Action, Any, bool]:
        """Wait until there is room for an output that is still wanted; False: there never will be."""
        shelf = self._shelf
        while True:
            version = shelf.version
            fits = shelf.fits(nbytes)
            if fits is None:
                return False
            if fits or not shelf.wants(task):
                return True
            yield Await(shelf, version, self._container.settings.wait_slice_s)

    def _fetch_blob(self, task: int, seen: Seen) -> Generator[Action, Any, None]:
        if not self._shelf.begin(task, seen.nbytes):
            return
        began_s = self._container.now_s()
        try:
            chunks = yield Call("get_blob", (self._claim.run, seen.key, seen.chunks))
        except PayloadError:
            self._shelf.leave(task)  # the machine will find out what that means
            return
        now_s = self._container.now_s()
        self._shelf.put(task, Fetched(join(chunks), now_s, now_s - began_s))

    def _fetch_small(self, seen: dict[int, Seen]) -> Generator[Action, Any, None]:
        """Fetch the first of these outputs and what else is small and fits."""
        shelf, batch = self._shelf, list[int]()
        for task, one in tuple(seen.items()):
            if len(batch) == BATCH or (batch and not one.key and not shelf.fits(one.nbytes)):
                break
            if not one.key:
                del seen[task]
                if shelf.begin(task, one.nbytes):
                    batch.append(task)
        if not batch:
            return
        began_s = self._container.now_s()
        found: dict[int, bytes] = yield Call("fetch", (self._claim.run, batch))
        now_s = self._container.now_s()
        for task in batch:
            if task not in found or read_reference(found[task]) is not None:
                shelf.leave(task)
            else:
                # What came together took the same time; it counts once.
                shelf.put(task, Fetched(found[task], now_s, now_s - began_s))
                began_s = now_s
