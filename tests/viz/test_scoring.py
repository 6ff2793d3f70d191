import random

import pytest

from faaslab.model.scoring import Pairs, coverage, coverage_of, pinball_loss, pit_values
from faaslab.plan.predicted import Distribution
from faaslab.viz import accuracy_figure, coverage_figure, pinball_figure, pit_figure
from tests.viz.looking import sticks_out_in, texts

WIDTHS = pytest.mark.parametrize("width_in", [3.33, 7.0])


def pairs(runs: int, bias: float = 1.0, *, seed: int = 0) -> Pairs:
    """Return predictions, and actual values that are ``bias`` times what they should be."""
    rng = random.Random(seed)
    found = []
    for _ in range(runs):
        median_s = rng.uniform(1, 30)
        draws = sorted(median_s * rng.lognormvariate(0, 0.2) for _ in range(100))
        found.append((Distribution(tuple(draws)), median_s * bias * rng.lognormvariate(0, 0.2)))
    return found


ALL = {"chain": pairs(200), "fan-out-100": pairs(200, 1.4, seed=1), "layered": pairs(50, seed=2)}


@WIDTHS
def test_coverage(width_in: float) -> None:
    """Each promise has its interval; one that was not kept has an open marker, and only then that is in the legend."""
    figure = coverage_figure({name: [coverage(p, q) for q in (0.5, 0.9)] for name, p in ALL.items()}, width_in=width_in)
    assert {"p50", "p90", "not as promised", "chain (n = 200)", "layered (n = 50)"} <= set(texts(figure))
    assert sticks_out_in(figure) < 0.02
    kept = coverage_figure({"chain": [coverage_of(90, 100, 0.9)]}, width_in=width_in)
    assert "not as promised" not in texts(kept)
    intervals = [list(line.get_xdata()) for line in kept.axes[0].get_lines()]
    expected = coverage_of(90, 100, 0.9)
    assert [expected.low, expected.high] in intervals
    assert [0.9] in intervals


@WIDTHS
def test_pinball(width_in: float) -> None:
    """Each quantile of each name has a bar with its loss."""
    losses = {name: {q: pinball_loss(p, q) for q in (0.5, 0.9)} for name, p in ALL.items()}
    figure = pinball_figure(losses, width_in=width_in)
    assert {f"{loss:.3g}" for row in losses.values() for loss in row.values()} <= set(texts(figure))
    assert sticks_out_in(figure) < 0.02


@WIDTHS
def test_pit(width_in: float) -> None:
    """There is a histogram for each name, and no empty panel is shown."""
    figure = pit_figure({name: pit_values(p) for name, p in ALL.items()}, width_in=width_in)
    visible = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in visible] == [
        "chain (n = 200)",
        "fan-out-100 (n = 200)",
        "layered (n = 50)",
    ]
    assert sticks_out_in(figure) < 0.02


@WIDTHS
def test_accuracy(width_in: float) -> None:
    """Both axes are alike, every run is a point, and the legend says how far off each name is."""
    figure = accuracy_figure(ALL, width_in=width_in)
    axes = figure.axes[0]
    assert axes.get_xlim() == axes.get_ylim()
    points = {line.get_label(): len(line.get_xdata()) for line in axes.get_lines() if line.get_marker() != "None"}
    assert sorted(points.values()) == [50, 200, 200]
    assert all("MAPE" in label for label in points)
    assert sticks_out_in(figure) < 0.02


def test_nothing_to_score() -> None:
    """Figures of nothing are refused."""
    for draw in (coverage_figure, pinball_figure, pit_figure, accuracy_figure):
        with pytest.raises(ValueError, match="there is no"):
            draw({})
