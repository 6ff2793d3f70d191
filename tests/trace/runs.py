"""Made-up runs for tests of traces and figures."""

import random

import msgspec

from faaslab.trace import Manifest, Trace
from faaslab.trace.events import (
    AnyEvent,
    ContainerExited,
    InputFetched,
    InvocationRequested,
    OutputKept,
    OutputStored,
    RunEnded,
    RunSubmitted,
    TaskExecuted,
    TaskFailed,
    TaskStarted,
    WorkerExited,
    WorkerStarted,
    WorkerWaited,
)

T0 = 1_700_000_000.0
"""When made-up runs are submitted, in seconds since the epoch."""


def manifest(tasks: int = 4, **changes: object) -> Manifest:
    """Return a manifest of ``tasks`` tasks."""
    fields: dict[str, object] = {
        "run": "r-1",
        "dag_name": "fake",
        "structure_hash": "hash-1",
        "ids": tuple(f"{'load' if task == 0 else 'work'}#{task}" for task in range(tasks)),
        "planner": "wukong",
        "launcher": "virtual",
    }
    return Manifest(**(fields | changes))  # type: ignore[arg-type]


def two_workers() -> list[AnyEvent]:
    """Return a run whose every second is known.

    Worker i-0 starts cold for 2 s, executes task 0 for 1 s, stores 1,000 bytes in 0.5 s, executes task 1 for 2 s,
    which fails, is retried after a wait of 1 s, and keeps 500 bytes. Worker i-1 starts warm, fetches in 0.25 s,
    executes task 2 for 1 s and stores 300 bytes in 0.25 s.
    """
    return [
        RunSubmitted(T0, "r-1", 3, 700),
        InvocationRequested(T0 + 0.5, "i-0", 1, (0,), 1024),
        WorkerStarted(T0 + 2.5, "i-0", 1, "c-0", 1024, True, T0 + 0.5, 700, 0, {"launch": 1.5, "boot": 0.5}),
        TaskStarted(T0 + 2.5, 0, "i-0", "c-0", 1),
        TaskExecuted(T0 + 3.5, 0, "i-0", 1.0, 0.75, 0, 10_000),
        OutputStored(T0 + 4.0, 0, "i-0", 1000, 0.5),
        InvocationRequested(T0 + 4.0, "i-1", 1, (2,), 512, "i-0"),
        TaskStarted(T0 + 4.0, 1, "i-0", "c-0", 1),
        InputFetched(T0 + 4.0, 1, 0, "i-0", 1000, "local"),
        TaskExecuted(T0 + 6.0, 1, "i-0", 2.0, 1.0),
        TaskFailed(T0 + 6.0, 1, "i-0", "c-0", 1, "ValueError: no", True),
        WorkerStarted(T0 + 4.25, "i-1", 1, "c-9", 512, False, T0 + 4.0, 0, 0),
        TaskStarted(T0 + 4.25, 2, "i-1", "c-9", 1),
        InputFetched(T0 + 4.5, 2, 0, "i-1", 1000, "store", 0.25),
        TaskExecuted(T0 + 5.5, 2, "i-1", 1.0, 1.0, 1000),
        OutputStored(T0 + 5.75, 2, "i-1", 300, 0.25),
        WorkerExited(T0 + 5.75, "i-1", 1, "c-9", "ended"),
        WorkerWaited(T0 + 7.0, "i-0", 1, 1.0),
        TaskStarted(T0 + 7.0, 1, "i-0", "c-0", 2),
        InputFetched(T0 + 7.0, 1, 0, "i-0", 1000, "local"),
        TaskExecuted(T0 + 9.0, 1, "i-0", 2.0, 2.0, 1000),
        OutputKept(T0 + 9.0, 1, "i-0", 500),
        WorkerExited(T0 + 9.25, "i-0", 1, "c-0", "ended"),
        ContainerExited(T0 + 9.5, "c-0", "idle"),
        RunEnded(T0 + 9.5, "finished"),
    ]


def contended(trace: Trace, every: int = 3) -> Trace:
    """Return the same run, in which every third execution had waited for a CPU for a part of its time."""
    events: list[AnyEvent] = []
    for event in trace.events:
        if isinstance(event, TaskExecuted) and event.task % every == 0:
            event = msgspec.structs.replace(event, queued_s=event.duration_s * 0.4)
        events.append(event)
    return Trace.from_events(events, trace.manifest)


def synthetic(
    tasks: int = 40,
    containers: int = 6,
    seed: int = 0,
    *,
    cold: float = 0.7,
    speed: float = 1.0,
    planner: str = "wukong",
) -> Trace:
    """Return a plausible run: tasks spread over containers that start cold or warm, one after the other.

    Args:
        tasks: Number of tasks, at least ``containers``.
        containers: Number of containers, each with one worker or two.
        seed: Of all random numbers.
        cold: Part of the first workers of containers that start cold.
        speed: Divides all times.
        planner: Name in the manifest.
    """
    rng = random.Random(seed)
    events: list[AnyEvent] = [RunSubmitted(T0, "r-1", tasks, 900 + 20 * tasks)]

    def later(at_s: float, mean_s: float) -> tuple[float, float]:
        duration_s = rng.gammavariate(4, mean_s / 4) / speed
        return at_s + duration_s, duration_s

    shares = [list(range(tasks))[index::containers] for index in range(containers)]
    for index, share in enumerate(shares):
        at_s = T0 + rng.random() * 0.2
        container = f"c-{index}"
        split = [share] if len(share) < 4 else [share[: len(share) // 2], share[len(share) // 2 :]]
        for number, chunk in enumerate(split):
            invocation = f"i-{index}-{number}"
            requested_s = at_s
            events.append(InvocationRequested(at_s, invocation, 1, tuple(chunk[:1]), 1769))
            is_cold = number == 0 and rng.random() < cold
            phases: dict[str, float] = {}
            if is_cold:
                for phase, mean_s in (("launch", 0.3), ("boot", 0.2), ("import", 0.1)):
                    at_s, phases[phase] = later(at_s, mean_s)
            else:
                at_s += 0.01
            events.append(WorkerStarted(at_s, invocation, 1, container, 1769, is_cold, requested_s, 500, 0, phases))
            for task in chunk:
                if rng.random() < 0.3:
                    at_s, duration_s = later(at_s, 0.2)
                    events.append(WorkerWaited(at_s, invocation, task, duration_s))
                events.append(TaskStarted(at_s, task, invocation, container, 1))
                source = rng.choice(["store", "store", "inline", "local"])
                at_s, duration_s = later(at_s, 0.08) if source == "store" else (at_s, 0.0)
                size = rng.randint(1000, 5_000_000) if source != "inline" else rng.randint(10, 60_000)
                events.append(InputFetched(at_s, task, max(0, task - 1), invocation, size, source, duration_s))
                at_s, duration_s = later(at_s, 0.4)
                events.append(TaskExecuted(at_s, task, invocation, duration_s, duration_s * 0.9, size))
                if rng.random() < 0.7:
                    at_s, duration_s = later(at_s, 0.06)
                    events.append(OutputStored(at_s, task, invocation, rng.randint(1000, 2_000_000), duration_s))
                else:
                    events.append(OutputKept(at_s, task, invocation, rng.randint(1000, 2_000_000)))
                at_s += 0.01 / speed
            events.append(WorkerExited(at_s, invocation, 1, container, "ended"))
            at_s += 0.15
    end_s = max(event.at_s for event in events) + 0.05
    events.append(RunEnded(end_s, "finished"))
    return Trace.from_events(events, manifest(tasks, planner=planner, run=f"r-{planner}-{seed}"))
