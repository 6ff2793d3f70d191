"""``faaslab bench``: workloads, samples in pairs, ratios, output."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import faaslab as fl
from faaslab.cli import contest
from faaslab.cli.contest import Row, Sample, Workload, summary
from faaslab.cli.main import app
from faaslab.errors import ConfigError
from faaslab.graph import DAG
from tests.client.scene import Scene


@pytest.mark.parametrize(
    ("text", "tasks"), [("chain:1", 1), ("chain:7", 7), ("fan:3", 5), ("tree:2", 1), ("tree:13", 12)]
)
def test_workloads(text: str, tasks: int) -> None:
    """Workloads have as many tasks in every engine and come to the value that is checked."""
    import dask

    workload = Workload.parse(text)
    theirs = workload.build(dask.delayed)
    assert len(DAG(workload.build(fl.task))) == len(dict(theirs.dask)) == tasks
    assert theirs.compute(scheduler="sync") == workload.value
    assert workload.build(fl.task).compute(launcher="inline") == workload.value
    assert str(workload) == text


@pytest.mark.parametrize("text", ["tree", "tree:x", "bush:4", "chain:0", "tree:1", ""])
def test_workloads_that_are_none(text: str) -> None:
    """What can't be read or run is refused."""
    with pytest.raises(ConfigError):
        Workload.parse(text)


def test_ratios_are_taken_in_pairs() -> None:
    """Each ratio compares two runs of the same round."""
    times = {"wukong": [1.0, 2.0, 4.0], "dask": [3.0, 4.0, 20.0]}
    samples = [Sample("fan:1", 3, name, number, times[name][number]) for number in range(3) for name in times]
    assert summary(samples, ["dask"]) == [
        Row("fan:1", 3, "wukong", 3, 2.0, 1.0, 4.0, {"dask": (3.0, 2.0, 5.0)}),
        Row("fan:1", 3, "dask", 3, 4.0, 3.0, 20.0, {}),
    ]


def test_bench(flows: Scene) -> None:
    """Times of this engine as a table and as JSON with the machine's name; all single times as Parquet."""
    arguments = ["bench", "chain:3", "fan:2", "--rounds", "2", "--output", "times/all.parquet"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert [line.split()[:3] for line in result.stdout.splitlines()[2:]] == [
        ["chain:3", "3", "wukong"],
        ["chain:3", "3", "single_worker"],
        ["fan:2", "4", "wukong"],
    ]
    import pyarrow.parquet as pq

    table = pq.read_table(Path("times/all.parquet"))
    assert table.num_rows == 6
    assert json.loads(table.schema.metadata[b"machine"])["cores"] >= 1
    found = json.loads(CliRunner().invoke(app, ["bench", "tree:4", "--rounds", "1", "--json"]).stdout)
    assert found["rows"][0]["tasks"] == 3
    assert found["machine"]["processor"]


def test_peers(flows: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown peer, and one that is not installed, are refused before anything starts."""
    result = CliRunner().invoke(app, ["bench", "chain:3", "--peers", "dusk"])
    assert isinstance(result.exception, ConfigError)
    assert "dusk" in str(result.exception)
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"faaslab\[dask\]"):
        contest.measure([Workload.parse("chain:3")], (), ["dask"], 1)
