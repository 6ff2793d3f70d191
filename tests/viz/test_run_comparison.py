from pathlib import Path

import pytest

import faaslab as fl
from faaslab.trace import Trace
from tests.trace.runs import manifest, synthetic, two_workers
from tests.viz.looking import sticks_out_in, texts


def test_metrics_and_their_differences() -> None:
    """Every metric has both values, how much more the second is, and its ratio; zero has none."""
    one, two = synthetic(20, 10, planner="per_task"), synthetic(20, 4, planner="wukong")
    table = fl.compare_runs(one, two).metrics
    assert list(table.index) == list(one.metrics)
    makespan = table.loc["makespan_s"]
    assert makespan["a"] == one.metrics["makespan_s"]
    assert makespan["difference"] == pytest.approx(two.metrics["makespan_s"] - one.metrics["makespan_s"])
    assert makespan["ratio"] == pytest.approx(two.metrics["makespan_s"] / one.metrics["makespan_s"])
    assert table["ratio"].isna()["failed_attempts"]


def test_tasks_are_matched_by_id() -> None:
    """A task of both runs is one row with the attempt that counted; of one run alone, the other half is missing."""
    known = Trace.from_events(two_workers(), manifest(3))
    tasks = fl.compare_runs(known, synthetic(5, 1)).tasks
    assert list(tasks.index[:3]) == ["load#0", "work#2", "work#1"]
    assert len(tasks) == 5
    assert tasks.loc["work#1", "exec_s_a"] == 2.0
    assert tasks.loc["work#2", "worker_a"] == "i-1"
    assert tasks.loc["work#2", "end_s_a"] == 5.75
    assert tasks.loc[["work#3", "work#4"], "exec_s_a"].isna().all()
    same = fl.compare_runs(known, known).tasks
    assert (same["exec_difference_s"] == 0).all()


@pytest.mark.parametrize(("containers", "width_in"), [((1, 1), 3.33), ((4, 10), 3.33), ((40, 3), 7.0)])
def test_both_charts_have_one_axis(containers: tuple[int, int], width_in: float) -> None:
    """The charts are one above the other over the longer time; nothing sticks out."""
    one, two = (synthetic(50, n, seed) for seed, n in enumerate(containers))
    figure = fl.compare_runs(one, two).gantt(width_in=width_in)
    upper, lower = figure.axes
    assert upper.get_xlim() == lower.get_xlim()
    longest_s = max(one.metrics["makespan_s"], two.metrics["makespan_s"])
    assert upper.get_xlim()[1] >= longest_s
    assert upper.get_title(loc="left").startswith("a: fake")
    assert lower.get_title(loc="left").startswith("b: fake")
    assert sticks_out_in(figure) < 0.02


def test_saved_runs_and_html(tmp_path: Path) -> None:
    """A folder that was saved serves as well as its trace; a cell shows metrics and charts."""
    one, two = synthetic(10, 2), synthetic(10, 3, planner="per_task")
    found = fl.compare_runs(one.save(tmp_path / "one"), str(two.save(tmp_path / "two")))
    assert found.metrics.equals(fl.compare_runs(one, two).metrics)
    html = found._repr_html_()
    assert "10 tasks in both, 0 in a alone, 0 in b alone" in html
    assert "makespan_s" in html
    assert "failed_attempts" not in html
    assert html.count('src="data:image/png;base64,') == 1
    assert "wukong on virtual" in repr(found)


def test_unknown_run_is_an_error() -> None:
    """A name that is neither a folder nor a saved run is refused."""
    with pytest.raises(fl.ConfigError, match="no run 'nowhere'"):
        fl.compare_runs(synthetic(4, 2), "nowhere")


def test_runs_themselves_can_be_compared() -> None:
    """Runs need not be turned into traces first; failed crosses and all are in the chart."""
    known = Trace.from_events(two_workers(), manifest(3))
    assert "failed or lost" in texts(fl.compare_runs(known, known).gantt())
