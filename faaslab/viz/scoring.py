"""How good predictions were: promises kept, losses, where in their distributions runs ended, how far off.

Everything is drawn from what ``faaslab.model.scoring`` computes, by the name of a planner, a shape of DAG or whatever
else rows are to be.
"""

import math
import statistics
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from faaslab.model.scoring import CONFIDENCE, Coverage, Pairs, mape
from faaslab.viz.theme import COLUMN_IN, HATCHES, MARKERS, NARROW_IN, PALETTE, PaperFigure, legend_above, paper_style
from faaslab.viz.tradeoff import set_scale

_ROW_IN = 0.22
_FOOT_IN = 0.65
_LABEL_MARGIN = 1.18
_BAND_COLOR = "#e8e8e8"


def coverage_figure(coverages: Mapping[str, Sequence[Coverage]], *, width_in: float = COLUMN_IN) -> PaperFigure:
    """Return how often promises were kept: rates with Clopper-Pearson intervals beside what was promised.

    There is a row for each name and in it a stroke for each promise; vertical lines are at the promises. A promise
    whose interval does not reach its line has an open marker.

    Args:
        coverages: What was promised and kept, by name.
        width_in: Width of the figure in inches.

    Raises:
        ValueError: There is none.
    """
    quantiles = sorted({one.quantile for row in coverages.values() for one in row})
    if not quantiles:
        raise ValueError("there is no coverage to draw")
    with paper_style():
        step = 0.7 / len(quantiles)
        body_in = _ROW_IN * (1 + 0.35 * (len(quantiles) - 1)) * len(coverages)
        figure = PaperFigure(figsize=(width_in, body_in + _FOOT_IN))
        axes = figure.add_subplot()
        axes.grid(visible=True, axis="x")
        for index, quantile in enumerate(quantiles):
            axes.axvline(quantile, color=PALETTE[index % len(PALETTE)], linestyle=(0, (4, 2)), linewidth=0.9, zorder=1)
        for row, ones in enumerate(coverages.values()):
            for one in ones:
                index = quantiles.index(one.quantile)
                at = row + (index - (len(quantiles) - 1) / 2) * step
                color = PALETTE[index % len(PALETTE)]
                axes.plot([one.low, one.high], [at, at], color=color, linewidth=1.6, solid_capstyle="butt")
                kept = one.low <= one.quantile <= one.high
                marker = MARKERS[index % len(MARKERS)]
                axes.plot([one.rate], [at], marker, ms=4, mfc=color if kept else "white", mec=color, mew=0.9)
        axes.set_yticks(
            range(len(coverages)), [_counted(name, [one.runs for one in row]) for name, row in coverages.items()]
        )
        axes.set_ylim(len(coverages) - 0.5, -0.5)
        for row in range(1, len(coverages)):
            axes.axhline(row - 0.5, color="#dddddd", linewidth=0.4, zorder=0)
        axes.set_xlim(right=1.005)
        figure.supxlabel(f"part of runs within the promise, {CONFIDENCE:.0%} CI", fontsize=8)
        handles = [
            Line2D(
                [],
                [],
                color=PALETTE[index % len(PALETTE)],
                marker=MARKERS[index % len(MARKERS)],
                markersize=4,
                linewidth=1.6,
                label=f"p{100 * quantile:g}",
            )
            for index, quantile in enumerate(quantiles)
        ]
        if any(not one.low <= one.quantile <= one.high for row in coverages.values() for one in row):
            handles.append(
                Line2D(
                    [], [], color="none", marker="o", markersize=4, mfc="white", mec="black", label="not as promised"
                )
            )
        legend_above(figure, handles)
    return figure


def pinball_figure(losses: Mapping[str, Mapping[float, float]], *, width_in: float = COLUMN_IN) -> PaperFigure:
    """Return the mean pinball loss by name, a bar for each quantile; less is better.

    Args:
        losses: By name and quantile, in seconds.
        width_in: Width of the figure in inches.

    Raises:
        ValueError: There is none.
    """
    quantiles = sorted({quantile for row in losses.values() for quantile in row})
    if not quantiles:
        raise ValueError("there is no loss to draw")
    with paper_style():
        height = 0.8 / len(quantiles)
        body_in = _ROW_IN * (1 + 0.5 * (len(quantiles) - 1)) * len(losses)
        figure = PaperFigure(figsize=(width_in, body_in + _FOOT_IN))
        axes = figure.add_subplot()
        axes.grid(visible=True, axis="x")
        handles = []
        for index, quantile in enumerate(quantiles):
            color, hatch = PALETTE[index % len(PALETTE)], HATCHES[index % len(HATCHES)]
            for row, of_row in enumerate(losses.values()):
                if quantile in of_row:
                    at = row + (index - (len(quantiles) - 1) / 2) * height
                    value = of_row[quantile]
                    axes.barh(at, value, height * 0.92, color=color, hatch=hatch, edgecolor="white", linewidth=0.3)
                    axes.annotate(
                        f"{value:.3g}", (value, at), (2, 0), textcoords="offset points", va="center", fontsize=6
                    )
            handles.append(
                Patch(facecolor=color, hatch=hatch, edgecolor="white", linewidth=0.3, label=f"p{100 * quantile:g}")
            )
        largest = max(value for row in losses.values() for value in row.values())
        axes.set_xlim(0, largest * _LABEL_MARGIN or 1.0)
        axes.set_yticks(range(len(losses)), list(losses))
        axes.set_ylim(len(losses) - 0.5, -0.5)
        axes.set_xlabel("mean pinball loss (s)")
        legend_above(figure, handles)
    return figure


