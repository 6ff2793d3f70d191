"""Whether a plan can be run: checked after planning and again before every run."""

import re
from array import array
from itertools import pairwise

from faaslab.errors import ConfigError, PlanError
from faaslab.model.sizes import check_size
from faaslab.plan.plan import OPTIMIZATIONS, DagView, Plan
from faaslab.policy.run_time import check_policy

WORKER_NAME = re.compile(r"[\w.\-]{1,100}")
"""Names that can stand in keys of the store; run-time workers have other ones."""


def check_plan(dag: DagView, plan: Plan) -> None:
    """Check that ``plan`` can be run on ``dag``.

    Raises:
        PlanError: It is for another DAG, misses or repeats a task, uses a size that is infeasible or below the
            task's ``memory_mib``, gives one worker two sizes, has a worker that waits in an unknown way, names an
            unknown optimization, has a policy that can't be asked, or its workers' orders and the DAG wait for each
            other. Names the task and both values.
    """
    if plan.structure_hash != dag.structure_hash:
        raise PlanError(
            f"the plan is for DAG {plan.dag_name!r} with structure hash {plan.structure_hash}, this DAG is "
            f"{dag.name!r} with {dag.structure_hash}; plan it again"
        )
    if len(plan.assignments) != len(dag):
        first = min(len(plan.assignments), len(dag))
        where = f"task {dag.ids[first]!r} has no assignment" if first < len(dag) else "there are too many"
        raise PlanError(f"the plan has {len(plan.assignments)} assignments for {len(dag)} tasks: {where}")
    if plan.reasons and len(plan.reasons) != len(dag):
        raise PlanError(f"the plan has {len(plan.reasons)} reasons for {len(dag)} tasks; give one each, or none")
    for unknown in sorted(plan.optimizations - set(OPTIMIZATIONS)):
        raise PlanError(f"unknown optimization {unknown!r}; known: {', '.join(OPTIMIZATIONS)}")
    if plan.policy is not None:
        check_policy(plan.policy)
    _check_sizes(dag, plan)
    _check_waits(dag, plan)
    _check_orders(dag, plan)
    _check_acyclic(dag, plan)


def _check_sizes(dag: DagView, plan: Plan) -> None:
    first: dict[str, int] = {}
    for task, assignment in enumerate(plan.assignments):
        try:
            check_size(assignment.size_mib)
        except ConfigError as error:
            raise PlanError(f"task {dag.ids[task]!r}: {error}") from None
        minimum_mib = dag.options(task).memory_mib or 0
        if assignment.size_mib < minimum_mib:
            raise PlanError(
                f"task {dag.ids[task]!r} is planned at {assignment.size_mib} MiB but asks for "
                f"memory_mib={minimum_mib}; plan with a larger size"
            )
        if assignment.worker is None:
            continue
        other = first.setdefault(assignment.worker, task)
        if plan.assignments[other].size_mib != assignment.size_mib:
            raise PlanError(
                f"worker {assignment.worker!r} has two sizes: {plan.assignments[other].size_mib} MiB for task "
                f"{dag.ids[other]!r} and {assignment.size_mib} MiB for task {dag.ids[task]!r}"
            )


def _check_waits(dag: DagView, plan: Plan) -> None:
    for task, assignment in enumerate(plan.assignments):
        if assignment.wait == "stay":
            continue
        if assignment.wait != "leave":
            raise PlanError(f"task {dag.ids[task]!r} has wait={assignment.wait!r}, must be 'stay' or 'leave'")
        if assignment.worker is None:
            raise PlanError(
                f"task {dag.ids[task]!r} has wait='leave' but no worker that could: decided at run time, a task starts "
                "when its inputs are there; give it a worker, or leave wait out"
            )


def _check_orders(dag: DagView, plan: Plan) -> None:
    seen: dict[int, str] = {}
    for worker, order in plan.orders.items():
        if not WORKER_NAME.fullmatch(worker):
            raise PlanError(f"worker name {worker!r} must be 1 to 100 letters, digits, '_', '.' or '-'")
        if not order:
            raise PlanError(f"worker {worker!r} has no tasks; leave it out of the plan's orders")
        for task in order:
            if not 0 <= task < len(dag):
                raise PlanError(f"the order of worker {worker!r} has task index {task}, the DAG has {len(dag)} tasks")
            if task in seen:
                raise PlanError(f"task {dag.ids[task]!r} is ordered twice, on {seen[task]!r} and on {worker!r}")
            seen[task] = worker
            assigned = plan.assignments[task].worker
            if assigned != worker:
                raise PlanError(
                    f"task {dag.ids[task]!r} is in the order of worker {worker!r} but assigned to {assigned!r}"
                )
    for task, assignment in enumerate(plan.assignments):
        if assignment.worker is not None and task not in seen:
            raise PlanError(f"task {dag.ids[task]!r} is assigned to worker {assignment.worker!r} but not in its order")


def _next_on_worker(plan: Plan) -> "array[int]":
    following = array("i", [-1]) * len(plan.assignments)
    for order in plan.orders.values():
        for task, after in pairwise(order):
            following[task] = after
    return following


def _check_acyclic(dag: DagView, plan: Plan) -> None:
    """Remove tasks that wait for nothing until none is left; what remains waits in a circle."""
    following = _next_on_worker(plan)
    waits = [len(dag.upstreams(task)) for task in range(len(dag))]
    for after in following:
        if after >= 0:
            waits[after] += 1
    ready = [task for task, count in enumerate(waits) if count == 0]
    left = len(waits)
    while ready:
        task = ready.pop()
        left -= 1
        successors = list(dag.successors(task))
        if following[task] >= 0:
            successors.append(following[task])
        for successor in successors:
            waits[successor] -= 1
            if waits[successor] == 0:
                ready.append(successor)
    if left:
        raise PlanError(f"the plan waits for itself: {_describe_cycle(dag, plan, waits)}")


def _describe_cycle(dag: DagView, plan: Plan, waits: list[int]) -> str:
    """Return one cycle among the tasks that still wait, each with what it waits for."""
    before = {after: task for order in plan.orders.values() for task, after in pairwise(order)}
    path: list[int] = []
    why: list[str] = []
    position: dict[int, int] = {}
    task = next(task for task, count in enumerate(waits) if count)
    while task not in position:
        position[task] = len(path)
        path.append(task)
        upstream = next((u for u in dag.upstreams(task) if waits[u]), None)
        if upstream is None:
            upstream = before[task]
            why.append(f"comes after {dag.ids[upstream]!r} on worker {plan.assignments[task].worker!r}")
        else:
            why.append(f"needs {dag.ids[upstream]!r}")
        task = upstream
    start = position[task]
    return ", ".join(f"{dag.ids[t]!r} {reason}" for t, reason in zip(path[start:], why[start:], strict=True))
