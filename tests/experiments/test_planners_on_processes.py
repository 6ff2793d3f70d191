"""The study measures what its parameters say, verifies it, and does not measure twice."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import faaslab as fl
from experiments import planners_on_processes as study
from experiments.workflows import Workflow, WrongResult, word_count

TINY = replace(study.SMOKE, workflows=("word_count",), planners=("single_worker", "wukong"), repeats=1)


def refuse(*args: object) -> None:
    """Stand in for measuring."""
    pytest.fail(f"measured again: {args[1]}")


def test_measures_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every point is a cold and a warm run with a saved trace; a second call reads them and gives the same table."""
    folder = study.run(TINY, tmp_path)
    runs = pd.read_parquet(folder / "runs.parquet")
    assert list(zip(runs["pool"], runs["planner"], strict=True)) == [
        ("cold", "single_worker"),
        ("cold", "wukong"),
        ("warm", "single_worker"),
        ("warm", "wukong"),
    ]
    assert (runs["status"] == "finished").all()
    cold = runs["pool"] == "cold"
    assert (runs.loc[cold, "cold_starts"] > 0).all()
    trace = fl.Trace.load(study.Point("word_count", "wukong", 0).folder(folder, "cold"))
    assert trace.manifest.run in set(runs["run"])
    monkeypatch.setattr(study, "measure", refuse)
    assert study.run(TINY, tmp_path) == folder
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "runs.parquet"), runs)


def test_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an interruption, only what is missing is measured."""
    measured: list[study.Point] = []
    measure = study.measure

    def note(folder: Path, point: study.Point, workflow: Workflow, params: study.Params) -> list[fl.Trace]:
        if len(measured) == 1 and not stopped:
            stopped.append(True)
            raise KeyboardInterrupt
        measured.append(point)
        return measure(folder, point, workflow, params)

    stopped: list[bool] = []
    monkeypatch.setattr(study, "measure", note)
    with pytest.raises(KeyboardInterrupt):
        study.run(TINY, tmp_path)
    study.run(TINY, tmp_path)
    assert measured == list(study.points(TINY))


def test_changed_workflow_is_measured_again(tmp_path: Path) -> None:
    """A saved trace of another version of the workflow does not count."""
    point = study.Point("word_count", "wukong", 0)
    workflow = word_count.build(TINY.word_count)
    assert study.saved(tmp_path, point, workflow.dag) is None
    study.measure(tmp_path, point, workflow, TINY)
    assert study.saved(tmp_path, point, workflow.dag) is not None
    assert study.saved(tmp_path, point, word_count.build(word_count.Params(1000, 2)).dag) is None


def test_wrong_result_ends_the_study(tmp_path: Path) -> None:
    """A run with a wrong result is no data point: nothing of it is saved."""

    def wrong(result: object) -> None:
        raise WrongResult("wrong")

    workflow = Workflow(word_count.build(TINY.word_count).dag, wrong)
    with pytest.raises(WrongResult):
        study.measure(tmp_path, study.Point("word_count", "wukong", 0), workflow, TINY)
    assert list(tmp_path.iterdir()) == []


def test_order_is_drawn_anew_for_each_repeat() -> None:
    """Each repeat has every pair once; the order differs between repeats and follows from the seed."""
    params = replace(study.SMOKE, repeats=10)
    found = [(point.repeat, point.workflow, point.planner) for point in study.points(params)]
    orders = [[pair for repeat, *pair in found if repeat == number] for number in range(10)]
    assert all(sorted(order) == sorted(orders[0]) and len(order) == 6 for order in orders)
    assert len({str(order) for order in orders}) > 5
    assert list(study.points(params)) == list(study.points(params))
    assert list(study.points(params)) != list(study.points(replace(params, seed=2)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: replace(TINY, planners=("wukong", "nobody")), "planners is .*nobody.* out of per_task"),
        (lambda: replace(TINY, workflows=()), "workflows is .*must be distinct names"),
        (lambda: replace(TINY, planners=("wukong", "wukong")), "distinct"),
        (lambda: replace(TINY, repeats=0), "repeats is 0, must be at least 1"),
        (lambda: replace(TINY, containers=0), "containers is 0"),
        (lambda: replace(TINY, cold_start_s=-1.0), "cold_start_s is -1"),
        (lambda: replace(TINY, matrix_blocks=3), "can't be cut into 3 blocks"),
    ],
)
def test_impossible_parameters(change: Callable[[], study.Params], message: str) -> None:
    """Parameters that can't be run are refused when they are made, before a kernel starts."""
    with pytest.raises(fl.ConfigError, match=message):
        change()
