"""List schedulers: ranks, golden decisions, and what tells HEFT from a scheduler that knows cost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faaslab.errors import ConfigError, PlanError
from faaslab.model.estimates import DeclaredEstimates
from faaslab.model.platform import Platform, platform_named
from faaslab.model.profiles import PlatformProfile
from faaslab.planners import plan_dag
from faaslab.planners.heft import Heft
from faaslab.planners.list_scheduling import Timing, by_rank, upward_ranks
from faaslab.planners.objective import Objective
from faaslab.simulate import simulate_plan
from tests.plan.dags import FakeDag, dags

SLOW_STORE = Platform(
    PlatformProfile(
        "slow store",
        "made up",
        cold_start_s=1.0,
        invocation_latency_s=0.5,
        store_latency_s=0.25,
        upload_bytes_per_s=1e6,
        download_bytes_per_s=2e6,
    )
)
FORK = FakeDag(
    ((), (0,), (0,), (1, 2)),
    expected_s={0: 1.0, 1: 4.0, 2: 4.0, 3: 1.0},
    output_bytes=dict.fromkeys(range(4), 1_000_000),
)
"""0 → 1, 2 → 3, a megabyte on each edge."""


def test_timing_and_ranks() -> None:
    """Transfers are a round trip and the bytes, each way; ranks add them up from the end."""
    timing = Timing.at(1769, FORK, DeclaredEstimates(FORK), SLOW_STORE)
    assert (timing.put_s[0], timing.get_s[0], timing.cold_s, timing.warm_s) == (1.25, 0.75, 1.5, 0.5)
    assert upward_ranks(FORK, timing) == [1 + 2 + 4 + 2 + 1, 4 + 2 + 1, 7, 1]
    assert by_rank(FORK, timing) == [0, 1, 2, 3]


def test_heft_spreads_what_pays_off() -> None:
    """The second branch is sooner on a new worker (put, cold start, get: 3.5 s) than after the first (4 s, not 3)."""
    plan = plan_dag(FORK, "heft", platform=SLOW_STORE)
    assert dict(plan.orders) == {"w0": (0, 1), "w1": (2, 3)}
    assert "new worker" in plan.explain(FORK.ids[2])
    brief = FakeDag(FORK.wiring, expected_s={**FORK.expected_s, 1: 3.0, 2: 3.0}, output_bytes=FORK.output_bytes)
    assert dict(plan_dag(brief, "heft", platform=SLOW_STORE).orders) == {"w0": (0, 1, 2, 3)}


def test_heft_on_fixed_workers() -> None:
    """Never more workers than there are, all of which are used where work waits."""
    wide = FakeDag(tuple(() for _ in range(10)), expected_s=dict.fromkeys(range(10), 10.0))
    plan = plan_dag(wide, Heft(workers=3), platform="none")
    assert sorted(map(len, plan.orders.values())) == [3, 3, 4]
    with pytest.raises(ConfigError, match=r"Heft\.workers is 0"):
        Heft(workers=0)


def test_els_weighs_cost() -> None:
    """The cheapest plan is one worker; the fastest is HEFT's; a deadline is kept at the least cost."""
    dag = FakeDag(FORK.wiring, expected_s={**FORK.expected_s, 1: 20.0, 2: 20.0}, output_bytes=FORK.output_bytes)
    fast = plan_dag(dag, "els", platform=SLOW_STORE, predict=True)
    cheap = plan_dag(dag, "els", platform=SLOW_STORE, objective="cost")
    assert len(fast.orders) == 2
    assert len(cheap.orders) == 1
    assert fast.predicted is not None
    deadline_s = fast.predicted.makespan_s + 0.01
    within = plan_dag(dag, "els", platform=SLOW_STORE, objective="cost", deadline_s=deadline_s)
    assert dict(within.orders) == dict(fast.orders)


def test_heft_is_billed_for_waiting() -> None:
    """On a fan-in of unequal tasks, ELS is no slower than HEFT at no more cost, by its objective."""
    dag = FakeDag(((), *(((0,),) * 8), tuple(range(1, 9))), expected_s={task: 0.5 * task for task in range(1, 9)})
    lambda_ = platform_named("lambda")
    estimates = DeclaredEstimates(dag)
    found = {name: simulate_plan(dag, plan_dag(dag, name), estimates, lambda_) for name in ("heft", "els")}
    objective = Objective.named(3e3)
    assert objective.score(found["els"].makespan_s, found["els"].cost_usd) <= objective.score(
        found["heft"].makespan_s, found["heft"].cost_usd
    )


@given(dags(), st.sampled_from(["heft", "els"]), st.sampled_from(["lambda", "none"]))
def test_orders_agree_with_the_dag(dag: FakeDag, name: str, platform: str) -> None:
    """Workers' orders are topological, every task is placed once, the same input gives the same plan."""
    plan = plan_dag(dag, name, platform=platform, sizes=[1024, 3008])
    assert sorted(task for order in plan.orders.values() for task in order) == list(range(len(dag)))
    assert plan == plan_dag(dag, name, platform=platform, sizes=[1024, 3008])
    assert len(set(plan.sizes_mib)) == 1


def test_objectives() -> None:
    """Names, weights and limits; a broken limit outweighs everything else."""
    assert Objective.named("makespan").score(2.0, 5.0) == (0.0, 2.0, 2.0, 5.0)
    assert Objective.named("cost").score(2.0, 5.0) == (0.0, 5.0, 2.0, 5.0)
    assert Objective.named(10).score(2.0, 5.0)[1] == 52.0
    late = Objective.named("cost", deadline_s=1.0)
    assert late.score(1.0, 1e5) < late.score(1.001, 0.0) < late.score(2.0, 0.0)
    capped = Objective.named("makespan", cost_cap_usd=1.0)
    assert capped.score(1e5, 1.0) < capped.score(1.0, 1.5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": "speed"}, "unknown objective 'speed'"),
        ({"objective": True}, "unknown objective True"),
        ({"objective": -1.0}, "cost_weight is -1"),
        ({"deadline_s": 0.0}, "deadline_s is 0"),
        ({"cost_cap_usd": float("nan")}, "cost_cap_usd is nan"),
    ],
)
def test_objectives_are_checked(settings: dict[str, object], message: str) -> None:
    """What is no objective is refused before anything is planned."""
    with pytest.raises(PlanError, match=message):
        plan_dag(FORK, "els", **settings)  # type: ignore[arg-type]
