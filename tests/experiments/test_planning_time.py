"""The study of planning times."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import faaslab as fl
from experiments import planning_time as study

TINY = replace(study.SMOKE, tasks=(20,), planners=("per_task", "uniform"), repeats=2)


def test_times_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every planner is timed so often, and its simulation with it; what is saved is not timed again."""
    folder = study.run(TINY, tmp_path)
    times = pd.read_parquet(folder / study.TIMES_FILE)
    assert sorted(zip(times["repeat"], times["planner"], strict=True)) == [
        (0, "per_task"),
        (0, "uniform"),
        (1, "per_task"),
        (1, "uniform"),
    ]
    assert (times[["planning_s", "simulation_s", "makespan_s"]] > 0).all(axis=None)

    def refuse(*args: object) -> None:
        pytest.fail("timed again")

    monkeypatch.setattr(study, "measure", refuse)
    assert study.run(TINY, tmp_path) == folder
    ((title, table),) = study.tables(folder, TINY).items()
    assert "cores" in title
    assert sorted(table.index.droplevel("edges")) == [("random", 20, "per_task"), ("random", 20, "uniform")]


def test_timing() -> None:
    """What is timed is done, and its time is not negative."""
    result, seconds = study.timed(lambda: 7)
    assert result == 7
    assert seconds >= 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: replace(TINY, planners=("nobody",)), "planners is .*nobody"),
        (lambda: replace(TINY, families=()), "families is .*must be distinct names"),
        (lambda: replace(TINY, tasks=(5,)), "tasks is .*10 or more"),
        (lambda: replace(TINY, repeats=0), "repeats is 0"),
    ],
)
def test_impossible_parameters(change: Callable[[], study.Params], message: str) -> None:
    """Parameters that can't be run are refused when they are made."""
    with pytest.raises(fl.ConfigError, match=message):
        change()
