"""An emulated network between a worker and its store: latency, bandwidth each way, and a cap that all share."""

import math
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from faaslab.errors import ConfigError
from faaslab.protocol.storage import Storage
from faaslab.storage.wrappers import StorageWrapper, size_bytes

SHARED_STEP_BYTES = 16 * 1024
"""Bytes for which the shared cap is asked at once: a reservation costs a round trip of the real store."""


@dataclass(frozen=True, slots=True)
class NetworkProfile:
    """How slow the emulated network is; the defaults: not at all.

    Attributes:
        latency_s: Median round trip, in addition to the real one.
        upload_bytes_per_s: What one worker can send.
        download_bytes_per_s: What one worker can receive.
        store_bytes_per_s: What the store can send and receive, all workers together.
        jitter: Standard deviation of the logarithm of the latency (lognormal).

    Raises:
        ConfigError: A setting is outside its range.
    """

    latency_s: float = 0.0
    upload_bytes_per_s: float = math.inf
    download_bytes_per_s: float = math.inf
    store_bytes_per_s: float = math.inf
    jitter: float = 0.0

    def __post_init__(self) -> None:
        for name in ("upload_bytes_per_s", "download_bytes_per_s", "store_bytes_per_s"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"NetworkProfile.{name} is {getattr(self, name)}, must be above 0")
        for name in ("latency_s", "jitter"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"NetworkProfile.{name} is {getattr(self, name)}, must be 0 or more")


class Link:
    """A line that carries one thing after another: a token bucket of no depth, so idle time is not saved up.

    Threads may share it; ``RedisStorage.reserve_link`` is the same for processes.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._lock = threading.Lock()
        self._free_s = -math.inf

    def reserve(self, busy_s: float) -> float:
        """Reserve the line for ``busy_s`` seconds, after all earlier ones; returns the seconds until they are over."""
        with self._lock:
            now_s = self._now_s()
            self._free_s = max(now_s, self._free_s) + busy_s
            return self._free_s - now_s


class NetworkStorage(StorageWrapper):
    """Makes each call take as long as it would over that network.

    The latency is split in halves, before and after the call; time on the lines is as long as the call's bytes need.
    A call that waits on the store (for a message, say) waits in addition.

    Args:
        seed: The same seed gives the same latencies in the same order of calls; give each worker its own.
        shared: Reserves the store's own line for some seconds and returns the seconds until they are over. In one
            process: a common ``Link().reserve``; across processes: ``RedisStorage.reserve_link``. Needed when
            ``store_bytes_per_s`` is finite.
    """

    def __init__(
        self,
        inner: Storage,
        profile: NetworkProfile,
        seed: int | str = 0,
        *,
        shared: Callable[[float], float] | None = None,
        now_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(inner)
        if shared is None and profile.store_bytes_per_s < math.inf:
            raise ConfigError("NetworkProfile.store_bytes_per_s needs a line that all workers share: give `shared`")
        self.profile = profile
        self._shared = shared
        self._sleep = sleep
        self._random = random.Random(f"network/{seed}")
        self._lock = threading.Lock()
        self._unreserved_bytes = 0
        self._up, self._down = Link(now_s), Link(now_s)

    def around(self, operation: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """See ``StorageWrapper``."""
        half_s = self._latency_s() / 2
        self._travel(half_s, self._up, size_bytes(args) + size_bytes(kwargs), self.profile.upload_bytes_per_s)
        answer = super().around(operation, args, kwargs)
        self._travel(half_s, self._down, size_bytes(answer), self.profile.download_bytes_per_s)
        return answer

    def _latency_s(self) -> float:
        profile = self.profile
        if profile.latency_s == 0.0 or profile.jitter == 0.0:
            return profile.latency_s
        with self._lock:
            return profile.latency_s * math.exp(self._random.gauss(0.0, profile.jitter))

    def _travel(self, latency_s: float, link: Link, size: int, bytes_per_s: float) -> None:
        """Sleep for as long as ``size`` bytes are under way in one direction."""
        busy_s = link.reserve(size / bytes_per_s)
        if self._shared is not None and self.profile.store_bytes_per_s < math.inf:
            with self._lock:
                self._unreserved_bytes += size
                due_bytes = self._unreserved_bytes if self._unreserved_bytes >= SHARED_STEP_BYTES else 0
                self._unreserved_bytes -= due_bytes
            if due_bytes:
                busy_s = max(busy_s, self._shared(due_bytes / self.profile.store_bytes_per_s))
        if latency_s + busy_s > 0.0:
            self._sleep(latency_s + busy_s)
