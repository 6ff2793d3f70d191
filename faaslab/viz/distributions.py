"""How predicted makespans and costs vary: one plan in detail, several plans on one axis."""

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from faaslab.plan.predicted import Distribution, Predicted
from faaslab.viz.theme import COLUMN_IN, LINESTYLES, MARKERS, PALETTE, PaperFigure, legend_above, paper_style
from faaslab.viz.tradeoff import PER_RUNS, set_scale

SHOWN = (0.1, 0.5, 0.9)
_BINS = 30
_PANEL_IN = 1.15
_BAR_COLOR = "#56b4e9"


def distribution_figure(predicted: Predicted, *, width_in: float = COLUMN_IN) -> PaperFigure:
    """Return histograms of the predicted makespan and cost, with the 10th, 50th and 90th percentile and the SLA marked.

    Args:
        predicted: What a plan is predicted to come to.
        width_in: Width of the figure in inches.
    """
    manifest = predicted.trace.manifest
    with paper_style():
        figure = PaperFigure(figsize=(width_in, 2 * _PANEL_IN + 0.4))
        upper, lower = figure.subplots(2, 1)
        _draw_histogram(upper, predicted, predicted.makespan, 1.0, "makespan (s)")
        _draw_histogram(lower, predicted, predicted.cost, PER_RUNS, f"cost (USD per {PER_RUNS:,} runs)")
        upper.set_title(
            f"{manifest.dag_name}, {manifest.planner}: {len(predicted.makespan.draws):,} simulated runs", loc="left"
        )
    return figure


def _draw_histogram(axes: Axes, predicted: Predicted, values: Distribution, factor: float, label: str) -> None:
    draws = [value * factor for value in values.draws]
    # The outermost runs would leave no room for the others.
    low, high = (values.quantile(quantile) * factor for quantile in (0.005, 0.995))
    if high - low > 1e-9 * abs(high):
        axes.hist(draws, bins=_BINS, range=(low, high), color=_BAR_COLOR, edgecolor="white", linewidth=0.3)
    else:
        axes.set_xlim(0, 2 * high or 1.0)
        axes.axvline(high, color=_BAR_COLOR, linewidth=4)
    marks = [(f"p{quantile * 100:g}", values.quantile(quantile), 0.8) for quantile in SHOWN]
    sla = (predicted.sla.name, values.at(predicted.sla), 1.6)
    marks = [mark for mark in marks if mark[0] != sla[0]] + [sla]
    for (name, value, linewidth), style in zip(sorted(marks, key=lambda mark: mark[1]), LINESTYLES, strict=False):
        text = f"{name}: {value * factor:.3g}" + (" (SLA)" if name == sla[0] else "")
        axes.axvline(value * factor, color="black", linestyle=style, linewidth=linewidth, label=text)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=2.2)
    axes.set_xlabel(label)
    axes.set_ylabel("runs")
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))


def makespans_figure(predictions: Mapping[str, Predicted], *, width_in: float = COLUMN_IN) -> PaperFigure:
    """Return the part of runs that end in time, by makespan: a line for each plan, a marker at its SLA.

    Plans with the same distribution share a line. The axis is logarithmic if makespans differ much.

    Args:
        predictions: What plans are predicted to come to, by name.
        width_in: Width of the figure in inches.

    Raises:
        ValueError: There is none.
    """
    if not predictions:
        raise ValueError("there is no prediction to draw")
    groups: dict[tuple[float, ...], list[str]] = {}
    for name, predicted in predictions.items():
        groups.setdefault(predicted.makespan.draws, []).append(name)
    with paper_style():
        figure = PaperFigure(figsize=(width_in, 1.9))
        axes = figure.add_subplot()
        axes.grid(visible=True, axis="both")
        for index, (draws, names) in enumerate(groups.items()):
            predicted = predictions[names[0]]
            at_s = predicted.makespan_s
            color, style = PALETTE[index % len(PALETTE)], LINESTYLES[index % len(LINESTYLES)]
            axes.plot(
                [draws[0], *draws],
                [0, *((rank + 1) / len(draws) for rank in range(len(draws)))],
                drawstyle="steps-post",
                color=color,
                linestyle=style,
                marker=MARKERS[index % len(MARKERS)],
                markevery=[round(predicted.makespan.rank(at_s) * len(draws))],
                markersize=5,
                markeredgecolor="white",
                markeredgewidth=0.4,
                label=f"{', '.join(names)}: {at_s:.3g} s",
            )
        slas = ", ".join(dict.fromkeys(predicted.sla.name for predicted in predictions.values()))
        axes.set_xlabel(f"predicted makespan (s); markers: {slas}")
        axes.set_ylabel("part of runs")
        axes.set_ylim(0, 1.02)
        set_scale(axes, "x", [value for draws in groups for value in (draws[0], draws[-1])])
        legend_above(figure, axes.get_legend_handles_labels()[0])
    return figure
