"""Calibration: what was promised is corrected by how earlier promises turned out.

Split conformal prediction (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005): each earlier run
has a score, its makespan over the quantile predicted for it. The next prediction of that quantile q is multiplied by
the ceil((n + 1) q)-th smallest of n scores; if runs are exchangeable, the next one stays below with a probability of at
least q, whatever is wrong with the predictor. That needs n = 9 runs for p90 and 99 for p99; quantiles above are left
alone.

Every quantile has its own factor, so corrected ones could cross; they are made to rise by lifting each to the largest
below it, which only makes it safer. ``"average"`` has no rule of its own: it is the mean of the corrected distribution.

Scores are of one DAG, planner and platform: no planner learns from another's runs, and a plan for AWS Lambda nothing
from runs that were predicted for another platform. Where a plan will run is not known when it is made: of several
launchers and emulated platforms, those of the newest run count.

The runs that are scored also teach the predictor, so its old errors are not those that it makes now. Scores count if
what was known then had at least half the degrees of freedom of what is known now; those of declared or assumed times,
which may be off by orders of magnitude, count for such times only.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from faaslab.model.distribution import LEVELS, Distribution, Promise
from faaslab.model.samples import MEASURED, Source

if TYPE_CHECKING:
    from faaslab.model.history import Snapshot

STEPS = 1000
"""A corrected distribution is given at so many quantiles and one, so that whole percentiles are met exactly."""
ALIKE = 0.5
"""A prediction that rested on this part of the degrees of freedom, or more, was like the next one."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How earlier runs of a DAG by a planner turned out.

    Attributes:
        scores: For each of ``LEVELS``, rising: makespans over what was predicted at that level.
    """

    scores: tuple[tuple[float, ...], ...] = ((),) * len(LEVELS)

    @classmethod
    def of(cls, runs: Iterable[tuple[Promise, float]]) -> Self:
        """Return the calibration by what was promised and the makespans, in seconds."""
        runs = list(runs)
        columns = [[actual / promise.quantiles_s[at] for promise, actual in runs] for at in range(len(LEVELS))]
        return cls(tuple([tuple(sorted(column)) for column in columns]))

    @property
    def runs(self) -> int:
        """Number of runs it rests on."""
        return len(self.scores[0])

    def factor(self, quantile: float) -> float:
        """Return what to multiply a quantile with; 1: there are too few runs to tell.

        Args:
            quantile: Above 0 and below 1; between ``LEVELS`` it is interpolated, beyond them that of the nearest one.
        """
        factors = [conformal_factor(scores, level) for scores, level in zip(self.scores, LEVELS, strict=True)]
        return _interpolated(factors, quantile)

    def apply(self, makespan: Distribution) -> Distribution:
        """Return a distribution with each quantile corrected, none below a lower one."""
        if not self.runs:
            return makespan
        factors = [conformal_factor(scores, level) for scores, level in zip(self.scores, LEVELS, strict=True)]
        corrected: list[float] = []
        for step in range(STEPS + 1):
            lifted = makespan.quantile(step / STEPS) * _interpolated(factors, step / STEPS)
            corrected.append(max(lifted, corrected[-1]) if corrected else lifted)
        return Distribution(tuple(corrected))


def conformal_factor(scores: Sequence[float], quantile: float) -> float:
    """Return the ceil((n + 1) quantile)-th smallest of n rising scores; 1 if there are fewer than that."""
    # Rounding must not ask for one more: 10 * 0.9 is 9, not 9.000000000000002.
    rank = math.ceil(round((len(scores) + 1) * quantile, 9))
    return scores[rank - 1] if rank <= len(scores) else 1.0


def _interpolated(factors: Sequence[float], quantile: float) -> float:
    if quantile <= LEVELS[0]:
        return factors[0]
    for at in range(1, len(LEVELS)):
        if quantile <= LEVELS[at]:
            part = (quantile - LEVELS[at - 1]) / (LEVELS[at] - LEVELS[at - 1])
            return factors[at - 1] * (1 - part) + factors[at] * part
    return factors[-1]


def calibration(
    snapshot: "Snapshot | None", structure_hash: str, planner: str, platform: str, degrees: float
) -> Calibration:
    """Return how the runs of a history turned out that are like the next one.

    Args:
        snapshot: The history; None: there is none.
        structure_hash: Of the DAG.
        planner: Name of the planner.
        platform: Name of the platform that is predicted for.
        degrees: Degrees of freedom of what is known of the least known task; 0: it is declared or assumed.
    """
    import numpy as np

    runs: list[tuple[Source, Promise]] = []
    for number in () if snapshot is None else np.unique(snapshot.columns.source).tolist():
        assert snapshot is not None
        source = snapshot.sources[number]
        if (source.kind, source.structure_hash, source.planner) != (MEASURED, structure_hash, planner):
            continue
        promise = source.promise
        if promise is None or promise.platform != platform or source.makespan_s <= 0:
            continue
        if promise.degrees >= ALIKE * degrees and bool(promise.degrees) == bool(degrees):
            runs.append((source, promise))
    if not runs:
        return Calibration()
    newest = runs[-1][0]
    alike = [
        (promise, source.makespan_s)
        for source, promise in runs
        if (source.launcher, source.platform) == (newest.launcher, newest.platform)
    ]
    return Calibration.of(alike)
