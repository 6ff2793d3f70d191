"""Streams of outputs in the store's model; ``lib.lua`` and ``flow.lua`` do the same on a server.

A stream is a blob that is read while it is written. If whoever needs the output receives it so, chunks go as soon as
all have them, and it is never stored; otherwise they stay, and the stream ends as a blob like any other.
"""

from collections.abc import Callable
from dataclasses import dataclass

from faaslab.protocol.messages import Claim, FlowState, Offer, Seen

Watcher = tuple[str, int, str]
"""Invocation, attempt and container."""


@dataclass(slots=True)
class Flow:
    """One attempt's stream of one output.

    Attributes:
        offer: What its producer said.
        producer: Who that is.
        instead: Nothing is to be stored, as far as is known: chunks go when all consumers have them.
        written: How many chunks there have been.
        digest: Of the whole; empty: it is not complete.
        freed: How many of the first chunks are gone.
        acked: How many chunks each consumer has; -1: it wants none.
    """

    offer: Offer
    producer: Claim
    instead: bool
    acked: dict[Watcher, int]
    written: int = 0
    digest: bytes = b""
    freed: int = 0

    def seen(self) -> Seen:
        """Return what a consumer is told."""
        offer = self.offer
        return Seen(offer.nbytes, offer.key, offer.chunks, self.written, False, self.digest)

    def state(self, condition: Callable[[Watcher], str]) -> FlowState:
        """Return what the producer is told.

        Args:
            condition: Says of a consumer whether it is ``active``, has ``ended``, or is ``gone``: in another attempt.
        """
        acked = []
        for consumer, position in self.acked.items():
            how = condition(consumer)
            if position < 0 or how == "gone" or (how == "ended" and position < self.offer.chunks):
                self.instead = False
            else:
                acked.append(position)
        return FlowState(len(acked), self.instead, min(acked, default=0), self.freed)

    def is_received(self, condition: Callable[[Watcher], str]) -> bool:
        """Return whether all of it is where it is needed, so that it need not be stored; see ``state``."""
        state = self.state(condition)
        return state.instead and state.acked == self.offer.chunks

    def acknowledge(self, consumer: Watcher, position: int) -> list[int]:
        """Take note of how many chunks a consumer has; returns those that can go."""
        if self.acked.get(consumer, -1) >= 0:
            self.acked[consumer] = position if position < 0 else max(position, self.acked[consumer])
        if not self.instead or min(self.acked.values()) < 0:
            self.instead = False
            return []
        first, self.freed = self.freed, max(self.freed, min(self.acked.values()))
        return list(range(first, self.freed))
