import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faaslab.trace import Trace
from faaslab.trace.breakdown import SHARES, breakdown_ns, wall_ns
from faaslab.trace.events import (
    AnyEvent,
    ContainerExited,
    InputFetched,
    InvocationRequested,
    OutputKept,
    OutputStored,
    Prewarmed,
    RunEnded,
    RunSubmitted,
    TaskExecuted,
    TaskFailed,
    TaskStarted,
    WorkerExited,
    WorkerStarted,
    WorkerWaited,
)
from tests.trace.runs import T0, manifest, synthetic, two_workers

DESIGN_KEYS = {
    "makespan_s",
    "cost_usd",
    "gb_seconds",
    "invocations",
    "cold_starts",
    "warm_starts",
    "workers",
    "stored_bytes",
    "fetched_bytes",
    "dag_bytes",
}

seconds = st.floats(0, 20, allow_nan=False)
ids = st.sampled_from(["i-0", "i-1"])
boxes = st.sampled_from(["c-0", "c-1"])
tasks = st.integers(0, 3)
attempts = st.integers(1, 2)
times = seconds.map(lambda at_s: T0 + at_s)
durations = st.floats(0, 10, allow_nan=False)
sizes = st.integers(0, 10_000)
ANY_EVENT = st.one_of(
    st.builds(
        WorkerStarted,
        times,
        ids,
        attempts,
        boxes,
        st.just(1024),
        st.booleans(),
        st.one_of(st.just(0.0), times),
        phases_s=st.dictionaries(st.sampled_from(["launch", "boot"]), durations),
    ),
    st.builds(WorkerExited, times, ids, attempts, boxes, st.just("ended")),
    st.builds(InvocationRequested, times, ids, attempts, st.just((0,)), st.just(1024)),
    st.builds(TaskStarted, times, tasks, ids, boxes, attempts),
    st.builds(InputFetched, times, tasks, tasks, ids, sizes, st.sampled_from(["store", "inline", "local"]), durations),
    st.builds(TaskExecuted, times, tasks, ids, durations, durations),
    st.builds(OutputStored, times, tasks, ids, sizes, durations),
    st.builds(OutputKept, times, tasks, ids, sizes),
    st.builds(TaskFailed, times, tasks, ids, boxes, attempts, st.just("oops"), st.booleans()),
    st.builds(WorkerWaited, times, ids, tasks, durations),
    st.builds(ContainerExited, times, boxes, st.just("killed")),
    st.builds(RunEnded, times, st.just("finished")),
)


def trace_of(events: list[AnyEvent]) -> Trace:
    """Return the trace of events of a made-up run."""
    return Trace.from_events(events, manifest())


def test_tasks() -> None:
    """Each task attempt is a row with its times, bytes and outcome; the one that counted is flagged."""
    table = trace_of(two_workers()).tasks
    assert list(table["task"]) == ["load#0", "work#1", "work#2", "work#1"]
    assert list(table["function"]) == ["load", "work", "work", "work"]
    assert list(table["attempt"]) == [1, 1, 1, 2]
    assert list(table["outcome"]) == ["finished", "failed", "finished", "finished"]
    assert list(table["counted"]) == [True, False, True, True]
    assert list(table["start_s"]) == [2.5, 4.0, 4.25, 7.0]
    assert list(table["end_s"]) == [4.0, 6.0, 5.75, 9.0]
    assert list(table["fetch_s"]) == [0, 0, 0.25, 0]
    assert list(table["exec_s"]) == [1, 2, 1, 2]
    assert list(table["store_s"]) == [0.5, 0, 0.25, 0]
    assert list(table["stored"]) == [True, False, True, False]
    assert list(table["input_bytes"]) == [0, 1000, 1000, 1000]
    assert list(table["output_bytes"]) == [1000, 0, 300, 500]
    assert list(table["size_mib"]) == [1024, 1024, 512, 1024]
    assert list(table["container"]) == ["c-0", "c-0", "c-9", "c-0"]


def test_workers() -> None:
    """Each invocation attempt is a row; a cold one is billed from the launch of its container."""
    table = trace_of(two_workers()).workers
    assert list(table["invocation"]) == ["i-0", "i-1"]
    assert list(table["cold"]) == [True, False]
    assert list(table["requested_s"]) == [0.5, 4.0]
    assert list(table["launched_s"]) == [0.5, 4.25]
    assert list(table["started_s"]) == [2.5, 4.25]
    assert list(table["ended_s"]) == [9.25, 5.75]
    assert list(table["wall_s"]) == [8.75, 1.5]
    assert list(table["reason"]) == ["ended", "ended"]
    assert list(table["tasks"]) == [3, 1]


