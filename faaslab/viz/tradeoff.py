"""Cost against makespan: what several plans of one DAG come to, which of them no other beats, and what none can be."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import LogFormatter, LogLocator, NullFormatter

from faaslab.plan.predicted import Distribution, Predicted
from faaslab.planners.bounds import Bounds
from faaslab.planners.comparison import Comparison
from faaslab.viz.theme import COLUMN_IN, MARKERS, PALETTE, PaperFigure, legend_above, paper_style

PER_RUNS = 1000
"""Cost is shown for so many runs, as that of one has too many zeros to read."""
WHISKERS = (0.1, 0.9)
_BODY_IN = 2.3
_LOG_FROM = 8.0
"""An axis is logarithmic where the largest value is more than so many times the smallest."""
_SAME = 0.002
"""Points that differ by no more than this part would cover each other and are drawn as one."""


@dataclass(frozen=True, slots=True)
class Point:
    """A plan in the plane of makespan and cost.

    Attributes:
        name: What the legend calls it.
        makespan_s: Seconds.
        cost_usd: USD of one run.
        makespan: How the makespan varies; None: not known.
        cost: How the cost varies; None: not known.
    """

    name: str
    makespan_s: float
    cost_usd: float
    makespan: Distribution | None = None
    cost: Distribution | None = None


def comparison_figure(comparison: Comparison, *, width_in: float = COLUMN_IN) -> PaperFigure:
    """Return cost against makespan of the planners that were compared; see ``tradeoff_figure``.

    Args:
        comparison: Of planners; see ``fl.compare``.
        width_in: Width of the figure in inches.
    """
    points = []
    for compared in comparison.plans:
        predicted: Predicted | None = compared.plan.predicted
        points.append(
            Point(
                compared.plan.planner,
                compared.simulation.makespan_s,
                compared.simulation.cost_usd,
                predicted.makespan if predicted else None,
                predicted.cost if predicted else None,
            )
        )
    front = [point for point in points if point.name in comparison.pareto]
    dag_name = comparison.plans[0].plan.dag_name if comparison.plans else ""
    return tradeoff_figure(points, front, comparison.bounds, title=dag_name, width_in=width_in)


def tradeoff_figure(
    points: Sequence[Point],
    front: Sequence[Point],
    bounds: Bounds | None = None,
    *,
    title: str = "",
    width_in: float = COLUMN_IN,
) -> PaperFigure:
    """Return cost against makespan: a marker for each plan, the Pareto front as steps, lower bounds as dashed lines.

    Whiskers reach from the 10th to the 90th percentile. Plans that come to the same share a marker. An axis is
    logarithmic if its values differ much.

    Args:
        points: The plans.
        front: Those that no other beats in makespan and cost both.
        bounds: What no plan can be better than.
        title: Over the figure.
        width_in: Width of the figure in inches.

    Raises:
        ValueError: There is no plan.
    """
    if not points:
        raise ValueError("there is no plan to draw")
    groups = _groups(points)
    with paper_style():
        figure = PaperFigure(figsize=(width_in, _BODY_IN + 0.2 * bool(title)))
        axes = figure.add_subplot()
        axes.grid(visible=True, axis="both")
        for index, group in enumerate(groups):
            _draw_group(axes, group, index)
        steps = sorted({(point.makespan_s, _shown_usd(point.cost_usd)) for point in front})
        if steps:
            axes.plot(
                [x for x, _ in steps],
                [y for _, y in steps],
                drawstyle="steps-post",
                color="#555555",
                linewidth=0.8,
                zorder=1,
                label="Pareto front",
            )
        if bounds is not None:
            axes.axvline(
                bounds.makespan_s, color="#949494", linestyle=(0, (4, 2)), linewidth=0.8, label="least makespan"
            )
            axes.axhline(
                _shown_usd(bounds.cost_usd), color="#949494", linestyle=(0, (1, 1)), linewidth=0.8, label="least cost"
            )
        axes.set_xlabel("makespan (s)")
        axes.set_ylabel(f"cost (USD per {PER_RUNS:,} runs)")
        set_scale(axes, "x", [p.makespan_s for p in points] + ([bounds.makespan_s] if bounds else []))
        set_scale(
            axes, "y", [_shown_usd(p.cost_usd) for p in points] + ([_shown_usd(bounds.cost_usd)] if bounds else [])
        )
        if title:
            axes.set_title(title, loc="left", fontweight="bold")
        legend_above(figure, axes.get_legend_handles_labels()[0])
    return figure


def _groups(points: Sequence[Point]) -> list[list[Point]]:
    """Return points that would cover each other together, in their order."""
    groups: list[list[Point]] = []
    for point in points:
        for group in groups:
            if _close(group[0].makespan_s, point.makespan_s) and _close(group[0].cost_usd, point.cost_usd):
                group.append(point)
                break
        else:
            groups.append([point])
    return groups


def _close(a: float, b: float) -> bool:
    return abs(a - b) <= _SAME * max(abs(a), abs(b))


def _draw_group(axes: Axes, group: Sequence[Point], index: int) -> None:
    first = group[0]
    color, x, y = PALETTE[index % len(PALETTE)], first.makespan_s, _shown_usd(first.cost_usd)
    if first.makespan is not None:
        low, high = (first.makespan.quantile(quantile) for quantile in WHISKERS)
        axes.plot([low, high], [y, y], color=color, linewidth=0.8, zorder=2)
    if first.cost is not None:
        low, high = (_shown_usd(first.cost.quantile(quantile)) for quantile in WHISKERS)
        axes.plot([x, x], [low, high], color=color, linewidth=0.8, zorder=2)
    axes.plot(
        [x],
        [y],
        linestyle="none",
        marker=MARKERS[index % len(MARKERS)],
        markersize=5,
        markerfacecolor=color,
        markeredgecolor="white",
        markeredgewidth=0.4,
        zorder=3,
        label=", ".join(point.name for point in group),
        clip_on=False,
    )


def _shown_usd(cost_usd: float) -> float:
    return cost_usd * PER_RUNS


def set_scale(axes: Axes, axis: str, values: Sequence[float]) -> None:
    """Let an axis (``x`` or ``y``) begin at 0, or be logarithmic where that is needed to tell its values apart."""
    low, high = min(values), max(values)
    if low > 0 and high > _LOG_FROM * low:
        axes.set(**{f"{axis}scale": "log"})
        which = axes.xaxis if axis == "x" else axes.yaxis
        which.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        which.set_major_formatter(LogFormatter(labelOnlyBase=False, minor_thresholds=(float("inf"), float("inf"))))
        which.set_minor_formatter(NullFormatter())
    else:
        axes.set(**{f"{axis}lim": (0, None)})
