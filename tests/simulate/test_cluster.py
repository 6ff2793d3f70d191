"""Plans on machines of one's own: whole timelines, worked out by hand."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faaslab.errors import ConfigError, PlanError
from faaslab.model.prices import Prices
from faaslab.planners import plan_dag
from faaslab.simulate.cluster import ClusterSimulation, simulate_cluster
from tests.plan.dags import FakeDag, dags
from tests.simulate.scene import Known, plan_of, platform

GB_MIB = 1024


def on_cluster(
    wiring: Sequence[Sequence[int]],
    workers: Sequence[str],
    seconds: Sequence[float],
    nbytes: Mapping[int, float],
    orders: Mapping[str, Sequence[int]] | None = None,
    machines: int | None = None,
) -> ClusterSimulation:
    """Return a simulation with 1 GiB machines that receive 10 bytes a second."""
    dag = FakeDag(tuple(map(tuple, wiring)))
    plan = plan_of(dag, workers, [GB_MIB] * len(dag), orders=orders)
    where = platform(prices=Prices(usd_per_gb_s=1.0, usd_per_request=100.0))
    return simulate_cluster(dag, plan, Known(seconds, nbytes), where, workers=machines, bandwidth_bytes_per_s=10.0)


def spans(found: ClusterSimulation) -> list[tuple[float, float]]:
    """Return when each task executed."""
    return list(zip(found.start_s, found.finish_s, strict=True))


def test_nothing_moves_on_one_machine() -> None:
    """Tasks follow each other without start, storage or transfer; the machine is billed until the end."""
    found = on_cluster([(), (0,)], ["a", "a"], [2.0, 3.0], {0: 1000})
    assert spans(found) == [(0, 2), (2, 5)]
    assert (found.makespan_s, found.moved_bytes, found.transfers) == (5, 0, 0)
    assert found.cost_usd == found.gb_seconds == pytest.approx(5.0)


def test_a_transfer_delays_its_taker() -> None:
    """0 → 1 → 2 with 1 elsewhere: 20 bytes take 2 s, 5 back half a second; both machines are billed till the end."""
    found = on_cluster([(), (0,), (1,)], ["a", "b", "a"], [1.0, 1.0, 1.0], {0: 20, 1: 5})
    assert spans(found) == [(0, 1), (3, 4), (4.5, 5.5)]
    assert (found.moved_bytes, found.transfers) == (25, 2)
    assert found.cost_usd == pytest.approx(11.0)


def test_inputs_come_one_after_the_other() -> None:
    """Two inputs of 10 bytes share the way into a machine."""
    found = on_cluster([(), (), (0, 1)], ["a", "b", "c"], [1.0, 1.0, 1.0], {0: 10, 1: 10})
    assert spans(found) == [(0, 1), (0, 1), (3, 4)]


def test_transfers_go_on_while_tasks_execute() -> None:
    """The input of 2 arrives while 1 executes on the same machine."""
    found = on_cluster([(), (), (0,)], ["a", "b", "b"], [1.0, 4.0, 1.0], {0: 20})
    assert spans(found) == [(0, 1), (0, 4), (4, 5)]


def test_an_output_goes_to_a_machine_once() -> None:
    """Both takers on machine b use the same copy; a third one has its own."""
    found = on_cluster([(), (0,), (0,), (0,)], ["a", "b", "b", "c"], [1.0, 1.0, 1.0, 1.0], {0: 10})
    assert spans(found) == [(0, 1), (2, 3), (3, 4), (2, 3)]
    assert (found.moved_bytes, found.transfers) == (20, 2)


def test_the_planned_order_is_kept() -> None:
    """1 is ready first, but planned after 2, which waits for 0: a machine that waits is billed all the same."""
    found = on_cluster([(), (), (0,)], ["a", "b", "b"], [3.0, 1.0, 1.0], {0: 10}, {"a": (0,), "b": (2, 1)})
    assert spans(found) == [(0, 3), (5, 6), (4, 5)]
    assert found.cost_usd == pytest.approx(12.0)


def test_idle_machines_are_billed() -> None:
    """A cluster of four costs four times what the run lasts, whatever the plan uses."""
    assert on_cluster([()], ["a"], [2.0], {}, machines=4).cost_usd == pytest.approx(8.0)
    with pytest.raises(PlanError, match="has 2 workers, the cluster 1"):
        on_cluster([(), ()], ["a", "b"], [1.0, 1.0], {}, machines=1)


def test_what_is_refused() -> None:
    """Plans that leave workers to run time, and impossible bandwidths."""
    dag = FakeDag(((),))
    with pytest.raises(PlanError, match=r"task 'f#0' has no worker in the 'wukong' plan"):
        simulate_cluster(dag, plan_dag(dag, "wukong"), Known([1.0]), platform())
    with pytest.raises(ConfigError, match="bandwidth_bytes_per_s is 0"):
        simulate_cluster(dag, plan_dag(dag, "per_task"), Known([1.0]), platform(), bandwidth_bytes_per_s=0)


@given(dags(), st.sampled_from(["per_task", "single_worker", "heft", "uniform"]))
def test_causes_come_before_effects(dag: FakeDag, planner: str) -> None:
    """No task begins before its inputs have ended, nor two at a time on a machine, and every task ends."""
    plan = plan_dag(dag, planner, sizes=[3008])
    found = simulate_cluster(dag, plan, Known([1.0 + task % 3 for task in range(len(dag))], {0: 1e8}), platform())
    for task in range(len(dag)):
        assert found.finish_s[task] == found.start_s[task] + 1.0 + task % 3
        assert all(found.finish_s[upstream] <= found.start_s[task] for upstream in dag.upstreams(task))
    for order in plan.orders.values():
        for before, after in pairwise(order):
            assert found.finish_s[before] <= found.start_s[after]
