"""A worker's assistant: gets inputs of future tasks while the machine executes others (preload, streaming).

A second sans-IO state machine beside that of the invocation; drivers run both at once::

    watch ─► nothing new: wait for the bell ◄─────────────┐
      ▲  ├─► receive what is streamed, and acknowledge ───┤
      │  └─► fetch what is stored ────────────────────────┘
      └───── it rang

It goes through what is stored in order of need, small outputs in one call, each large one in one; so it uses the
worker's line for one thing at a time, and what is streamed comes first, since producers wait for it. Where kept and
preloaded outputs together would exceed 40 % of the size it waits for room, or declines a stream; what can never fit
is left to the machine. An output that the machine has come to before it is the machine's to fetch. Nothing is decided
here: what is not on the shelf in time is fetched as ever.

An output is received into one buffer, chunk by chunk, and is only worth anything with its full length and digest. A
key belongs to one attempt of its producer: where another one is seen, what has come so far is dropped. Where a
producer has given up streaming and stored, it has stored the same chunks: the rest is read from there.
"""

import hashlib
import mmap
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from faaslab.errors import Fenced, PayloadError
from faaslab.protocol.messages import Claim, Seen
from faaslab.protocol.payload import join, read_reference
from faaslab.worker.actions import Action, Await, Call
from faaslab.worker.shelf import Fetched, Shelf
from faaslab.worker.streaming import DIGEST_BYTES

if TYPE_CHECKING:
    from faaslab.worker.container import Container

BATCH = 64
"""Small outputs that are fetched by one call."""

Acks = dict[int, tuple[str, int]]


class _Stream:
    """What has come of one attempt's output."""

    def __init__(self, key: str, nbytes: int, began_s: float) -> None:
        self.key = key
        self.began_s = began_s
        # Pages that nobody has written cost nothing: a bytearray would be cleared first, for a second or so a gigabyte.
        self.buffer = memoryview(mmap.mmap(-1, nbytes))
        self.chunks = 0
        self._nbytes = 0
        self._digest = hashlib.blake2b(digest_size=DIGEST_BYTES)

    def add(self, chunk: bytes) -> None:
        """Add a chunk."""
        end = self._nbytes + len(chunk)
        if end <= len(self.buffer):  # otherwise its length will tell
            self.buffer[self._nbytes : end] = chunk
        self._nbytes = end
        self._digest.update(chunk)
        self.chunks += 1

    def is_whole(self, seen: Seen) -> bool:
        """Whether it is what its producer wrote; what is stored under its key has no digest but is complete."""
        return self._nbytes == seen.nbytes and (seen.stored or self._digest.digest() == seen.digest)


class Assistant:
    """What goes on beside one invocation.

    Args:
        container: Where it is.
        claim: Of the invocation.
        shelf: Where it puts what it has got.
    """

    def __init__(self, container: "Container", claim: Claim, shelf: Shelf) -> None:
        self._container = container
        self._claim = claim
        self._shelf = shelf
        self._streams: dict[int, _Stream] = {}

    def life(self) -> Generator[Action, Any, None]:
        """Work until nothing is wanted any more; ends quietly when the invocation is somebody else's."""
        container, shelf = self._container, self._shelf
        acks: Acks = {}
        try:
            while (wanted := [*self._streams, *shelf.wanted()]) or acks:
                seen: dict[int, Seen] = yield Call("watch", (self._claim, wanted, acks))
                acks = {}
                yield from self._receive(seen, acks)
                stored = {t: seen[t] for t in wanted if t in seen and seen[t].stored and t not in self._streams}
                moved = yield from self._fetch(stored)
                if not acks and not moved and (self._streams or shelf.wanted()):
                    yield from container.wait_bell()
        except Fenced:
            return

    # -- streams --------------------------------------------------------------------------------------------------

    def _receive(self, seen: dict[int, Seen], acks: Acks) -> Generator[Action, Any, None]:
        """Read what there is of the outputs that are streamed."""
        shelf = self._shelf
        for task in tuple(self._streams):
            if not shelf.under_way(task):
                del self._streams[task]
            elif task in seen and seen[task].key != self._streams[task].key:
                self._begin_again(task)
        for task, one in seen.items():
            stream = self._streams.get(task)
            if stream is None:
                if one.stored:
                    continue
                if not shelf.fits(one.nbytes) or not shelf.begin(task, one.nbytes, streamed=True):
                    acks[task] = one.key, -1
                    continue
                stream = self._streams[task] = _Stream(one.key, one.nbytes, self._container.now_s())
            yield from self._read(task, stream, one, acks)

    def _begin_again(self, task: int) -> None:
        del self._streams[task]
        self._shelf.begin_again(task)

    def _read(self, task: int, stream: _Stream, seen: Seen, acks: Acks) -> Generator[Action, Any, None]:
        """Read the chunks of a stream that have been written since."""
        shelf, readable = self._shelf, seen.chunks if seen.stored else seen.written
        while stream.chunks < readable:
            first = stream.chunks
            try:
                chunks = yield Call("get_blob", (self._claim.run, stream.key, first + 1, first))
            except PayloadError:
                # Another attempt has begun meanwhile; or it is lost, and the machine will find that out.
                self._begin_again(task)
                if seen.stored:
                    shelf.leave(task)
                return
            if not shelf.under_way(task):
                del self._streams[task]
                return
            stream.add(chunks[0])
            if not seen.stored and stream.chunks < seen.chunks:
                acks[task] = stream.key, stream.chunks
        if stream.chunks < seen.chunks:
            return
        now_s = self._container.now_s()
        whole = Fetched(stream.buffer, now_s, now_s - stream.began_s, "stream")
        received = stream.is_whole(seen) and shelf.put(task, whole)
        if received:
            del self._streams[task]
        else:
            self._begin_again(task)
        # The last acknowledgement is a promise to have it, also if this worker gives up its slot.
        if not seen.stored:
            acks[task] = stream.key, stream.chunks if received else -1
        elif not received:
            shelf.leave(task)

    # -- what is stored -------------------------------------------------------------------------------------------

    def _fetch(self, seen: dict[int, Seen]) -> Generator[Action, Any, bool]:
        """Fetch outputs that are stored, in the order given; only the first while there are streams.

        Returns:
            Whether there may be more to do at once.
        """
        shelf = self._shelf
        while seen:
            task = next(iter(seen))
            if not shelf.wants(task):
                del seen[task]
            elif not shelf.preloads(task):
                shelf.leave(task)
            elif self._streams and shelf.fits(seen[task].nbytes) is False:
                return False
            elif not (yield from self._has_room(task, seen[task].nbytes)):
                shelf.leave(task)
            else:
                if seen[task].key:
                    yield from self._fetch_blob(task, seen.pop(task))
                else:
                    yield from self._fetch_small(seen)
                if self._streams:
                    return True
        return False

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
            if not one.key and shelf.preloads(task):
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
