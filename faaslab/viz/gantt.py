"""What ran where and when: a Gantt chart of a trace, with a row for each container."""

import math
from collections.abc import Iterable
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.patches import Patch

from faaslab.trace import Trace
from faaslab.trace.records import Records
from faaslab.viz.theme import (
    CONTENDED,
    CONTENDED_COLOR,
    CONTENDED_HATCH,
    DOUBLE_COLUMN_IN,
    PHASE_COLORS,
    PHASE_HATCHES,
    PHASE_LABELS,
    PaperFigure,
    paper_style,
)

_ROW_IN = 0.17
_MIN_BODY_IN = 0.6
_MAX_BODY_IN = 6.5
_HEAD_IN = 0.95
"""Height of legend, title and time axis."""
_NARROW_IN = 5.0
"""Width below which legend and title take two lines."""
_NARROW_HEAD_IN = 1.25
_LABEL_IN = 0.13
"""Height that a row's label needs; in lower rows only some are labelled."""
_LINE_IN = 0.135
"""Height of another line below the title."""
_HATCH_ROW_IN = 0.1
"""Height below which hatches only blur."""
_LABELS = PHASE_LABELS | {CONTENDED: "execute, contended"}
_COLORS = PHASE_COLORS | {CONTENDED: CONTENDED_COLOR}
_HATCHES = PHASE_HATCHES | {CONTENDED: CONTENDED_HATCH}
_OTHER_COLOR = "#f2f2f2"
_EDGE_COLOR = "#555555"


def gantt(trace: Trace, *, width_in: float = DOUBLE_COLUMN_IN) -> PaperFigure:
    """Return a Gantt chart: one row for each container, one bar for each cold start, fetch, execution, store and wait.

    Containers are in the order of their first use. A pale bar behind is a worker (an invocation) from launch to end; a
    cross marks a failed task attempt or a worker that was lost. Executions that others held up (``contended`` in
    ``Trace.tasks``) have a look of their own, and a line below the title says how much of the run that was. Rows get
    lower, and labels fewer, as there are more.

    Args:
        trace: The run.
        width_in: Width of the figure in inches.
    """
    records = trace.records
    rows = {worker.container: 0 for worker in sorted(records.workers, key=lambda worker: worker.launched_s)}
    rows = {container: row for row, container in enumerate(rows)}
    body_in = min(_MAX_BODY_IN, max(_MIN_BODY_IN, _ROW_IN * len(rows)))
    row_in = body_in / max(1, len(rows))
    with paper_style():
        narrow = width_in < _NARROW_IN
        title = _title(trace, "\n" if narrow else ", ", "\n" if narrow else " ")
        head_in = (_NARROW_HEAD_IN if narrow else _HEAD_IN) + _LINE_IN * (title.count("\n") - narrow)
        figure = PaperFigure(figsize=(width_in, body_in + head_in))
        axes = figure.add_subplot()
        hatched = row_in >= _HATCH_ROW_IN
        handles = _draw_bars(axes, records, rows, hatched=hatched)
        handles += _draw_crosses(axes, records, rows, row_in)
        _label(axes, trace, rows, row_in)
        axes.set_title(title, loc="left")
        if handles:
            columns = 4 if narrow else len(handles)
            figure.legend(handles=handles, loc="outside upper center", ncols=columns)
    return figure


