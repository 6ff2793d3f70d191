"""The study of predictions trains once, tests apart, and says how far off predictions were."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import faaslab as fl
from experiments import validity as study

TINY = replace(study.SMOKE, workflows=("tree_reduction", "word_count"), planners=("wukong", "uniform"))


def refuse(*args: object) -> None:
    """Stand in for measuring."""
    pytest.fail("measured again")


def test_predicts_and_measures_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every planner's test runs stand beside what it predicted from the same snapshot; what is saved is not run again.

    The history of the study holds the training runs alone.
    """
    folder = study.run(TINY, tmp_path)
    runs = pd.read_parquet(folder / "runs.parquet")
    assert list(zip(runs["workflow"], runs["planner"], strict=True)) == [
        ("tree_reduction", "uniform"),
        ("tree_reduction", "wukong"),
        ("word_count", "uniform"),
        ("word_count", "wukong"),
    ]
    snapshot = fl.History(folder / "history-process").snapshot()
    assert len(snapshot.sources) == TINY.training * len(TINY.workflows)
    assert set(runs["history"]) == {snapshot.digest}
    assert not set(runs["run"]) & {source.run for source in snapshot.sources}
    assert (runs[["predicted_s", "actual_s", "replayed_s"]] > 0).all(axis=None)
    np.testing.assert_allclose(runs["error"], runs["predicted_s"] / runs["actual_s"] - 1)
    monkeypatch.setattr(study, "measure", refuse)
    assert study.run(TINY, tmp_path) == folder
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "runs.parquet"), runs)


def test_error_table() -> None:
    """Errors are medians over the repeats of a plan; the bias keeps its sign."""
    rows = [
        {"predicted_s": predicted_s, "actual_s": 2.0, "error": predicted_s / 2 - 1, "replayed_s": 1.9}
        for predicted_s in (1.0, 1.8, 2.2)
    ]
    runs = pd.DataFrame(rows).assign(launcher="process", workflow="word_count", planner="wukong")
    (row,) = study.error_table(runs).reset_index().to_dict("records")
    assert (row["predicted"], row["bias"]) == (pytest.approx(0.1), pytest.approx(-0.1))
    assert (row["replayed"], row["runs"]) == (pytest.approx(0.05), 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"launchers": ()}, "launchers is"),
        ({"planners": ("wukong", "wukong")}, "planners is"),
        ({"workflows": ("sorting",)}, "distinct names out of tree_reduction"),
        ({"training": 0}, "training is 0, must be at least 1"),
        ({"size_mib": -1}, "worker size is -1"),
        ({"leaves": 3}, "power of two"),
    ],
)
def test_impossible_parameters(changes: dict[str, object], message: str) -> None:
    """Parameters that can't be run are refused when they are made."""
    with pytest.raises(fl.ConfigError, match=message):
        replace(TINY, **changes)  # type: ignore[arg-type]
