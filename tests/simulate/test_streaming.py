"""Streams in the simulator, against the virtual launcher."""

from dataclasses import replace

import pytest

from faaslab.plan import DagView, Instructions, Plan
from faaslab.trace.events import OutputStreamed
from tests.simulate.agreement import course, pair_of
from tests.simulate.blobs import random_sizes, telling_sizes
from tests.simulate.test_agreement import SAME, SLOW_STORE, plan_named


def streamed(dag: DagView, plan: Plan) -> Plan:
    """Return a plan that streams every output that it can."""
    planned = frozenset(task for task, one in enumerate(plan.assignments) if one.worker is not None)
    return replace(plan, instructions=Instructions(stream=planned))


@pytest.mark.parametrize("seed", range(20))
def test_same_streams(seed: int) -> None:
    """What is streamed, to how many, whether it is stored, and what everything takes is the same in both."""
    dag = (telling_sizes if seed % 4 else random_sizes)(seed)
    for planner in ("heft", "staying", *(f"mixed-{number}" for number in range(4))):
        pair = pair_of(dag, streamed(dag, plan_named(dag, planner)), replace(SLOW_STORE, bandwidth_bytes_per_s=3e6))
        simulated, virtual = pair.simulation.trace(), pair.trace
        told = [
            sorted((e.task, e.consumers, e.stored) for e in trace.events if isinstance(e, OutputStreamed))
            for trace in (simulated, virtual)
        ]
        assert told[0] == told[1], planner
        assert course(simulated) == course(virtual), planner
        assert abs(pair.deviation) < 0.005, planner
        ours, theirs = simulated.metrics, virtual.metrics
        names = (*SAME, "streamed_bytes")
        assert {name: ours[name] for name in names} == {name: theirs[name] for name in names}, planner