def _draw_bars(axes: Axes, records: Records, rows: dict[str, int], *, hatched: bool) -> list[Artist]:
    """Draw workers and their phases, telling ones over others, and return the legend's entries."""
    start_s = records.submitted_s
    edge = 0.3 if hatched else 0.0  # in low rows, outlines would be all there is to see
    workers = [(rows[one.container], one.launched_s - start_s, one.ended_s - start_s) for one in records.workers]
    axes.add_collection(
        PolyCollection(_boxes(workers, 0.9), facecolors=_OTHER_COLOR, edgecolors=_EDGE_COLOR, linewidths=edge)
    )
    bars: dict[str, list[tuple[int, float, float]]] = {}
    attempts = records.attempts()
    for worker in records.workers:
        for phase, begin_s, end_s, task in worker.intervals:
            attempt = attempts.get((worker.invocation, worker.attempt, task)) if phase == "exec" else None
            kind = CONTENDED if attempt and attempt.contended else phase
            bars.setdefault(kind, []).append((rows[worker.container], begin_s - start_s, end_s - start_s))
    handles = {}
    draw_order = ("wait", "startup", "store", "fetch", "exec", CONTENDED)
    for kind in (kind for kind in draw_order if kind in bars):
        hatch = _HATCHES[kind] if hatched else ""
        look: dict[str, Any] = {
            "facecolor": _COLORS[kind],
            "edgecolor": "white",
            "linewidth": 0.2 if hatched else 0.0,
        }
        axes.add_collection(PolyCollection(_boxes(bars[kind], 0.8), hatch=hatch, **look))
        handles[kind] = Patch(label=_LABELS[kind], hatch=hatch, **look)
    entries: list[Artist] = [handles[kind] for kind in _LABELS if kind in handles]
    if workers:
        entries.append(Patch(facecolor=_OTHER_COLOR, edgecolor=_EDGE_COLOR, linewidth=0.3, label="other"))
    return entries


def _boxes(bars: Iterable[tuple[int, float, float]], height: float) -> list[list[tuple[float, float]]]:
    half = height / 2
    return [
        [(begin, row - half), (begin, row + half), (end, row + half), (end, row - half)] for row, begin, end in bars
    ]


def _draw_crosses(axes: Axes, records: Records, rows: dict[str, int], row_in: float) -> list[Artist]:
    """Mark what failed and return the legend's entry, if anything did."""
    crosses = [
        (task.end_s - records.submitted_s, rows[task.container])
        for task in records.tasks
        if task.outcome == "failed" and task.container in rows
    ]
    crosses += [
        (worker.ended_s - records.submitted_s, rows[worker.container])
        for worker in records.workers
        if worker.reason in ("lost", "killed")
    ]
    if not crosses:
        return []
    size = min(4.0, max(1.5, row_in * 72 * 0.6))
    (artist,) = axes.plot(
        [at_s for at_s, _ in crosses],
        [row for _, row in crosses],
        linestyle="none",
        marker="X",
        markersize=size,
        markerfacecolor="black",
        markeredgecolor="white",
        markeredgewidth=0.3,
        label="failed or lost",
        clip_on=False,
    )
    return [artist]


def _label(axes: Axes, trace: Trace, rows: dict[str, int], row_in: float) -> None:
    records = trace.records
    names = list(rows)
    step = max(1, math.ceil(_LABEL_IN / row_in))
    if step == 1:
        axes.set_yticks(range(len(names)), [_short(name) for name in names])
        axes.set_ylabel("container")
    else:  # names of a few would say nothing
        axes.set_yticks(range(0, len(names), step * 5))
        axes.set_ylabel(f"container, in order of first use (of {len(names)})")
    axes.set_ylim(len(names) - 0.5 if names else 0.5, -0.5)
    end_s = max([records.ended_s, *(worker.ended_s for worker in records.workers)]) - records.submitted_s
    axes.set_xlim(0, end_s or 1.0)
    axes.set_xlabel("seconds since the run was submitted")


def _title(trace: Trace, separator: str, space: str) -> str:
    metrics = trace.metrics
    status = "" if trace.status == "finished" else f" ({trace.status or 'not ended'})"
    title = (
        f"{trace.manifest.dag_name}, {trace.manifest.planner}: {metrics['makespan_s']:.3g} s{status}{separator}"
        f"{metrics['tasks']} tasks, starts: {metrics['cold_starts']} cold, {metrics['warm_starts']} warm"
    )
    if metrics["contended_tasks"]:
        title += (
            f"\ncontended: {metrics['contended_tasks']} of {metrics['tasks']} tasks;{space}"
            f"{metrics['contention_s']:.3g} of {metrics['exec_s']:.3g} s of execution lost to other work"
        )
    return title


def _short(name: str, limit: int = 14) -> str:
    """Return a name that leaves room for the chart: its end is what tells containers apart."""
    return name if len(name) <= limit else "…" + name[1 - limit :]
