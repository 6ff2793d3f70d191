import json
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from faaslab.plan import Prewarm
from faaslab.simulate import simulate_plan
from faaslab.trace import Trace
from faaslab.viz import bytes_figure, gantt, makespan_figure, run_table, save_figure
from tests.plan.dags import FakeDag
from tests.simulate.scene import Known, plan_of, platform
from tests.trace.runs import contended, manifest, synthetic, two_workers
from tests.viz.looking import sticks_out_in, texts


def runs() -> pd.DataFrame:
    """Return a table of runs of two planners and two workflows, one of which did not finish."""
    table = run_table(
        synthetic(20, containers, seed, planner=planner)
        for planner, containers in (("per_task", 10), ("wukong", 4))
        for seed in range(5)
    )
    other = table.copy()
    other["workflow"] = "other"
    other.loc[0, "status"] = "failed"
    return pd.concat([table, other], ignore_index=True)


def test_gantt_of_a_known_run() -> None:
    """Rows are containers by first use; every phase that occurs is in the legend, and so is the failed attempt."""
    figure = gantt(Trace.from_events(two_workers(), manifest(3)))
    shown = texts(figure)
    for label in ("c-0", "c-9", "cold start", "fetch", "execute", "store", "wait", "other", "failed or lost"):
        assert label in shown
    assert "fake, wukong: 9.5 s, 3 tasks, starts: 1 cold, 1 warm" in shown
    axes = figure.axes[0]
    assert axes.get_xlim() == (0, 9.5)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["c-0", "c-9"]


@pytest.mark.parametrize(("containers", "width_in"), [(1, 7.0), (4, 3.33), (4, 7.0), (30, 3.33), (400, 7.0)])
def test_gantt_is_readable_at_any_size(containers: int, width_in: float) -> None:
    """From one row to 400, no text leaves the figure and the figure fits a page."""
    figure = gantt(synthetic(containers * 3, containers), width_in=width_in)
    assert sticks_out_in(figure) < 0.02
    assert figure.get_size_inches()[0] == width_in
    assert figure.get_size_inches()[1] < 9


@pytest.mark.parametrize(("containers", "width_in"), [(1, 7.0), (4, 3.33), (30, 3.33), (400, 7.0)])
def test_gantt_marks_contended_tasks(containers: int, width_in: float) -> None:
    """They have a look of their own in the legend, and a line below the title says how much they lost; all is in."""
    tasks = containers * 6
    figure = gantt(contended(synthetic(tasks, containers)), width_in=width_in)
    shown = texts(figure)
    assert {"execute", "execute, contended"} <= set(shown)
    title = figure.axes[0].get_title(loc="left").replace("\n", " ")
    assert f"contended: {tasks // 3} of {tasks} tasks" in title
    assert sticks_out_in(figure) < 0.02
    assert figure.get_size_inches()[1] < 9
    plain = texts(gantt(synthetic(tasks, containers), width_in=width_in))
    assert not any("contended" in text for text in plain)


def test_gantt_of_a_run_of_nothing_but_contended_tasks() -> None:
    """What is not there has no entry in the legend; failed attempts still have theirs."""
    shown = texts(gantt(contended(Trace.from_events(two_workers(), manifest(3)), every=1), width_in=3.33))
    assert "execute" not in shown
    assert {"execute, contended", "failed or lost"} <= set(shown)


def test_gantt_of_a_run_without_workers() -> None:
    """A run that was cancelled before anything started still has a chart."""
    figure = gantt(Trace.from_events(two_workers()[:1], manifest(3)))
    assert any("not ended" in text for text in texts(figure))
    assert sticks_out_in(figure) < 0.02


