"""Delays that a launcher emulates: seeded, recorded, the same in every repetition."""

import math
import random
from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True, slots=True)
class Emulation:
    """How slow the emulated platform is; zeros: as fast as this machine.

    Attributes:
        cold_start_s: Median time from the decision to start a container until it is ready.
        invocation_latency_s: Median time from a request until it reaches a container.
        store_latency_s: Median round trip between a worker and the store, in addition to the real one.
        cold_start_sigma, invocation_sigma, store_sigma: Standard deviations of the logarithms of these (lognormal, as
            start-up times are).
        upload_bytes_per_s: What one worker can send; 0: as much as this machine.
        download_bytes_per_s: What one worker can receive; 0: as much as this machine.
        seed: The same seed gives the same delays, whatever the interleaving.
    """

    cold_start_s: float = 0.0
    invocation_latency_s: float = 0.0
    store_latency_s: float = 0.0
    cold_start_sigma: float = 0.0
    invocation_sigma: float = 0.0
    store_sigma: float = 0.0
    upload_bytes_per_s: float = 0.0
    download_bytes_per_s: float = 0.0
    seed: int = 0

    @property
    def slows_store(self) -> bool:
        """Whether the way to the store is emulated."""
        return bool(self.store_latency_s or self.upload_bytes_per_s or self.download_bytes_per_s)

    def dilated(self, dilation: float) -> Self:
        """Return the same platform with every second ``dilation`` times as long."""
        return replace(
            self,
            cold_start_s=self.cold_start_s * dilation,
            invocation_latency_s=self.invocation_latency_s * dilation,
            store_latency_s=self.store_latency_s * dilation,
            upload_bytes_per_s=self.upload_bytes_per_s / dilation,
            download_bytes_per_s=self.download_bytes_per_s / dilation,
        )

    def cold_s(self, container: str) -> float:
        """Return the emulated cold start of a container in seconds."""
        return self._draw("cold", container, self.cold_start_s, self.cold_start_sigma)

    def latency_s(self, invocation: str, attempt: int) -> float:
        """Return the emulated latency of one attempt of an invocation in seconds."""
        return self._draw("latency", f"{invocation}#{attempt}", self.invocation_latency_s, self.invocation_sigma)

    def _draw(self, what: str, who: str, median_s: float, sigma: float) -> float:
        if median_s == 0.0 or sigma == 0.0:
            return median_s
        # Seeded by name, not by order: concurrent containers must not change each other's delays.
        return median_s * math.exp(random.Random(f"{self.seed}/{what}/{who}").gauss(0.0, sigma))
