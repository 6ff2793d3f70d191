"""A trace for Perfetto or ``chrome://tracing``: containers as processes, workers, tasks and phases as slices.

Format: "Trace Event Format" (Google, 2016): ``X`` events with microseconds, ``M`` events that name processes and
threads. Slices of one thread must not overlap unless they nest, so overlapping ones get further threads.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from faaslab.trace.export import write_atomic

if TYPE_CHECKING:
    from faaslab.trace.trace import Trace

_THREADS = ("worker", "exec", "fetch", "store", "wait")
_MEASURED = ("cpu_s", "throttled_s", "queued_s", "steal_s", "contended", "peak_rss_bytes")
"""What is told of an execution beside its time."""
_LANES = 1000
"""Threads that each kind of slice has room for."""


def write_chrome(trace: "Trace", path: Path) -> Path:
    """Write a trace as Chrome trace JSON and return the path."""
    data = {
        "traceEvents": chrome_events(trace),
        "displayTimeUnit": "ms",
        "otherData": {"run": trace.manifest.run, "dag": trace.manifest.dag_name, "planner": trace.manifest.planner},
    }
    text = msgspec.json.encode(data)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, lambda temporary: temporary.write_bytes(text))
    return path


def chrome_events(trace: "Trace") -> list[dict[str, Any]]:
    """Return the slices of a trace, times in microseconds since the run was submitted."""
    records = trace.records
    processes = {record.container: index + 1 for index, record in enumerate(records.containers)}
    made: list[dict[str, Any]] = []
    for record in records.containers:
        name = f"{record.container} ({record.size_mib} MiB)"
        made.append(_name("process_name", processes[record.container], 0, name))
    attempts = records.attempts()
    slices: list[tuple[int, str, float, float, str, dict[str, Any]]] = []
    for worker in records.workers:
        process = processes[worker.container]
        label = f"{worker.invocation} ({'cold' if worker.cold else 'warm'})"
        about = {"attempt": worker.attempt, "reason": worker.reason, "dag_bytes": worker.dag_bytes}
        slices.append((process, "worker", worker.launched_s, worker.ended_s, label, about))
        for phase, start_s, end_s, task in worker.intervals:
            thread = "worker" if phase == "startup" else phase
            label = trace.task_id(task) if phase == "exec" else f"{phase} {trace.task_id(task)}".rstrip()
            attempt = attempts.get((worker.invocation, worker.attempt, task)) if phase == "exec" else None
            measured = {name: getattr(attempt, name) for name in _MEASURED} if attempt else {}
            slices.append((process, thread, start_s, end_s, label, measured))
    # Longer slices first among equals, so that the outer one of two nested slices opens first.
    slices.sort(key=lambda one: (one[0], one[1], one[2], -one[3]))
    lanes: dict[tuple[int, str], list[float]] = {}
    for process, thread, start_s, end_s, label, about in slices:
        lane = 0
        if thread != "worker":  # start-up nests in its worker, and a container serves one worker at a time
            free_s = lanes.setdefault((process, thread), [])
            lane = next((index for index, free in enumerate(free_s) if free <= start_s), len(free_s))
            free_s[lane : lane + 1] = [end_s]
        made.append(
            {
                "ph": "X",
                "pid": process,
                "tid": _THREADS.index(thread) * _LANES + lane,
                "ts": (start_s - records.submitted_s) * 1e6,
                "dur": (end_s - start_s) * 1e6,
                "name": label,
                "cat": thread,
                "args": about,
            }
        )
    threads = sorted({(one["pid"], one["tid"]) for one in made if one["ph"] == "X"})
    made += [_name("thread_name", process, thread, _THREADS[thread // _LANES]) for process, thread in threads]
    return made


def _name(what: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": what, "pid": process, "tid": thread, "args": {"name": name}}
