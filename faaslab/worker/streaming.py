"""A producer's side of streaming: an output goes to workers that wait for it while it is written.

::

    offer ─► nobody watches: store it as ever
      └────► chunk, chunk, … last chunk with the digest ─► all have acknowledged ─► it is not stored at all
                ▲ at most WINDOW chunks ahead of the slowest      └─► else: write again what is gone, it is a blob

Chunks are those of the blob that the output becomes where others need it too, or where a consumer declines, dies or
does not keep up; then nothing is written twice but what had been dropped already. So the store holds at most a window
of each stream, and the whole of what is stored anyway.

In time, for an output of O bytes in n chunks (``chunk_bytes``) of c = O/n, on a store with latency l (round trip) and
bandwidth b of producer and consumer each:

- the producer needs ``l`` for the offer and ``l + c/b`` for each chunk;
- a consumer hears of a chunk by its bell, then asks and reads: ``l/2 + l + l + c/b`` after the chunk was written; while
  it reads one the producer writes the next, so all but the last chunk's reading is hidden if both are equally fast;
- the edge arrives when the producer has heard that all of it was received: ``l`` for the acknowledgement and the bell
  on the way back, ``l`` to look, and ``l/2`` until its completion is at the store. A consumer that turns to its task
  only after it has received everything does not wait for that.

Against storing first, that saves about the smaller one of writing and reading, less some latencies.
"""

import hashlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from faaslab.protocol.messages import Claim, FlowState, Offer
from faaslab.protocol.payload import Payload, cut
from faaslab.worker.actions import Action, Call, Wait

if TYPE_CHECKING:
    from faaslab.worker.container import Container

DIGEST_BYTES = 16
CHUNKS = 8
"""A stream has about so many chunks, unless they would be very small or large."""
MOST_BYTES = 8 * 1024 * 1024
"""Of one chunk."""
WINDOW = 4
"""Chunks that a producer is ahead of its slowest consumer at most."""
PATIENCE = 4
"""Times as long as its own slowest chunk took does a producer wait for its consumers' next one, or a wait slice."""


@dataclass(frozen=True, slots=True)
class Streamed:
    """How an output was streamed: to how many consumers, and whether they are all who need it."""

    consumers: int
    instead: bool


def chunk_bytes(nbytes: int, least_bytes: int) -> int:
    """Return the size of the chunks of an output of ``nbytes``; not below ``least_bytes``, which need no blob."""
    return min(MOST_BYTES, max(least_bytes, -(-nbytes // CHUNKS)))


def pieces_of(output: Payload | bytes, least_bytes: int) -> list[memoryview]:
    """Return the chunks of an output: views of its own memory, copied only where it is scattered over many buffers."""
    if isinstance(output, bytes):
        return list(cut(output, chunk_bytes(len(output), least_bytes)))
    size = chunk_bytes(output.nbytes, least_bytes)
    pieces = [piece for piece in output.chunks(size) if piece.nbytes]
    if len(pieces) > 2 * (1 + output.nbytes // size):
        pieces = list(cut(output.to_bytes(), size))
    return pieces


class Producer:
    """Streams one output.

    Args:
        container: Where its producer is.
        claim: Of the producer.
        offer: What is streamed, to whom.
    """

    def __init__(self, container: "Container", claim: Claim, offer: Offer) -> None:
        self._container = container
        self._claim = claim
        self._offer = offer
        self._cursor = "0"
        self._patience_s = container.settings.wait_slice_s

    def stream(self, pieces: Sequence[memoryview]) -> Generator[Action, Any, Streamed | None]:
        """Stream the chunks of the output; None: nobody waits for it, and nothing was written.

        Raises:
            Fenced: The producer does not own its task any more.
        """
        offer, digest = self._offer, hashlib.blake2b(digest_size=DIGEST_BYTES)
        state: FlowState = yield Call("offer", (self._claim, offer))
        if not state.consumers:
            return None
        consumers = state.consumers
        for index, piece in enumerate(pieces):
            digest.update(piece)
            is_last = index + 1 == len(pieces)
            began_s = self._container.now_s()
            state = yield from self._put(index, piece, digest.digest() if is_last else b"")
            self._patience_s = max(self._patience_s, PATIENCE * (self._container.now_s() - began_s))
            state = yield from self._acknowledged(state, len(pieces) if is_last else index + 2 - WINDOW)
        if not state.instead:
            for index in range(state.freed):
                yield from self._put(index, pieces[index], b"")
        return Streamed(consumers, state.instead)

    def _put(self, index: int, piece: memoryview, digest: bytes) -> Generator[Action, Any, FlowState]:
        offer = self._offer
        state: FlowState = yield Call("put_chunk", (self._claim, offer.task, offer.key, index, piece, digest))
        return state

    def _acknowledged(self, state: FlowState, chunks: int) -> Generator[Action, Any, FlowState]:
        """Wait until all consumers have so many chunks, or it has to be stored: one of them does not get on."""
        container, claim, offer = self._container, self._claim, self._offer
        since_s, acked = container.now_s(), state.acked
        while state.instead and state.acked < chunks:
            left_s = since_s + self._patience_s - container.now_s()
            if left_s > 0:
                wait_s = min(left_s, container.settings.wait_slice_s)
                rung = yield Wait("wait_bell", (claim.container, self._cursor), wait_s)
                self._cursor = rung or self._cursor
            state = yield Call("flow", (claim, offer.task, offer.key, left_s <= 0))
            if state.acked > acked:
                since_s, acked = container.now_s(), state.acked
        return state
