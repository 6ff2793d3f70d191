"""What users get when their code fails, exits, crashes, takes too long, or can't travel."""

import signal
import time
from typing import Any

import psutil
import pytest

import faaslab as fl
from faaslab.client import Lab
from faaslab.graph.generators import increment, one, total
from faaslab.trace.events import TaskFailed as FailedEvent
from faaslab.trace.events import TaskStarted
from tests.client.scene import Scene, process_lab, until


class OwnError(Exception):
    """An exception of the user's own, with a field."""

    def __init__(self, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


def fails(code: int) -> int:
    """Say something, then fail."""
    print("about to fail")  # noqa: T201  output of user code is what is tested
    raise OwnError(code)


def failure(lab: Lab, outputs: Any, **settings: Any) -> fl.TaskFailed:
    """Return the error of a run whose task fails."""
    run = lab.submit(outputs, **settings)
    with pytest.raises(fl.TaskFailed) as caught:
        run.result(30)
    assert run.status == "failed"
    return caught.value


@pytest.mark.parametrize("planner", ["wukong", "single_worker", "per_task"])
def test_a_task_that_raises(lab: Lab, planner: str) -> None:
    """The error names task, attempt, worker and size, and carries traceback, output and the original exception."""
    error = failure(lab, increment(fl.task(fails)(7)), planner=planner, sizes=[512])
    assert (error.task, error.attempt, error.size_mib) == ("fails#0", 1, 512)
    assert error.worker.startswith("c")
    assert "in fails" in error.remote_traceback
    assert "raise OwnError(code)" in error.remote_traceback
    assert (
        "faaslab" not in error.remote_traceback.replace("test_failures", "").replace("/tests/", "").split("in fails")[1]
    )
    assert error.logs == "about to fail\n"
    assert isinstance(error.__cause__, OwnError)
    assert error.__cause__.code == 7
    for part in ("fails#0", "attempt 1", error.worker, "512 MiB", "OwnError: code 7", "about to fail"):
        assert part in str(error)


def test_descendants_of_a_failure_do_not_run(lab: Lab) -> None:
    """After a failure in the middle nothing that depends on it is executed."""
    bad = fl.task(fails)(1)
    run = lab.submit(total([increment(bad), increment(bad)]))
    with pytest.raises(fl.TaskFailed):
        run.result(20)
    assert set(run.trace.tasks["function"]) == {"fails"}


def test_two_failures_at_once(lab: Lab) -> None:
    """Of two branches that fail one is reported."""
    assert failure(lab, [fl.task(fails)(1), fl.task(fails)(2)]).task in ("fails#0", "fails#1")


class Unpicklable(Exception):
    """An exception that holds what can't travel."""

    def __init__(self) -> None:
        super().__init__("no way")
        import threading

        self.lock = threading.Lock()


class Unspeakable(Exception):
    """An exception that can't even be printed."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Landmine:
    """A value that can be pickled but not loaded."""

    def __reduce__(self) -> Any:
        return int, ("not a number",)


def test_an_exception_that_cannot_travel(lab: Lab) -> None:
    """It is described by its text; the cause is missing."""

    @fl.task
    def raises() -> None:
        raise Unpicklable

    error = failure(lab, raises())
    assert error.__cause__ is None
    assert "Unpicklable: no way" in str(error)


def test_an_exception_that_cannot_be_printed(lab: Lab) -> None:
    """A broken ``__str__`` fails the task like any other error."""

    @fl.task
    def raises() -> None:
        raise Unspeakable

    assert "Unspeakable" in str(failure(lab, raises()))


def test_a_result_that_cannot_travel(lab: Lab) -> None:
    """A lock as result fails that task, with type and reason."""

    @fl.task
    def lock() -> object:
        import threading

        return threading.Lock()

    error = failure(lab, increment(lock()))  # type: ignore[call-overload]
    assert error.task == "lock#0"
    assert "lock" in str(error)
    assert "can't be serialized" in str(error)


def test_a_result_that_cannot_be_loaded(lab: Lab) -> None:
    """A result that breaks when the client loads it ends the run with an error that says so."""

    @fl.task
    def mine() -> object:
        return Landmine()

    run = lab.submit(mine())
    with pytest.raises(fl.RunError, match="not a number"):
        run.result(20)
    assert run.status == "failed"


def _exit() -> None:
    import sys

    sys.exit(3)


def _hard_exit() -> None:
    import os

    os._exit(4)


def _segfault() -> None:
    import os
    import signal

    os.kill(os.getpid(), signal.SIGSEGV)


def _interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        (_exit, "SystemExit: 3"),
        (_hard_exit, "exited with status 4"),
        (_segfault, "died of SIGSEGV"),
        (_interrupt, "KeyboardInterrupt"),
    ],
    ids=["exit", "os-exit", "segfault", "interrupt"],
)
def test_a_task_that_ends_its_process(lab: Lab, ending: Any, said: str) -> None:
    """However a task ends its process, it has failed, and the lab goes on."""
    error = failure(lab, fl.task(ending)())
    assert said in str(error)
    assert lab.compute(one()) == 1


def test_a_task_that_ends_its_process_is_retried(lab: Lab) -> None:
    """A crash counts as an attempt."""
    error = failure(lab, fl.task(retries=1)(_hard_exit)())
    assert error.attempt == 2


def test_much_output(lab: Lab) -> None:
    """Of 10 MB of output the end is kept, and how much was dropped is said."""

    @fl.task
    def chatter() -> int:
        for number in range(100_000):
            print(f"{number:>99}")  # noqa: T201  output of user code is what is tested
        return 1

    run = lab.submit(chatter())
    assert run.result(30) == 1
    text = run.logs("chatter#0")
    assert text.rstrip().endswith("99999")
    assert len(text) < 2 * lab.config.log_bytes
    assert "bytes dropped" in text
    assert run.logs() == text


def test_output_of_a_crash(lab: Lab) -> None:
    """What a task printed before it crashed is in the error."""

    @fl.task
    def crashes() -> None:
        import os

        os.write(2, b"last words\n")
        os.abort()

    error = failure(lab, crashes())
    assert "last words" in error.logs
    assert "SIGABRT" in str(error)


def test_retries(lab: Lab, warm_scene: Scene) -> None:
    """A task that fails twice and may be retried twice succeeds; each attempt and growing pauses are in the trace."""
    marks = str(warm_scene.folder / "marks")

    @fl.task(retries=2)
    def flaky(path: str) -> int:
        with open(path, "a") as file:
            file.write("x")
        with open(path) as file:
            attempts = len(file.read())
        if attempts < 3:
            raise ValueError(f"attempt {attempts}")
        return attempts

    run = lab.submit(increment(flaky(marks)))
    assert run.result(20) == 4
    failed = [event for event in run.trace.events if isinstance(event, FailedEvent)]
    started = [event.at_s for event in run.trace.events if isinstance(event, TaskStarted) and event.task == 0]
    assert [(event.error, event.will_retry) for event in failed] == [
        ("ValueError: attempt 1", True),
        ("ValueError: attempt 2", True),
    ]
    assert len(started) == 3
    first, second = (started[i + 1] - failed[i].at_s for i in range(2))
    assert first >= lab.config.retry_backoff_s * 0.9
    assert second >= lab.config.retry_backoff_s * 1.9


def test_retries_run_out(lab: Lab) -> None:
    """The last of several attempts is the one that is reported."""
    assert failure(lab, fl.task(retries=2)(fails)(1)).attempt == 3


def _spin() -> None:
    while True:
        pass


def test_a_task_that_takes_too_long(scene: Scene) -> None:
    """It is killed, its processor time stops, and the error says how long it was allowed."""
    with process_lab(scene, limit=1) as lab:
        lab.compute(one())
        (worker,) = scene.workers()
        began_s = time.monotonic()
        error = failure(lab, fl.task(timeout_s=0.5)(_spin)())
        took_s = time.monotonic() - began_s
        assert isinstance(error, fl.TaskTimeout)
        assert "timeout_s of 0.5 s" in str(error)
        assert error.task == "_spin#0"
        assert 0.5 <= took_s < 2.0
        assert not worker.is_running()
        assert lab.compute(one()) == 1


def test_a_task_in_time_is_left_alone(lab: Lab) -> None:
    """A limit that is kept changes nothing."""
    assert lab.compute(fl.task(timeout_s=30)(one.fn)()) == 1


def test_a_task_that_runs_a_workflow(lab: Lab) -> None:
    """A nested run is refused at once, and the error says what to do."""

    @fl.task
    def nested() -> int:
        import faaslab as fl
        from faaslab.graph.generators import one

        return fl.compute(one())  # type: ignore[no-any-return]

    error = failure(lab, nested())
    assert isinstance(error.__cause__, fl.RunError)
    assert "can't start a run of its own" in str(error)


def test_a_module_that_the_worker_lacks(lab: Lab) -> None:
    """A missing module is named."""

    @fl.task
    def imports() -> None:
        import no_such_module_anywhere  # type: ignore[import-not-found]  # noqa: F401

    assert "no_such_module_anywhere" in str(failure(lab, imports()))


@fl.task
def _sleep(seconds: float) -> float:
    import time

    time.sleep(seconds)
    return seconds


def test_result_with_a_timeout(lab: Lab) -> None:
    """A wait that is over does not end the run."""
    run = lab.submit(_sleep(0.5))
    with pytest.raises(fl.RunTimeout, match="it goes on"):
        run.result(timeout=0.05)
    assert run.status == "running"
    assert run.result(20) == 0.5
    assert run.status == "finished"


def test_compute_with_a_timeout(lab: Lab) -> None:
    """A run that takes longer than ``timeout_s`` is cancelled."""
    began_s = time.monotonic()
    with pytest.raises(fl.RunTimeout):
        lab.compute(_sleep(60), timeout_s=0.2)
    assert time.monotonic() - began_s < 5
    assert lab.compute(one(), timeout_s=30) == 1


def test_cancel(lab: Lab, warm_scene: Scene) -> None:
    """A cancelled run ends at once, its worker's code within a second; cancelling again changes nothing."""
    started = warm_scene.folder / "started"

    @fl.task
    def mark_and_spin(path: str) -> None:
        import os
        from pathlib import Path

        Path(path).write_text(str(os.getpid()))
        while True:
            pass

    run = lab.submit(mark_and_spin(str(started)))
    until(lambda: started.exists() and started.read_text(), 20, "the task runs")
    busy = psutil.Process(int(started.read_text()))
    assert run.cancel()
    with pytest.raises(fl.RunCancelled):
        run.result(5)
    assert run.status == "cancelled"
    busy.wait(1.0)
    assert not run.cancel()
    assert lab.compute(one()) == 1


def test_cancel_before_it_starts_and_after_it_ended(lab: Lab) -> None:
    """Before a container has taken it, a run is cancelled as well; after its end its result stays."""
    blocking = [lab.submit(_sleep(60)) for _ in range(2)]
    queued = lab.submit(one())
    assert queued.cancel()
    with pytest.raises(fl.RunCancelled):
        queued.result(5)
    assert [run.cancel() for run in blocking] == [True, True]
    done = lab.submit(one())
    assert done.result(20) == 1
    assert not done.cancel()
    assert (done.result(0), done.status) == (1, "finished")


def test_closing_a_lab_cancels_its_runs(scene: Scene) -> None:
    """What still runs when its lab is closed was cancelled, and says so."""
    with process_lab(scene) as lab:
        runs = [lab.submit(_sleep(60)) for _ in range(3)]
    for run in runs:
        with pytest.raises(fl.RunCancelled):
            run.result(5)
        assert run.saved() is not None
    with pytest.raises(fl.RunError, match="closed"):
        lab.compute(one())


def test_a_worker_ignores_the_terminals_interrupt(lab: Lab, warm_scene: Scene) -> None:
    """A signal meant for the client does not end workers; it never reaches the server, which has its own session."""
    lab.compute(one())
    for process in warm_scene.supervisors() + warm_scene.workers() + warm_scene.hosts():
        process.send_signal(signal.SIGINT)
    assert lab.compute(one()) == 1


def _starts_another(marks: str) -> None:
    """Start a process and never end."""
    import subprocess
    import time
    from pathlib import Path

    other = subprocess.Popen(["sleep", "600"])
    Path(marks).write_text(str(other.pid))
    time.sleep(600)


def test_processes_of_a_killed_task_end_with_it(scene: Scene) -> None:
    """What user code started and did not detach is killed with its task."""
    marks = scene.folder / "pid"
    with process_lab(scene) as lab:
        with pytest.raises(fl.TaskTimeout):
            lab.compute(fl.task(timeout_s=1.0)(_starts_another)(str(marks)))
        until(lambda: not psutil.pid_exists(int(marks.read_text())), 5, "the other process has ended")
