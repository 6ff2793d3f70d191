"""How long a platform's own work takes by what was measured on it: transfers through the store, and starts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from faaslab.model.ladder import Ladder
from faaslab.model.regression import LEAST_S
from faaslab.model.sizes import MIB_PER_VCPU
from faaslab.model.variation import BYTES_SIGMA, SIGMA, SIZE_SIGMA, Spread, shrunk_variance

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Direction = Literal["in", "out"]
StartKind = Literal["cold", "warm"]

_SIZE_EXPONENT_SIGMA = 0.05
"""How far from 0 the exponent of start times in the size is believed to be: cold starts on AWS Lambda had medians of
2.49 s at 892 MB and 2.07 s at 8,960 MB, an exponent of -0.08."""


def no_prior(size_mib: int, reference_vcpus: float) -> float:
    """Return 1: from a single size nothing is known of how transfers depend on it."""
    return 1.0


@dataclass(frozen=True, slots=True)
class TransferTime:
    """Time of transfers in one direction: latency and bytes over bandwidth, either depending on the size.

    Attributes:
        ladder: Its rules.
        variance: Of the logarithm of measured over predicted.
    """

    ladder: Ladder
    variance: float

    @classmethod
    def fit(cls, sizes_mib: "NDArray[np.int32]", sizes_bytes: "Floats", seconds: "Floats") -> "TransferTime":
        """Fit to at least one transfer."""
        import numpy as np

        ladder = Ladder.fit(sizes_mib, sizes_bytes, seconds, no_prior)
        logs = np.log(np.maximum(seconds, LEAST_S)) - log_predictions(ladder, sizes_mib, sizes_bytes)
        return cls(ladder, shrunk_variance(float(logs @ logs), len(logs) - ladder.parameters, SIGMA**2))

    def median_s(self, size_bytes: float, size_mib: int) -> float:
        """Return the median seconds of a transfer."""
        import numpy as np

        return float(self.ladder.predict(np.array([float(size_bytes)]), size_mib)[0])

    def spread(self, size_bytes: float, size_mib: int) -> Spread:
        """Return how transfers scatter; those of one run or worker are taken to do so independently."""
        away = self.ladder.bytes_distance(size_bytes)
        return Spread(0.0, 0.0, math.sqrt(widened(self.variance, self.ladder, away, size_mib)))


@dataclass(frozen=True, slots=True)
class StartTime:
    """Lognormal time of starts.

    Attributes:
        median_one_s: Median at one vCPU.
        exponent: Of the size, drawn towards 0.
        sigma: Standard deviation of the logarithm.
        count: Number of starts measured.
    """

    median_one_s: float
    exponent: float
    sigma: float
    count: int

    @classmethod
    def fit(cls, sizes_mib: "NDArray[np.int32]", seconds: "Floats") -> "StartTime":
        """Fit to at least one start."""
        import numpy as np

        logs, x = np.log(np.maximum(seconds, LEAST_S)), np.log(sizes_mib / MIB_PER_VCPU)
        count = len(logs)
        exponent = 0.0
        around = x - x.mean()
        squares = float(around @ around)
        if squares > 0:
            slope = float(around @ logs) / squares
            left = logs - logs.mean() - slope * around
            error = shrunk_variance(float(left @ left), count - 2, SIGMA**2) / squares
            exponent = slope * _SIZE_EXPONENT_SIGMA**2 / (_SIZE_EXPONENT_SIGMA**2 + error)
        middle = float(np.mean(logs - exponent * x))
        left = logs - middle - exponent * x
        variance = shrunk_variance(float(left @ left), count - 1, SIGMA**2) * (1 + 1 / count)
        return cls(math.exp(middle), exponent, math.sqrt(variance), count)

    def median_s(self, size_mib: int) -> float:
        """Return the median seconds of a start at a size."""
        return self.median_one_s * math.pow(size_mib / MIB_PER_VCPU, self.exponent)


def log_predictions(ladder: Ladder, sizes_mib: "NDArray[np.int32]", sizes_bytes: "Floats") -> "Floats":
    """Return the logarithms of what a ladder predicts for the samples it was fitted to."""
    import numpy as np

    logs = np.empty(len(sizes_bytes))
    for size in ladder.lines:
        rows = sizes_mib == size
        logs[rows] = np.log(ladder.predict(sizes_bytes[rows], size))
    return logs


def widened(variance: float, ladder: Ladder, bytes_distance: float, size_mib: int) -> float:
    """Return a variance increased for few samples and for the way from the closest ones.

    Args:
        variance: That of the samples.
        ladder: What was fitted to them.
        bytes_distance: How far the input is from theirs, see ``Ladder.bytes_distance``.
        size_mib: Size that is asked for.
    """
    distance = SIZE_SIGMA * ladder.distance(size_mib)
    return variance * (1 + 1 / ladder.samples) + distance**2 + (BYTES_SIGMA * bytes_distance) ** 2


@dataclass(frozen=True, slots=True)
class PlatformTimes:
    """What was measured of a platform.

    Attributes:
        transfers: By direction, where there was any.
        starts: By kind, where there was any.
    """

    transfers: Mapping[Direction, TransferTime]
    starts: Mapping[StartKind, StartTime]
