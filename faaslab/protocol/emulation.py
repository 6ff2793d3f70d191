"""Delays that a launcher emulates: seeded, recorded, the same in every repetition."""

import math
import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Emulation:
    """How slow the emulated platform is; zeros: as fast as this machine.

    Attributes:
        cold_start_s: Median time from the decision to start a container until it is ready.
        invocation_latency_s: Median time from a request until it reaches a container.
        sigma: Standard deviation of the logarithm of both (lognormal, as start-up times are).
        seed: The same seed gives the same delays, whatever the interleaving.
    """

    cold_start_s: float = 0.0
    invocation_latency_s: float = 0.0
    sigma: float = 0.0
    seed: int = 0

    def cold_s(self, container: str) -> float:
        """Return the emulated cold start of a container in seconds."""
        return self._draw("cold", container, self.cold_start_s)

    def latency_s(self, invocation: str, attempt: int) -> float:
        """Return the emulated latency of one attempt of an invocation in seconds."""
        return self._draw("latency", f"{invocation}#{attempt}", self.invocation_latency_s)

    def _draw(self, what: str, who: str, median_s: float) -> float:
        if median_s == 0.0 or self.sigma == 0.0:
            return median_s
        # Seeded by name, not by order: concurrent containers must not change each other's delays.
        return median_s * math.exp(random.Random(f"{self.seed}/{what}/{who}").gauss(0.0, self.sigma))
