"""A figure of the study of planners: makespans on each launcher, side by side."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from faaslab.viz import bootstrap, paper_style
from faaslab.viz.stats import CONFIDENCE
from faaslab.viz.theme import DOUBLE_COLUMN_IN, PALETTE, PaperFigure

_ROW_IN = 0.24
"""Height of one planner on one launcher."""
_RUN: dict[bool, dict[str, Any]] = {
    False: {"marker": "o", "ms": 2.8, "mec": "white", "mew": 0.2, "alpha": 0.8},
    True: {"marker": "D", "ms": 2.8, "mfc": "white", "mew": 0.7},
}
"""How a run is drawn: open diamonds are contended, as in ``faaslab.viz``."""


def makespan_by_launcher(runs: pd.DataFrame) -> PaperFigure:
    """Return makespans by planner and launcher: a row of panels for each workflow, a column for each pool.

    Every run is a mark, an open diamond if others held its tasks up; the bar is the bootstrap confidence interval of
    the median, the stroke the median.

    Args:
        runs: The study's table; its order is that of the figure.
    """
    workflows, pools, planners, launchers = (
        list(dict.fromkeys(runs[name])) for name in ("workflow", "pool", "planner", "launcher")
    )
    panel_in = _ROW_IN * len(planners) * len(launchers) + 0.45
    with paper_style():
        figure = PaperFigure(figsize=(DOUBLE_COLUMN_IN, panel_in * len(workflows) + 0.6))
        panels = figure.subplots(len(workflows), len(pools), squeeze=False, sharex="row", sharey=True)
        for row, workflow in enumerate(workflows):
            for column, pool in enumerate(pools):
                axes = panels[row, column]
                axes.grid(visible=True, axis="x")
                axes.set_title(f"{workflow}, {pool} containers", loc="left", fontweight="bold")
                axes.xaxis.set_major_locator(MaxNLocator(6))
                of_panel = runs[(runs["workflow"] == workflow) & (runs["pool"] == pool)]
                _draw(axes, of_panel, planners, launchers)
            panels[row, 0].set_xlim(left=0)
        panels[0, 0].set_yticks(range(len(planners)), planners)
        panels[0, 0].set_ylim(len(planners) - 0.5, -0.5)
        figure.supxlabel(f"makespan (s): median, {CONFIDENCE:.0%} CI, and runs", fontsize=8)
        keys = [
            Line2D([], [], ls="", c=PALETTE[index], label=name, **_RUN[False]) for index, name in enumerate(launchers)
        ]
        if (runs["contended_tasks"] > 0).any():
            keys.append(Line2D([], [], ls="", c="black", label="contended", **_RUN[True]))
        figure.legend(handles=keys, loc="outside upper center", ncols=len(keys))
    return figure


def _draw(axes: Axes, runs: pd.DataFrame, planners: list[str], launchers: list[str]) -> None:
    """Draw the runs of one workflow on one pool; launchers share the height of a planner's row."""
    height = 0.8 / len(launchers)
    for index, launcher in enumerate(launchers):
        color = PALETTE[index]
        for row, planner in enumerate(planners):
            of_row = runs[(runs["launcher"] == launcher) & (runs["planner"] == planner)].sort_values("makespan_s")
            at = row + (index - (len(launchers) - 1) / 2) * height
            spans = of_row["makespan_s"].tolist()
            interval = bootstrap(spans)
            if interval.high > interval.low:
                axes.plot([interval.low, interval.high], [at - 0.2 * height] * 2, color=color, lw=3, alpha=0.35)
            axes.plot([interval.estimate], [at - 0.2 * height], "|", ms=8, mec=color, mew=1.4)
            for span, contended in zip(spans, of_row["contended_tasks"] > 0, strict=True):
                axes.plot([span], [at + 0.2 * height], ls="", c=color, clip_on=False, **_RUN[bool(contended)])