def pit_figure(values: Mapping[str, Sequence[float]], *, bins: int = 10, width_in: float = COLUMN_IN) -> PaperFigure:
    """Return where in their predicted distributions runs ended (PIT), a histogram for each name.

    Right predictions give even bars. The grey band is where a bar is in 95 of 100 such cases (binomial). A hump in the
    middle: distributions are too wide; at the edges: too narrow; at the right: runs take longer than predicted.

    Args:
        values: From 0 to 1, at least one for each name.
        bins: How many bars.
        width_in: Width of the figure in inches.

    Raises:
        ValueError: There is none.
    """
    if not values or not all(values.values()):
        raise ValueError("there is no PIT value to draw")
    from scipy import stats

    with paper_style():
        columns = min(len(values), 2 if width_in < NARROW_IN else 4)
        lines = math.ceil(len(values) / columns)
        figure = PaperFigure(figsize=(width_in, 1.05 * lines + 0.35))
        panels = list(figure.subplots(lines, columns, squeeze=False, sharex=True).flat)
        for axes, (name, ranks) in zip(panels, values.items(), strict=False):
            expected = len(ranks) / bins
            low, high = (stats.binom.ppf(part, len(ranks), 1 / bins) for part in (0.025, 0.975))
            axes.axhspan(low, high, color=_BAND_COLOR, lw=0, zorder=0)
            axes.axhline(expected, color="#555555", linestyle=(0, (4, 2)), linewidth=0.8, zorder=1)
            axes.hist(ranks, bins=bins, range=(0, 1), color=PALETTE[0], edgecolor="white", linewidth=0.4, zorder=2)
            axes.set_xlim(0, 1)
            axes.set_ylim(0, max(axes.get_ylim()[1], high * 1.15))
            axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
            axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
            axes.set_title(f"{name} (n = {len(ranks)})", loc="left")
        for axes in panels[len(values) :]:
            axes.set_visible(False)
        figure.supxlabel("place in the predicted distribution (PIT)", fontsize=8)
        figure.supylabel("runs", fontsize=8)
    return figure


def accuracy_figure(pairs: Mapping[str, Pairs], *, width_in: float = COLUMN_IN) -> PaperFigure:
    """Return predicted against actual makespans: a point for each run, whiskers from the 10th to the 90th percentile.

    The line is where both are the same. The legend has the mean absolute error of each name's medians.

    Args:
        pairs: What was predicted and what it came to, seconds, by name.
        width_in: Width of the figure in inches.

    Raises:
        ValueError: There is none.
    """
    names = [name for name, row in pairs.items() if row]
    if not names:
        raise ValueError("there is no run to draw")
    with paper_style():
        figure = PaperFigure(figsize=(width_in, min(width_in, 3.6) * 0.85))
        axes = figure.add_subplot()
        axes.grid(visible=True, axis="both")
        for index, name in enumerate(names):
            _draw_pairs(axes, pairs[name], index, f"{name}: MAPE {mape(pairs[name]):.0%}, n = {len(pairs[name])}")
        both = [(predicted.quantile(0.5), actual) for name in names for predicted, actual in pairs[name]]
        values = [value for pair in both for value in pair]
        set_scale(axes, "x", values)
        set_scale(axes, "y", values)
        low = min(values) / 1.2 if axes.get_xscale() == "log" else 0.0
        limits = (low, max(values) * 1.2)
        axes.plot(limits, limits, color="#555555", linewidth=0.8, zorder=1)
        axes.set(xlim=limits, ylim=limits, aspect="equal")
        axes.set_xlabel("predicted makespan (s)")
        axes.set_ylabel("actual makespan (s)")
        legend_above(figure, axes.get_legend_handles_labels()[0])
    return figure


def _draw_pairs(axes: Axes, pairs: Pairs, index: int, label: str) -> None:
    color = PALETTE[index % len(PALETTE)]
    for predicted, actual in pairs:
        whisker = [predicted.quantile(quantile) for quantile in (0.1, 0.9)]
        axes.plot(whisker, [actual, actual], color=color, linewidth=0.5, alpha=0.6, zorder=2)
    axes.plot(
        [predicted.quantile(0.5) for predicted, _ in pairs],
        [actual for _, actual in pairs],
        linestyle="none",
        marker=MARKERS[index % len(MARKERS)],
        ms=4,
        mfc=color,
        mec="white",
        mew=0.3,
        zorder=3,
        label=label,
    )


def _counted(name: str, runs: Sequence[int]) -> str:
    """Return a row's name with the number of runs behind it."""
    return f"{name} (n = {round(statistics.median(runs))})" if runs else name
