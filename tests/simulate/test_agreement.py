"""The simulator against the virtual launcher, which runs the real state machines: same decisions, same time.

What the simulator leaves out, and what it therefore may deviate by: events, code and the DAG's structure have no size;
a worker that goes on for 256 events without a call does not report them; the gateway decides at once whom it evicts or
asks to yield, not at its next heartbeat.
"""

import random
from dataclasses import replace
from functools import cache

import pytest

from faaslab.config import Config
from faaslab.graph import DAG
from faaslab.launchers.model import VirtualModel
from faaslab.plan import Instructions, Plan
from faaslab.planners import plan_dag
from faaslab.policy.run_time import Clustering
from tests.faults.shapes import OWN, SEEDED, SHAPES, SIZES
from tests.simulate.agreement import course, pair_of
from tests.simulate.blobs import random_sizes, telling_sizes

PLANNERS = (
    *("per_task", "wukong", "single_worker", "leaving", "clustering", "waiting"),
    *(f"{name}-{seed}" for name in SEEDED for seed in range(4)),
)
SLOW_STORE = VirtualModel(
    store_latency_s=0.01, cold_start_s=0.4, task_s=0.3, bandwidth_bytes_per_s=1e8, invocation_latency_s=0.05
)
SHORT_KEPT = VirtualModel(
    store_latency_s=0.0005, cold_start_s=1.0, task_s=2.0, bandwidth_bytes_per_s=1e8, keep_alive_s=0.5
)
MODELS = {"slow store": SLOW_STORE, "short kept": SHORT_KEPT}
SAME = (
    "invocations",
    "workers",
    "cold_starts",
    "tasks",
    "stored_bytes",
    "fetched_bytes",
    "inline_bytes",
    "local_bytes",
    "repeated_exec_s",
)


@cache
def dag_of(shape: str) -> DAG:
    """Return a shape as a DAG."""
    return DAG(SHAPES[shape](), name=shape)


def plan_named(dag: DAG, name: str) -> Plan:
    """Return a plan of a planner; ``mixed-2``: with seed 2."""
    planner, _, seed = name.partition("-")
    return plan_dag(dag, OWN.get(planner, planner), sizes=SIZES, seed=int(seed or 0))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("shape", SHAPES)
def test_same_course_and_time(shape: str, model: str) -> None:
    """Without a limit, simulated and virtual runs make the same decisions and take the same time and money."""
    for planner in PLANNERS:
        dag = dag_of(shape)
        pair = pair_of(dag, plan_named(dag, planner), MODELS[model])
        simulated, virtual = pair.simulation.trace(), pair.trace
        assert course(simulated) == course(virtual), planner
        assert abs(pair.deviation) < 0.005, planner
        ours, theirs = simulated.metrics, virtual.metrics
        assert ours.keys() == theirs.keys()
        assert {name: ours[name] for name in SAME} == {name: theirs[name] for name in SAME}, planner
        assert ours["cost_usd"] == pytest.approx(theirs["cost_usd"], rel=0.01), planner
        assert ours["exec_s"] == pytest.approx(theirs["exec_s"]), planner
        assert ours["wait_s"] == pytest.approx(theirs["wait_s"], rel=0.02, abs=0.02), planner


@pytest.mark.parametrize("seed", range(16))
def test_same_bytes(seed: int) -> None:
    """What rides along, is fetched, is at hand or is uploaded by a worker that leaves is the same in both."""
    dag = random_sizes(seed)
    for planner in ("clustering", "waiting", f"picky-{seed % 4}", "leaving", f"mixed-{seed % 4}"):
        pair = pair_of(dag, plan_named(dag, planner), replace(SLOW_STORE, bandwidth_bytes_per_s=1e7))
        simulated, virtual = pair.simulation.trace(), pair.trace
        assert course(simulated) == course(virtual), planner
        assert abs(pair.deviation) < 0.001, planner
        ours, theirs = simulated.metrics, virtual.metrics
        assert {name: ours[name] for name in SAME} == {name: theirs[name] for name in SAME}, planner


