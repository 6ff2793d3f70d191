"""How long something takes as a function of bytes and size, by the most specific rule that its samples allow.

The rules, first one that applies (k samples at the size asked for):

1. k ≥ 6: a line in the bytes, fitted at that size alone.
2. 3 sizes and 8 samples: ``a + b·n + c/v + d·n/v + e/min(1, v) + f·n/min(1, v)`` over all sizes, no coefficient
   below 0: what needs no CPU, what all CPUs share, what runs in one thread.
3. A size on either side: interpolation between these two, both axes logarithmic.
4. Sizes on one side: from the closest one along the slope of the two closest, between -1 (twice the size, half the
   time) and 0; from a single size by a prior.
5. Nothing: unknown.

Fewer than 6 samples at the size count k/(k+3) against the next rule. Samples on one side of one vCPU do not tell how
a task scales on the other (one thread gains nothing above, and loses all below): there, rules 2 and 4 promise no more
than the prior does from one vCPU on. Whatever the samples, more memory never makes slower below one vCPU, where a
worker is throttled, nor beyond the sizes that were measured.

Source: rules and constants as in the leave-one-size-out study of stage profiles on AWS Lambda that
``tests/model/test_lambda_profiles.py`` repeats.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from faaslab.model.estimates import prior_scale
from faaslab.model.regression import LEAST_S, nonnegative_fit
from faaslab.model.sizes import MIB_PER_VCPU, vcpus

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ENOUGH_AT_SIZE = 6
ENOUGH_SIZES, ENOUGH_SAMPLES = 3, 8
BLEND = 3.0
"""So many samples at a size count as much as the next rule."""

VARIED = 1.2
"""Inputs whose sizes differ by less than this factor do not tell what a byte costs."""
COVERED = 1.5
"""A size of input so many times beyond the ones seen is no longer taken for one of them."""


@dataclass(frozen=True, slots=True)
class Line:
    """Samples of one size of worker: ``intercept + slope · bytes``.

    Attributes:
        count: Number of samples.
        intercept: Seconds without input.
        slope: Seconds for each byte of input.
        least_bytes: Smallest input seen.
        most_bytes: Largest input seen.
    """

    count: int
    intercept: float
    slope: float
    least_bytes: float
    most_bytes: float

    @classmethod
    def fit(cls, sizes_bytes: "Floats", seconds: "Floats") -> "Line":
        """Fit a line to samples; one without slope where inputs are all of about one size."""
        import numpy as np

        least, most = float(sizes_bytes.min()), float(sizes_bytes.max())
        if not varied(least, most):
            return cls(len(seconds), float(np.exp(np.log(seconds).mean())), 0.0, least, most)
        found = nonnegative_fit(np.column_stack([np.ones(len(seconds)), sizes_bytes / most]), seconds)
        return cls(len(seconds), float(found[0]), float(found[1]) / most, least, most)

    def at(self, sizes_bytes: "Floats") -> "Floats":
        """Return the seconds for inputs of some sizes."""
        import numpy as np

        return np.maximum(LEAST_S, self.intercept + self.slope * sizes_bytes)


def varied(least_bytes: float, most_bytes: float) -> bool:
    """Return whether inputs between these sizes tell what a byte costs."""
    return most_bytes > max(VARIED * least_bytes, 0.0) and most_bytes > 0


@dataclass(frozen=True, slots=True)
class Ladder:
    """A fitted ladder of rules; without samples there is none.

    Attributes:
        lines: Samples of each size, in rising order of size.
        surface: Coefficients of rule 2, without and with bytes; empty: the rule does not apply.
        prior: Factor between two sizes for rule 4 if there is one size: of a size in MiB and reference vCPUs.
    """

    lines: dict[int, Line]
    surface: tuple[float, ...]
    prior: Callable[[int, float], float]

    @classmethod
    def fit(
        cls,
        sizes_mib: "NDArray[np.int32]",
        sizes_bytes: "Floats",
        seconds: "Floats",
        prior: Callable[[int, float], float] = prior_scale,
    ) -> "Ladder":
        """Fit the rules to samples.

        Args:
            sizes_mib: Size of the worker of each sample; at least one sample.
            sizes_bytes: Bytes of each.
            seconds: Seconds of each, 0 or more.
            prior: See ``Ladder``.
        """
        import numpy as np

        seconds = np.maximum(seconds, LEAST_S)
        distinct = [int(size) for size in np.unique(sizes_mib)]
        lines = {}
        for size in distinct:
            rows = sizes_mib == size
            lines[size] = Line.fit(sizes_bytes[rows], seconds[rows])
        surface: tuple[float, ...] = ()
        if len(distinct) >= ENOUGH_SIZES and len(seconds) >= ENOUGH_SAMPLES:
            most = float(sizes_bytes.max())
            shares = _shares(sizes_mib / MIB_PER_VCPU)
            if varied(float(sizes_bytes.min()), most):
                found = nonnegative_fit(np.column_stack([*shares, *(shares * (sizes_bytes / most))]), seconds)
                surface = (*found[:3].tolist(), *(found[3:] / most).tolist())
            else:
                surface = (*nonnegative_fit(shares.T, seconds).tolist(), 0.0, 0.0, 0.0)
        return cls(lines, surface, prior)

    @property
    def samples(self) -> int:
        """Number of samples."""
        return sum([line.count for line in self.lines.values()])

    @property
    def parameters(self) -> int:
        """Number of coefficients above 0 of what explains most samples."""
        if self.surface:
            return sum(value > 0 for value in self.surface)
        return sum((line.intercept > 0) + (line.slope > 0) for line in self.lines.values())

    def predict(self, sizes_bytes: "Floats", size_mib: int) -> "Floats":
        """Return the seconds for inputs of some sizes on a worker of ``size_mib``."""
        import numpy as np

        if size_mib in self.lines:
            return self._anchors(sizes_bytes)[size_mib]
        sizes = list(self.lines)
        seconds = self._beyond(sizes_bytes, size_mib, sizes)
        if size_mib < MIB_PER_VCPU <= sizes[0] or sizes[-1] <= MIB_PER_VCPU < size_mib:
            seconds = np.maximum(seconds, self.predict(sizes_bytes, MIB_PER_VCPU) * self.prior(size_mib, 1.0))
        below = [size for size in self.lines if size < size_mib]
        above = [size for size in self.lines if size > size_mib]
        capped = bool(below) and (not above or size_mib <= MIB_PER_VCPU)
        raised = bool(above) and (not below or above[0] <= MIB_PER_VCPU)
        if capped or raised:
            anchors = self._anchors(sizes_bytes)
            if capped:
                seconds = np.minimum(seconds, anchors[below[-1]])
            if raised:
                seconds = np.maximum(seconds, anchors[above[0]])
        return seconds

    def distance(self, size_mib: int) -> float:
        """Return how far the closest size with samples is, as the logarithm of their ratio to base 2."""
        return min([abs(math.log2(size_mib / size)) for size in self.lines])

    def bytes_distance(self, size_bytes: float) -> float:
        """Return how far a size of input is outside of those seen, as the logarithm of the ratio to base 2.

        Downwards 2 at most: a small input takes what none takes, and that has been fitted.
        """
        least = min([line.least_bytes for line in self.lines.values()])
        most = max([line.most_bytes for line in self.lines.values()])
        if least <= size_bytes <= most:
            return 0.0
        # One byte more, so that an input of 0 has a distance, too.
        if size_bytes < least:
            return min(2.0, max(0.0, math.log2((least + 1) / (size_bytes + 1) / COVERED)))
        return max(0.0, math.log2((size_bytes + 1) / (most + 1) / COVERED))

    def weight(self, size_mib: int) -> float:
        """Return how much the samples of a size count in what is predicted for it, from 0 to 1."""
        line = self.lines.get(size_mib)
        if line is None:
            return 0.0
        if len(self.lines) == 1 or line.count >= ENOUGH_AT_SIZE:
            return 1.0
        return line.count / (line.count + BLEND)

    def _anchors(self, sizes_bytes: "Floats") -> dict[int, "Floats"]:
        """Return the seconds at each size that has samples; not rising with the size up to one vCPU."""
        import numpy as np

        anchors = {size: self._at_size(sizes_bytes, size) for size in self.lines}
        small = [size for size in self.lines if size <= MIB_PER_VCPU]
        if len(small) > 1:
            levels = [np.log(anchors[size]) for size in small]
            for size, level in zip(small, _falling(levels, [self.lines[s].count for s in small]), strict=True):
                anchors[size] = np.exp(level)
        return anchors

    def _at_size(self, sizes_bytes: "Floats", size_mib: int) -> "Floats":
        """Rule 1, blended with the next one where samples are few."""
        import numpy as np

        line = self.lines[size_mib]
        own = line.at(sizes_bytes)
        others = [size for size in self.lines if size != size_mib]
        if not others:
            return own
        if not line.slope and not varied(line.least_bytes, line.most_bytes):
            # What a byte costs is known from other sizes at best.
            middle = np.array([(line.least_bytes + line.most_bytes) / 2])
            own = own * self._beyond(sizes_bytes, size_mib, others) / self._beyond(middle, size_mib, others)
        weight = self.weight(size_mib)
        if weight == 1.0:
            return own
        rest = self._beyond(sizes_bytes, size_mib, others)
        return np.exp(weight * np.log(own) + (1 - weight) * np.log(rest))

    def _beyond(self, sizes_bytes: "Floats", size_mib: int, sizes: Sequence[int]) -> "Floats":
        """Rules 2 to 4: the seconds at a size by samples of other sizes, of which there is at least one."""
        import numpy as np

        if self.surface:
            shares = _shares(np.array([vcpus(size_mib)]))[:, 0]
            fixed, per_byte = shares @ self.surface[:3], shares @ self.surface[3:]
            return np.maximum(LEAST_S, fixed + per_byte * sizes_bytes)
        below = [size for size in sizes if size < size_mib]
        above = [size for size in sizes if size > size_mib]
        if below and above:
            part = math.log(size_mib / below[-1]) / math.log(above[0] / below[-1])
            low, high = self.lines[below[-1]].at(sizes_bytes), self.lines[above[0]].at(sizes_bytes)
            if below[-1] < MIB_PER_VCPU:
                high = np.minimum(low, high)
            return np.exp((1 - part) * np.log(low) + part * np.log(high))
        closest, *more = above if above else below[::-1]
        near = self.lines[closest].at(sizes_bytes)
        if not more:
            return near * self.prior(size_mib, vcpus(closest))
        slope = np.log(self.lines[more[0]].at(sizes_bytes) / near) / math.log(more[0] / closest)
        return near * (size_mib / closest) ** np.clip(slope, -1.0, 0.0)


def _shares(cpus: "Floats") -> "Floats":
    """Return how time goes with vCPUs: not at all, shared by all of them, one thread; one row each."""
    import numpy as np

    return np.stack([np.ones(len(cpus)), 1 / cpus, 1 / np.minimum(1.0, cpus)])


def _falling(levels: Sequence["Floats"], weights: Sequence[int]) -> list["Floats"]:
    """Return the closest series that never rises: weighted averages over neighbours where ``levels`` do rise.

    Source: min-max formula of isotonic regression (Robertson, Wright and Dykstra, Order Restricted Statistical
    Inference, 1988, theorem 1.4.4).
    """
    import numpy as np

    values, counts = np.array(levels), np.array(weights, dtype=float)
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values * counts[:, None], axis=0)])
    ends = np.concatenate([[0.0], np.cumsum(counts)])

    def mean(first: int, last: int) -> "Floats":
        return np.asarray((sums[last + 1] - sums[first]) / (ends[last + 1] - ends[first]))

    fitted = []
    for i in range(len(levels)):
        highest = [np.max([mean(a, b) for b in range(i, len(levels))], axis=0) for a in range(i + 1)]
        fitted.append(np.min(highest, axis=0))
    return fitted
