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
    OutputStreamed,
    Prewarmed,
    RunEnded,
    RunSubmitted,
    TaskDuplicated,
    TaskExecuted,
    TaskSkipped,
    TaskStarted,
    WorkerExited,
    WorkerStarted,
    WorkerWaited,
)
from faaslab.trace.manifest import Manifest, versions

LAUNCHER = "simulated"
NOTHING_S = 1e-9
"""Waits that are shorter are differences of what should be equal."""


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
    by_of, yielded, waited_s, told_s, reported_s, cut_off = simulation.instances[7:13]
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
        cut = bool(len(cut_off)) and bool(cut_off[i]) and not empty
        if cut and reported_s[i] < 0:
            yield WorkerExited(worker.ended_s, name, attempt, container, "finished")
            continue
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
            for event in _task_events(simulation, task, following, name, attempt, container):
                # What happened since its last call nobody hears of.
                if not cut or event.at_s <= reported_s[i] + 1e-9 or isinstance(event, OutputStored):
                    yield event
        if yielded[i] >= 0:
            yield WorkerWaited(float(told_s[i]), name, int(yielded[i]), float(waited_s[i]))
        over = cut or (empty and worker.ended_s >= end_s)
        reason = "yielded" if yielded[i] >= 0 else "finished" if over else "ended"
        yield WorkerExited(worker.ended_s, name, attempt, container, reason)
    yield RunEnded(end_s, "finished")


def _task_events(
    simulation: Simulation, task: int, following: int, name: str, attempt: int, container: str
) -> Iterator[AnyEvent]:
    placement = simulation.placement
    flat: Any = placement.flat
    latency_s = placement.platform.profile.store_latency_s
    turn_s, begin_s, start_s, finish_s, visible_s = (float(column[task]) for column in simulation.tasks[:5])
    skipped = simulation.tasks[23][task] if len(simulation.tasks[23]) else 0
    waited_from_s, waited_to_s = turn_s, begin_s
    if len(placement.extra[2][13]):
        for number in _copies_for(simulation, task):
            begun_s = float(simulation.tasks[19][number])
            yield WorkerWaited(begun_s, name, task, begun_s - waited_from_s)
            yield from _copy_events(simulation, number, name, attempt, container)
            waited_from_s = float(simulation.tasks[21][number] + placement.extra[2][6][number]) + latency_s
        waited_to_s = begin_s - latency_s if placement.extra[2][13][task] else begin_s
    if waited_to_s - waited_from_s > NOTHING_S:
        yield WorkerWaited(waited_to_s, name, task, waited_to_s - waited_from_s)
    if skipped == 1:
        yield TaskSkipped(begin_s, task, name, False)
        return
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
            at_s = came_s if source in ("preload", "stream") else start_s
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
    if skipped:
        yield TaskSkipped(finish_s + latency_s, task, name, True, size)
        worker_of = placement.worker_of
        if any(worker_of[other] == worker_of[task] >= 0 for other in flat.dag.successors(task)):
            yield OutputKept(finish_s + latency_s, task, name, size)
        return
    consumers = int(simulation.tasks[24][task]) if len(simulation.tasks[24]) else 0
    if consumers:
        offered_s, streamed_s = (float(column[task]) for column in simulation.tasks[25:27])
        yield OutputStreamed(streamed_s, task, name, size, abs(consumers), streamed_s - offered_s, consumers < 0)
        if consumers > 0:
            worker_of = placement.worker_of
            if any(worker_of[other] == worker_of[task] for other in flat.dag.successors(task)):
                yield OutputKept(float(simulation.turn_s[following]), task, name, size)
            return
    if visible_s == math.inf and following < 0 and not quiet:
        return  # the run ended before it was stored
    if quiet or visible_s == math.inf:
        yield OutputKept(finish_s if quiet else float(simulation.turn_s[following]), task, name, size)
    if visible_s < math.inf:
        yield OutputStored(visible_s, task, name, size, 0.0 if quiet else visible_s - finish_s)


def _copies_for(simulation: Simulation, task: int) -> list[int]:
    """Return the copies that were made for a task while its worker waited, in their order."""
    first, after = simulation.placement.extra[2][9:11]
    begun_s, finish_s = simulation.tasks[19], simulation.tasks[21]
    found = []
    number = int(first[task])
    while number >= 0:
        if finish_s[number] < simulation.makespan_s:
            found.append(number)
        number = int(after[number])
    return sorted(found, key=lambda number: float(begun_s[number]))


def _copy_events(
    simulation: Simulation, number: int, name: str, attempt: int, container: str
) -> Iterator[TaskDuplicated | InputFetched]:
    """Yield what a worker did to compute another one's task."""
    flat, extra = simulation.placement.flat, simulation.placement.extra[2]
    _, begun_s, start_s, finish_s, on = simulation.tasks[18:23]
    task, first = int(extra[0][number]), int(extra[7][number])
    # Earlier copies and what was fetched for them is at hand while tasks of this worker need it.
    worker_of, position = simulation.placement.worker_of, simulation.placement.arrays[5]
    place_of = position[int(extra[3][number])]
    earlier = {
        upstream
        for other in range(len(on))
        if on[other] == on[number] and begun_s[other] < begun_s[number]
        for upstream in (int(extra[0][other]), *flat.upstreams[int(extra[0][other])])
        if any(
            worker_of[taker] == worker_of[int(extra[3][number])] and position[taker] >= place_of
            for taker in flat.dag.successors(upstream)
        )
    }
    at_s, end_s = float(start_s[number]), float(finish_s[number])
    took_s, total = at_s - float(begun_s[number]), 0
    for place, upstream in enumerate(flat.upstreams[task]):
        local = bool(extra[8][first + place]) or upstream in earlier
        size = flat.output_bytes[upstream]
        total += size
        yield InputFetched(at_s, task, upstream, name, size, "local" if local else "store", 0.0 if local else took_s)
        took_s = took_s if local else 0.0
    duration_s = end_s - at_s
    yield TaskDuplicated(end_s, task, name, container, attempt, duration_s, duration_s, total, flat.output_bytes[task])


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
