"""What tasks lost of their CPU, in records, tables, metrics and files."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from faaslab.trace import Trace
from faaslab.trace.chrome import chrome_events
from faaslab.trace.events import (
    AnyEvent,
    OutputStored,
    RunEnded,
    RunSubmitted,
    TaskExecuted,
    TaskFailed,
    TaskStarted,
    WorkerStarted,
)
from tests.trace.runs import T0, manifest, two_workers


def executed(duration_s: float, throttled_s: float = 0.0, queued_s: float = 0.0, steal_s: float = 0.0) -> TaskExecuted:
    """Return the execution of task 0, which ends at ``T0 + 5``."""
    return TaskExecuted(T0 + 5, 0, "i-0", duration_s, 1.0, 0, 0, throttled_s, queued_s, steal_s)


def run_of(event: TaskExecuted, *more: AnyEvent) -> Trace:
    """Return a run of one task."""
    return Trace.from_events(
        [
            RunSubmitted(T0, "r-1", 1, 0),
            WorkerStarted(T0, "i-0", 1, "c-0", 1024, False),
            TaskStarted(T0, 0, "i-0", "c-0", 1),
            event,
            *more,
            OutputStored(T0 + 6, 0, "i-0", 10),
            RunEnded(T0 + 7, "finished"),
        ],
        manifest(),
    )


@pytest.mark.parametrize(
    ("event", "contended"),
    [
        (executed(1.0), False),
        (executed(1.0, throttled_s=0.9), False),
        (executed(1.05, queued_s=0.045), False),
        (executed(1.05, queued_s=0.055), True),
        (executed(1.05, steal_s=0.055), True),
        (executed(1.05, queued_s=0.03, steal_s=0.03), True),
        (executed(0.010, queued_s=0.004), False),
        (executed(0.010, queued_s=0.006), True),
        (executed(0.2, queued_s=0.2), True),
    ],
    ids=["free", "quota", "a little", "queued", "steal", "together", "two slices", "more than two", "nothing but"],
)
def test_contended_tasks(event: TaskExecuted, contended: bool) -> None:
    """A task is contended when others cost it more than 5 % and more than 5 ms; quotas do not count."""
    trace = run_of(event)
    assert trace.tasks["contended"].tolist() == [contended]
    assert trace.metrics["contended_tasks"] == contended


def test_metrics_sum_over_counted_tasks() -> None:
    """What an attempt lost that the run did not go on with says nothing of the run."""
    failed = [executed(2.0, 7.0, 7.0, 7.0), TaskFailed(T0 + 5, 0, "i-0", "c-0", 1, "ValueError", True)]
    again = [TaskStarted(T0 + 5, 0, "i-0", "c-0", 2), executed(2.0, 0.5, 0.25, 0.125)]
    metrics = run_of(failed[0], failed[1], *again).metrics  # type: ignore[arg-type]
    assert (metrics["throttled_s"], metrics["contention_s"], metrics["contended_tasks"]) == (0.5, 0.375, 1)


def test_losses_survive_the_disk_and_reach_other_tools(tmp_path: Path) -> None:
    """They are columns of both tables and arguments of the execution in a Chrome trace."""
    trace = run_of(executed(2.0, 0.5, 0.25, 0.125))
    assert Trace.load(trace.save(tmp_path)) == trace
    tasks = pq.read_table(tmp_path / "tasks.parquet").to_pylist()[0]
    assert (tasks["throttled_s"], tasks["queued_s"], tasks["steal_s"], tasks["contended"]) == (0.5, 0.25, 0.125, True)
    (args,) = [event["args"] for event in chrome_events(trace) if event.get("cat") == "exec"]
    assert (args["throttled_s"], args["queued_s"], args["steal_s"], args["contended"]) == (0.5, 0.25, 0.125, True)


def test_traces_of_before_are_read(tmp_path: Path) -> None:
    """A trace saved when tasks did not tell what they lost is one in which they lost nothing."""
    trace = Trace.from_events(two_workers(), manifest())
    path = trace.save(tmp_path) / "events.parquet"
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["throttled_s", "queued_s", "steal_s"]), path)
    assert Trace.load(tmp_path) == trace
