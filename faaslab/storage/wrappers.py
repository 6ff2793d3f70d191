"""Stores around a store: they count, delay or fail its calls. ``network`` has the one that emulates a network."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeVar, cast

from faaslab.errors import StoreUnavailable
from faaslab.protocol.storage import Storage

MethodT = TypeVar("MethodT", bound=Callable[..., Any])


def _passed_on(method: MethodT) -> MethodT:
    """Return a method of the same signature that goes through ``StorageWrapper.around``."""
    name = method.__name__

    def call(self: "StorageWrapper", *args: Any, **kwargs: Any) -> Any:
        return self.around(name, args, kwargs)

    call.__name__, call.__doc__ = name, method.__doc__
    return cast(MethodT, call)


class StorageWrapper(Storage):
    """Passes every operation on to ``inner``; a subclass overrides ``around``."""

    def __init__(self, inner: Storage) -> None:
        self.inner = inner

    def around(self, operation: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Perform an operation of the inner store."""
        return getattr(self.inner, operation)(*args, **kwargs)

    create_run = _passed_on(Storage.create_run)
    run_status = _passed_on(Storage.run_status)
    read_events = _passed_on(Storage.read_events)
    fetch = _passed_on(Storage.fetch)
    cancel_run = _passed_on(Storage.cancel_run)
    delete_run = _passed_on(Storage.delete_run)
    renew_client = _passed_on(Storage.renew_client)
    remove_client = _passed_on(Storage.remove_client)
    register = _passed_on(Storage.register)
    renew = _passed_on(Storage.renew)
    next = _passed_on(Storage.next)
    listen = _passed_on(Storage.listen)
    leave = _passed_on(Storage.leave)
    remove = _passed_on(Storage.remove)
    complete = _passed_on(Storage.complete)
    fail = _passed_on(Storage.fail)
    suspend = _passed_on(Storage.suspend)
    wait_ready = _passed_on(Storage.wait_ready)
    watch = _passed_on(Storage.watch)
    offer = _passed_on(Storage.offer)
    put_chunk = _passed_on(Storage.put_chunk)
    flow = _passed_on(Storage.flow)
    wait_bell = _passed_on(Storage.wait_bell)
    look = _passed_on(Storage.look)
    needed = _passed_on(Storage.needed)
    begin = _passed_on(Storage.begin)
    stored = _passed_on(Storage.stored)
    delivered = _passed_on(Storage.delivered)
    owned = _passed_on(Storage.owned)
    parts = _passed_on(Storage.parts)
    get_blob = _passed_on(Storage.get_blob)
    sweep = _passed_on(Storage.sweep)
    demand = _passed_on(Storage.demand)
    wait_demand = _passed_on(Storage.wait_demand)
    retire_idle = _passed_on(Storage.retire_idle)
    ask_yield = _passed_on(Storage.ask_yield)
    clients = _passed_on(Storage.clients)
    now_s = _passed_on(Storage.now_s)
    leftovers = _passed_on(Storage.leftovers)

    def put_blob(self, run: str, key: str, chunks: Iterable[bytes | memoryview]) -> None:
        """See ``Storage``."""
        # A list, since some wrappers look at the arguments before they pass them on; chunks are views, not copies.
        self.around("put_blob", (run, key, list(chunks)), {})

    def close(self) -> None:
        """See ``Storage``."""
        self.inner.close()


def size_bytes(value: Any) -> int:
    """Return about how many bytes an argument or answer has on the wire: text and bytes as they are, numbers 8."""
    if isinstance(value, (bytes, memoryview)):
        return len(value)
    if isinstance(value, str):
        return len(value.encode())
    if value is None or isinstance(value, (bool, int, float)):
        return 8
    return sum(map(size_bytes, _items(value)))


def _items(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield from value
        yield from value.values()
    elif is_dataclass(value):
        yield from (getattr(value, field.name) for field in fields(value))
    else:
        yield from value


@dataclass(frozen=True, slots=True)
class Count:
    """How often an operation was called, and what it moved."""

    calls: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0


class CountingStorage(StorageWrapper):
    """Counts calls and bytes by operation; calls that raise count as sent."""

    def __init__(self, inner: Storage) -> None:
        super().__init__(inner)
        self._lock = threading.Lock()
        self._counts: dict[str, Count] = {}

    @property
    def counts(self) -> Mapping[str, Count]:
        """What was counted so far, by operation."""
        with self._lock:
            return dict(self._counts)

    def around(self, operation: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """See ``StorageWrapper``."""
        self._add(operation, Count(1, size_bytes(args) + size_bytes(kwargs)))
        answer = super().around(operation, args, kwargs)
        self._add(operation, Count(received_bytes=size_bytes(answer)))
        return answer

    def _add(self, operation: str, more: Count) -> None:
        with self._lock:
            old = self._counts.get(operation, Count())
            self._counts[operation] = Count(
                old.calls + more.calls, old.sent_bytes + more.sent_bytes, old.received_bytes + more.received_bytes
            )


class DelayingStorage(StorageWrapper):
    """Waits before every operation.

    Args:
        delays_s: Seconds by operation; others are not delayed.
    """

    def __init__(
        self, inner: Storage, delays_s: Mapping[str, float], *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        super().__init__(inner)
        self._delays_s = dict(delays_s)
        self._sleep = sleep

    def around(self, operation: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """See ``StorageWrapper``."""
        delay_s = self._delays_s.get(operation, 0.0)
        if delay_s > 0.0:
            self._sleep(delay_s)
        return super().around(operation, args, kwargs)


class FaultyStorage(StorageWrapper):
    """Fails some calls, as written down beforehand.

    Args:
        schedule: For each operation, what happens to its first, second, … call: 0: nothing; -1: the request is lost,
            the store never sees it; 1: the store applies it and the answer is lost. Later calls succeed.

    Raises:
        StoreUnavailable: By the calls that fail.
    """

    def __init__(self, inner: Storage, schedule: Mapping[str, Sequence[int]]) -> None:
        super().__init__(inner)
        self._lock = threading.Lock()
        self._left = {operation: list(faults) for operation, faults in schedule.items()}

    def around(self, operation: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """See ``StorageWrapper``."""
        with self._lock:
            left = self._left.get(operation)
            fault = left.pop(0) if left else 0
        if fault < 0:
            raise StoreUnavailable(f"injected fault: the request of {operation!r} is lost")
        answer = super().around(operation, args, kwargs)
        if fault > 0:
            raise StoreUnavailable(f"injected fault: the answer to {operation!r} is lost")
        return answer
