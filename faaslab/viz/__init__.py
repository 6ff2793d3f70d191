"""Figures: in the style of a paper, drawn from traces and tables of runs."""

from faaslab.viz.figures import bytes_figure, makespan_figure, run_table, save_figure
from faaslab.viz.gantt import gantt
from faaslab.viz.stats import Interval, Ratios, bootstrap, holm, paired_ratios
from faaslab.viz.theme import paper_style

__all__ = [
    "Interval",
    "Ratios",
    "bootstrap",
    "bytes_figure",
    "gantt",
    "holm",
    "makespan_figure",
    "paired_ratios",
    "paper_style",
    "run_table",
    "save_figure",
]
