import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from faaslab.errors import TraceError
from faaslab.trace import Trace
from faaslab.trace.chrome import chrome_events
from faaslab.trace.events import AnyEvent, RunEnded, RunSubmitted, TaskLogged
from faaslab.trace.manifest import git_commit, host, versions
from tests.trace.runs import T0, manifest, synthetic, two_workers


def test_save_and_load_round_trip(tmp_path: Path) -> None:
    """A loaded trace is equal to the saved one, and only the three files are left."""
    events: list[AnyEvent] = [*two_workers(), TaskLogged(T0 + 5, 1, "i-0", "häh?\n", 3)]
    trace = Trace.from_events(
        events,
        manifest(
            settings={"sizes": [512], "deep": {"x": None}},
            prices={"usd_per_request": 1e-6, "bill_cold_start": False},
            versions=versions(),
            host=host(),
            git_commit="abc+",
            status="finished",
        ),
    )
    folder = trace.save(tmp_path / "runs" / "r-1")
    assert sorted(path.name for path in folder.iterdir()) == ["events.parquet", "run.json", "tasks.parquet"]
    loaded = Trace.load(folder)
    assert loaded == trace
    assert loaded.metrics == trace.metrics
    trace.save(folder)
    assert Trace.load(folder) == trace


def test_saved_files_read_without_faaslab(tmp_path: Path) -> None:
    """The manifest is JSON with the metrics; events and tasks are plain columns."""
    folder = synthetic(30, 4).save(tmp_path)
    run = json.loads((folder / "run.json").read_text())
    assert run["manifest"]["planner"] == "wukong"
    assert run["metrics"]["tasks"] == 30
    events = pq.read_table(folder / "events.parquet").to_pandas()
    assert events.loc[events["kind"] == "TaskExecuted", "duration_s"].gt(0).all()
    assert pq.read_table(folder / "tasks.parquet").num_rows == 30


def test_empty_run_round_trip(tmp_path: Path) -> None:
    """A run that ended before anything happened can be saved, too."""
    trace = Trace.from_events([RunSubmitted(T0, "r-1", 4, 0), RunEnded(T0, "cancelled", "by user")], manifest())
    assert Trace.load(trace.save(tmp_path)) == trace


def test_failed_save_leaves_the_old_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If writing breaks off, the file that was there stays whole and no other is left behind."""
    trace = synthetic(10, 2)
    trace.save(tmp_path)

    def broken(table: object, path: Path, **options: object) -> None:
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(pq, "write_table", broken)
    with pytest.raises(OSError, match="disk full"):
        synthetic(12, 2).save(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    assert Trace.load(tmp_path) == trace


def test_unreadable_traces_name_the_file(tmp_path: Path) -> None:
    """Missing, damaged and foreign files are typed errors."""
    with pytest.raises(TraceError, match=r"run\.json is missing"):
        Trace.load(tmp_path)
    folder = synthetic(10, 2).save(tmp_path)
    text = (folder / "run.json").read_text()
    (folder / "run.json").write_text(text.replace('"schema": 1', '"schema": 7'))
    with pytest.raises(TraceError, match="schema 7, this version of FaaSLab reads 1"):
        Trace.load(folder)
    (folder / "run.json").write_text(text.replace('"planner": "wukong"', '"planner": 5'))
    with pytest.raises(TraceError, match=r"run\.json.*planner"):
        Trace.load(folder)
    (folder / "run.json").write_text(text)
    (folder / "events.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(TraceError, match=r"events\.parquet"):
        Trace.load(folder)
    (folder / "events.parquet").unlink()
    with pytest.raises(TraceError, match=r"events\.parquet is missing"):
        Trace.load(folder)


def test_chrome_trace(tmp_path: Path) -> None:
    """The Chrome export names containers and has one slice for each worker and interval, in microseconds."""
    trace = Trace.from_events(two_workers(), manifest())
    data = json.loads(trace.to_chrome(tmp_path / "new" / "trace.json").read_text())
    slices = [event for event in data["traceEvents"] if event["ph"] == "X"]
    names = {event["args"]["name"] for event in data["traceEvents"] if event["name"] == "process_name"}
    assert names == {"c-0 (1024 MiB)", "c-9 (512 MiB)"}
    assert len([event for event in slices if event["cat"] == "exec"]) == 4
    worker = next(event for event in slices if event["name"] == "i-0 (cold)")
    assert (worker["ts"], worker["dur"]) == (0.5e6, 8.75e6)
    assert "fetch work#2" in {event["name"] for event in slices}


def test_chrome_slices_of_a_thread_never_overlap() -> None:
    """Slices of one thread follow one another or nest, as viewers need it."""
    by_thread: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for event in chrome_events(synthetic(60, 5)):
        if event["ph"] == "X":
            by_thread.setdefault((event["pid"], event["tid"]), []).append((event["ts"], event["ts"] + event["dur"]))
    for spans in by_thread.values():
        stack: list[float] = []
        for start, end in spans:
            while stack and stack[-1] <= start + 1e-3:
                stack.pop()
            assert not stack or end <= stack[-1] + 1e-3
            stack.append(end)


def test_environment_of_a_run(tmp_path: Path) -> None:
    """Versions, host and commit are found where they are, and empty where they are not."""
    assert versions()["python"].count(".") == 2
    assert host()["cores"] >= 1
    assert git_commit(tmp_path) == ""
