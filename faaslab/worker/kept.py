"""Outputs in a worker's memory: made here or received, handed to its tasks privately, dropped after the last one."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from faaslab.protocol.payload import Codec, Payload

HELD = -1
"""In place of a consumer: whoever may yet come to need an output that is held."""
Frame = bytes | memoryview

# Exact types whose values nobody can change, so that sharing them is private enough.
IMMUTABLE = frozenset((type(None), bool, int, float, complex, str, bytes))


@dataclass(slots=True)
class _Entry:
    """An output made here (``payload`` and ``value``) or received (``frame``), and who still needs it.

    ``alone``: nobody else has it.
    """

    consumers: set[int]
    value: Any = None
    payload: Payload | None = None
    frame: Frame = b""
    alone: bool = False


class Kept:
    """The outputs that one invocation has at hand.

    Args:
        codec: Of the run.
        undo: Returns the frame that a stored output was made of, given its task; it may be user code.
    """

    def __init__(self, codec: Codec, undo: Callable[[int, Frame], Frame] = lambda _, frame: frame) -> None:
        self._codec = codec
        self._undo = undo
        self._entries: dict[int, _Entry] = {}
        self.total_bytes = 0
        """Size of all of them; another thread may read it."""

    def __contains__(self, task: int) -> bool:
        return task in self._entries

    def keep(self, task: int, value: Any, payload: Payload, consumers: Collection[int], *, alone: bool) -> None:
        """Keep an output made here until all of ``consumers`` have finished; nothing happens if there are none.

        Args:
            task: Whose output it is.
            value: The output.
            payload: The same, serialized.
            consumers: Tasks of this invocation that need it.
            alone: It is nowhere else, not in the store either.
        """
        if consumers:
            self._add(task, _Entry(set(consumers), value, payload, alone=alone))

    def add(self, task: int, consumer: int) -> None:
        """Keep an output that is here for one more consumer."""
        self._entries[task].consumers.add(consumer)

    def share(self, task: int) -> None:
        """Take note that an output is in the store as well."""
        self._entries[task].alone = False

    def payload(self, task: int) -> Payload:
        """Return an output made here, serialized."""
        payload = self._entries[task].payload
        assert payload is not None, f"the output of task {task} was not made here"
        return payload

    def receive(self, task: int, frame: Frame, consumers: Collection[int], *, alone: bool = False) -> None:
        """Keep an output that came from the store; ``alone``: it was streamed, and may be stored nowhere."""
        self._add(task, _Entry(set(consumers), frame=frame, alone=alone))

    def _add(self, task: int, entry: _Entry) -> None:
        if task in self._entries:
            self.total_bytes -= self.nbytes(task)
        self._entries[task] = entry
        self.total_bytes += self.nbytes(task)

    def nbytes(self, task: int) -> int:
        """Return the serialized size of an output."""
        entry = self._entries[task]
        return len(entry.frame) if entry.payload is None else entry.payload.nbytes

    def take(self, task: int, consumer: int, *, may_run_again: bool) -> Any:
        """Return an output for a consumer's private use.

        An object made here goes as it is to its last consumer only, and only if that will not need it for another
        attempt: everybody else gets a copy.

        Raises:
            PayloadError: A received frame is damaged or not signed by this lab.
            Exception: Whatever undoing an optimization of the user's raises.
        """
        entry = self._entries[task]
        if entry.payload is None:
            self.total_bytes -= len(entry.frame)
            entry.frame = self._undo(task, entry.frame)
            self.total_bytes += len(entry.frame)
            return self._codec.loads(entry.frame)
        if type(entry.value) in IMMUTABLE or (entry.consumers == {consumer} and not may_run_again):
            return entry.value
        return self._codec.copy(entry.payload)

    def release(self, consumer: int, upstreams: Collection[int]) -> None:
        """Drop what nobody needs any more once ``consumer`` has finished."""
        for upstream in upstreams:
            entry = self._entries.get(upstream)
            if entry is not None:
                entry.consumers.discard(consumer)
                if not entry.consumers:
                    self.total_bytes -= self.nbytes(upstream)
                    del self._entries[upstream]

    def only_here(self) -> dict[int, Payload]:
        """Return the outputs made here that nobody else has, serialized."""
        return {
            task: entry.payload for task, entry in self._entries.items() if entry.alone and entry.payload is not None
        }

    def received_only_here(self) -> dict[int, Frame]:
        """Return the outputs that were streamed to this worker, and perhaps to no other place."""
        return {task: entry.frame for task, entry in self._entries.items() if entry.alone and entry.payload is None}
