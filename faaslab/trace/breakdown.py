"""Where a worker's wall time went, as shares that sum to it.

Times become whole nanoseconds first, so that the shares sum exactly. Where intervals overlap (an input preloaded
while another task executes), each instant counts once, for the first phase in ``records.PHASES``.
"""

from collections.abc import Iterable

from faaslab.trace.records import PHASES, WorkerRecord

SHARES = ("startup", "fetch", "exec", "store", "wait", "other")
"""Names of the shares, in the order of a worker's life; ``other`` is the engine's own time."""

_NS = 1_000_000_000


def wall_ns(worker: WorkerRecord) -> int:
    """Return a worker's wall time in nanoseconds."""
    return round(worker.wall_s * _NS)


def breakdown_ns(worker: WorkerRecord) -> dict[str, int]:
    """Return a worker's wall time split into ``SHARES``, in nanoseconds; they sum to ``wall_ns``."""
    wall = wall_ns(worker)
    edges: list[tuple[int, int, int]] = []
    for phase, start_s, end_s, _ in worker.intervals:
        # From the launch on: seconds since the epoch as a float can't hold nanoseconds.
        start = max(0, round((start_s - worker.launched_s) * _NS))
        end = min(wall, round((end_s - worker.launched_s) * _NS))
        if start < end:
            priority = PHASES.index(phase)
            edges += [(start, priority, 1), (end, priority, -1)]
    shares = dict.fromkeys(SHARES, 0)
    for phase, duration in _sweep(sorted(edges)):
        shares[phase] += duration
    shares["other"] = wall - sum(shares.values())
    return shares


def _sweep(edges: Iterable[tuple[int, int, int]]) -> Iterable[tuple[str, int]]:
    """Yield the phase that counts, and how long, between neighbouring edges."""
    active = [0] * len(PHASES)
    before = 0
    for at, priority, change in edges:
        if at > before:
            phase = next((PHASES[index] for index, count in enumerate(active) if count), None)
            if phase is not None:
                yield phase, at - before
        before = at
        active[priority] += change


def seconds(nanoseconds: int) -> float:
    """Return nanoseconds as seconds."""
    return nanoseconds / _NS
