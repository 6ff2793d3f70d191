import pytest
from hypothesis import given
from hypothesis import strategies as st

from faaslab.errors import ConfigError, PlanError, PlannerUnavailable
from faaslab.graph import DAG
from faaslab.graph.generators import chain, diamond, fan, fork_join, tree
from faaslab.plan import Assignment, DagView, Plan, check_plan
from faaslab.planners import PLANNERS, PlanContext, get_planner, plan_dag
from tests.plan.dags import CHAIN, DIAMOND, FakeDag, dags

BUDGET = 30_000
"""Of search, in simulated tasks."""


@given(dag=dags(max_tasks=8), name=st.sampled_from(sorted(PLANNERS)))
def test_every_planner_makes_runnable_plans(dag: FakeDag, name: str) -> None:
    """A plan of any planner for any DAG passes the checker, explains every task and survives JSON."""
    plan = plan_dag(dag, name, budget=BUDGET)
    check_plan(dag, plan)
    assert plan.planner == name
    assert Plan.from_json(plan.to_json()) == plan
    assert plan_dag(dag, name, budget=BUDGET) == plan
    for task, task_id in enumerate(dag.ids):
        assert plan.reasons[task] in plan.explain(task_id)


@pytest.mark.parametrize("name", sorted(PLANNERS))
@pytest.mark.parametrize("workflow", [diamond(), chain(300), fan(300), tree(64), fork_join(10, 5)])
def test_planners_on_real_workflows(workflow: object, name: str) -> None:
    """Every planner plans real DAGs, also through ``dag.plan``."""
    dag = DAG(workflow, name="real")
    if name == "optimal" and len(dag) > 24:
        with pytest.raises(PlannerUnavailable):
            dag.plan(name)
        return
    plan = dag.plan(name, predict=False)
    assert plan == plan_dag(dag, name)
    assert len(plan) == len(dag)
    assert plan.explain(dag.ids[-1])


def test_per_task() -> None:
    """Every task has its own worker at the smallest size that holds it."""
    dag = FakeDag(CHAIN.wiring, memory_mib={1: 600})
    plan = plan_dag(dag, "per_task", sizes=[1024, 512, 2048])
    assert [a.worker for a in plan.assignments] == ["w0", "w1", "w2"]
    assert [a.size_mib for a in plan.assignments] == [512, 1024, 512]


def test_single_worker() -> None:
    """One worker, large enough for the hungriest task, runs everything in order."""
    dag = FakeDag(DIAMOND.wiring, memory_mib={1: 600})
    plan = plan_dag(dag, "single_worker", sizes=[512, 1024])
    assert dict(plan.orders) == {"w0": (0, 1, 2, 3)}
    assert plan.sizes_mib == (1024,)


def test_wukong_leaves_everything_to_run_time() -> None:
    """No task has a worker; the reasons tell become, invoke and fan-in apart."""
    plan = plan_dag(DIAMOND)
    assert plan.planner == "wukong"
    assert {a.worker for a in plan.assignments} == {None}
    assert not plan.orders
    assert [reason.split(":")[0] for reason in plan.reasons] == [
        "it starts a static path",
        "its upstream's worker becomes it",
        "its upstream's worker invokes a new worker for it",
        "fan-in",
    ]


def test_default_sizes_hold_what_tasks_ask_for() -> None:
    """Without sizes, one vCPU is used, and more only where a task asks for it."""
    dag = FakeDag(CHAIN.wiring, memory_mib={0: 100, 2: 4000})
    plan = plan_dag(dag, "per_task")
    assert [a.size_mib for a in plan.assignments] == [1769, 1769, 4000]


def test_task_that_fits_no_size() -> None:
    """A task that asks for more than the largest allowed size is named with both numbers."""
    dag = FakeDag(CHAIN.wiring, memory_mib={2: 4000})
    for name in PLANNERS:
        with pytest.raises(PlanError, match=r"'f#2' asks for memory_mib=4000.*1024 MiB"):
            plan_dag(dag, name, sizes=[512, 1024])


@pytest.mark.parametrize("sizes", [[], [64], [-1], [20_000], [512.5], [True]])
def test_bad_sizes(sizes: list[int]) -> None:
    """Empty, negative, fractional or infeasible sizes are refused before planning."""
    with pytest.raises(ConfigError, match="size"):
        plan_dag(CHAIN, sizes=sizes)


def test_optimizations_are_added_to_the_two_defaults() -> None:
    """Named optimizations come on top of the defaults; an empty list turns all off."""
    assert plan_dag(CHAIN).optimizations == {"skip_storage", "inline_inputs"}
    two = FakeDag(((), (), (0,), (0, 1)))
    plan = plan_dag(two, RoundRobin(), optimizations=["preload"])
    assert plan.optimizations == {"skip_storage", "inline_inputs", "preload"}
    # Nothing is left to an optimization that finds nothing to do.
    assert plan_dag(CHAIN, optimizations=["preload"]).optimizations == {"skip_storage", "inline_inputs"}
    assert plan_dag(CHAIN, optimizations=[]).optimizations == frozenset()
    with pytest.raises(PlanError, match="unknown optimization 'warp'"):
        plan_dag(CHAIN, optimizations=["warp"])
    with pytest.raises(PlanError, match="must be 'all' or a list"):
        plan_dag(CHAIN, optimizations="preload")


class RoundRobin:
    """A planner as it would be written in a notebook cell."""

    name = "round_robin"

    def plan(self, dag: DagView, ctx: PlanContext) -> Plan:
        size_mib = ctx.size_for(dag, range(len(dag)))
        return ctx.plan(dag, self.name, [Assignment(f"w{task % 2}", size_mib) for task in range(len(dag))])


def test_own_planner_works_as_an_object() -> None:
    """A class with a name and a plan method is a planner without any base class or registration."""
    plan = plan_dag(DIAMOND, RoundRobin(), seed=7)
    assert plan.planner == "round_robin"
    assert dict(plan.orders) == {"w0": (0, 2), "w1": (1, 3)}
    assert plan.settings["seed"] == 7


def test_own_planner_is_checked() -> None:
    """A planner that returns nothing, or an incomplete plan, is refused."""

    class Nothing(RoundRobin):
        def plan(self, dag: DagView, ctx: PlanContext) -> Plan:
            return None  # type: ignore[return-value]

    class Half(RoundRobin):
        def plan(self, dag: DagView, ctx: PlanContext) -> Plan:
            return ctx.plan(dag, self.name, [Assignment("w0", 1769)] * 2)

    with pytest.raises(PlanError, match="returned NoneType, must return a Plan"):
        plan_dag(DIAMOND, Nothing())
    with pytest.raises(PlanError, match="2 assignments for 4 tasks: task 'f#2' has no assignment"):
        plan_dag(DIAMOND, Half())


def test_unknown_planners_list_the_known_names() -> None:
    """A wrong name, a class and an unrelated object are refused with what is expected."""
    with pytest.raises(PlanError, match="unknown planner 'heftt'; known: per_task, single_worker, wukong"):
        get_planner("heftt")
    with pytest.raises(PlanError, match=r"pass an object, RoundRobin\(\)"):
        get_planner(RoundRobin)  # type: ignore[arg-type]
    with pytest.raises(PlanError, match="is no planner"):
        get_planner(42)  # type: ignore[arg-type]
