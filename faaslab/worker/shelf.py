"""What an assistant has fetched for the machine that it works beside, and is just fetching or receiving.

::

    wanted ──► in flight ──► here ──► taken      by the assistant, by the assistant, by the machine
       ├──► streamed ─────────┘                   its producer is still writing it, and may not come to an end
       └─────────────────────────────► taken      the machine came first and fetches it itself

The two may be threads: whatever both touch is changed under one lock, and ``wait`` ends as soon as anything changed.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

MEMORY_PART = 0.4
"""Part of a container's size that kept and preloaded outputs may fill together."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An output that was fetched beforehand.

    Attributes:
        frame: The output.
        at_s: When it had come, on the store's clock.
        duration_s: How long that took.
        source: ``preload``; or ``stream``, then it may be stored nowhere.
    """

    frame: bytes | memoryview
    at_s: float
    duration_s: float
    source: str = "preload"


class Shelf:
    """Inputs of future tasks of one invocation.

    Args:
        wanted: Tasks whose outputs will be needed, in order of need; False for one that is only to be received where
            it is streamed, and otherwise left to the machine.
        limit_bytes: What may lie here together with what the worker keeps.
        kept_bytes: Returns how much the worker keeps just now.
    """

    def __init__(self, wanted: Mapping[int, bool], limit_bytes: float, kept_bytes: Callable[[], int]) -> None:
        self._changed = threading.Condition()
        self._order = {task: place for place, task in enumerate(wanted)}
        self._preloads = frozenset(task for task, preload in wanted.items() if preload)
        self._wanted = set(wanted)
        self._in_flight: dict[int, int] = {}
        self._streamed: dict[int, int] = {}
        self._here: dict[int, Fetched] = {}
        self._limit_bytes = limit_bytes
        self._kept_bytes = kept_bytes
        self._held_bytes = 0
        self.ended = False
        """Whether the assistant has ended."""
        self.error: BaseException | None = None
        """What it ended with, if not well."""
        self.version = 0
        """Counts changes."""

    def wait(self, version: int, wait_s: float) -> None:
        """Wait until anything has changed since ``version``, at most ``wait_s``."""
        with self._changed:
            self._changed.wait_for(lambda: self.version != version, wait_s)

    def _touch(self) -> None:
        self.version += 1
        self._changed.notify_all()

    # -- the machine's side ---------------------------------------------------------------------------------------

    def comes(self, task: int) -> bool:
        """Return whether an output is here or stored and in flight, so that it need not be waited for in the store."""
        return task in self._here or task in self._in_flight

    def reserve(self, task: int) -> bool:
        """Return whether an output is here, in flight or streamed; if not, it is the machine's to fetch from now on."""
        with self._changed:
            self._wanted.discard(task)
            return self.comes(task) or task in self._streamed

    def under_way(self, task: int) -> bool:
        """Return whether an output is just being fetched or received."""
        return task in self._in_flight or task in self._streamed

    def take(self, task: int) -> Fetched | None:
        """Return an output that is here; one that is not need not come any more."""
        with self._changed:
            self._wanted.discard(task)
            self._in_flight.pop(task, None)
            self._streamed.pop(task, None)
            fetched = self._here.pop(task, None)
            if fetched is not None:
                self._held_bytes -= len(fetched.frame)
            self._touch()
            return fetched

    def received(self) -> list[int]:
        """Return the tasks whose outputs are here because they were streamed."""
        with self._changed:
            return [task for task, fetched in self._here.items() if fetched.source == "stream"]

    def stop(self) -> None:
        """Tell the assistant that nothing more is needed; what is here stays."""
        with self._changed:
            self._wanted.clear()
            self._in_flight.clear()
            self._streamed.clear()
            self._touch()

    def close(self) -> None:
        """Tell the assistant that nothing is needed any more."""
        self.stop()
        with self._changed:
            self._here.clear()
            self._held_bytes = 0
            self._touch()

    # -- the assistant's side -------------------------------------------------------------------------------------

    def wanted(self) -> list[int]:
        """Return what is still to be fetched, in order of need."""
        with self._changed:
            return sorted(self._wanted, key=self._order.__getitem__)

    def wants(self, task: int) -> bool:
        """Return whether an output is still to be fetched."""
        return task in self._wanted

    def preloads(self, task: int) -> bool:
        """Return whether an output is to be fetched once it is stored, not only received while it is streamed."""
        return task in self._preloads

    def fits(self, nbytes: int) -> bool | None:
        """Return whether there is room for so much: None if there never will be."""
        if nbytes > self._limit_bytes:
            return None
        with self._changed:
            under_way = self._held_bytes + sum(self._in_flight.values()) + sum(self._streamed.values())
        return under_way + self._kept_bytes() + nbytes <= self._limit_bytes

    def begin(self, task: int, nbytes: int, *, streamed: bool = False) -> bool:
        """Say that an output is being fetched or received; False: it is not wanted any more."""
        with self._changed:
            if task not in self._wanted:
                return False
            self._wanted.discard(task)
            (self._streamed if streamed else self._in_flight)[task] = nbytes
            self._touch()
            return True

    def begin_again(self, task: int) -> None:
        """Say that what has been received of an output is worth nothing."""
        with self._changed:
            if self._streamed.pop(task, None) is not None:
                self._wanted.add(task)
            self._touch()

    def put(self, task: int, fetched: Fetched) -> bool:
        """Lay down an output that was under way; False: it is not wanted any more."""
        with self._changed:
            under_way = self._streamed if fetched.source == "stream" else self._in_flight
            wanted = under_way.pop(task, None) is not None
            if wanted:
                self._here[task] = fetched
                self._held_bytes += len(fetched.frame)
            self._touch()
            return wanted

    def leave(self, task: int) -> None:
        """Leave an output to the machine."""
        with self._changed:
            self._wanted.discard(task)
            self._in_flight.pop(task, None)
            self._streamed.pop(task, None)
            self._touch()

    def end(self, error: BaseException | None = None) -> None:
        """Say that the assistant has ended."""
        with self._changed:
            self._wanted.clear()
            self._in_flight.clear()
            self._streamed.clear()
            self.ended, self.error = True, error
            self._touch()
