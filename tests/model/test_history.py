"""History: samples of runs on disk, shared and bounded."""

import math
import multiprocessing
import shutil
import sqlite3
import time
import warnings
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from faaslab.errors import ConfigError, TraceError
from faaslab.graph import DAG, task
from faaslab.launchers import InlineLauncher, VirtualLauncher
from faaslab.model.history import History
from faaslab.model.samples import WHATS, Sample, Source, samples_of, source_of
from faaslab.trace import Trace
from faaslab.trace.events import InputFetched, WorkerExited, WorkerStarted
from tests.trace.runs import T0, contended, manifest, two_workers


@task
def load(x: int) -> int:
    return x


@task
def work(x: int, more: str = "") -> int:
    return x


def three_tasks() -> DAG:
    """Return the DAG that ``two_workers`` ran: tasks 1 and 2 take the output of task 0."""
    first = load(1)
    return DAG([work(first), work(first)])


def run_of(dag: DAG, run: str = "r-1", **changes: object) -> Trace:
    """Return a run of ``three_tasks`` whose every second is known."""
    fields: dict[str, object] = {"run": run, "ids": dag.ids, "structure_hash": dag.structure_hash, **changes}
    return Trace.from_events(two_workers(), manifest(len(dag), **fields))


def sample(seconds: float = 1.0, function: str = "f", size_mib: int = 1024, **fields: object) -> Sample:
    """Return an execution."""
    return Sample("exec", seconds, size_mib, function, 0, "f#0", "c-0", **fields)  # type: ignore[arg-type]


def times(history: History) -> list[float]:
    """Return the seconds of all samples, oldest first."""
    return [float(value) for value in history.snapshot().columns.seconds]


