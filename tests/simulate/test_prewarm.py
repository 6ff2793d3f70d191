"""Empty invocations in the simulator: worked out by hand, against the virtual launcher, and compiled."""

import random
from dataclasses import replace
from typing import Any

import pytest

from faaslab.config import Config
from faaslab.graph import DAG
from faaslab.launchers.model import VirtualModel
from faaslab.plan import Plan, Prewarm
from faaslab.simulate import Draws, FlatDag, place, run_placement
from tests.faults.shapes import SHAPES, SIZES
from tests.plan.dags import FakeDag
from tests.simulate.agreement import course, pair_of
from tests.simulate.scene import Known, plan_of, platform, simulated, spans
from tests.simulate.test_agreement import SAME, dag_of, plan_named

CHAIN = ((), (0,))
SLOW = VirtualModel(
    store_latency_s=0.01, cold_start_s=0.4, task_s=0.3, bandwidth_bytes_per_s=1e8, invocation_latency_s=0.05
)
SHORT_KEPT = VirtualModel(
    store_latency_s=0.0005, cold_start_s=1.0, task_s=2.0, bandwidth_bytes_per_s=1e8, keep_alive_s=0.5
)


def prewarmed(plan: Plan, *prewarms: Prewarm) -> Plan:
    """Return a plan with empty invocations."""
    return replace(plan, instructions=replace(plan.instructions, prewarms=prewarms))


def chain(*prewarms: Prewarm, sizes: tuple[int, int] = (1769, 3538), **settings: Any) -> Any:
    """Return the simulation of two tasks of 3 s one after the other, on workers of two sizes; cold starts take 1 s."""
    instructions = plan_of(FakeDag(CHAIN), ["a", "b"], sizes).instructions
    told = replace(instructions, prewarms=prewarms)
    return simulated(CHAIN, ["a", "b"], [3.0, 3.0], sizes=sizes, plan={"instructions": told}, **settings)


def test_a_second_cold_start_is_hidden() -> None:
    """A container that was started beforehand is warm when it is wanted."""
    assert spans(chain()) == [(1.0, 4.0), (5.0, 8.0)]
    hidden = chain(Prewarm(3538))
    assert spans(hidden) == [(1.0, 4.0), (4.0, 7.0)]
    assert [worker.cold for worker in hidden.workers] == [True, True, False]
    assert hidden.cold_starts == 1
    assert [worker.invocation for worker in hidden.workers] == ["a", "!.0.0", "b"]


@pytest.mark.parametrize(("delay_s", "began_s"), [(0.0, 4.0), (3.0, 4.0), (3.25, 4.25), (3.75, 4.75), (4.5, 5.0)])
def test_the_rest_of_a_start_is_waited_for(delay_s: float, began_s: float) -> None:
    """Whoever needs a container that still starts waits for the rest of it; one that was sent too late is of no use."""
    assert chain(Prewarm(3538, delay_s=delay_s)).start_s[1] == began_s


def simulated_metrics(simulation: Any) -> dict[str, float]:
    """Return the metrics of a simulation."""
    return dict(simulation.trace().metrics)


def test_reserved() -> None:
    """Half a second before it is wanted is half a second saved."""
    simulation = chain(Prewarm(3538, delay_s=3.5))
    assert spans(simulation) == [(1.0, 4.0), (4.5, 7.5)]
    assert simulation.containers == 2
    _, reserved, used = simulation.workers
    assert (reserved.container, reserved.invocation) == (-1, "!.0.0")
    assert used.cold
    assert simulated_metrics(simulation)["prewarms_used"] == 1


def test_after_a_task() -> None:
    """A moment may be counted from when a task is stored."""
    wiring, sizes = ((), (0,), (1,)), [1769, 1769, 3538]
    told = replace(plan_of(FakeDag(wiring), ["a", "a", "b"], sizes).instructions, prewarms=(Prewarm(3538, 0, 0.5),))
    simulation = simulated(wiring, ["a", "a", "b"], [3.0, 3.0, 1.0], sizes=sizes, plan={"instructions": told})
    assert simulation.workers[1].requested_s == 4.5
    assert simulation.start_s[2] == 7.0


def test_overlapping_ones_need_as_many_containers() -> None:
    """Two at a moment start two containers; two more later refresh both."""
    twice = chain(Prewarm(3538, count=2), Prewarm(3538, delay_s=2.0, count=2))
    assert twice.containers == 3
    metrics = simulated_metrics(twice)
    assert metrics["prewarms"] == 4
    assert metrics["prewarms_used"] == 1
    assert metrics["wasted_prewarm_gb_seconds"] > 0


