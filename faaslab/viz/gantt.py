"""What ran where and when: a Gantt chart of a trace, alone or over what was planned."""

from faaslab.errors import PlanError
from faaslab.plan.predicted import Predicted
from faaslab.trace import Trace
from faaslab.trace.records import Records, WorkerRecord
from faaslab.viz.prediction import draw_prediction
from faaslab.viz.rows import Rows, draw_crosses, draw_workers, finish, legend_entries, length_s
from faaslab.viz.theme import DOUBLE_COLUMN_IN, NARROW_IN, PaperFigure, paper_style
from faaslab.viz.workers import match_workers, name_of

TIME_LABEL = "seconds since the run was submitted"
_LANE = 0.21
"""How far from the middle of a row its two lanes are, in rows."""


def gantt(
    trace: Trace,
    *,
    planned: Trace | None = None,
    predicted: Predicted | None = None,
    width_in: float = DOUBLE_COLUMN_IN,
) -> PaperFigure:
    """Return a Gantt chart: one row for each container, one bar for each cold start, fetch, execution, store and wait.

    Containers are in the order of their first use. A pale bar behind is a worker (an invocation) from launch to end; a
    cross marks a failed task attempt or a worker that was lost. Executions that others held up (``contended`` in
    ``Trace.tasks``) have a look of their own, and a line below the title says how much of the run that was. Rows get
    lower, and labels fewer, as there are more.

    With a planned trace, rows are workers instead: above, in pale, what was planned, below what happened. Workers that
    the plan names are the same in both; those decided at run time are matched by the tasks that they have in common.

    Args:
        trace: The run.
        planned: How it was to go; see ``Predicted.trace``.
        predicted: What the run was predicted to come to; marked on the time axis.
        width_in: Width of the figure in inches.

    Raises:
        PlanError: The planned trace is of another DAG.
    """
    with paper_style():
        return _overlay(trace, planned, predicted, width_in) if planned else _single(trace, predicted, width_in)


def container_rows(records: Records) -> dict[str, int]:
    """Return the row of each container, in the order of their first use."""
    by_use = sorted(records.workers, key=lambda worker: worker.launched_s)
    return {container: row for row, container in enumerate(dict.fromkeys(worker.container for worker in by_use))}


def _single(trace: Trace, predicted: Predicted | None, width_in: float) -> PaperFigure:
    records = trace.records
    row_of = container_rows(records)
    rows = Rows(list(row_of), "container, in order of first use")
    figure = PaperFigure(figsize=(width_in, rows.body_in))
    axes = figure.add_subplot()

    def place(worker: WorkerRecord) -> float:
        return row_of[worker.container]

    handles = legend_entries(draw_workers(axes, records, place, hatched=rows.hatched), hatched=rows.hatched)
    handles += draw_crosses(axes, records, place, rows.row_in)
    rows.label(axes)
    axes.set_xlim(0, length_s(records) or 1.0)
    if predicted is not None:
        handles += draw_prediction(axes, predicted)
    axes.set_xlabel(TIME_LABEL)
    finish(figure, rows.body_in, run_title(trace, narrow=width_in < NARROW_IN), handles)
    return figure


def _overlay(trace: Trace, planned: Trace, predicted: Predicted | None, width_in: float) -> PaperFigure:
    if trace.manifest.structure_hash != planned.manifest.structure_hash:
        raise PlanError(
            f"the plan is for DAG {planned.manifest.dag_name!r} ({planned.manifest.structure_hash}), the run is one of "
            f"{trace.manifest.dag_name!r} ({trace.manifest.structure_hash}); overlay a plan of the same DAG"
        )
    pairs = match_workers(planned.records, trace.records)
    upper = {plan: row - _LANE for row, (plan, _) in enumerate(pairs) if plan is not None}
    lower = {run: row + _LANE for row, (_, run) in enumerate(pairs) if run is not None}
    names = [name_of(trace, plan if plan is not None else run or "") for plan, run in pairs]
    rows = Rows(names, "worker, in planned order", lanes=2)
    figure = PaperFigure(figsize=(width_in, rows.body_in))
    axes = figure.add_subplot()

    def place_planned(worker: WorkerRecord) -> float | None:
        return upper.get(worker.invocation)

    def place_run(worker: WorkerRecord) -> float | None:
        return lower.get(worker.invocation)

    for row in range(1, len(pairs), 2):
        axes.axhspan(row - 0.5, row + 0.5, color="#f7f7f7", lw=0, zorder=0)
    height = 2 * _LANE * 0.95
    kinds = draw_workers(axes, planned.records, place_planned, height=height, hatched=rows.hatched, pale=True)
    kinds |= draw_workers(axes, trace.records, place_run, height=height, hatched=rows.hatched)
    handles = legend_entries(kinds, hatched=rows.hatched)
    handles += draw_crosses(axes, trace.records, place_run, rows.row_in / 2)
    rows.label(axes)
    axes.set_xlim(0, max(length_s(trace.records), length_s(planned.records)) or 1.0)
    if predicted is not None:
        handles += draw_prediction(axes, predicted)
    axes.set_xlabel(TIME_LABEL)
    planned_s, makespan_s = planned.metrics["makespan_s"], trace.metrics["makespan_s"]
    ratio = f" ({makespan_s / planned_s - 1:+.0%})" if planned_s else ""
    narrow = width_in < NARROW_IN
    title = run_title(trace, narrow=narrow)
    title += f"\npale, above: planned, {planned_s:.3g} s;{chr(10) if narrow else ' '}below: as it went{ratio}"
    finish(figure, rows.body_in, title, handles)
    return figure


def run_title(trace: Trace, *, narrow: bool) -> str:
    """Return what a run was and came to, in one line, in two if there is little room, and one more if contended."""
    separator, space = ("\n", "\n") if narrow else (", ", " ")
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