@pytest.fixture
def history(tmp_path: Path) -> History:
    """An empty history; its clock ticks once a record."""
    ticks = count(1_000)
    return History(tmp_path / "history", clock=lambda: float(next(ticks)))


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    """Warnings are errors except where a test expects them."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_what_a_run_teaches() -> None:
    """Executions that finished, transfers through the store, and starts become samples with their circumstances."""
    dag = three_tasks()
    found = samples_of(run_of(dag), dag)
    executions = {sample.task: sample for sample in found if sample.what == "exec"}
    assert [(e.task_id, e.seconds, e.size_mib, e.bytes, e.output_bytes) for e in executions.values()] == [
        ("load#0", 1.0, 1024, 0, 1000),
        ("work#1", 1.0, 512, 1000, 300),
        ("work#0", 2.0, 1024, 1000, 500),
    ]
    assert executions[0].cpu_s == 0.75
    assert executions[1].function == executions[2].function == dag.functions[dag.function_of(1)].identity
    moved = [(s.what, s.seconds, s.bytes, s.size_mib) for s in found if s.what in ("in", "out")]
    assert sorted(moved) == [("in", 0.25, 1000, 512), ("out", 0.25, 300, 512), ("out", 0.5, 1000, 1024)]
    assert [(s.what, s.seconds, s.size_mib) for s in found if s.what in ("cold", "warm")] == [
        ("cold", 2.0, 1024),
        ("warm", 0.25, 512),
    ]


def test_what_the_engine_needed() -> None:
    """Between executions, transfers and waits a worker's time is the engine's; the first task in a container is apart.

    Worker i-0 is done with its first task when it has stored its output; its second one runs from 7 to 9.25 s, of which
    2 s are execution. Worker i-1, warm and without a predecessor, needs nothing beside executing and transfers.
    """
    dag = three_tasks()
    found = [s for s in samples_of(run_of(dag), dag) if s.what in ("first", "task", "submit")]
    assert [(s.what, s.seconds, s.bytes) for s in found] == [
        ("first", 0.0, 0),
        ("task", 0.25, 1500),
        ("task", 0.0, 0),
        ("submit", 0.5, 700),
    ]
    assert found[0].function == dag.functions[dag.function_of(0)].identity


def test_inputs_that_came_together_are_one_sample() -> None:
    """Their time is reported with the first of them: what counts is the mean, not one slow and many instant ones."""
    dag = three_tasks()
    events = [
        *two_workers(),
        InputFetched(T0 + 6.0, 1, 0, "i-1", 400, "inline", 0.6),
        InputFetched(T0 + 6.0, 1, 2, "i-1", 1000, "store", 0.0),
        InputFetched(T0 + 6.0, 1, 3, "i-1", 3000, "store", 0.0),
    ]
    trace = Trace.from_events(events, manifest(3, structure_hash=dag.structure_hash))
    fetched = [(s.seconds, s.bytes) for s in samples_of(trace, dag) if s.what == "in"]
    assert fetched == [(0.25, 1000), (pytest.approx(0.3), 2000)]


def test_waiting_for_a_free_container_is_no_start() -> None:
    """A warm start whose container was busy says how long that was, not how fast starts are."""
    dag = three_tasks()
    events = [
        *two_workers(),
        WorkerStarted(T0 + 6.0, "i-2", 1, "c-9", 512, False, T0 + 5.0),
        WorkerExited(T0 + 6.5, "i-2", 1, "c-9", "ended"),
    ]
    trace = Trace.from_events(events, manifest(3, structure_hash=dag.structure_hash))
    assert [s.seconds for s in samples_of(trace, dag) if s.what == "warm"] == [0.25]


def test_how_many_ran_meanwhile() -> None:
    """All of the 1 s of task 2 another attempt ran beside it; the attempt that counts of task 1 had no company."""
    dag = three_tasks()
    running = {s.task_id: s.running for s in samples_of(run_of(dag), dag) if s.what == "exec"}
    assert running == pytest.approx({"load#0": 1.0, "work#1": 2.0, "work#0": 1.0})


def test_constants_count_as_input() -> None:
    """A large constant is part of what a task reads, whether or not its container had it already."""
    dag = DAG(work(load(1), "x" * 5_000))
    trace = run_of(three_tasks(), structure_hash=dag.structure_hash)
    (second,) = [sample for sample in samples_of(trace, dag) if sample.task == 1]
    assert 6_000 <= second.bytes <= 6_100


def test_declarations_are_kept() -> None:
    """What users expected is kept beside what came."""
    dag = DAG(work.with_options(expected_s=2.5, output_bytes=70)(load(1)))
    found = samples_of(run_of(three_tasks(), structure_hash=dag.structure_hash), dag)
    assert [(s.expected_s, s.expected_bytes) for s in found if s.what == "exec"] == [(0.0, 0), (2.5, 70)]


def test_circumstances_come_from_the_manifest() -> None:
    """Kind, launcher, profile, image, dilation and whether sizes were enforced are kept."""
    settings = {"launcher": {"profile": "lambda", "image": "i:1", "dilation": 4.0}, "sizes_enforced": True}
    found = source_of(run_of(three_tasks(), launcher="docker", settings=settings), 7.0)
    assert (found.kind, found.launcher, found.platform, found.image) == ("real", "docker", "lambda", "i:1")
    assert (found.dilation, found.sizes_enforced, found.recorded_s) == (4.0, True, 7.0)
    assert not source_of(run_of(three_tasks(), launcher="inline"), 0.0).sizes_enforced
    assert source_of(run_of(three_tasks(), launcher="virtual"), 0.0).kind == "virtual"


@pytest.mark.parametrize("launcher", [InlineLauncher(), VirtualLauncher(seed=1)], ids=["real", "virtual"])
def test_runs_of_the_engine(history: History, launcher: InlineLauncher | VirtualLauncher) -> None:
    """What the engine itself has run is recorded: each task once, by the identity of its function."""
    dag = DAG(work(load(3)))
    run = dag.submit(launcher=launcher)
    assert run.result(timeout=60) == 3
    assert history.record(run.trace, dag) is not None
    snapshot = history.snapshot()
    columns = snapshot.columns
    executions = columns.what == WHATS.index("exec")
    assert columns.task[executions].tolist() == [0, 1]
    names = [columns.functions[number] for number in columns.function[executions]]
    assert names == [f"{function.identity}/{function.name}" for function in dag.functions]
    assert snapshot.sources[0].kind == ("virtual" if isinstance(launcher, VirtualLauncher) else "real")


def test_simulated_runs_are_refused_unless_asked_for(history: History) -> None:
    """Predictions are not learnt from predictions by accident."""
    dag = three_tasks()
    trace = run_of(dag, launcher="simulated")
    with pytest.raises(TraceError, match="pass simulated=True"):
        history.record(trace, dag)
    assert len(history.snapshot()) == 0
    history.record(trace, dag, simulated=True)
    assert [source.kind for source in history.snapshot().sources] == ["simulated"]


def test_the_wrong_dag_is_refused(history: History) -> None:
    """A trace is recorded with the DAG that was run, or not at all."""
    with pytest.raises(TraceError, match="structure hash hash-1"):
        history.record(run_of(three_tasks(), structure_hash="hash-1"), three_tasks())


def test_samples_come_back(history: History) -> None:
    """A snapshot holds what was recorded; so does the Parquet file, for other tools."""
    dag = three_tasks()
    trace = run_of(dag, launcher="docker", settings={"sizes_enforced": True})
    path = history.record(trace, dag)
    assert path is not None
    wanted = samples_of(trace, dag)
    columns = history.snapshot().columns
    assert [WHATS[what] for what in columns.what] == [sample.what for sample in wanted]
    assert [columns.functions[number] for number in columns.function] == [sample.model for sample in wanted]
    for name in ("task", "size_mib", "bytes", "output_bytes", "seconds", "contended"):
        assert getattr(columns, name).tolist() == [getattr(sample, name) for sample in wanted]
    table = pq.read_table(path).to_pandas()
    assert set(table["structure_hash"]) == {dag.structure_hash}
    assert table["sizes_enforced"].all()
    assert list(table["cpu_s"]) == [sample.cpu_s for sample in wanted]


def test_the_same_run_counts_once(history: History) -> None:
    """Recording a run again changes nothing but when it was recorded."""
    dag = three_tasks()
    first = history.record(run_of(dag), dag)
    before = history.snapshot()
    assert history.record(run_of(dag), dag) == first
    assert history.snapshot() == before
    assert len(history.snapshot()) == len(before)


def test_contended_samples_are_kept_and_counted(history: History) -> None:
    """Executions that others disturbed are stored, and a snapshot says how many there are."""
    dag = three_tasks()
    history.record(contended(run_of(dag), every=2), dag)
    snapshot = history.snapshot()
    assert snapshot.contended == 2
    assert "2 contended" in repr(snapshot)


def test_a_snapshot_does_not_change(history: History) -> None:
    """What is recorded after a snapshot is not in it, and nobody can write to its arrays."""
    history.add(Source("r-1"), [sample(1.0)])
    before = history.snapshot()
    digest = before.digest
    history.add(Source("r-2"), [sample(2.0)])
    assert before.columns.seconds.tolist() == [1.0]
    assert before.digest == digest != history.snapshot().digest
    with pytest.raises(ValueError, match="read-only"):
        before.columns.seconds[0] = 5.0
    assert not before.columns.source.flags.writeable


def test_equal_histories_have_equal_hashes(tmp_path: Path) -> None:
    """The hash tells content, not the folder, the time or the order of recording; a narrowed one has another."""
    histories = [History(tmp_path / name) for name in ("a", "b")]
    runs = [(Source("r-1", launcher="docker"), [sample(1.0)]), (Source("r-2", launcher="process"), [sample(2.0)])]
    for history, order in zip(histories, (runs, runs[::-1]), strict=True):
        for source, samples in order:
            history.add(source, samples)
    first, second = [history.snapshot() for history in histories]
    assert first == second
    assert hash(first) == hash(second)
    narrow = first.only(launcher="docker")
    assert narrow.columns.seconds.tolist() == [1.0]
    assert narrow != first
    assert narrow == second.only(launcher="docker")
    with pytest.raises(ConfigError, match="'lancher'"):
        first.only(lancher="docker")


def test_the_newest_samples_of_each_key_stay(tmp_path: Path) -> None:
    """Old samples go when newer ones of the same function and size suffice; those of others stay, their files too."""
    history = History(tmp_path, keep_samples=3)
    for run in range(5):
        history.add(Source(f"r-{run}", recorded_s=run), [sample(float(run))])
    history.add(Source("rare", recorded_s=0.5), [sample(99.0, size_mib=512)])
    assert times(history) == [99.0, 2.0, 3.0, 4.0]
    assert len(list((tmp_path / "samples").glob("*.parquet"))) == 4


def test_a_run_with_more_samples_than_are_kept(tmp_path: Path) -> None:
    """A bound within a run keeps that many samples, the same ones each time."""
    history = History(tmp_path, keep_samples=3)
    history.add(Source("r-1"), [sample(float(number)) for number in range(10)])
    assert times(history) == [7.0, 8.0, 9.0]
    assert times(History(tmp_path, keep_samples=5)) == [5.0, 6.0, 7.0, 8.0, 9.0]


def test_only_so_many_runs_stay(tmp_path: Path) -> None:
    """Functions that nobody runs any more do not pile up for ever."""
    history = History(tmp_path, keep_runs=2)
    for run in range(4):
        history.add(Source(f"r-{run}", recorded_s=run), [sample(float(run), function=f"edited {run}")])
    assert times(history) == [2.0, 3.0]
    assert len(list((tmp_path / "samples").iterdir())) == 2


def test_forget_a_run(history: History) -> None:
    """A run can be taken out again, and stays out."""
    history.add(Source("good"), [sample(1.0)])
    history.add(Source("bad"), [sample(2.0)])
    assert history.forget("bad") == 1
    assert history.forget("bad") == 0
    assert times(history) == [1.0]


def test_a_lost_index_is_made_again(history: History) -> None:
    """Without its index a history is what it was, its hash included."""
    for run in range(5):
        history.add(Source(f"r-{run}", recorded_s=run), [sample(float(run), contended=run == 2)])
    before = history.snapshot()
    for path in history.folder.glob("index.sqlite*"):
        path.unlink()
    after = history.snapshot()
    assert after == before
    assert after.contended == 1
    assert after.columns.seconds.tolist() == before.columns.seconds.tolist()
    assert after.sources == before.sources


@pytest.mark.parametrize("damage", ["not a database", "another version", "a damaged page"])
def test_a_damaged_index_is_made_again(history: History, damage: str) -> None:
    """An index that can't be read is replaced from the files."""
    history.add(Source("r-1"), [sample(1.0)])
    path = history.folder / "index.sqlite"
    if damage == "not a database":
        path.write_bytes(b"x" * 5_000)
    elif damage == "a damaged page":
        content = path.read_bytes()
        path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    else:
        with closing(sqlite3.connect(path)) as index:
            index.execute("PRAGMA user_version = 99")
    assert times(history) == [1.0]
    history.add(Source("r-2", recorded_s=1.0), [sample(2.0)])
    assert times(history) == [1.0, 2.0]