def test_makespan_figure() -> None:
    """There is a panel for each workflow; labels count the runs; nothing sticks out."""
    figure = makespan_figure(runs())
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["fake", "other"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["per_task\nn = 5", "wukong\nn = 5"]
    assert figure.axes[1].get_yticklabels()[0].get_text() == "per_task\nn = 4 of 5"
    assert sticks_out_in(figure) < 0.02
    assert sticks_out_in(makespan_figure(runs().groupby("planner").head(1), statistic="mean")) < 0.02


def points(figure: Figure, marker: str) -> int:
    """Return how many points of a figure have a marker."""
    return sum(len(line.get_xdata()) for line in figure.findobj(Line2D) if line.get_marker() == marker)  # type: ignore[arg-type]


def test_makespan_figure_marks_contended_runs() -> None:
    """Finished runs with contended tasks have another marker and are counted in the label; the others look as ever."""
    table = runs()
    assert points(makespan_figure(table), "D") == 0
    first = table.index[(table["planner"] == "wukong") & (table["workflow"] == "fake")]
    table.loc[first[:2], "contended_tasks"] = 3
    table.loc[first[4], ["contended_tasks", "status"]] = [7, "failed"]
    figure = makespan_figure(table)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["per_task\nn = 5", "wukong\nn = 4 of 5\n(2 contended)"]
    assert [label.get_text() for label in figure.axes[1].get_yticklabels()][1] == "wukong\nn = 5"
    assert (points(figure, "D"), points(figure, "o")) == (2, 16)
    assert any("◇ contended" in text for text in texts(figure))
    assert sticks_out_in(figure) < 0.02


def test_bytes_figure() -> None:
    """Stored, fetched and inline bytes have a bar each, with the number at its end."""
    figure = bytes_figure(runs())
    shown = texts(figure)
    assert {"stored", "fetched", "inline"} <= set(shown)
    assert sum(text.endswith(("MB", "kB", " B")) for text in shown) >= 12
    assert sticks_out_in(figure) < 0.02


def test_bytes_figure_of_runs_that_moved_nothing() -> None:
    """Zero bytes are drawn as zero, not as an error."""
    table = runs()
    table[["stored_bytes", "fetched_bytes", "inline_bytes"]] = 0
    assert "0 B" in texts(bytes_figure(table))


def test_figures_need_a_finished_run() -> None:
    """A table without any finished run is refused with its size."""
    table = runs()
    table["status"] = "failed"
    for draw in (makespan_figure, bytes_figure):
        with pytest.raises(ValueError, match="none of the 20 runs has finished"):
            draw(table)


def test_style_is_never_global() -> None:
    """Drawing changes no setting of matplotlib, and registers no figure with pyplot."""
    before = dict(mpl.rcParams)
    makespan_figure(runs())
    gantt(synthetic(10, 2))
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == []


def test_figures_show_themselves_in_a_notebook() -> None:
    """A figure as the last value of a cell is shown as a picture."""
    assert gantt(synthetic(10, 2))._repr_png_().startswith(b"\x89PNG")


def test_save_figure_writes_everything_and_the_same_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figure, data and provenance are written side by side; drawn and saved again, all files are the same bytes."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    table = runs()
    paths = save_figure(makespan_figure(table), tmp_path / "figures" / "v1.makespan", table, {"runs": 20, "seed": 0})
    assert [path.name for path in paths] == [f"v1.makespan.{kind}" for kind in ("pdf", "png", "parquet", "json")]
    first = [path.read_bytes() for path in paths]
    save_figure(makespan_figure(table), tmp_path / "figures" / "v1.makespan", table, {"runs": 20, "seed": 0})
    assert [path.read_bytes() for path in paths] == first
    assert len(list((tmp_path / "figures").iterdir())) == 4
    assert pd.read_parquet(paths[2]).equals(table)
    about = json.loads(paths[3].read_text())
    assert about["seed"] == 0
    assert about["rows"] == 20
    assert len(about["data_sha256"]) == 64
    assert b"/FontType 42" in first[0] or b"/Type0" in first[0] or b"/CIDFontType2" in first[0]


def test_save_figure_refuses_provenance_that_is_not_json(tmp_path: Path) -> None:
    """Provenance that can't be written is refused before any file is."""
    with pytest.raises(TypeError):
        save_figure(gantt(synthetic(10, 2)), tmp_path / "x", runs(), {"trace": object()})
    assert list(tmp_path.iterdir()) == []


def prewarmed_run() -> Trace:
    """Return a simulated run of two workers, for the second of which an empty invocation has made a container warm."""
    dag = FakeDag(((), (0,)))
    plan = plan_of(dag, ["a", "b"], [1769, 3538])
    told = replace(plan.instructions, prewarms=(Prewarm(3538), Prewarm(3538, None, 2.0, 2)))
    return simulate_plan(dag, replace(plan, instructions=told), Known([3.0, 3.0]), platform()).trace()


def test_gantt_shows_empty_invocations() -> None:
    """They have a look of their own, in all charts of workers."""
    trace = prewarmed_run()
    assert "prewarm" in texts(gantt(trace))
    assert "prewarm" not in texts(gantt(Trace.from_events(two_workers(), manifest())))
    overlay = gantt(trace, planned=trace)
    assert [text for text in texts(overlay) if text in ("a", "b") or text.startswith("!")] == ["a", "b"]
