"""What holds for every DAG and plan: bounds, determinism, the engine's policy, readable traces."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faaslab.model.variation import Spread
from faaslab.plan import DagView, Plan
from faaslab.planners import plan_dag
from faaslab.policy.successors import Arrivals, onward
from faaslab.simulate import Draws, FlatDag, Simulation, place, simulate_plan
from faaslab.trace.breakdown import SHARES
from tests.faults.shapes import OWN, SEEDED, SIZES
from tests.plan.dags import FakeDag, dags
from tests.simulate.scene import Known, platform, simulated

LATE = 1e-9
"""What sums of floats may be short of."""
PLANNERS = (
    *("per_task", "single_worker", "wukong", "leaving", "clustering", "waiting"),
    *(f"{name}-{seed}" for name in SEEDED for seed in range(4)),
)
SIZED = (*SIZES, 3000)


def plan_named(dag: DagView, name: str) -> Plan:
    """Return a plan of a planner; ``mixed-2``: with seed 2."""
    planner, _, seed = name.partition("-")
    return plan_dag(dag, OWN.get(planner, planner), sizes=SIZED, seed=int(seed or 0))


def guessed(dag: DagView, seed: int) -> Known:
    """Return random estimates, among them no time and no output; those of an odd seed scatter."""
    rng = random.Random(seed)
    scatter = Spread(0.1, 0.1, 0.2, 5.0) if seed % 2 else Spread(0.0, 0.0, 0.0)
    seconds = [rng.choice((0.0, 0.1, 1.0, 7.0)) for _ in range(len(dag))]
    return Known(seconds, {task: rng.choice((0, 100, 60_000, 500_000)) for task in range(len(dag))}, scatter=scatter)


def critical_path_s(dag: DagView, seconds: Sequence[float]) -> float:
    """Return the longest sum of execution times along dependencies."""
    ends: list[float] = []
    for task in range(len(dag)):
        ends.append(seconds[task] + max((ends[u] for u in dag.upstreams(task)), default=0.0))
    return max(ends, default=0.0)


@dataclass(frozen=True)
class Wired:
    """A DAG and its plan as the engine's policy reads them."""

    dag: DagView
    plan: Plan

    def id_of(self, task: int) -> str:
        return self.dag.ids[task]

    def upstreams(self, task: int) -> Sequence[int]:
        return self.dag.upstreams(task)

    def successors(self, task: int) -> Sequence[int]:
        return self.dag.successors(task)

    def assigned_to(self, task: int) -> str | None:
        return self.plan.assignments[task].worker

    def order(self, worker: str) -> Sequence[int]:
        return self.plan.orders[worker]

    def size_mib(self, task: int) -> int:
        return self.plan.assignments[task].size_mib


@given(dags(), st.sampled_from(PLANNERS), st.booleans())
@settings(max_examples=150, deadline=None)
def test_placement_follows_the_policy(dag: FakeDag, planner: str, skip_storage: bool) -> None:
    """Who goes on here, who is told, and how many inputs are awaited is what ``policy.successors`` says."""
    plan = plan_named(dag, planner)
    if not skip_storage:
        plan = replace(plan, optimizations=frozenset())
    known = guessed(dag, 0)
    placed = place(FlatDag.of(dag, known), plan, platform())
    wired = Wired(dag, plan)
    arrivals = Arrivals(wired)
    following, is_gate, quiet = placed.arrays[4], placed.arrays[6], placed.arrays[8]
    out_from, out_task, missing = placed.arrays[13], placed.arrays[14], placed.changing[0]
    for task in range(len(dag)):
        worker, size_mib = wired.assigned_to(task), wired.size_mib(task)
        visible = task in dag.sinks or not skip_storage
        output_bytes = round(known.output_bytes(task))
        way = onward(
            wired,
            arrivals,
            task,
            worker,
            size_mib,
            visible=visible,
            policy=plan.policy,
            output_bytes=output_bytes,
        )
        told = out_task[out_from[task] : out_from[task + 1]]
        assert told == [waiting.task for waiting in way.waiting]
        assert placed.arrays[20][task] == way.take or not told
        assert [missing[other] for other in told] == [waiting.expected for waiting in way.waiting]
        assert [bool(is_gate[other]) for other in told] == [waiting.gate for waiting in way.waiting]
        if visible or way.waiting:
            assert quiet[task] == -1
        else:
            assert quiet[task] == (following[task] if worker is not None else way.here[0])