def test_files_come_and_go_without_the_index(history: History, tmp_path: Path) -> None:
    """Files copied from another history count, deleted ones don't."""
    other = History(tmp_path / "other")
    foreign = other.add(Source("far", recorded_s=5.0), [sample(7.0)])
    own = history.add(Source("near", recorded_s=1.0), [sample(1.0)])
    assert foreign is not None
    assert own is not None
    shutil.copy(foreign, own.parent)
    assert times(history) == [1.0, 7.0]
    own.unlink()
    assert times(history) == [7.0]


def test_damaged_files_are_skipped_by_name(history: History) -> None:
    """A file that was cut, changed, or is of another kind or version is left out with a warning that names it."""
    paths = [history.add(Source(f"r-{run}"), [sample(float(run))]) for run in range(4)]
    cut, changed, version, good = [path for path in paths if path is not None]
    cut.write_bytes(cut.read_bytes()[:100])
    table = pq.read_table(changed)
    other = table.set_column(table.column_names.index("seconds"), "seconds", pa.array([math.nan]))
    pq.write_table(other, changed)
    pq.write_table(pq.read_table(version).replace_schema_metadata({"faaslab.history": "99"}), version)
    (good.parent / "notes.parquet").write_text("not Parquet")
    for path in history.folder.glob("index.sqlite*"):
        path.unlink()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert times(history) == [3.0]
    messages = sorted(str(warning.message) for warning in caught)
    assert len(messages) == 4
    for path in (cut, changed, version, good.parent / "notes.parquet"):
        assert any(str(path) in message for message in messages)
    assert any("schema 99" in message for message in messages)


