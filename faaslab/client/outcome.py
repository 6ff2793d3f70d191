"""What the client makes of a run that has ended: its result, or the error that says why there is none."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec

from faaslab.errors import (
    RunCancelled,
    RunError,
    RunStalled,
    StateLost,
    TaskFailed,
    TaskOutOfMemory,
    TaskTimeout,
    WorkerLost,
)
from faaslab.model.sizes import MAX_SIZE_MIB
from faaslab.protocol.messages import RUN_TIME, RunStatus
from faaslab.protocol.payload import Codec, join, read_reference
from faaslab.protocol.report import ErrorReport
from faaslab.protocol.storage import Storage


def read_outputs(storage: Storage, run: str, tasks: Sequence[int], codec: Codec) -> dict[int, object]:
    """Return the values of stored outputs.

    Raises:
        StateLost: One of them is not there.
        PayloadError: One of them is damaged or not signed by this lab.
    """
    frames = storage.fetch(run, tasks)
    values: dict[int, object] = {}
    for task in tasks:
        if task not in frames:
            raise StateLost(f"run {run}: the store has finished it but lacks the output of task {task}")
        reference = read_reference(frames[task])
        frame = frames[task] if reference is None else join(storage.get_blob(run, reference.key, reference.chunks))
        values[task] = codec.loads(frame)
    return values


def error_of(run: str, status: RunStatus, ids: Sequence[str], codec: Codec, states: Mapping[str, int]) -> RunError:
    """Return the error of a run that ended without a result.

    Args:
        ids: Task ids by index.
        codec: Of the run; loads the original exception.
        states: How many tasks were in which state, for a stalled run.
    """
    what, *details = status.reason.split("|")
    if status.status == "cancelled":
        return RunCancelled(f"run {run} was cancelled" + (f": {status.reason}" if status.reason else ""))
    if what == "task failed" and status.error:
        return _task_error(status, ids, codec, attempt=int(details[0]))
    if what == "lost":
        invocation, container, lapses = details
        return WorkerLost(
            f"run {run}: worker {_worker(invocation, ids)} died {lapses} times, last in container {container}; it was "
            "killed or its machine is overloaded. Where containers have no memory limit of their own (launcher "
            "'process'), a task that needs more than the machine has dies like this as well."
        )
    if what == "state lost":
        return StateLost(f"run {run}: the store lost the output of task {ids[int(details[0])]!r}, which others need")
    if what == "stalled":
        counts = ", ".join(f"{count} {state}" for state, count in states.items())
        return RunStalled(
            f"run {run}: nothing runs, nothing is ready, and there is no result ({counts}). This is a defect of the "
            "plan or of FaaSLab; the trace of the run shows what happened last."
        )
    return RunError(f"run {run} is {status.status}: {status.reason}")


def _worker(invocation: str, ids: Sequence[str]) -> str:
    """Return how a person knows an invocation: dynamic ones are named after their first task."""
    return f"of task {ids[int(invocation[1:])]!r}" if invocation.startswith(RUN_TIME) else repr(invocation)


def _more_memory(size_mib: int) -> str:
    """Return what to do about a task that ran out of memory in a worker of this size."""
    if size_mib >= MAX_SIZE_MIB:
        return "There is no larger size: give it less to do, in more tasks."
    size_mib = min(MAX_SIZE_MIB, 2 * size_mib)
    return f"Give it more: sizes=[{size_mib}], @task(memory_mib={size_mib}), or memory_escalation of the launcher."


def _task_error(status: RunStatus, ids: Sequence[str], codec: Codec, *, attempt: int) -> RunError:
    try:
        report = ErrorReport.decode(status.error)
    except msgspec.MsgspecError as damage:
        return RunError(f"a task failed, and its report can't be read: {damage}")
    task = ids[report.task]
    where = f"worker {report.container}, {report.size_mib} MiB"
    message = f"task {task!r} failed on attempt {attempt} ({where}): {report.message}"
    kind: Callable[..., TaskFailed] = TaskFailed
    if report.kind == "timeout":
        kind = TaskTimeout
    elif report.kind == "memory":
        kind = partial(TaskOutOfMemory, peak_bytes=report.peak_bytes)
        message += f". {_more_memory(report.size_mib)}"
    if report.logs:
        message += f"\n\nIt had printed (end):\n{report.logs.rstrip()}"
    if report.traceback:
        message += f"\n\nRemote traceback:\n{report.traceback.rstrip()}"
    error = kind(
        message,
        task=task,
        attempt=attempt,
        worker=report.container,
        size_mib=report.size_mib,
        remote_traceback=report.traceback,
        logs=report.logs,
    )
    if report.exception:
        try:
            cause = codec.loads(report.exception)
        except Exception:  # a class that only the worker has: the text says it all
            cause = None
        if isinstance(cause, BaseException):
            error.__cause__ = cause
    return error