def test_containers_transfers_and_invocations() -> None:
    """Containers, what moved, and who asked for whom have their own tables."""
    trace = trace_of(two_workers())
    containers = trace.containers.set_index("container")
    assert containers.loc["c-0", "cold_start_s"] == 2.0
    assert containers.loc["c-0", "busy_s"] == 8.75
    assert containers.loc["c-0", "reason"] == "idle"
    assert math.isnan(containers.loc["c-9", "started_s"])
    transfers = trace.transfers
    assert list(transfers["direction"]) == ["out", "in", "in", "out", "in"]
    assert list(transfers["source"]) == ["store", "local", "store", "store", "local"]
    assert list(transfers["upstream"]) == ["", "load#0", "load#0", "", "load#0"]
    assert list(trace.invocations["by"]) == ["", "i-0"]
    assert list(trace.invocations["delay_s"]) == [2.0, 0.25]


def test_breakdown() -> None:
    """Every second of both workers is accounted for."""
    table = trace_of(two_workers()).breakdown()
    assert list(table.columns) == [
        "invocation",
        "attempt",
        "container",
        *(f"{share}_s" for share in SHARES),
        "wall_s",
    ]
    assert table.iloc[0, 3:].tolist() == [2.0, 0.0, 5.0, 0.5, 1.0, 0.25, 8.75]
    assert table.iloc[1, 3:].tolist() == [0.0, 0.25, 1.0, 0.25, 0.0, 0.0, 1.5]


def test_metrics() -> None:
    """The metrics of a run with known events are exact."""
    metrics = trace_of(two_workers()).metrics
    assert set(metrics) >= DESIGN_KEYS
    expected = {
        "makespan_s": 9.5,
        "gb_seconds": 8.75 + 0.75,
        "cost_usd": 9.5 * 1.66667e-5 + 2 * 2e-7,
        "invocations": 2,
        "workers": 2,
        "cold_starts": 1,
        "warm_starts": 1,
        "stored_bytes": 1300,
        "fetched_bytes": 1000,
        "inline_bytes": 0,
        "local_bytes": 2000,
        "dag_bytes": 700,
        "dag_wire_bytes": 700,
        "tasks": 3,
        "duplicates": 0,
        "skipped_tasks": 0,
        "failed_attempts": 1,
        "repeated_exec_s": 2.0,
        "exec_s": 6.0,
        "wait_s": 1.0,
        "startup_s": 2.0,
        "worker_s": 10.25,
        "overhead_s": 3.25,
    }
    assert {key: metrics[key] for key in expected} == pytest.approx(expected)


def test_prices_of_the_manifest_are_used() -> None:
    """A platform that does not bill cold starts is cheaper by exactly these."""
    free = Trace.from_events(two_workers(), manifest(prices={"bill_cold_start": False}))
    assert free.metrics["gb_seconds"] == pytest.approx(7.5)


def test_order_of_the_stream_does_not_matter() -> None:
    """Batches of several workers arrive in any order; the trace is the same."""
    events = two_workers()
    shuffled = sorted(events, key=lambda event: getattr(event, "invocation", "") != "i-1")
    assert shuffled != events
    assert trace_of(shuffled).tasks.equals(trace_of(events).tasks)
    assert trace_of(shuffled).metrics == trace_of(events).metrics


@given(st.lists(ANY_EVENT, max_size=40))
def test_breakdown_sums_to_wall_time_for_any_stream(events: list[AnyEvent]) -> None:
    """However events overlap, repeat or lack their partners, shares are not negative and sum to the wall time."""
    trace = trace_of([RunSubmitted(T0, "r-1", 4, 10), *events])
    for worker in trace.records.workers:
        shares = breakdown_ns(worker)
        assert sum(shares.values()) == wall_ns(worker) >= 0
        assert min(shares.values()) >= 0
    table = trace.breakdown()
    total = table[[f"{share}_s" for share in SHARES]].sum(axis=1)
    assert total.tolist() == pytest.approx(table["wall_s"].tolist(), abs=1e-9)
    assert set(trace.metrics) >= DESIGN_KEYS
    assert trace.tasks.groupby("task")["counted"].sum().le(1).all()


