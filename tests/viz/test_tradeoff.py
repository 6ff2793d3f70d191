import pytest
from matplotlib.figure import Figure

from faaslab.planners import compare, pareto
from faaslab.planners.bounds import Bounds
from faaslab.viz import Point, comparison_figure, front_figure, tradeoff_figure
from faaslab.viz.tradeoff import pareto_front
from tests.plan.dags import FakeDag
from tests.viz.looking import predicted_plan, sticks_out_in, texts

DAG = FakeDag(((), (0,), (0,), (0,), (1, 2, 3)), expected_s=dict.fromkeys(range(5), 2.0))
POINTS = [
    Point("fast", 1.0, 4e-3),
    Point("cheap", 4.0, 1e-3),
    Point("also fast", 1.0005, 4.0e-3),
    Point("bad", 4.0, 4e-3),
]


def legend(figure: Figure) -> list[str]:
    """Return the texts of a figure's legend."""
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_front_and_bounds() -> None:
    """Plans that come to the same share a marker; the front goes through its points in steps; bounds are lines."""
    figure = tradeoff_figure(POINTS, Bounds(0.5, 5e-4), title="fake")
    assert legend(figure) == ["fast, also fast", "cheap", "bad", "Pareto front", "least makespan", "least cost"]
    (front,) = [line for line in figure.axes[0].get_lines() if line.get_label() == "Pareto front"]
    assert list(zip(front.get_xdata(), front.get_ydata(), strict=True)) == [(1.0, 4.0), (4.0, 1.0)]
    assert front.get_drawstyle() == "steps-post"
    assert sticks_out_in(figure) < 0.02


@pytest.mark.parametrize("factor", [0.5, 100.0])
@pytest.mark.parametrize("width_in", [3.33, 7.0])
def test_axes_fit_their_values(factor: float, width_in: float) -> None:
    """Axes begin at zero; where values differ much they are logarithmic; nothing sticks out of either."""
    points = [Point(f"planner_{n}", 1.0 + n * factor, 1e-3 * (10 + n)) for n in range(10)]
    figure = tradeoff_figure(points, width_in=width_in)
    axes = figure.axes[0]
    assert axes.get_xscale() == ("log" if factor > 1 else "linear")
    assert axes.get_yscale() == "linear"
    assert axes.get_ylim()[0] == 0
    assert len(legend(figure)) == 11
    assert sticks_out_in(figure) < 0.02


def test_whiskers() -> None:
    """Where it is known how a plan varies, lines reach from the 10th to the 90th percentile."""
    _, predicted = predicted_plan()
    point = Point("varies", predicted.makespan.quantile(0.5), 1e-3, predicted.makespan)
    ends = [list(line.get_xdata()) for line in tradeoff_figure([point]).axes[0].get_lines()]
    assert [predicted.makespan.quantile(0.1), predicted.makespan.quantile(0.9)] in ends


def test_comparison_shows_all_its_planners() -> None:
    """comparison.plot() has every planner that was compared, the front, and the bounds."""
    comparison = compare(DAG, ["per_task", "single_worker", "critical_path"], sizes=[512, 1769], sla="p90")
    figure = comparison.plot()
    assert figure.axes[0].get_title(loc="left") == "fake, p90"
    predicted = comparison["single_worker"].prediction
    (at,) = [line for line in figure.axes[0].get_lines() if line.get_label() == "single_worker"]
    assert list(at.get_xdata()) == [predicted.makespan_s]
    assert texts(figure) == texts(comparison_figure(comparison))
    shown = ", ".join(legend(figure))
    for name in ("per_task", "single_worker", "critical_path", "Pareto front", "least makespan", "least cost"):
        assert name in shown
    assert sticks_out_in(figure) < 0.02


def test_fronts() -> None:
    """front.plot() has all plans of a front; several fronts have a look each and one line around them."""
    fronts = {name: pareto(DAG, planner=name, sizes=[512, 1769]) for name in ("heft", "uniform")}
    figure = front_figure(fronts)
    assert set(legend(figure)) == {"heft", "uniform", "Pareto front"}
    counts = {line.get_label(): len(line.get_xdata()) for line in figure.axes[0].get_lines()}
    assert {name: counts[name] for name in fronts} == {name: len(front) for name, front in fronts.items()}
    assert texts(fronts["heft"].plot()) == texts(front_figure({"heft": fronts["heft"]}))
    assert sticks_out_in(figure) < 0.02


def test_plans_of_one_name_have_one_look() -> None:
    """A front of many plans has one entry in the legend."""
    points = [Point("faaslab", float(n), 1e-3 / n) for n in range(1, 6)] + [Point("heft", 2.0, 1e-3)]
    figure = tradeoff_figure(points)
    assert legend(figure) == ["faaslab", "heft", "Pareto front"]
    assert pareto_front(points) == points[:5]


def test_nothing_to_draw() -> None:
    """A figure of no plan is refused."""
    with pytest.raises(ValueError, match="no plan"):
        tradeoff_figure([])