def _record_runs(folder: str, process: int, runs: int) -> None:
    history = History(folder)
    for run in range(runs):
        history.add(Source(f"r-{process}-{run}"), [sample(process * 100.0 + run, function=f"f{run % 3}")])
        history.snapshot()


def test_four_processes_record_at_once(tmp_path: Path) -> None:
    """Runs recorded by several processes at the same time are all kept, from the making of the index on."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_record_runs, args=(str(tmp_path), number, 12)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=100)
    assert [process.exitcode for process in processes] == [0] * 4
    wanted = sorted(process * 100.0 + run for process in range(4) for run in range(12))
    assert sorted(times(History(tmp_path))) == wanted


def test_nothing_but_parquet_and_sqlite_is_left_behind(history: History) -> None:
    """No temporary files and no pickles are in the folder."""
    for run in range(3):
        history.add(Source(f"r-{run}"), [sample(float(run))])
    names = sorted(str(path.relative_to(history.folder)) for path in history.folder.rglob("*") if path.is_file())
    assert [name for name in names if not name.endswith(".parquet")] == ["index.sqlite"]
    assert all((history.folder / name).read_bytes()[:4] == b"PAR1" for name in names if name.endswith(".parquet"))


def test_an_empty_history(history: History) -> None:
    """Without runs there is an empty snapshot, and a run without samples leaves no file."""
    assert len(history.snapshot()) == 0
    assert history.snapshot().columns.seconds.dtype == np.float64
    assert history.add(Source("r-1"), []) is None
    assert history.snapshot() == history.snapshot()


@pytest.mark.parametrize("bounds", [{"keep_samples": 0}, {"keep_runs": 0}])
def test_bad_bounds(tmp_path: Path, bounds: dict[str, int]) -> None:
    """A history that keeps nothing is refused."""
    with pytest.raises(ConfigError, match="1 or more"):
        History(tmp_path, **bounds)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A folder below a file is refused by its path."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file"):
        History(tmp_path / "file" / "history")


def test_newer_runs_replace_older_ones_whatever_their_order(tmp_path: Path) -> None:
    """Which samples stay depends on when runs were recorded, not on the order in which files are found."""
    history = History(tmp_path, keep_samples=2)
    runs = [(replace(Source(f"r-{run}"), recorded_s=float(run)), [sample(float(run))]) for run in (3, 1, 4, 2)]
    for source, samples in runs:
        history.add(source, samples)
    assert times(history) == [3.0, 4.0]


def test_where_a_history_is_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a folder it is beside the saved runs, or where these would be if they were saved."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FAASLAB_HISTORY_DIR")
    monkeypatch.setenv("FAASLAB_RUNS_DIR", str(tmp_path / "mine" / "runs"))
    assert History().folder == tmp_path / "mine" / "history"
    monkeypatch.setenv("FAASLAB_RUNS_DIR", "")
    assert History().folder == Path(".faaslab/history")


def a_run(run: int) -> tuple[Source, list[Sample]]:
    """Return a run of 100 tasks of five functions, with half as many transfers."""
    samples = [sample(1.0 + t, f"f{t % 5}", (512, 1024, 1769)[t % 3]) for t in range(100)]
    samples += [Sample("in", 0.01, 1024, bytes=1000 + t) for t in range(50)]
    return Source(f"r-{run}", structure_hash="hash"), samples


def test_recording_is_fast(history: History) -> None:
    """Recording a run of 100 tasks takes less than 20 ms (the best of twenty, as the machine may be busy)."""
    taken = []
    for run in range(20):
        started_s = time.perf_counter()
        history.add(*a_run(run))
        taken.append(time.perf_counter() - started_s)
    assert min(taken) < 0.02


@pytest.mark.slow
def test_thousands_of_runs(tmp_path: Path) -> None:
    """With 2,000 runs of 100 tasks, a snapshot takes less than 1 s and recording one more less than 20 ms."""
    history = History(tmp_path, keep_samples=10**6)
    taken = []
    for run in range(2_000):
        started_s = time.perf_counter()
        history.add(*a_run(run))
        taken.append(time.perf_counter() - started_s)
    started_s = time.perf_counter()
    snapshot = history.snapshot()
    assert time.perf_counter() - started_s < 1.0
    assert len(snapshot) == 300_000
    assert sorted(taken[-100:])[50] < 0.02
