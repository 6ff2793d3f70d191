"""Two runs side by side: what they came to, task by task, and when what ran where."""

from dataclasses import dataclass
from functools import cached_property
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.artist import Artist

from faaslab.client import Run, open_run
from faaslab.trace import Trace
from faaslab.trace.records import TaskRecord, WorkerRecord
from faaslab.viz.gantt import TIME_LABEL, container_rows, run_title
from faaslab.viz.rows import Rows, draw_crosses, draw_workers, legend_entries, length_s
from faaslab.viz.theme import DOUBLE_COLUMN_IN, LINE_IN, NARROW_IN, PaperFigure, figure_html, legend_above, paper_style

if TYPE_CHECKING:
    import pandas as pd

_HEAD_IN = 0.5
"""Height of a chart's title and what is between charts."""


@dataclass(frozen=True)
class RunComparison:
    """Two runs, as values; shows as metrics and Gantt charts in a notebook.

    Attributes:
        a: One.
        b: The other; differences are how much more than ``a`` it took.
    """

    a: Trace
    b: Trace

    @cached_property
    def metrics(self) -> "pd.DataFrame":
        """One row for each metric: both runs' values, their difference, and ``b`` as a multiple of ``a``."""
        import pandas as pd

        a, b = self.a.metrics, self.b.metrics
        rows = [
            {
                "metric": name,
                "a": a[name],
                "b": b[name],
                "difference": b[name] - a[name],
                "ratio": b[name] / a[name] if a[name] else float("nan"),
            }
            for name in a
        ]
        return pd.DataFrame(rows).set_index("metric")

    @cached_property
    def tasks(self) -> "pd.DataFrame":
        """One row for each task of either run, by task id; of its attempts, the one that counted.

        Where a run has no such task, or it did not finish, values are missing. Times are seconds, ``end_s`` since the
        run was submitted.
        """
        import pandas as pd

        rows: dict[str, dict[str, Any]] = {}
        for side, trace in (("a", self.a), ("b", self.b)):
            for record in trace.records.tasks:
                if record.counted:
                    values = _task_values(record, trace.records.submitted_s)
                    rows.setdefault(trace.task_id(record.task), {}).update(
                        {f"{name}_{side}": value for name, value in values.items()}
                    )
        names = [*_task_names()]
        columns = [f"{name}_{side}" for name in names for side in "ab"]
        frame = pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("task")
        frame["exec_difference_s"] = frame["exec_s_b"] - frame["exec_s_a"]
        return frame

    def gantt(self, *, width_in: float = DOUBLE_COLUMN_IN) -> PaperFigure:
        """Return the Gantt charts of both runs, one above the other, on one time axis.

        Args:
            width_in: Width of the figure in inches.
        """
        narrow = width_in < NARROW_IN
        traces = (self.a, self.b)
        rows_of = [container_rows(trace.records) for trace in traces]
        all_rows = [Rows(list(row_of), "container") for row_of in rows_of]
        titles = [f"{side}: {run_title(trace, narrow=narrow)}" for side, trace in zip("ab", traces, strict=True)]
        with paper_style():
            extra = LINE_IN * sum(title.count("\n") for title in titles)
            heights = [rows.body_in for rows in all_rows]
            figure = PaperFigure(figsize=(width_in, sum(heights) + 2 * _HEAD_IN + 0.3 + extra))
            panels = figure.subplots(2, 1, sharex=True, height_ratios=heights)
            kinds: set[str] = set()
            crosses: list[Artist] = []
            for axes, trace, row_of, rows, title in zip(panels, traces, rows_of, all_rows, titles, strict=True):

                def place(worker: WorkerRecord, row_of: dict[str, int] = row_of) -> float:
                    return row_of[worker.container]

                kinds |= draw_workers(axes, trace.records, place, hatched=rows.hatched)
                crosses = draw_crosses(axes, trace.records, place, rows.row_in) or crosses
                rows.label(axes)
                axes.set_title(title, loc="left")
            panels[0].set_xlim(0, max(length_s(trace.records) for trace in traces) or 1.0)
            panels[1].set_xlabel(TIME_LABEL)
            hatched = any(rows.hatched for rows in all_rows)
            handles = legend_entries(kinds, hatched=hatched) + crosses
            legend_above(figure, handles)
        return figure

    def _repr_html_(self) -> str:
        heads = "".join(
            f"<br><b>{side}</b>: {escape(_description(trace))}" for side, trace in (("a", self.a), ("b", self.b))
        )
        same = set(self.a.ids) & set(self.b.ids)
        alone = [len(set(trace.ids) - same) for trace in (self.a, self.b)]
        text = f"{len(same)} tasks in both, {alone[0]} in a alone, {alone[1]} in b alone"
        table = self.metrics[(self.metrics["a"] != 0) | (self.metrics["b"] != 0)]
        return f"<p>{text}{heads}</p>{figure_html(self.gantt(), 'Gantt charts of both runs')}" + table.to_html(
            float_format=lambda value: f"{value:.4g}"
        )

    def __repr__(self) -> str:
        a_s, b_s = self.a.metrics["makespan_s"], self.b.metrics["makespan_s"]
        return f"RunComparison(a: {_description(self.a)}, {a_s:.3g} s; b: {_description(self.b)}, {b_s:.3g} s)"


def compare_runs(a: Run | Trace | str | PathLike[str], b: Run | Trace | str | PathLike[str]) -> RunComparison:
    """Put two runs side by side: metrics and their differences, tasks matched by id, Gantt charts on one axis.

    Args:
        a: A run, a trace (of a real, a virtual or a simulated run), a folder that ``Trace.save`` wrote, or a run id.
        b: The other, likewise.

    Raises:
        ConfigError: There is no saved run of that name.
        TraceError: A saved run can't be read.
    """
    return RunComparison(_trace_of(a), _trace_of(b))


def _trace_of(run: Run | Trace | str | PathLike[str]) -> Trace:
    if isinstance(run, Trace):
        return run
    if isinstance(run, Run):
        return run.trace
    return Trace.load(Path(run)) if Path(run).is_dir() else open_run(str(run))


def _description(trace: Trace) -> str:
    manifest = trace.manifest
    return f"{manifest.dag_name}, {manifest.planner} on {manifest.launcher}, run {manifest.run}"


def _task_names() -> tuple[str, ...]:
    return ("worker", "size_mib", "fetch_s", "exec_s", "store_s", "end_s")


def _task_values(record: TaskRecord, submitted_s: float) -> dict[str, Any]:
    return {
        "worker": record.invocation,
        "size_mib": record.size_mib,
        "fetch_s": record.fetch_s,
        "exec_s": record.exec_s,
        "store_s": record.store_s,
        "end_s": record.end_s - submitted_s,
    }