@pytest.mark.parametrize("seed", range(16))
def test_same_preloads(seed: int) -> None:
    """With everything preloaded that can be, what comes early, late and by itself is the same in both."""
    dag = random_sizes(seed)
    early = 0.0
    for planner in ("heft", "critical_path", "leaving", *(f"mixed-{number}" for number in range(4))):
        plan = plan_named(dag, planner)
        planned = frozenset(task for task, one in enumerate(plan.assignments) if one.worker is not None)
        plan = replace(plan, instructions=Instructions(preload=planned))
        pair = pair_of(dag, plan, replace(SLOW_STORE, bandwidth_bytes_per_s=5e6))
        simulated, virtual = pair.simulation.trace(), pair.trace
        assert course(simulated) == course(virtual), planner
        # A worker that leaves waits for what its assistant is just fetching, for nothing: the simulator does not.
        assert abs(pair.deviation) < 0.002, planner
        ours, theirs = simulated.metrics, virtual.metrics
        assert {name: ours[name] for name in SAME} == {name: theirs[name] for name in SAME}, planner
        assert ours["fetch_s"] == pytest.approx(theirs["fetch_s"], rel=0.01, abs=0.01), planner
        for one in (simulated, virtual):
            early += sum(moved.bytes for moved in one.records.transfers if moved.source == "preload")
    assert early > 0


@pytest.mark.parametrize("seed", range(16))
def test_same_clustering(seed: int) -> None:
    """What is held, handed over, stored after all and waited for is the same in both, whatever is clustered."""
    dag, rng = telling_sizes(seed), random.Random(seed)
    model = replace(SLOW_STORE, bandwidth_bytes_per_s=1e7)
    for planner in ("wukong", "wukong", f"mixed-{seed % 4}", f"picky-{seed % 4}", "waiting"):
        plan = plan_named(dag, planner)
        if planner.startswith(("wukong", "mixed")):
            switches = [rng.random() < 0.6 for _ in range(3)]
            plan = replace(plan, policy=Clustering(rng.choice((0, 1000, 50_000)), *switches, rng.choice((0.0, 0.4))))
        pair = pair_of(dag, plan, model)
        simulated, virtual = pair.simulation.trace(), pair.trace
        assert course(simulated) == course(virtual), plan.policy
        assert abs(pair.deviation) < 0.002, plan.policy
        ours, theirs = simulated.metrics, virtual.metrics
        assert {name: ours[name] for name in SAME} == {name: theirs[name] for name in SAME}, plan.policy
        assert ours["wait_s"] == pytest.approx(theirs["wait_s"], rel=0.02, abs=0.05), plan.policy


@pytest.mark.parametrize("limit", [1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_same_time_at_the_limit(shape: str, limit: int) -> None:
    """At a concurrency limit, with a gateway that looks often, runs take the same time; without yields, the same way.

    Whom the gateway asks to yield depends on when it looks, so runs with yields are compared by time and money.
    """
    for planner in PLANNERS:
        dag = dag_of(shape)
        pair = pair_of(dag, plan_named(dag, planner), SLOW_STORE, limit=limit, config=Config(heartbeat_s=0.01))
        simulated, virtual = pair.simulation.trace(), pair.trace
        assert abs(pair.deviation) < (0.05 if planner.startswith(SEEDED) else 0.03), planner
        assert simulated.metrics["cost_usd"] == pytest.approx(virtual.metrics["cost_usd"], rel=0.03), planner
        if not planner.startswith(SEEDED):
            assert course(simulated) == course(virtual), planner


@pytest.mark.parametrize("budget", [{"vcpus": 2.0}, {"memory_mib": 3600}])
@pytest.mark.parametrize("shape", SHAPES)
def test_same_time_within_a_budget(shape: str, budget: dict[str, float]) -> None:
    """Where containers share a budget of vCPUs or memory, runs take the same time; without yields, the same way."""
    for planner in PLANNERS:
        dag = dag_of(shape)
        pair = pair_of(dag, plan_named(dag, planner), SLOW_STORE, **budget, config=Config(heartbeat_s=0.01))  # type: ignore[arg-type]
        simulated, virtual = pair.simulation.trace(), pair.trace
        assert abs(pair.deviation) < 0.03, planner
        if not planner.startswith(SEEDED):
            assert course(simulated) == course(virtual), planner


@pytest.mark.parametrize("planner", ["per_task", "wukong", "single_worker"])
def test_large_outputs_take_the_same_time(planner: str) -> None:
    """Outputs that are uploaded and downloaded as blobs take as long as in the virtual run."""
    from tests.faults.shapes import length
    from tests.simulate.blobs import heavy

    first = heavy(0)
    dag = DAG(length(*(heavy(first) for _ in range(3)), first))
    model = VirtualModel(store_latency_s=0.01, cold_start_s=0.4, task_s=0.3, bandwidth_bytes_per_s=1e6)
    pair = pair_of(dag, plan_dag(dag, planner), model)
    assert pair.simulation.stored_bytes > 0 or planner == "single_worker"
    assert course(pair.simulation.trace()) == course(pair.trace)
    assert abs(pair.deviation) < 0.01
