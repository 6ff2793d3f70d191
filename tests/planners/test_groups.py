"""Planners that group tasks first: ``uniform``, and ``critical_path``, which then shrinks workers."""

from hypothesis import given, settings
from hypothesis import strategies as st

from faaslab.model.estimates import DeclaredEstimates
from faaslab.model.platform import platform_named
from faaslab.planners import plan_dag
from faaslab.simulate import simulate_plan
from tests.plan.dags import FakeDag, dags

LAMBDA = platform_named("lambda")
WIDE = FakeDag(((), *(((0,),) * 8), tuple(range(1, 9))), expected_s={task: float(task) for task in range(1, 9)})
"""One task, eight of rising length that take it, one that takes them all."""
FORK = FakeDag(((), (0,), (0,), (0,), (0,), (1, 2, 3, 4)), expected_s={0: 1.0, 1: 1.0, 2: 1.0, 3: 1.0, 4: 30.0, 5: 1.0})


def test_uniform_groups() -> None:
    """Three short ones stay, of the others one long and two short share a worker, the fan-in goes to most bytes."""
    plan = plan_dag(WIDE, "uniform", platform=LAMBDA)
    assert dict(plan.orders) == {"w0": (0, 1, 2, 3, 9), "w1": (4, 5, 8), "w2": (6, 7)}
    assert "stays at its input" in plan.explain(WIDE.ids[1])


def test_a_chain_stays_together() -> None:
    """An only successor of an only input needs no other worker."""
    chain = FakeDag(((), (0,), (1,), (2,)))
    assert dict(plan_dag(chain, "uniform").orders) == {"w0": (0, 1, 2, 3)}


def test_critical_path_shrinks_what_waits() -> None:
    """Workers off the critical path get smaller while the makespan holds; those on it keep the largest size."""
    sizes = [512, 1769, 3538]
    plan = plan_dag(FORK, "critical_path", platform=LAMBDA, sizes=sizes)
    all_large = plan_dag(FORK, "uniform", platform=LAMBDA, sizes=sizes[-1:])
    estimates = DeclaredEstimates(FORK)
    large, shrunk = (simulate_plan(FORK, p, estimates, LAMBDA) for p in (all_large, plan))
    assert shrunk.makespan_s <= large.makespan_s * (1 + 1e-6)
    assert shrunk.cost_usd <= large.cost_usd
    assert plan.assignments[4].size_mib == 3538


def test_least_cost_under_a_deadline() -> None:
    """With cost as objective everything shrinks that the deadline allows."""
    estimates = DeclaredEstimates(WIDE)
    large = plan_dag(WIDE, "uniform", platform=LAMBDA, sizes=[3538])
    largest_usd = simulate_plan(WIDE, large, estimates, LAMBDA).cost_usd
    for deadline_s in (60.0, 120.0, 600.0):
        plan = plan_dag(
            WIDE, "critical_path", platform=LAMBDA, sizes=[512, 1769, 3538], objective="cost", deadline_s=deadline_s
        )
        assert plan.predicted is not None
        assert plan.predicted.makespan_s <= deadline_s
        assert simulate_plan(WIDE, plan, estimates, LAMBDA).cost_usd < largest_usd


@settings(max_examples=30)
@given(dags(max_tasks=9), st.sampled_from(["makespan", "cost"]))
def test_never_worse_than_all_large(dag: FakeDag, objective: str) -> None:
    """Shrinking starts from the largest size and only takes what is better."""
    sizes = [1024, 2048, 3072]
    score = {}
    for name, allowed in (("uniform", sizes[-1:]), ("critical_path", sizes)):
        plan = plan_dag(dag, name, platform=LAMBDA, sizes=allowed, objective=objective)
        found = simulate_plan(dag, plan, DeclaredEstimates(dag), LAMBDA)
        score[name] = found.makespan_s if objective == "makespan" else found.cost_usd
    assert score["critical_path"] <= score["uniform"] * (1 + 1e-6) + 1e-8
