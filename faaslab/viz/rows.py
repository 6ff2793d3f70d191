"""Rows of a Gantt chart: how high they are, what stands beside them, the bars of workers in them, and the frame."""

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.patches import Patch

from faaslab.trace.records import Records, WorkerRecord
from faaslab.viz.theme import (
    CONTENDED,
    CONTENDED_COLOR,
    CONTENDED_HATCH,
    COPY,
    COPY_COLOR,
    COPY_HATCH,
    LINE_IN,
    PHASE_COLORS,
    PHASE_HATCHES,
    PHASE_LABELS,
    PREWARM,
    PREWARM_COLOR,
    PREWARM_HATCH,
    PaperFigure,
    legend_above,
)

_HEAD_IN = 0.815
"""Height of a title of one line and of the time axis."""
_ROW_IN = 0.17
_MIN_BODY_IN = 0.6
_MAX_BODY_IN = 6.5
_LABEL_IN = 0.13
"""Height that a row's label needs; in lower rows only some are labelled."""
_HATCH_ROW_IN = 0.1
"""Height below which hatches only blur."""
OTHER = "other"
"""A worker from launch to end; what no other bar covers is the engine's own time."""
_KINDS = PHASE_LABELS | {CONTENDED: "execute, contended", COPY: "execute a copy", PREWARM: "prewarm", OTHER: "other"}
_COLORS = PHASE_COLORS | {CONTENDED: CONTENDED_COLOR, COPY: COPY_COLOR, PREWARM: PREWARM_COLOR}
_HATCHES = PHASE_HATCHES | {CONTENDED: CONTENDED_HATCH, COPY: COPY_HATCH, PREWARM: PREWARM_HATCH}
_DRAW_ORDER = (OTHER, PREWARM, "wait", "startup", "store", "fetch", "exec", CONTENDED, COPY)
"""What tells more is drawn over what tells less."""
_PALE = 0.4

Place = Callable[[WorkerRecord], float | None]
"""Where a worker is drawn, in rows from the top; None: not at all."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a chart.

    Attributes:
        names: What stands beside each.
        noun: What they are, said where only some names have room.
        lanes: How many bars a row has, one below the other.
    """

    names: Sequence[str]
    noun: str
    lanes: int = 1

    @property
    def body_in(self) -> float:
        """Height of all rows in inches; rows get lower as there are more."""
        return min(_MAX_BODY_IN, max(_MIN_BODY_IN, _ROW_IN * (1 + 0.7 * (self.lanes - 1)) * len(self.names)))

    @property
    def row_in(self) -> float:
        """Height of a row in inches."""
        return self.body_in / max(1, len(self.names))

    @property
    def hatched(self) -> bool:
        """Whether bars are high enough for hatches."""
        return self.row_in >= _HATCH_ROW_IN * self.lanes

    def label(self, axes: Axes) -> None:
        """Write the names beside the rows, as many as there is room for, and set the limits."""
        count = len(self.names)
        step = max(1, math.ceil(_LABEL_IN / self.row_in))
        if step == 1:
            axes.set_yticks(range(count), [_short(name) for name in self.names])
        else:  # names of a few would say nothing
            axes.set_yticks(range(0, count, step * 5))
            axes.set_ylabel(f"{self.noun} (of {count})")
        axes.set_ylim(count - 0.5 if count else 0.5, -0.5)

    def sizes(self, axes: Axes, sizes_mib: Sequence[int]) -> None:
        """Write the size of each row's worker at the right edge, where there is room for every row's."""
        if self.row_in < _LABEL_IN or not sizes_mib:
            return
        right = axes.secondary_yaxis("right")
        right.set_yticks(range(len(sizes_mib)), [f"{size_mib:,}" for size_mib in sizes_mib])
        right.tick_params(length=0, labelsize=6)
        right.spines["right"].set_visible(False)
        right.set_ylabel("size (MiB)", fontsize=6)


def draw_workers(
    axes: Axes, records: Records, place: Place, *, height: float = 0.9, hatched: bool, pale: bool = False
) -> set[str]:
    """Draw workers from launch to end, and over them what they did; return the kinds of bars there are.

    Args:
        axes: Where; its x axis is seconds since the run was submitted.
        records: The run.
        place: The row of each worker.
        height: Of a bar, in rows.
        hatched: Whether bars are high enough for hatches.
        pale: Whether bars stay in the background.
    """
    alpha = _PALE if pale else None
    bars = _bars(records, place)
    for kind in (kind for kind in _DRAW_ORDER if kind in bars):
        part = 1.0 if kind == OTHER else 8 / 9
        look = _look(kind, hatched=hatched)
        axes.add_collection(PolyCollection(boxes(bars[kind], height * part), alpha=alpha, **look))
    return set(bars)


