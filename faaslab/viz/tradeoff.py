"""Cost against makespan: what several plans of one DAG come to, which of them no other beats, and what none can be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from matplotlib.axes import Axes
from matplotlib.ticker import LogFormatter, LogLocator, NullFormatter

from faaslab.plan import Distribution, Predicted
from faaslab.planners.bounds import Bounds
from faaslab.planners.comparison import Comparison
from faaslab.planners.front import Front
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
        name: What the legend calls it; plans of one name have one look.
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

    @classmethod
    def of(cls, name: str, predicted: Predicted) -> Self:
        """Return what a plan is predicted to come to at its SLA."""
        return cls(name, predicted.makespan_s, predicted.cost_usd, predicted.makespan, predicted.cost)


def comparison_figure(comparison: Comparison, *, width_in: float = COLUMN_IN) -> PaperFigure:
    """Return cost against makespan of the planners that were compared, at the SLA; see ``tradeoff_figure``.

    Args:
        comparison: Of planners; see ``fl.compare``.
        width_in: Width of the figure in inches.

    Raises:
        ValueError: No planner was compared.
    """
    points = [Point.of(compared.plan.planner, compared.predicted) for compared in comparison.plans]
    names = (name for compared in comparison.plans for name in (compared.plan.dag_name, compared.predicted.sla.name))
    title = ", ".join(dict.fromkeys(names))
    return tradeoff_figure(points, comparison.bounds, title=title, width_in=width_in)


def front_figure(fronts: Mapping[str, Front], *, width_in: float = COLUMN_IN) -> PaperFigure:
    """Return the plans of fronts, in the run in which everything takes its median; see ``tradeoff_figure``.

    Args:
        fronts: Of one DAG, by name; see ``fl.pareto``.
        width_in: Width of the figure in inches.

    Raises:
        ValueError: No front has a plan.
    """
    points = [Point(name, *point) for name, front in fronts.items() for point in front.points]
    names = dict.fromkeys(plan.dag_name for front in fronts.values() for plan in front)
    return tradeoff_figure(points, title=", ".join([*names, "medians"]), width_in=width_in)


def tradeoff_figure(
    points: Sequence[Point], bounds: Bounds | None = None, *, title: str = "", width_in: float = COLUMN_IN
) -> PaperFigure:
    """Return cost against makespan: a marker for each plan, the Pareto front as steps, lower bounds as dashed lines.

    The front joins those plans that no other beats in makespan and cost both. Whiskers reach from the 10th to the 90th
    percentile. Plans that come to the same share a marker. An axis is logarithmic if its values differ much.

    Args:
        points: The plans.
        bounds: What no plan can be better than.
        title: Over the figure.
        width_in: Width of the figure in inches.

    Raises:
        ValueError: There is no plan.
    """
    if not points:
        raise ValueError("there is no plan to draw")
    with paper_style():
        figure = PaperFigure(figsize=(width_in, _BODY_IN + 0.2 * bool(title)))
        axes = figure.add_subplot()
        axes.grid(visible=True, axis="both")
        for index, (label, series) in enumerate(_series(points).items()):
            _draw_series(axes, label, series, index)
        front = pareto_front(points)
        axes.plot(
            [point.makespan_s for point in front],
            [_shown_usd(point.cost_usd) for point in front],
            drawstyle="steps-post",
            color="#555555",
            linewidth=0.8,
            zorder=1,
            label="Pareto front",
        )
        makespans_s, costs = [p.makespan_s for p in points], [_shown_usd(p.cost_usd) for p in points]
        if bounds is not None:
            makespans_s.append(bounds.makespan_s)
            costs.append(_shown_usd(bounds.cost_usd))
            look: dict[str, Any] = {"color": "#949494", "linewidth": 0.8}
            axes.axvline(bounds.makespan_s, linestyle=(0, (4, 2)), label="least makespan", **look)
            axes.axhline(_shown_usd(bounds.cost_usd), linestyle=(0, (1, 1)), label="least cost", **look)
        axes.set_xlabel("makespan (s)")
        axes.set_ylabel(f"cost (USD per {PER_RUNS:,} runs)")
        set_scale(axes, "x", makespans_s)
        set_scale(axes, "y", costs)
        if title:
            axes.set_title(title, loc="left", fontweight="bold")
        legend_above(figure, axes.get_legend_handles_labels()[0])
    return figure


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """Return the points that no other one beats in makespan and cost both, fastest first; of equals the first."""
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (point.makespan_s, point.cost_usd)):
        if not front or point.cost_usd < front[-1].cost_usd:
            front.append(point)
    return front


def _series(points: Sequence[Point]) -> dict[str, list[Point]]:
    """Return points by name, in their order; names whose only points would cover each other become one."""
    by_name: dict[str, list[Point]] = {}
    for point in points:
        by_name.setdefault(point.name, []).append(point)
    groups: list[tuple[list[str], list[Point]]] = []
    for name, series in by_name.items():
        for names, others in groups:
            if len(series) == len(others) == 1 and _same(series[0], others[0]):
                names.append(name)
                break
        else:
            groups.append(([name], series))
    return {", ".join(names): series for names, series in groups}


def _same(one: Point, other: Point) -> bool:
    pairs = ((one.makespan_s, other.makespan_s), (one.cost_usd, other.cost_usd))
    return all(abs(a - b) <= _SAME * max(abs(a), abs(b)) for a, b in pairs)


def _draw_series(axes: Axes, label: str, series: Sequence[Point], index: int) -> None:
    color = PALETTE[index % len(PALETTE)]
    for point in series:
        x, y = point.makespan_s, _shown_usd(point.cost_usd)
        if point.makespan is not None:
            axes.plot([point.makespan.quantile(q) for q in WHISKERS], [y, y], color=color, linewidth=0.8, zorder=2)
        if point.cost is not None:
            ends = [_shown_usd(point.cost.quantile(q)) for q in WHISKERS]
            axes.plot([x, x], ends, color=color, linewidth=0.8, zorder=2)
    axes.plot(
        [point.makespan_s for point in series],
        [_shown_usd(point.cost_usd) for point in series],
        linestyle="none",
        marker=MARKERS[index % len(MARKERS)],
        markersize=5,
        markerfacecolor=color,
        markeredgecolor="white",
        markeredgewidth=0.4,
        zorder=3,
        label=label,
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
