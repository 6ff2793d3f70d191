"""A simulation as the events of a run, so that metrics, tables and figures are those of real runs."""

import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import msgspec

from faaslab.errors import PlanError
from faaslab.model.prices import Prices
from faaslab.plan.report import policy_text
from faaslab.simulate.kernel import PRELOADED
from faaslab.simulate.simulation import EMPTY, RUN_TIME, Simulation
from faaslab.trace import Trace
from faaslab.trace.events import (
    AnyEvent,
    InputFetched,
    InvocationRequested,
    OutputHeld,
    OutputKept,
    OutputStored,
    Prewarmed,
    RunEnded,
    RunSubmitted,
    TaskExecuted,
    TaskStarted,
    WorkerExited,
    WorkerStarted,
    WorkerWaited,
)
from faaslab.trace.manifest import Manifest, versions

LAUNCHER = "simulated"


def trace_of(simulation: Simulation) -> Trace:
    """Return the trace of a simulation; its time begins at 0."""
    placement = simulation.placement
    plan, platform, dag = placement.plan, placement.platform, placement.flat.dag
    if plan is None:
        raise PlanError("a layout without a plan was simulated; only the simulation of a plan has a trace")
    defaults = asdict(Prices())
    limits = {"cores": platform.cores, "client_invokes_per_s": platform.client_invokes_per_s}
    promised = plan.predicted.promise if plan.predicted is not None else None
    manifest = Manifest(
        run=LAUNCHER,
        dag_name=dag.name,
        structure_hash=dag.structure_hash,
        ids=tuple(dag.ids),
        planner=plan.planner,
        launcher=LAUNCHER,
        settings={
            "optimizations": sorted(plan.optimizations),
            "plan": dict(plan.settings),
            "policy": policy_text(plan),
            "platform": {
                **asdict(platform.profile),
                "concurrency": platform.concurrency,
                **{name: value for name, value in limits.items() if value < math.inf},
            },
            **({} if promised is None else {"predicted": msgspec.to_builtins(promised)}),
        },
        prices={name: value for name, value in asdict(platform.prices).items() if value != defaults[name]},
        versions=versions(),
    )
    return Trace.from_events(_events(simulation), manifest)


def _events(simulation: Simulation) -> Iterator[AnyEvent]:
    placement, end_s = simulation.placement, float(simulation.makespan_s)
    yield RunSubmitted(0.0, LAUNCHER, len(placement.exec_s), 0)
    workers = simulation.workers
    by_of, yielded, waited_s, told_s = simulation.instances[7:11]
    instance_of = simulation.tasks[5]
    latency_s = placement.platform.profile.store_latency_s
    for i, worker in enumerate(workers):
        empty = worker.invocation.startswith(EMPTY)
        planned = empty or not worker.invocation.startswith(RUN_TIME)
        first = worker.tasks[:1] if worker.tasks else ()
        by = (
            "prewarm"
            if empty
            else "yield"
            if by_of[i] <= -2
            else workers[instance_of[by_of[i]]].invocation
            if by_of[i] >= 0
            else ""
        )
        name, attempt, container = worker.invocation, worker.attempt, f"{LAUNCHER}-{worker.container}"
        yield InvocationRequested(worker.requested_s, name, attempt, () if planned else first, worker.size_mib, by)
        if worker.container < 0:
            if worker.ended_s > 0:
                since_s = worker.ended_s - worker.requested_s
                yield Prewarmed(worker.ended_s, name, "", worker.size_mib, "reserved", since_s)
            continue
        phases_s: dict[str, float] = {}
        if worker.cold:
            phases_s = {"boot": float(simulation.cold_s[worker.container]), "ready": latency_s}
        rode = 0
        if not planned:
            sizes, row = placement.flat.output_bytes, placement.flat.upstreams[first[0]]
            sources = simulation.sources(first[0])
            rode = sum(sizes[u] for u, source in zip(row, sources, strict=True) if source == "inline")
        yield WorkerStarted(
            worker.started_s,
            name,
            attempt,
            container,
            worker.size_mib,
            worker.cold,
            worker.requested_s,
            0,
            rode,
            phases_s,
        )
        if empty and worker.ended_s < end_s:
            how, took_s = "started" if worker.cold else "refreshed", worker.started_s - worker.requested_s
            yield Prewarmed(worker.started_s, name, container, worker.size_mib, how, took_s)
        for place, task in enumerate(worker.tasks):
            following = worker.tasks[place + 1] if place + 1 < len(worker.tasks) else -1
            yield from _task_events(simulation, task, following, name, attempt, container)
        if yielded[i] >= 0:
            yield WorkerWaited(float(told_s[i]), name, int(yielded[i]), float(waited_s[i]))
        reason = "yielded" if yielded[i] >= 0 else "finished" if empty and worker.ended_s >= end_s else "ended"
        yield WorkerExited(worker.ended_s, name, attempt, container, reason)
    yield RunEnded(end_s, "finished")