def test_overlapping_phases_count_once() -> None:
    """An input that is fetched while another task executes costs no time of its own."""
    events: list[AnyEvent] = [
        WorkerStarted(T0, "i-0", 1, "c-0", 1024, False),
        TaskStarted(T0, 0, "i-0", "c-0", 1),
        InputFetched(T0 + 3, 1, 0, "i-0", 10, "store", 2.0),
        TaskExecuted(T0 + 2, 0, "i-0", 2.0, 2.0),
        TaskStarted(T0 + 3, 1, "i-0", "c-0", 1),
        WorkerExited(T0 + 4, "i-0", 1, "c-0", "ended"),
    ]
    trace = trace_of(events)
    assert trace.breakdown().iloc[0, 3:].tolist() == [0.0, 1.0, 2.0, 0.0, 0.0, 1.0, 4.0]
    assert trace.tasks.set_index("task").loc["work#1", "fetch_s"] == 2.0


def test_crashed_worker_and_its_second_attempt() -> None:
    """A killed worker ends when its container is found gone; the same invocation's next attempt is another row."""
    events: list[AnyEvent] = [
        RunSubmitted(T0, "r-1", 1, 10),
        InvocationRequested(T0, "i-0", 1, (0,), 1024),
        WorkerStarted(T0 + 1, "i-0", 1, "c-0", 1024, False),
        TaskStarted(T0 + 1, 0, "i-0", "c-0", 1),
        ContainerExited(T0 + 3, "c-0", "killed"),
        InvocationRequested(T0 + 3, "i-0", 2, (0,), 1024, "lapse"),
        WorkerStarted(T0 + 4, "i-0", 2, "c-1", 1024, False),
        TaskStarted(T0 + 4, 0, "i-0", "c-1", 2),
        TaskExecuted(T0 + 5, 0, "i-0", 1.0, 1.0),
        OutputStored(T0 + 5, 0, "i-0", 10),
        RunEnded(T0 + 5, "finished"),
    ]
    trace = trace_of(events)
    assert list(trace.workers["reason"]) == ["lost", "fenced"]
    assert list(trace.workers["wall_s"]) == [2.0, 1.0]
    assert list(trace.tasks["outcome"]) == ["unfinished", "finished"]
    assert list(trace.tasks["counted"]) == [False, True]
    assert list(trace.tasks["invocation_attempt"]) == [1, 2]
    assert trace.breakdown()["exec_s"].tolist() == [0.0, 1.0]


def test_workers_that_the_end_of_the_run_overtook() -> None:
    """Workers that are still busy when the run ends say no goodbye; they end with the run."""
    events: list[AnyEvent] = [
        RunSubmitted(T0, "r-1", 2, 10),
        WorkerStarted(T0, "i-0", 1, "c-0", 1024, False),
        WorkerStarted(T0, "i-1", 1, "c-1", 1024, False),
        TaskStarted(T0, 0, "i-0", "c-0", 1),
        WorkerStarted(T0 + 2, "i-2", 1, "c-1", 1024, False),
        RunEnded(T0 + 3, "cancelled"),
    ]
    workers = trace_of(events).workers.set_index("invocation")
    assert workers["reason"].to_dict() == {"i-0": "fenced", "i-1": "fenced", "i-2": "fenced"}
    assert workers["ended_s"].to_dict() == {"i-0": 3.0, "i-1": 0.0, "i-2": 3.0}


def test_failed_execution_is_execution() -> None:
    """Code that raised after 2 s has executed for 2 s, though nothing says so but its failure."""
    events: list[AnyEvent] = [
        WorkerStarted(T0, "i-0", 1, "c-0", 1024, False),
        TaskStarted(T0, 0, "i-0", "c-0", 1),
        InputFetched(T0 + 1, 0, 1, "i-0", 10, "store", 1.0),
        TaskFailed(T0 + 3, 0, "i-0", "c-0", 1, "ValueError", False),
        WorkerExited(T0 + 3, "i-0", 1, "c-0", "failed"),
    ]
    trace = trace_of(events)
    assert trace.tasks["exec_s"].tolist() == [2.0]
    assert trace.breakdown().iloc[0, 3:].tolist() == [0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 3.0]


def test_cold_container_without_its_own_event() -> None:
    """Where nobody reported a container's start, its first cold worker tells."""
    events: list[AnyEvent] = [
        WorkerStarted(T0 + 1, "i-0", 1, "c-0", 1024, True, T0, phases_s={"launch": 0.5, "boot": 0.5})
    ]
    containers = trace_of([RunSubmitted(T0, "r-1", 1, 0), *events]).containers
    assert containers.loc[0, "started_s"] == 1.0
    assert containers.loc[0, "cold_start_s"] == 1.0