def test_keep_alive_ends() -> None:
    """One that is too early is not there any more."""
    assert chain(Prewarm(3538), keep_alive_s=2.0).start_s[1] == 5.0
    refreshed = chain(Prewarm(3538), Prewarm(3538, delay_s=2.5), keep_alive_s=2.0)
    assert refreshed.start_s[1] == 4.0
    assert refreshed.containers == 2


def test_nobody_makes_room_for_one() -> None:
    """At the limit an empty invocation waits until another takes its place."""
    simulation = chain(Prewarm(3538), concurrency=1)
    assert simulation.containers == 2
    assert spans(simulation)[0] == (1.0, 4.0)
    assert spans(simulation)[1] == (5.0, 8.0)


def drawn(dag: DAG, plan: Plan, seed: int) -> Plan:
    """Return a plan with a few empty invocations drawn at random."""
    rng = random.Random(f"prewarm/{seed}")
    sizes = sorted({assignment.size_mib for assignment in plan.assignments} | {SIZES[0]})
    return prewarmed(
        plan,
        *(
            Prewarm(
                rng.choice(sizes),
                rng.choice([None, *range(len(dag))]),
                rng.choice([0.0, 0.013, 0.21, 0.77, 2.1]),
                rng.randint(1, 3) if seed % 2 else 1,
            )
            for _ in range(rng.randint(1, 4))
        ),
    )


@pytest.mark.parametrize("model", [SLOW, SHORT_KEPT], ids=["slow store", "short kept"])
@pytest.mark.parametrize("shape", SHAPES)
def test_same_as_virtual(shape: str, model: VirtualModel) -> None:
    """Simulated and virtual runs send, serve and use empty invocations alike."""
    dag = dag_of(shape)
    for seed, planner in enumerate(
        ("per_task", "wukong", "single_worker", "leaving", "mixed-0", "mixed-1", "clustering")
    ):
        plan = drawn(dag, plan_named(dag, planner), seed + 10 * len(dag))
        pair = pair_of(dag, plan, model)
        simulated_, virtual = pair.simulation.trace(), pair.trace
        assert course(simulated_) == course(virtual), planner
        assert abs(pair.deviation) < 0.005, planner
        ours, theirs = simulated_.metrics, virtual.metrics
        assert ours.keys() == theirs.keys()
        # Of containers that become idle at the same moment, either may be the one that is used.
        alone = all(prewarm.count == 1 for prewarm in plan.instructions.prewarms)
        names = (*SAME, "prewarms", *(("prewarms_used",) if alone else ()))
        assert {name: ours[name] for name in names} == {name: theirs[name] for name in names}, planner
        assert ours["cost_usd"] == pytest.approx(theirs["cost_usd"], rel=0.01), planner
        # An empty invocation that refreshes takes so little that how it is rounded matters.
        for name in ("prewarm_gb_seconds", *(("wasted_prewarm_gb_seconds",) if alone else ())):
            assert ours[name] == pytest.approx(theirs[name], rel=0.01, abs=0.001 * 3.5 * ours["prewarms"]), planner


@pytest.mark.parametrize("shape", ["fan-6", "layered", "mixed"])
def test_same_time_at_the_limit(shape: str) -> None:
    """At a concurrency limit runs with empty invocations take about the same time."""
    dag = dag_of("fork-join" if shape == "mixed" else shape)
    for seed, planner in enumerate(("per_task", "wukong", "single_worker")):
        plan = drawn(dag, plan_named(dag, planner), seed)
        pair = pair_of(dag, plan, SLOW, limit=3, config=Config(heartbeat_s=0.01))
        assert abs(pair.deviation) < 0.05, planner


@pytest.mark.timeout(300)  # compiling takes a while on a busy machine
def test_compiled_is_the_same() -> None:
    """The compiled loop finds the same, under any luck."""
    pytest.importorskip("numba")
    from faaslab.simulate.compiled import compiled_dag, place_compiled, run_compiled

    dag = FakeDag(((), (0,), (0,), (1, 2), (3,)))
    plan = plan_of(dag, ["a", None, None, "b", None], [1769, 1769, 3538, 3538, 1769])
    plan = prewarmed(plan, Prewarm(3538, None, 0.5), Prewarm(3538, 0, 0.0, 2), Prewarm(1769, 3, 0.1))
    flat = FlatDag.of(dag, Known([1.0, 2.0, 1.5, 0.5, 1.0]))
    where = platform(cold_start_sigma=0.3)
    slow, fast = place(flat, plan, where), place_compiled(compiled_dag(flat), plan, where)
    for luck in (None, Draws(0, 0), Draws(3, 1)):
        one, other = run_placement(slow, luck), run_compiled(fast, luck)
        assert (one.makespan_s, one.cost_usd, one.invocations) == (other.makespan_s, other.cost_usd, other.invocations)
        assert one.workers == other.workers
