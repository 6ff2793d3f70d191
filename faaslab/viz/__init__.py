"""Figures: in the style of a paper, drawn from traces, predictions and tables of runs."""

from faaslab.viz.ablation import Ablation, ablation_figure, overhead_figure
from faaslab.viz.distributions import distribution_figure, makespans_figure
from faaslab.viz.figures import bytes_figure, makespan_figure, run_table, save_figure
from faaslab.viz.gantt import gantt
from faaslab.viz.prediction import predicted_gantt
from faaslab.viz.scoring import accuracy_figure, coverage_figure, pinball_figure, pit_figure
from faaslab.viz.stats import Interval, Ratios, bootstrap, paired_ratios
from faaslab.viz.theme import paper_style
from faaslab.viz.tradeoff import Point, comparison_figure, front_figure, tradeoff_figure

__all__ = [
    "Ablation",
    "ablation_figure",
    "overhead_figure",
    "Interval",
    "Point",
    "accuracy_figure",
    "Ratios",
    "bootstrap",
    "bytes_figure",
    "comparison_figure",
    "coverage_figure",
    "distribution_figure",
    "front_figure",
    "gantt",
    "makespan_figure",
    "makespans_figure",
    "paired_ratios",
    "paper_style",
    "pinball_figure",
    "pit_figure",
    "predicted_gantt",
    "run_table",
    "save_figure",
    "tradeoff_figure",
]