def test_kept_output_that_was_lost_does_not_count() -> None:
    """When a worker dies with the only copy, the attempt that ran again is the one that counts."""
    events: list[AnyEvent] = [
        WorkerStarted(T0, "i-0", 1, "c-0", 1024, False),
        TaskStarted(T0, 0, "i-0", "c-0", 1),
        OutputKept(T0 + 1, 0, "i-0", 10),
        WorkerStarted(T0 + 4, "i-1", 1, "c-1", 1024, False),
        TaskStarted(T0 + 4, 0, "i-1", "c-1", 2),
        OutputKept(T0 + 5, 0, "i-1", 10),
    ]
    assert list(trace_of(events).tasks["counted"]) == [False, True]


def test_first_stored_output_counts() -> None:
    """Outputs are write-once: a second store of the same task is not counted."""
    events: list[AnyEvent] = []
    for index in range(2):
        events += [
            WorkerStarted(T0 + index, f"i-{index}", 1, f"c-{index}", 1024, False),
            TaskStarted(T0 + index, 0, f"i-{index}", f"c-{index}", 1),
            OutputStored(T0 + index + 1, 0, f"i-{index}", 10),
        ]
    assert list(trace_of(events).tasks["counted"]) == [True, False]


def test_run_that_still_goes_on() -> None:
    """A live run has no status, its workers no reason, and its times run up to the last event."""
    trace = trace_of(two_workers()[:8])
    assert trace.status == ""
    assert trace.metrics["makespan_s"] == 4.0
    assert list(trace.workers["reason"]) == [""]
    assert "not ended" in repr(trace)


def test_empty_trace() -> None:
    """A run without events has tables with columns and metrics of zero."""
    trace = trace_of([])
    for table in (trace.tasks, trace.workers, trace.containers, trace.transfers, trace.invocations, trace.breakdown()):
        assert table.empty
        assert len(table.columns) > 5
    assert set(trace.metrics.values()) == {0}


def test_synthetic_runs_are_consistent() -> None:
    """In a larger run every task counts once and worker seconds are the sum of the shares."""
    trace = synthetic(200, 20)
    assert trace.tasks["counted"].all()
    assert trace.metrics["tasks"] == 200
    assert sum(trace.metrics[f"{share}_s"] for share in SHARES) == pytest.approx(trace.metrics["worker_s"])


def test_importing_events_stays_light() -> None:
    """What a worker imports for its events loads neither pandas nor the trace itself."""
    code = (
        "import sys, faaslab.trace.events; "
        "heavy = {'pandas', 'numpy', 'pyarrow', 'matplotlib', 'faaslab.trace.trace'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    code = code.replace("faaslab.trace.events", "faaslab.trace.trace").replace(", 'faaslab.trace.trace'", "")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_metrics_of_empty_invocations() -> None:
    """Starts are those of workers with tasks; what was billed to make containers warm in vain is told apart."""
    warm, cold = {"boot": 1.0}, {"boot": 2.0}
    events: list[AnyEvent] = [
        RunSubmitted(T0, "r-1", 1, 0),
        InvocationRequested(T0, "!.0.0", 1, (), 1024, "prewarm"),
        InvocationRequested(T0, "!.0.1", 1, (), 1024, "prewarm"),
        InvocationRequested(T0, "!.1.0", 1, (), 512, "prewarm"),
        WorkerStarted(T0 + 1.0, "!.0.0", 1, "c-0", 1024, True, T0, 0, 0, warm),
        WorkerExited(T0 + 1.5, "!.0.0", 1, "c-0", "ended"),
        WorkerStarted(T0 + 2.0, "!.0.1", 1, "c-1", 1024, True, T0, 0, 0, cold),
        WorkerExited(T0 + 2.5, "!.0.1", 1, "c-1", "ended"),
        Prewarmed(T0 + 2.5, "!.1.0", "", 512, "reserved", 2.5),
        InvocationRequested(T0 + 3.0, "i-0", 1, (0,), 1024),
        WorkerStarted(T0 + 3.0, "i-0", 1, "c-0", 1024, False, T0 + 3.0),
        WorkerExited(T0 + 4.0, "i-0", 1, "c-0", "ended"),
        RunEnded(T0 + 4.0, "finished"),
    ]
    metrics = trace_of(events).metrics
    expected = {
        "invocations": 4,
        "workers": 1,
        "cold_starts": 0,
        "warm_starts": 1,
        "prewarms": 3,
        "prewarms_used": 2,
        "prewarm_gb_seconds": 4.0,
        "wasted_prewarm_gb_seconds": 2.5,
        "gb_seconds": 5.0,
    }
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)
