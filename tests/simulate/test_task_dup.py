"""Copies of other workers' tasks in the simulator: against the virtual launcher, and compiled."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from faaslab.plan import DagView, Duplicate, Instructions, Plan
from faaslab.trace.events import TaskDuplicated, TaskSkipped
from tests.simulate.agreement import course, pair_of
from tests.simulate.blobs import random_sizes, telling_sizes
from tests.simulate.test_agreement import SAME, SLOW_STORE, plan_named


def duplicated(dag: DagView, plan: Plan, seed: int) -> Plan:
    """Return a plan in which workers may compute most inputs, with made-up predictions."""
    rng, found = random.Random(seed), list[Duplicate]()
    for worker, order in plan.orders.items():
        for task in sorted({upstream for own in order for upstream in dag.upstreams(own)}.difference(order)):
            if rng.random() < 0.8:
                found.append(Duplicate(task, worker, rng.uniform(0.0, 0.5), rng.choice((1.0, 2.0, 1000.0))))
    return replace(plan, instructions=Instructions(duplicates=tuple(found)))


@pytest.mark.parametrize("seed", range(16))
def test_same_copies(seed: int) -> None:
    """What is computed twice, what is skipped, and what everything takes is the same in both."""
    dag = (telling_sizes if seed % 2 else random_sizes)(seed)
    seen: Counter[str] = Counter()
    for planner in ("heft", "staying", *(f"mixed-{number}" for number in range(4))):
        plan = duplicated(dag, plan_named(dag, planner), seed)
        pair = pair_of(dag, plan, replace(SLOW_STORE, bandwidth_bytes_per_s=1e6))
        simulated, virtual = pair.simulation.trace(), pair.trace
        for kind in (TaskDuplicated, TaskSkipped):
            ours, theirs = (
                sorted((event.task, event.invocation) for event in trace.events if isinstance(event, kind))
                for trace in (simulated, virtual)
            )
            assert ours == theirs, (planner, kind)
            seen[kind.__name__] += len(ours)
        assert course(simulated) == course(virtual), planner
        assert abs(pair.deviation) < 0.002, planner
        ours, theirs = simulated.metrics, virtual.metrics
        assert {name: ours[name] for name in SAME} == pytest.approx({name: theirs[name] for name in SAME}), planner
        assert ours["cost_usd"] == pytest.approx(theirs["cost_usd"], rel=0.01), planner
        assert ours["wait_s"] == pytest.approx(theirs["wait_s"], rel=0.02, abs=0.02), planner
    assert seen["TaskDuplicated"] > 0