def legend_entries(kinds: Collection[str], *, hatched: bool) -> list[Artist]:
    """Return a legend's entries for kinds of bars that ``draw_workers`` has drawn."""
    return [Patch(label=label, **_look(kind, hatched=hatched)) for kind, label in _KINDS.items() if kind in kinds]


def draw_crosses(axes: Axes, records: Records, place: Place, row_in: float) -> list[Artist]:
    """Mark failed task attempts and lost workers, and return the legend's entry, if there are any."""
    at = {(worker.invocation, worker.attempt): place(worker) for worker in records.workers}
    found = [
        (task.end_s, at.get((task.invocation, task.invocation_attempt)))
        for task in records.tasks
        if task.outcome == "failed"
    ]
    found += [(worker.ended_s, place(worker)) for worker in records.workers if worker.reason in ("lost", "killed")]
    crosses = [(at_s - records.submitted_s, row) for at_s, row in found if row is not None]
    if not crosses:
        return []
    (artist,) = axes.plot(
        [at_s for at_s, _ in crosses],
        [row for _, row in crosses],
        linestyle="none",
        marker="X",
        markersize=min(4.0, max(1.5, row_in * 72 * 0.6)),
        markerfacecolor="black",
        markeredgecolor="white",
        markeredgewidth=0.3,
        label="failed or lost",
        clip_on=False,
    )
    return [artist]


def finish(figure: PaperFigure, rows_in: float, title: str, handles: Sequence[Artist]) -> None:
    """Put title and legend over a chart, and make the figure as high as all of it needs.

    Args:
        figure: With the axes drawn.
        rows_in: Height of all rows in inches.
        title: Lines over the chart.
        handles: Of the legend.
    """
    figure.set_size_inches(figure.get_figwidth(), rows_in + _HEAD_IN + LINE_IN * title.count("\n"))
    figure.axes[0].set_title(title, loc="left")
    legend_above(figure, handles)


def length_s(records: Records) -> float:
    """Return how long a run's time axis is: to the end of the run and of all workers, in seconds."""
    return max([records.ended_s, *(worker.ended_s for worker in records.workers)]) - records.submitted_s


def _bars(records: Records, place: Place) -> dict[str, list[tuple[float, float, float]]]:
    """Return bars by their kind: row, begin and end."""
    start_s = records.submitted_s
    bars: dict[str, list[tuple[float, float, float]]] = {}
    attempts = records.attempts()
    for worker in records.workers:
        row = place(worker)
        if row is None:
            continue
        whole = (row, worker.launched_s - start_s, worker.ended_s - start_s)
        if worker.empty:
            bars.setdefault(PREWARM, []).append(whole)
            continue
        bars.setdefault(OTHER, []).append(whole)
        for phase, begin_s, end_s, task in worker.intervals:
            attempt = attempts.get((worker.invocation, worker.attempt, task)) if phase == "exec" else None
            kind = COPY if attempt and attempt.duplicate else CONTENDED if attempt and attempt.contended else phase
            bars.setdefault(kind, []).append((row, begin_s - start_s, end_s - start_s))
    return bars


def _look(kind: str, *, hatched: bool) -> dict[str, Any]:
    # In low rows, outlines would be all there is to see.
    if kind == OTHER:
        return {"facecolor": "#f2f2f2", "edgecolor": "#555555", "linewidth": 0.3 if hatched else 0.0}
    return {
        "facecolor": _COLORS[kind],
        "edgecolor": "white",
        "linewidth": 0.2 if hatched else 0.0,
        "hatch": _HATCHES[kind] if hatched else "",
    }


def boxes(bars: Iterable[tuple[float, float, float]], height: float) -> list[list[tuple[float, float]]]:
    """Return the corners of bars, given by row, begin and end."""
    half = height / 2
    return [
        [(begin, row - half), (begin, row + half), (end, row + half), (end, row - half)] for row, begin, end in bars
    ]


def _short(name: str, limit: int = 14) -> str:
    """Return a name that leaves room for the chart: its end is what tells containers apart."""
    return name if len(name) <= limit else "…" + name[1 - limit :]
