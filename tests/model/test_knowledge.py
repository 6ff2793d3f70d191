"""Which history is asked: one that is given, the default one, or none."""

from pathlib import Path

import pytest

import faaslab as fl
from faaslab.model.estimates import DeclaredEstimates
from faaslab.model.history import History
from faaslab.model.knowledge import HistoryLike, known_estimates, snapshot_of
from faaslab.model.predictors import PredictedEstimates
from faaslab.model.samples import Sample, Source
from tests.plan.dags import DIAMOND


@fl.task(expected_s=3.0)
def work() -> int:
    """Take 3 s, it is said."""
    return 1


DAG = fl.DAG(work())


def taught(folder: Path, seconds: float = 0.25) -> History:
    """Return a history in which ``work`` took 0.25 s."""
    identity = DAG.functions[0].identity
    history = History(folder)
    history.add(Source("r-1"), [Sample("exec", seconds, 1769, function=identity, task=0, task_id="work#0")])
    return history


def test_forms_of_a_history(tmp_path: Path) -> None:
    """A history, its snapshot and its folder mean the same."""
    history = taught(tmp_path)
    forms: list[HistoryLike] = [history, history.snapshot(), tmp_path, str(tmp_path)]
    for form in forms:
        known = known_estimates(DAG, None, form)
        assert known.exec_s(0, 1769) == pytest.approx(0.25)
        assert known.basis(0, 1769) == "measured"
    assert known_estimates(DAG, None, False).exec_s(0, 1769) == pytest.approx(3.0)


def test_the_default_is_where_the_settings_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a history, the default folder is read if there is one; asking makes no folder."""
    monkeypatch.setenv("FAASLAB_HISTORY_DIR", str(tmp_path / "history"))
    assert isinstance(known_estimates(DAG), DeclaredEstimates)
    assert not (tmp_path / "history").exists()
    taught(tmp_path / "history")
    assert isinstance(known_estimates(DAG), PredictedEstimates)
    monkeypatch.setenv("FAASLAB_HISTORY_DIR", "")
    assert isinstance(known_estimates(DAG), DeclaredEstimates)


def test_history_beside_runs(tmp_path: Path) -> None:
    """Runs that are saved teach the history beside them, unless the settings say otherwise."""
    assert fl.Config(runs_dir=str(tmp_path / "runs")).history_folder == tmp_path / "history"
    assert fl.Config(runs_dir="").history_folder is None
    assert fl.Config(history_dir="").history_folder is None
    assert fl.Config(runs_dir="", history_dir="here").history_folder == Path("here")


def test_an_empty_history_says_nothing(tmp_path: Path) -> None:
    """Before the first run, what users declare counts."""
    empty = History(tmp_path)
    assert snapshot_of(empty) is None
    assert snapshot_of(empty.snapshot()) is None
    assert isinstance(known_estimates(DAG, None, empty), DeclaredEstimates)


def test_bad_histories(tmp_path: Path) -> None:
    """A folder without a history, something else, or a history of what has no functions: typed errors."""
    with pytest.raises(fl.ConfigError, match="there is no history in"):
        known_estimates(DAG, None, tmp_path)
    with pytest.raises(fl.ConfigError, match="must be a History"):
        known_estimates(DAG, None, 5)  # type: ignore[arg-type]
    with pytest.raises(fl.PlanError, match="knows tasks by their functions"):
        known_estimates(DIAMOND, None, taught(tmp_path / "h"))


def test_plans_name_their_history(tmp_path: Path) -> None:
    """A plan that was learnt carries the snapshot's digest; one that asked for nothing carries none."""
    history = taught(tmp_path)
    assert DAG.plan("heft", history=history).settings["history"] == history.snapshot().digest
    assert DAG.plan("wukong", history=history).settings["history"] == ""
    assert DAG.plan("heft", history=False).settings["history"] == ""