def _task_events(
    simulation: Simulation, task: int, following: int, name: str, attempt: int, container: str
) -> Iterator[AnyEvent]:
    placement = simulation.placement
    flat: Any = placement.flat
    latency_s = placement.platform.profile.store_latency_s
    turn_s, begin_s, start_s, finish_s, visible_s = (float(column[task]) for column in simulation.tasks[:5])
    if begin_s > turn_s:
        yield WorkerWaited(begin_s, name, task, begin_s - turn_s)
    yield TaskStarted(begin_s, task, name, container, attempt)
    took_s = max(0.0, start_s - begin_s - int(flat.arrays[4][task]) * latency_s)
    input_bytes = 0
    first = flat.arrays[1][task]
    preloaded = simulation.tasks[9][task] == PRELOADED
    for place, (upstream, source) in enumerate(zip(flat.upstreams[task], simulation.sources(task), strict=True)):
        size = flat.output_bytes[upstream]
        input_bytes += size
        if preloaded:
            came_s, took_s = (float(column[first + place]) for column in simulation.tasks[11:13])
            at_s = came_s if source == "preload" else start_s
            yield InputFetched(at_s, task, upstream, name, size, source, took_s if source != "local" else 0.0)
            continue
        # Inputs that came together took the same time; it counts once.
        yield InputFetched(start_s, task, upstream, name, size, source, took_s if source != "local" else 0.0)
        took_s = took_s if source == "local" else 0.0
    duration_s, alone_s = finish_s - start_s, float(simulation.exec_s[task])
    waited_s = max(0.0, duration_s - alone_s) if placement.platform.cores < math.inf else 0.0
    yield TaskExecuted(finish_s, task, name, duration_s, alone_s, input_bytes, queued_s=waited_s)
    size = flat.output_bytes[task]
    quiet = placement.arrays[8][task] >= 0
    ended_s, waits_s = simulation.tasks[15:17]
    if len(waits_s) and waits_s[task] > 0:
        yield WorkerWaited(float(ended_s[task]), name, -1, float(waits_s[task]))
    if len(placement.extra[5][0]) and placement.extra[5][0][task] > 0 and not quiet:
        yield from _held_events(simulation, task, following, name)
        return
    if quiet or visible_s == math.inf:
        yield OutputKept(finish_s if quiet else float(simulation.turn_s[following]), task, name, size)
    if visible_s < math.inf:
        yield OutputStored(visible_s, task, name, size, 0.0 if quiet else visible_s - finish_s)


def _held_events(simulation: Simulation, task: int, following: int, name: str) -> Iterator[AnyEvent]:
    """Yield what became of an output that was not stored at once."""
    size = simulation.placement.flat.output_bytes[task]
    visible_s = float(simulation.visible_s[task])
    held_s, release_s = (float(column[task]) for column in simulation.tasks[13:15])
    if held_s < math.inf:
        yield OutputHeld(held_s, task, name, size)
    if visible_s < math.inf:
        yield OutputStored(visible_s, task, name, size, visible_s - release_s)
    else:
        yield OutputKept(min(held_s, float(simulation.turn_s[following])), task, name, size)
