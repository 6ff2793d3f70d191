import dataclasses

import pytest
from matplotlib.collections import PolyCollection

from faaslab.errors import PlanError
from faaslab.plan import Plan
from faaslab.viz import distribution_figure, gantt, makespans_figure, predicted_gantt
from tests.plan.dags import CHAIN, DIAMOND
from tests.simulate.scene import plan_of
from tests.viz.looking import layered, predicted_plan, sticks_out_in, texts


def framed(figure: object) -> int:
    """Return how many tasks of a chart are framed as the critical path's."""
    found = [patch for patch in figure.findobj(PolyCollection) if not len(patch.get_facecolor())]  # type: ignore[attr-defined]
    return sum(len(patch.get_paths()) for patch in found)


def test_gantt_of_a_known_plan() -> None:
    """Rows are the plan's workers with their sizes; path, band, line and what times rest on are said."""
    _, predicted = predicted_plan(DIAMOND, basis_of=("measured", "unknown", "measured", "measured"))
    figure = predicted_gantt(predicted)
    shown = texts(figure)
    assert {"w0", "w1", "1,769", "size (MiB)", "cold start", "execute"} <= set(shown)
    title = figure.axes[0].get_title(loc="left")
    assert title.startswith(f"fake, by hand: predicted {predicted.makespan_s:.3g} s")
    assert title.endswith("its median, 5 s; tasks' times: 3 measured, 1 unknown")
    assert f"critical path ({len(predicted.critical_path)} tasks)" in shown
    assert f"p90: {predicted.makespan_s:.3g} s" in shown
    assert framed(figure) == len(predicted.critical_path)


def test_axis_reaches_the_promise() -> None:
    """The time axis reaches to the SLA, however far that is beyond the median run."""
    _, predicted = predicted_plan(CHAIN, 1, sla="p99.5")
    assert predicted.makespan_s > predicted.trace.metrics["makespan_s"]
    assert predicted_gantt(predicted).axes[0].get_xlim()[1] >= predicted.makespan_s


@pytest.mark.parametrize(("width", "workers", "width_in"), [(1, 1, 3.33), (5, 3, 3.33), (40, 40, 7.0), (40, 0, 7.0)])
def test_gantt_of_a_plan_is_readable_at_any_size(width: int, workers: int, width_in: float) -> None:
    """Nothing sticks out, with few workers or many, planned or decided at run time."""
    _, predicted = predicted_plan(layered(width, 3), workers)
    figure = predicted_gantt(predicted, width_in=width_in)
    assert sticks_out_in(figure) < 0.02
    assert figure.get_size_inches()[1] < 9


def test_workers_decided_at_run_time_share_their_containers_rows() -> None:
    """They have no name in the plan; the warm containers that they are predicted to find are the rows."""
    _, predicted = predicted_plan(layered(3, 4), 0)
    rows = [label.get_text() for label in predicted_gantt(predicted).axes[0].get_yticklabels()]
    assert rows == [f"simulated-{number}" for number in range(len(rows))]
    assert len(rows) < len({worker.invocation for worker in predicted.trace.records.workers})


def test_calibration_is_said() -> None:
    """A prediction that earlier runs have corrected says by how much and by how many."""
    _, predicted = predicted_plan()
    figure = predicted_gantt(dataclasses.replace(predicted, calibration=1.25, calibrated_on=12))
    assert figure.axes[0].get_title(loc="left").endswith("calibrated by 1.25, on 12 earlier runs")


def test_plan_shows_its_gantt() -> None:
    """plan.gantt() draws the prediction, and so does the cell that shows the plan; without one there is an error."""
    plan, predicted = predicted_plan()
    with_it = dataclasses.replace(plan, predicted=predicted)
    assert texts(with_it.gantt()) == texts(predicted_gantt(predicted))
    assert with_it._repr_html_().count('src="data:image/png;base64,') == 1
    assert "<img" not in plan._repr_html_()
    with pytest.raises(PlanError, match=r"the 'by hand' plan of 'fake' has no prediction; plan with dag.plan"):
        plan.gantt()


def test_prediction_over_a_run() -> None:
    """A run's chart marks the predicted makespan where it is given, and is as ever where it is not."""
    _, predicted = predicted_plan()
    marked = texts(gantt(predicted.trace, predicted=predicted))
    assert f"p90: {predicted.makespan_s:.3g} s" in marked
    assert not any(text.startswith("p90") for text in texts(gantt(predicted.trace)))


@pytest.mark.parametrize("sla", ["average", "p50", "p99"])
def test_distribution(sla: str) -> None:
    """Both histograms name the three quantiles and the SLA with their values, the SLA once."""
    _, predicted = predicted_plan(sla=sla)
    figure = predicted.plot()
    assert texts(figure) == texts(distribution_figure(predicted))
    for axes in figure.axes:
        legend = [text.get_text() for text in axes.get_legend().get_texts()]
        assert len(legend) == len({"p10", "p50", "p90", sla})
        assert [text.split(":")[0] for text in legend if text.endswith("(SLA)")] == [sla]
    assert f"p50: {predicted.makespan.quantile(0.5):.3g}" in " ".join(texts(figure))
    assert sticks_out_in(figure) < 0.02


def test_distribution_of_equal_runs() -> None:
    """A makespan that does not vary is one line, not an error."""
    _, predicted = predicted_plan()
    same = dataclasses.replace(predicted.makespan, draws=(2.0,) * 50)
    assert sticks_out_in(distribution_figure(dataclasses.replace(predicted, makespan=same))) < 0.02


def test_makespans_of_several_plans() -> None:
    """Each plan has a line from 0 to 1; those with one distribution share it; the legend has makespans at the SLA."""
    one, two = predicted_plan(CHAIN, 1)[1], predicted_plan(layered(4, 4), 2)[1]
    figure = makespans_figure({"chain": one, "same": one, "layered": two})
    lines = figure.axes[0].get_lines()
    assert [line.get_label() for line in lines] == [
        f"chain, same: {one.makespan_s:.3g} s",
        f"layered: {two.makespan_s:.3g} s",
    ]
    assert [list(line.get_ydata())[:: len(one.makespan.draws)] for line in lines] == [[0, 1], [0, 1]]
    assert sticks_out_in(figure) < 0.02
    with pytest.raises(ValueError, match="no prediction"):
        makespans_figure({})


def test_plan_made_by_hand_has_no_prediction() -> None:
    """What asks for a prediction gets an error that says how to get one."""
    plan: Plan = plan_of(DIAMOND, ["a"] * 4)
    with pytest.raises(PlanError, match="simulate it"):
        _ = plan.prediction
