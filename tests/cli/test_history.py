"""``faaslab history``: list, forget, export."""

from pathlib import Path

import msgspec
import pandas as pd
import pytest
from typer.testing import CliRunner

import faaslab as fl
from faaslab.cli.main import app
from faaslab.model.samples import Sample, Source


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A history of two runs, one of which has two samples."""
    history = fl.History(tmp_path / "history")
    history.add(Source("r-1", launcher="process", platform="none", recorded_s=1.0), [Sample("cold", 0.5, 1769)])
    second = [Sample("exec", 1.0, 1769, function="f", task=0, task_id="f#0"), Sample("cold", 0.25, 1769)]
    history.add(Source("r-2", launcher="docker", platform="lambda", recorded_s=2.0), second)
    return tmp_path / "history"


def call(*arguments: object) -> str:
    """Run a command and return what it prints."""
    done = CliRunner().invoke(app, ["history", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_list(folder: Path) -> None:
    """Runs are listed oldest first, as text and as one JSON object with the snapshot's digest."""
    lines = call("list", "--history", folder).splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["r-1", "r-2"]
    assert "2 samples" in lines[1]
    found = msgspec.json.decode(call("list", "--history", folder, "--json"))
    assert found["digest"] == fl.History(folder).snapshot().digest
    assert [(row["run"], row["launcher"], row["samples"]) for row in found["runs"]] == [
        ("r-1", "process", 1),
        ("r-2", "docker", 2),
    ]


def test_an_empty_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first run there is nothing to list, and nothing is made."""
    monkeypatch.setenv("FAASLAB_HISTORY_DIR", str(tmp_path / "none"))
    assert call("list") == "the history is empty\n"
    assert msgspec.json.decode(call("list", "--json")) == {"digest": "", "runs": []}
    assert not (tmp_path / "none").exists()


def test_forget(folder: Path) -> None:
    """A run is dropped once; of one that is not there the error says how to find those that are."""
    assert call("forget", "r-1", "--history", folder) == "forgot r-1\n"
    assert [source.run for source in fl.History(folder).snapshot().sources] == ["r-2"]
    with pytest.raises(fl.ConfigError, match="nothing of run 'r-1'; `faaslab history list`"):
        call("forget", "r-1", "--history", folder)


def test_export(folder: Path, tmp_path: Path) -> None:
    """All samples go into one Parquet file, beside the run they are of."""
    assert call("export", tmp_path / "all.parquet", "--history", folder).endswith("3 samples\n")
    table = pd.read_parquet(tmp_path / "all.parquet")
    assert table[["run", "what", "seconds"]].to_numpy().tolist() == [
        ["r-1", "cold", 0.5],
        ["r-2", "exec", 1.0],
        ["r-2", "cold", 0.25],
    ]
    with pytest.raises(fl.ConfigError, match="there is no history in"):
        call("export", tmp_path / "x.parquet", "--history", tmp_path)
