"""Nothing that happens to a run is lost on the way to its user: events, costs, reasons."""

import os
import pickle
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

import faaslab as fl
from faaslab.client.outcome import error_of
from faaslab.graph.generators import fan, one
from faaslab.protocol.messages import RunStatus
from faaslab.protocol.payload import Codec
from faaslab.protocol.report import ErrorReport
from faaslab.protocol.storage import Storage
from faaslab.storage.memory import MemoryStorage
from faaslab.trace.events import AnyEvent, RunEnded, TaskExecuted
from tests.client.scene import Scene, process_lab, until


def plain_lab() -> fl.Lab:
    """Return a lab in this thread that saves nothing."""
    return fl.Lab("inline", config=fl.Config(runs_dir=""))


class Poison:
    """A value whose loading fails."""

    def __reduce__(self) -> Any:
        return _refuse, ()


def _refuse() -> None:
    raise ValueError("not me")


def test_an_input_that_cannot_be_loaded_fails_its_task() -> None:
    """The error names the task that needed it, and why, and nothing else is taken for it."""
    poison = fl.task(Poison, name="poison")()
    show = fl.task(repr, name="show")
    with plain_lab() as lab, pytest.raises(fl.TaskFailed, match=r"(?s)'show#[01]'.*ValueError: not me"):
        lab.compute([show(poison), show(poison)])


@fl.task
def odd_name() -> None:
    """Fail with the name of a file that is no UTF-8."""
    raise FileNotFoundError("no file caf\udce9.txt")


def test_messages_that_are_no_utf8_travel() -> None:
    """A lone surrogate is shown as an escape."""
    with plain_lab() as lab, pytest.raises(fl.TaskFailed, match=r"caf\\udce9"):
        lab.compute(odd_name())


def ended_with(report: ErrorReport) -> fl.RunError:
    """Return the error of a run that a report ended."""
    status = RunStatus("failed", f"task failed|{report.attempt}", report.encode())
    return error_of("r-1", status, ["load#0"], Codec(b"s" * 32), {})


def test_a_task_out_of_memory_is_told_what_to_do() -> None:
    """The error has size and peak, says both, and names the ways out."""
    message = "the kernel killed it for want of memory; its container's peak was 255.9 of 256 MiB"
    error = ended_with(ErrorReport(0, "memory", 1, "c1", 256, message, logs="half\n", peak_bytes=268_330_598))
    assert isinstance(error, fl.TaskOutOfMemory)
    assert (error.task, error.attempt, error.size_mib, error.peak_bytes) == ("load#0", 1, 256, 268_330_598)
    assert error.logs == "half\n"
    assert str(error).startswith(
        "task 'load#0' failed on attempt 1 (worker c1, 256 MiB): the kernel killed it for want of memory; its "
        "container's peak was 255.9 of 256 MiB. Give it more: sizes=[512], @task(memory_mib=512), or memory_escalation"
    )
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.peak_bytes, copy.task) == (str(error), error.peak_bytes, "load#0")


@pytest.mark.parametrize(("size_mib", "advice"), [(8000, "sizes=[10240]"), (10_240, "in more tasks")])
def test_more_memory_than_the_largest_size_is_not_advised(size_mib: int, advice: str) -> None:
    """Sizes end somewhere."""
    assert advice in str(ended_with(ErrorReport(0, "memory", 1, "c1", size_mib, "killed")))


def test_other_failures_are_not_out_of_memory() -> None:
    """Nor does a report of before, without a peak, fail to be read."""
    report = ErrorReport(0, "raised", 2, "c1", 256, "ValueError: no")
    assert type(ended_with(report)) is fl.TaskFailed
    fields = {name: value for name, value in msgspec.structs.asdict(report).items() if name != "peak_bytes"}
    assert ErrorReport.decode(msgspec.msgpack.encode(fields)) == report


def test_all_events_of_a_run_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watcher that lags, of a store that hands out events in pieces, still gets every one before they are deleted."""
    whole = MemoryStorage.read_events

    def piece(store: Storage, run: str, cursor: str, wait_s: float) -> tuple[str, list[bytes]]:
        after, batches = whole(store, run, cursor, wait_s)  # type: ignore[arg-type]
        return (str(int(cursor) + 1), batches[:1]) if batches else (after, [])

    monkeypatch.setattr(MemoryStorage, "read_events", piece)
    with plain_lab() as lab:
        run = lab.submit(fan(50))
        assert run.result(20) == 100
        events: list[AnyEvent] = []
        run.listen(events.append)
    assert sum(isinstance(event, TaskExecuted) for event in events) == 52
    assert [event.status for event in events if isinstance(event, RunEnded)] == ["finished"]


@fl.task
def nap() -> int:
    """Take a moment."""
    import time

    time.sleep(0.5)
    return 1


def test_a_listener_that_fails_is_dropped(scene: Scene) -> None:
    """It is told of, and the run goes on to its result."""

    def fails(event: AnyEvent) -> None:
        if isinstance(event, TaskExecuted):
            raise RuntimeError("listener")

    with process_lab(scene) as lab:
        run = lab.submit(nap())
        run.listen(fails)
        with pytest.warns(RuntimeWarning, match="listener"):
            assert run.result(20) == 1


@fl.task(timeout_s=1.0)
def too_long(marks: str) -> None:
    """Take longer than allowed."""
    import time

    time.sleep(60)


def test_attempts_that_were_killed_cost_something(scene: Scene) -> None:
    """A worker that never reported was billed all the same: a timeout and a cancelled run."""
    with process_lab(scene) as lab:
        lab.compute(one())
        run = lab.submit(too_long(""))
        with pytest.raises(fl.TaskTimeout):
            run.result(20)
        assert run.trace.metrics["workers"] == 1
        assert run.trace.metrics["worker_s"] >= 1.0
        assert run.trace.metrics["cost_usd"] > 0


@fl.task
def leaves_another(marks: str) -> None:
    """Start a process and never end."""
    import subprocess
    import time

    Path(marks).write_text(str(subprocess.Popen(["sleep", "600"]).pid))
    time.sleep(600)


def test_processes_of_a_task_end_with_the_lab(scene: Scene) -> None:
    """What user code started and did not detach is gone after ``close``."""
    marks = scene.folder / "pid"
    with process_lab(scene) as lab:
        lab.submit(leaves_another(str(marks)))
        until(lambda: marks.exists() and marks.read_text(), 20, "the task runs")
    until(lambda: not psutil.pid_exists(int(marks.read_text())), 5, "the other process has ended")


def test_a_fork_leaves_its_parents_lab_alone(scene: Scene) -> None:
    """Closing a lab in another process does nothing."""
    with process_lab(scene) as lab:
        lab.compute(one())
        child = os.fork()
        if child == 0:
            lab.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert lab.compute(one()) == 1
