"""What a plan is predicted to come to: its Gantt chart, and its makespan as a mark on a time axis."""

from itertools import pairwise

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.lines import Line2D

from faaslab.plan.predicted import Predicted
from faaslab.protocol.messages import RUN_TIME
from faaslab.trace.records import WorkerRecord
from faaslab.viz.rows import Rows, boxes, draw_workers, finish, legend_entries, length_s
from faaslab.viz.theme import DOUBLE_COLUMN_IN, NARROW_IN, PaperFigure, paper_style

BAND = (0.1, 0.9)
"""Quantiles between which four of five runs are predicted to end."""
BAND_COLOR = "#ece133"
_BAND_ALPHA = 0.3
_PATH_COLOR = "black"


def draw_prediction(axes: Axes, predicted: Predicted) -> list[Artist]:
    """Mark a predicted makespan on a time axis, which is made long enough; return the legend's entries.

    A band reaches from the 10th to the 90th percentile; a dashed line is at the SLA.
    """
    low_s, high_s = (predicted.makespan.quantile(quantile) for quantile in BAND)
    at_s = predicted.makespan_s
    axes.set_xlim(0, max(axes.get_xlim()[1], max(high_s, at_s) * 1.02))
    band = axes.axvspan(
        low_s,
        high_s,
        facecolor=BAND_COLOR,
        alpha=_BAND_ALPHA,
        linewidth=0,
        zorder=0.5,
        label=f"predicted p10–p90: {low_s:.3g}–{high_s:.3g} s",  # noqa: RUF001
    )
    line = axes.axvline(
        at_s, color="black", linestyle=(0, (4, 2)), linewidth=1.0, label=f"{predicted.sla.name}: {at_s:.3g} s"
    )
    return [band, line]


def predicted_gantt(predicted: Predicted, *, width_in: float = DOUBLE_COLUMN_IN) -> PaperFigure:
    """Return a Gantt chart of the run in which everything takes its median, as a plan is predicted to go.

    That run is shorter than most: where several workers are waited for, the unlucky one decides. The band and the
    dashed line are the distribution of makespans with luck in them.

    There is a row for each worker that the plan names, with its size at the right. Workers that are decided at run time
    share the rows of the containers that they are predicted to find. The tasks that the makespan is made of are framed
    and joined by a line.

    Args:
        predicted: What the plan is predicted to come to.
        width_in: Width of the figure in inches.
    """
    records = predicted.trace.records

    def key(worker: WorkerRecord) -> str:
        unnamed = worker.empty or worker.invocation.startswith(RUN_TIME)
        return worker.container if unnamed else worker.invocation

    by_launch = sorted(records.workers, key=lambda worker: worker.launched_s)
    row_of = {name: row for row, name in enumerate(dict.fromkeys(key(worker) for worker in by_launch))}
    sizes = {key(worker): worker.size_mib for worker in by_launch}
    rows = Rows(list(row_of), "worker, in order of launch")

    def place(worker: WorkerRecord) -> float:
        return row_of[key(worker)]

    with paper_style():
        figure = PaperFigure(figsize=(width_in, rows.body_in))
        axes = figure.add_subplot()
        handles = legend_entries(draw_workers(axes, records, place, hatched=rows.hatched), hatched=rows.hatched)
        rows.label(axes)
        rows.sizes(axes, [sizes[name] for name in row_of])
        axes.set_xlim(0, length_s(records) or 1.0)
        handles += _draw_path(axes, predicted, {worker.invocation: place(worker) for worker in records.workers})
        handles += draw_prediction(axes, predicted)
        axes.set_xlabel("predicted seconds since the run is submitted")
        finish(figure, rows.body_in, _title(predicted, narrow=width_in < NARROW_IN), handles)
    return figure


def _draw_path(axes: Axes, predicted: Predicted, row_of: dict[str, float]) -> list[Artist]:
    """Frame the tasks of the critical path and join them; return the legend's entry, if there is such a path."""
    records = predicted.trace.records
    spans: dict[int, tuple[float, float, float]] = {}
    on_path = set(predicted.critical_path)
    for worker in records.workers:
        for phase, begin_s, end_s, task in worker.intervals:
            if task in on_path and phase != "wait":
                row, first_s, last_s = spans.get(task, (row_of[worker.invocation], begin_s, end_s))
                spans[task] = (row, min(first_s, begin_s), max(last_s, end_s))
    start_s = records.submitted_s
    path = [spans[task] for task in predicted.critical_path if task in spans]
    path = [(row, begin_s - start_s, end_s - start_s) for row, begin_s, end_s in path]
    if not path:
        return []
    axes.add_collection(PolyCollection(boxes(path, 0.8), facecolors="none", edgecolors=_PATH_COLOR, linewidths=1.2))
    joins = [[(end_s, row), (begin_s, to)] for (row, _, end_s), (to, begin_s, _) in pairwise(path)]
    axes.add_collection(LineCollection(joins, colors=_PATH_COLOR, linewidths=1.0))
    return [Line2D([], [], color=_PATH_COLOR, linewidth=1.2, label=f"critical path ({len(path)} tasks)")]


def _title(predicted: Predicted, *, narrow: bool) -> str:
    manifest = predicted.trace.manifest
    title = (
        f"{manifest.dag_name}, {manifest.planner}: predicted {predicted.makespan_s:.3g} s"
        f"{chr(10) if narrow else ', '}{predicted.cost_usd:.3g} USD ({predicted.sla.name})"
    )
    title += f"\ndrawn: everything takes its median, {predicted.trace.metrics['makespan_s']:.3g} s"
    counts = [f"{count} {basis}" for basis, count in predicted.bases.items() if count]
    if counts:
        title += f"{chr(10) if narrow else '; '}tasks' times: {', '.join(counts)}"
    if predicted.calibrated_on:
        title += f"\ncalibrated by {predicted.calibration:.3g}, on {predicted.calibrated_on} earlier runs"
    return title
