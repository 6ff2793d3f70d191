from dataclasses import replace

import pytest

from faaslab.errors import PlanError
from faaslab.plan import Assignment, Plan, check_plan
from tests.plan.dags import CROSS, DIAMOND, FakeDag

A = Assignment("a", 512)
B = Assignment("b", 512)
GOOD = Plan.for_dag(DIAMOND, "mine", [A, A, B, A])


def test_good_plan_passes() -> None:
    """A complete plan is accepted."""
    check_plan(DIAMOND, GOOD)


def test_plan_without_workers_passes() -> None:
    """A plan that leaves all to run time is complete."""
    check_plan(DIAMOND, Plan.for_dag(DIAMOND, "mine", [Assignment(None, 512)] * 4))


def test_worker_names_can_be_keys() -> None:
    """A worker's name may not look like a run-time worker's or break a key."""
    with pytest.raises(PlanError, match="worker name '~1'"):
        check_plan(DIAMOND, Plan.for_dag(DIAMOND, "mine", [Assignment("~1", 512)] * 4))


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (replace(GOOD, structure_hash="hash-0"), "hash-0.*hash-1"),
        (replace(GOOD, assignments=(A, A, B)), "3 assignments for 4 tasks: task 'f#3' has no assignment"),
        (replace(GOOD, assignments=(A, A, B, A, A)), "5 assignments for 4 tasks: there are too many"),
        (replace(GOOD, assignments=(A, A, B, Assignment("a", 1024))), "'a' has two sizes: 512 MiB.*1024 MiB.*'f#3'"),
        (
            replace(GOOD, assignments=(A, A, Assignment("b", 64), A)),
            "'f#2': worker size is 64 MiB, must be from 128 to 10240",
        ),
        (replace(GOOD, orders={"a": (0, 1), "b": (2,)}), "'f#3' is assigned to worker 'a' but not in its order"),
        (replace(GOOD, orders={"a": (0, 1, 3, 3), "b": (2,)}), "'f#3' is ordered twice, on 'a' and on 'a'"),
        (replace(GOOD, orders={"a": (0, 1, 3), "b": (2, 1)}), "'f#1' is ordered twice, on 'a' and on 'b'"),
        (replace(GOOD, orders={"a": (0, 1, 2, 3)}), "'f#2' is in the order of worker 'a' but assigned to 'b'"),
        (replace(GOOD, orders={"a": (0, 1, 3, 9), "b": (2,)}), "task index 9, the DAG has 4 tasks"),
        (replace(GOOD, orders={"a": (0, 1, 3), "b": (2,), "c": ()}), "worker 'c' has no tasks"),
        (replace(GOOD, optimizations=frozenset({"warp"})), "unknown optimization 'warp'; known: skip_storage"),
        (replace(GOOD, assignments=(A, A, Assignment("b", 512, "go"), A)), "'f#2' has wait='go', must be 'stay' or"),  # type: ignore[arg-type]
        (replace(GOOD, assignments=(A, A, B, Assignment(None, 512, "leave"))), "'f#3' has wait='leave' but no worker"),
        (replace(GOOD, reasons=("one",)), "1 reasons for 4 tasks"),
        (
            replace(GOOD, orders={"a": (1, 0, 3), "b": (2,)}),
            "waits for itself: .*'f#1' needs 'f#0'.*|waits for itself: .*'f#0' comes after 'f#1' on worker 'a'",
        ),
    ],
)
def test_bad_plans_are_refused(plan: Plan, message: str) -> None:
    """Each kind of broken plan is refused, naming the task and both values."""
    with pytest.raises(PlanError, match=message):
        check_plan(DIAMOND, plan)


def test_memory_of_a_task_is_a_minimum() -> None:
    """A size below what a task asks for is refused with both numbers."""
    dag = FakeDag(DIAMOND.wiring, memory_mib={2: 600})
    with pytest.raises(PlanError, match="'f#2' is planned at 512 MiB but asks for memory_mib=600"):
        check_plan(dag, GOOD)


def test_deadlock_between_two_workers() -> None:
    """Two workers that each start with what the other's second task must precede are found, cycle spelled out."""
    plan = Plan.for_dag(CROSS, "mine", [A, B, B, A], orders={"a": (3, 0), "b": (2, 1)})
    with pytest.raises(PlanError) as caught:
        check_plan(CROSS, plan)
    for part in ("'f#2' needs 'f#0'", "'f#3' needs 'f#1'", "'f#0' comes after 'f#3' on worker 'a'"):
        assert part in str(caught.value)


def test_crossed_workers_without_deadlock() -> None:
    """The same assignment in topological order is fine."""
    check_plan(CROSS, Plan.for_dag(CROSS, "mine", [A, B, B, A]))


def test_deep_chain_is_no_recursion() -> None:
    """A chain of 20,000 tasks is checked without recursion."""
    depth = 20_000

    class Chain(FakeDag):
        def successors(self, task: int) -> tuple[int, ...]:
            return (task + 1,) if task + 1 < depth else ()

    dag = Chain(((), *((task,) for task in range(depth - 1))))
    check_plan(dag, Plan.for_dag(dag, "mine", [A] * depth))
