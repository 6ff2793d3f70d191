"""Random factors for Monte Carlo: the same seed gives each task and each container the same luck under every plan."""

import math
from dataclasses import dataclass

from faaslab.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Draws:
    """How far one simulated run is from the medians; factors are lognormal.

    Plans are compared on common random numbers: a task's factor depends on the seed and its index, that of a container
    on the seed and on how many were started before it.

    Attributes:
        seed: One run each.
        exec_sigma: Standard deviation of the logarithm of execution times.
        cold_sigma: The same of cold starts; None: the platform's.

    Raises:
        ConfigError: A spread is negative or not finite, or the seed is negative.
    """

    seed: int
    exec_sigma: float = 0.0
    cold_sigma: float | None = None

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ConfigError(f"Draws.seed is {self.seed}, must be 0 or more")
        for name in ("exec_sigma", "cold_sigma"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ConfigError(f"Draws.{name} is {value}, must be 0 or more and finite")

    def exec_factors(self, tasks: int) -> list[float]:
        """Return a factor for each task."""
        return self._factors(0, self.exec_sigma, tasks)

    def cold_factors(self, containers: int, platform_sigma: float) -> list[float]:
        """Return a factor for each container, in the order in which they are started."""
        return self._factors(1, platform_sigma if self.cold_sigma is None else self.cold_sigma, containers)

    def _factors(self, stream: int, sigma: float, count: int) -> list[float]:
        if sigma == 0.0:
            return [1.0] * count
        import numpy as np

        factors: list[float] = np.exp(
            sigma * np.random.default_rng([self.seed, stream]).standard_normal(count)
        ).tolist()
        return factors
