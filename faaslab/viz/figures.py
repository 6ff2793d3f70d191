"""Figures of a study, drawn from its table of runs, and saving a figure with all that made it."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from faaslab.trace import Trace
from faaslab.trace.export import write_atomic
from faaslab.viz.stats import CONFIDENCE, Interval, bootstrap
from faaslab.viz.theme import COLUMN_IN, HATCHES, PALETTE, PaperFigure, paper_style

MOVED = {"stored_bytes": "stored", "fetched_bytes": "fetched", "inline_bytes": "inline"}
"""What is moved between workers: metric and label."""

_CONTENDED_MARKER = "D"
_RUN_LOOKS: dict[str, dict[str, Any]] = {
    "o": {"ms": 2.6, "mec": "white", "mew": 0.2, "alpha": 0.8},
    _CONTENDED_MARKER: {"ms": 2.8, "mfc": "white", "mew": 0.7},
}


def run_table(traces: Iterable[Trace]) -> pd.DataFrame:
    """Return one row for each run: what it was, how it ended, and its metrics; what the figures are drawn from."""
    return pd.DataFrame(
        {
            "run": trace.manifest.run,
            "workflow": trace.manifest.dag_name,
            "planner": trace.manifest.planner,
            "launcher": trace.manifest.launcher,
            "status": trace.status,
            **trace.metrics,
        }
        for trace in traces
    )


def makespan_figure(
    runs: pd.DataFrame, *, statistic: Literal["median", "mean"] = "median", width_in: float = COLUMN_IN
) -> PaperFigure:
    """Return makespan by planner: every run as a point, the statistic with its bootstrap confidence interval.

    One panel for each workflow. Runs that did not finish are left out; the planner's label counts them (n = 9 of 10).
    Runs with tasks that others held up are open diamonds, counted in the label as well; the statistic has them in it.

    Args:
        runs: A table as ``run_table`` makes it.
        statistic: What is estimated.
        width_in: Width of the figure in inches.

    Raises:
        ValueError: No run has finished.
    """

    def draw(axes: Axes, finished: pd.DataFrame, planners: Sequence[str]) -> None:
        for row, planner in enumerate(planners):
            of_planner = finished[finished["planner"] == planner].sort_values("makespan_s")
            if of_planner.empty:
                continue
            samples = of_planner["makespan_s"].tolist()
            contended = (of_planner["contended_tasks"] > 0).tolist()
            color = PALETTE[row % len(PALETTE)]
            for marker, look in _RUN_LOOKS.items():
                # Spread by rank, not by chance: the same figure from the same data.
                points = [
                    (sample, row + 0.2 + 0.07 * (index % 3 - 1))
                    for index, sample in enumerate(samples)
                    if contended[index] is (marker == _CONTENDED_MARKER)
                ]
                if points:  # a line without points would confuse the layout
                    look = {"mfc": color, "mec": color} | look
                    axes.plot([x for x, _ in points], [y for _, y in points], marker, clip_on=False, **look)
            _draw_interval(axes, bootstrap(samples, statistic), row - 0.1)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(5))

    label = f"makespan (s): {statistic}, {CONFIDENCE:.0%} CI, and runs"
    if _contended(runs).any():
        label += " (◇ contended)"
    with paper_style():
        return _panels(runs, draw, label, width_in=width_in, row_in=0.38 if not _contended(runs).any() else 0.48)


def bytes_figure(runs: pd.DataFrame, *, width_in: float = COLUMN_IN) -> PaperFigure:
    """Return bytes moved by planner: stored, fetched and inline, medians with bootstrap confidence intervals.

    One panel for each workflow. Runs that did not finish are left out; the planner's label counts them (n = 9 of 10).

    Args:
        runs: A table as ``run_table`` makes it.
        width_in: Width of the figure in inches.

    Raises:
        ValueError: No run has finished.
    """
    height = 0.8 / len(MOVED)

    def draw(axes: Axes, finished: pd.DataFrame, planners: Sequence[str]) -> None:
        factor, unit = _unit(float(finished[list(MOVED)].max().max()))
        widest = 0.0
        for row, planner in enumerate(planners):
            of_planner = finished[finished["planner"] == planner]
            for index, metric in enumerate(MOVED):
                if of_planner.empty:
                    continue
                interval = bootstrap(of_planner[metric].tolist())
                at = row + (index - (len(MOVED) - 1) / 2) * height
                value = interval.estimate / factor
                look: dict[str, Any] = {
                    "color": PALETTE[index],
                    "hatch": HATCHES[index],
                    "edgecolor": "white",
                    "linewidth": 0.3,
                }
                axes.barh(at, value, height * 0.92, **look)
                high = value
                if interval.high > interval.low:
                    high = interval.high / factor
                    axes.plot([interval.low / factor, high], [at, at], color="black", lw=0.8)
                widest = max(widest, high)
                text = _bytes_text(interval.estimate)
                axes.annotate(text, (high, at), xytext=(2, 0), textcoords="offset points", va="center", fontsize=6)
        # Room for the numbers at the ends of the bars.
        axes.set_xlim(0, widest * 1.25 or 1.0)
        axes.set_xlabel(f"{unit}: median and {CONFIDENCE:.0%} CI")

    handles = [
        Patch(facecolor=PALETTE[index], hatch=HATCHES[index], edgecolor="white", linewidth=0.3, label=label)
        for index, label in enumerate(MOVED.values())
    ]
    with paper_style():
        figure = _panels(runs, draw, "", width_in=width_in, row_in=0.5)
        figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


def save_figure(fig: Figure, stem: str | Path, data: pd.DataFrame, provenance: Mapping[str, Any]) -> tuple[Path, ...]:
    """Write a figure, its data and where they come from; return the paths.

    Writes ``<stem>.pdf``, ``.png`` (300 dpi), ``.parquet`` and ``.json``, each as a whole or not at all. The same
    figure gives the same bytes.

    Args:
        fig: The figure.
        stem: Path without suffix; its folder is made if need be.
        data: What the figure shows.
        provenance: What made it (run ids, parameters, commit, …); JSON values only.

    Raises:
        TypeError: The provenance holds something that is not JSON.
    """
    base = Path(stem)
    base.parent.mkdir(parents=True, exist_ok=True)
    paths = tuple(base.with_name(base.name + suffix) for suffix in (".pdf", ".png", ".parquet", ".json"))
    pdf, png, parquet, about = paths
    text = dict(provenance)
    json.dumps(text)  # before anything is written
    with paper_style():
        # A creation date would make every file differ.
        write_atomic(pdf, lambda path: fig.savefig(path, format="pdf", metadata={"CreationDate": None}))
        write_atomic(png, lambda path: fig.savefig(path, format="png", dpi=300))
    write_atomic(parquet, lambda path: data.to_parquet(path, index=False))
    text |= {
        "figure": base.name,
        "rows": len(data),
        "data_sha256": sha256(parquet.read_bytes()).hexdigest(),
        "matplotlib": mpl.__version__,
    }
    encoded = json.dumps(text, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    write_atomic(about, lambda path: path.write_text(encoded, encoding="utf-8"))
    return paths


def _panels(
    runs: pd.DataFrame,
    draw: Callable[[Axes, pd.DataFrame, Sequence[str]], None],
    label: str,
    *,
    width_in: float,
    row_in: float,
) -> PaperFigure:
    """Return a figure with one panel for each workflow and one row for each planner, drawn by ``draw``."""
    finished = runs[runs["status"] == "finished"]
    if finished.empty:
        raise ValueError(f"none of the {len(runs)} runs has finished, so there is nothing to draw")
    workflows = list(dict.fromkeys(runs["workflow"]))
    planners = list(dict.fromkeys(runs["planner"]))
    panel_in = row_in * len(planners) + 0.35
    figure = PaperFigure(figsize=(width_in, panel_in * len(workflows) + 0.45))
    panels = figure.subplots(len(workflows), 1, squeeze=False)[:, 0]
    for axes, workflow in zip(panels, workflows, strict=True):
        of_workflow = runs[runs["workflow"] == workflow]
        axes.grid(visible=True, axis="x")
        draw(axes, of_workflow[of_workflow["status"] == "finished"], planners)
        axes.set_yticks(range(len(planners)), [_counted(of_workflow, planner) for planner in planners])
        axes.set_ylim(len(planners) - 0.5, -0.5)
        axes.set_title(workflow, loc="left", fontweight="bold")
    if label:
        figure.supxlabel(label, fontsize=mpl.rcParams["axes.labelsize"])
    return figure


def _counted(runs: pd.DataFrame, planner: str) -> str:
    """Return a planner's name with the number of runs behind its row."""
    of_planner = runs[runs["planner"] == planner]
    finished = int((of_planner["status"] == "finished").sum())
    contended = int(_contended(of_planner).sum())
    return (
        f"{planner}\nn = {finished}"
        + (f" of {len(of_planner)}" if finished < len(of_planner) else "")
        + (f"\n({contended} contended)" if contended else "")
    )


def _contended(runs: pd.DataFrame) -> "pd.Series[bool]":
    """Return which runs are drawn and had a task that others held up."""
    return (runs["status"] == "finished") & (runs["contended_tasks"] > 0)


def _draw_interval(axes: Axes, interval: Interval, at: float) -> None:
    """Draw a confidence interval as a bar and its estimate as a stroke across, however narrow the interval is."""
    if interval.high > interval.low:
        axes.plot([interval.low, interval.high], [at, at], color="#555555", lw=3.0, solid_capstyle="butt")
    axes.plot([interval.estimate], [at], "|", ms=8, mec="black", mew=1.2)


def _unit(largest_bytes: float) -> tuple[float, str]:
    """Return the factor and name of the unit in which ``largest_bytes`` has one to three digits."""
    for factor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if largest_bytes >= factor:
            return factor, unit
    return 1.0, "bytes"


def _bytes_text(value: float) -> str:
    factor, unit = _unit(value)
    return f"{value / factor:.3g} {'B' if unit == 'bytes' else unit}"
