"""Whether a plan can be run: checked after planning and again before every run."""

import math
import re
from array import array
from itertools import pairwise

from faaslab.errors import ConfigError, PlanError
from faaslab.model.sizes import check_size
from faaslab.plan.instructions import Duplicate
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
            other; or an instruction is for a task or worker that can't follow it. Names the task and both values.
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
    for unknown in sorted(plan.optimizations - {*OPTIMIZATIONS, *(one.name for one in plan.instructions.own)}):
        raise PlanError(f"unknown optimization {unknown!r}; known: {', '.join(OPTIMIZATIONS)}")
    if plan.policy is not None:
        check_policy(plan.policy)
    _check_sizes(dag, plan)
    _check_waits(dag, plan)
    _check_orders(dag, plan)
    _check_acyclic(dag, plan)
    _check_instructions(dag, plan)


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


def _check_instructions(dag: DagView, plan: Plan) -> None:
    told = plan.instructions
    sent_after = [prewarm.after for prewarm in told.prewarms if prewarm.after is not None]
    duplicated = [duplicate.task for duplicate in told.duplicates]
    for what, tasks in (
        ("preload", told.preload),
        ("stream", told.stream),
        ("prewarm after", sent_after),
        ("duplicate", duplicated),
    ):
        for task in tasks:
            if not 0 <= task < len(dag):
                raise PlanError(f"the plan says {what} task index {task}, the DAG has {len(dag)} tasks")
    for task in told.preload:
        if plan.assignments[task].worker is None:
            raise PlanError(
                f"task {dag.ids[task]!r} is to be preloaded but has no worker that could; give it one, or leave it out"
            )
    for duplicate in told.duplicates:
        _check_duplicate(dag, plan, duplicate)
    for prewarm in told.prewarms:
        try:
            check_size(prewarm.size_mib)
        except ConfigError as error:
            raise PlanError(f"a prewarm has a size that no worker can have: {error}") from None
        if not 0 <= prewarm.delay_s < math.inf or prewarm.count < 1:
            raise PlanError(
                f"a prewarm of {prewarm.size_mib} MiB has delay_s={prewarm.delay_s!r} and count={prewarm.count!r}; the "
                "delay must be 0 or more and finite, the count at least 1"
            )


def _check_duplicate(dag: DagView, plan: Plan, duplicate: Duplicate) -> None:
    task, worker = duplicate.task, duplicate.worker
    if worker not in plan.orders:
        raise PlanError(f"task {dag.ids[task]!r} may be computed by worker {worker!r}, which the plan does not have")
    if plan.assignments[task].worker == worker:
        raise PlanError(f"task {dag.ids[task]!r} may be computed by worker {worker!r} itself, which runs it anyway")
    if not any(plan.assignments[successor].worker == worker for successor in dag.successors(task)):
        raise PlanError(f"task {dag.ids[task]!r} may be computed by worker {worker!r}, which does not need its output")
    if not getattr(dag.options(task), "pure", True):
        raise PlanError(
            f"task {dag.ids[task]!r} may be computed twice but is not pure; leave it out, or declare it pure"
        )
    minimum_mib = dag.options(task).memory_mib or 0
    size_mib = plan.assignments[plan.orders[worker][0]].size_mib
    if size_mib < minimum_mib:
        raise PlanError(
            f"task {dag.ids[task]!r} may be computed by worker {worker!r} of {size_mib} MiB but asks for "
            f"memory_mib={minimum_mib}"
        )
    if not (0 <= duplicate.own_s < math.inf and 0 <= duplicate.expected_s < math.inf):
        raise PlanError(
            f"the predicted times of computing task {dag.ids[task]!r} twice are {duplicate.own_s!r} and "
            f"{duplicate.expected_s!r}; both must be 0 or more and finite"
        )


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