@given(dags(), st.sampled_from(PLANNERS), st.integers(0, 5), st.sampled_from((1, 2, 3, 1000)), st.booleans())
@settings(max_examples=300, deadline=None)
def test_no_plan_beats_the_lower_bounds(dag: FakeDag, planner: str, seed: int, limit: int, shared: bool) -> None:
    """No run is shorter than the critical path, or than all work over the workers or cores there may be."""
    known, cores = guessed(dag, seed), 1.5 if shared else math.inf
    where = platform(concurrency=limit, store_latency_s=0.01, upload_bytes_per_s=1e6, cores=cores, keep_alive_s=1.0)
    run = simulate_plan(dag, plan_named(dag, planner), known, where)
    assert run.makespan_s >= critical_path_s(dag, known.seconds) - LATE
    assert run.makespan_s >= sum(known.seconds) / min(limit, cores) - LATE
    assert run.containers >= run.cold_starts >= 1
    lasted_s = [end - start for start, end in zip(run.start_s, run.finish_s, strict=True)]
    assert all(took_s >= alone_s - LATE for took_s, alone_s in zip(lasted_s, known.seconds, strict=True))
    for task in range(len(dag)):
        assert all(run.finish_s[upstream] <= run.start_s[task] for upstream in dag.upstreams(task))
    assert sorted(task for worker in run.workers for task in worker.tasks) == list(range(len(dag)))
    _no_slot_is_used_twice(run, limit)


def _no_slot_is_used_twice(run: Simulation, limit: int) -> None:
    """At no time do more workers exist than may, and none shares its container."""
    edges = sorted([(w.started_s, 1) for w in run.workers] + [(w.ended_s, -1) for w in run.workers])
    active = 0
    for _, change in edges:
        active += change
        assert active <= limit
    by_container: dict[int, float] = {}
    for worker in sorted(run.workers, key=lambda worker: worker.started_s):
        assert worker.started_s >= by_container.get(worker.container, 0.0)
        by_container[worker.container] = worker.ended_s


@given(st.lists(st.floats(0, 10), min_size=1, max_size=8), st.data(), st.sampled_from(("a", None)))
@settings(max_examples=100, deadline=None)
def test_slower_tasks_never_make_a_chain_faster(seconds: list[float], data: st.DataObject, worker: str | None) -> None:
    """Along a chain, more work takes no less time, whatever runs it."""
    wiring = [(task - 1,) if task else () for task in range(len(seconds))]
    slower = [s + data.draw(st.floats(0, 5)) for s in seconds]
    workers = [worker] * len(seconds)
    fast, slow = (simulated(wiring, workers, s, store_latency_s=0.01) for s in (seconds, slower))
    # A worker flushes its events after half a second without a call, so a little more work can save a round trip.
    assert slow.makespan_s >= fast.makespan_s - 0.01 * len(seconds) - LATE


@given(dags(), st.sampled_from(PLANNERS), st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_the_trace_agrees_with_the_simulation(dag: FakeDag, planner: str, seed: int) -> None:
    """What metrics read off the events of a simulation is what the simulation says of itself."""
    where = platform(concurrency=2, store_latency_s=0.01, download_bytes_per_s=1e6, cold_start_sigma=0.4)
    run = simulate_plan(dag, plan_named(dag, planner), guessed(dag, seed), where, draws=Draws(seed))
    trace = run.trace()
    metrics = trace.metrics
    assert trace.status == "finished"
    assert metrics["makespan_s"] == run.makespan_s
    assert metrics["cost_usd"] == pytest.approx(run.cost_usd, rel=1e-12)
    assert metrics["gb_seconds"] == pytest.approx(run.gb_seconds, rel=1e-12)
    assert metrics["invocations"] == metrics["workers"] == run.invocations
    assert metrics["cold_starts"] == run.cold_starts
    assert metrics["stored_bytes"] == run.stored_bytes
    assert metrics["fetched_bytes"] == run.fetched_bytes
    assert metrics["tasks"] == len(dag)
    assert metrics["exec_s"] == pytest.approx(sum(run.exec_s))
    assert sum(metrics[f"{share}_s"] for share in SHARES) == pytest.approx(metrics["worker_s"])


@given(dags(), st.sampled_from(PLANNERS))
@settings(max_examples=60, deadline=None)
def test_the_critical_path_is_one(dag: FakeDag, planner: str) -> None:
    """The path that explains the makespan ends with the last output, and no task on it begins before the one before."""
    run = simulate_plan(dag, plan_named(dag, planner), guessed(dag, 1), platform(store_latency_s=0.01, concurrency=3))
    path = run.critical_path()
    assert run.visible_s[path[-1]] == run.makespan_s
    assert all(run.finish_s[before] <= run.start_s[after] for before, after in pairwise(path))
    assert run.why[path[0]] in ("cold", "client")
