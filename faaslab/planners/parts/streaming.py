"""Where outputs can go to workers that wait for them: large ones, of planned workers, for tasks of others at work.

A worker can only receive what it watches: it must have begun before the output is ready, and the task that needs it
must not be its first (of the first, all inputs are stored before its worker is invoked at all).
"""

from dataclasses import replace

from faaslab.config import Config
from faaslab.plan import DagView, Plan
from faaslab.planners.planner import PlanContext
from faaslab.simulate import Simulation


def apply(dag: DagView, plan: Plan, ctx: PlanContext) -> Plan:
    """Return the plan with all outputs streamed that some worker is predicted to be there for."""
    least_bytes, sinks = Config().inline_output_bytes, set(dag.sinks)
    large = [
        task
        for task, assignment in enumerate(plan.assignments)
        if assignment.worker is not None
        and task not in sinks
        and task not in plan.instructions.stream
        and getattr(dag.options(task), "pure", True)
        and ctx.predictor.output_bytes(task) > least_bytes
    ]
    if not large or "skip_storage" not in plan.optimizations:
        return plan
    consumers: dict[int, list[int]] = {task: [] for task in large}
    for order in plan.orders.values():
        for consumer in order[1:]:
            for upstream in dag.upstreams(consumer):
                if upstream in consumers:
                    consumers[upstream].append(consumer)
    simulation = ctx.simulate(dag, plan)
    found = {task for task in large if any(_waits(plan, simulation, task, one) for one in consumers[task])}
    if not found:
        return plan
    told = replace(plan.instructions, stream=plan.instructions.stream | found)
    return replace(plan, instructions=told)


def _waits(plan: Plan, simulation: Simulation, task: int, consumer: int) -> bool:
    """Whether the worker of a consumer, another one, is predicted to be at work when a task has executed."""
    if plan.assignments[consumer].worker == plan.assignments[task].worker:
        return False
    instance = simulation.tasks[5][consumer]
    first, _, _, started_s, *_ = simulation.instances
    return bool(first[instance] != consumer and started_s[instance] < simulation.finish_s[task])
