"""Where inputs can be fetched before their task's turn: on planned workers that execute something before it.

The first task of a worker has nothing to gain: its worker is invoked when all its inputs are there.
"""

from dataclasses import replace

from faaslab.plan import DagView, Plan
from faaslab.planners.planner import PlanContext


def apply(dag: DagView, plan: Plan, ctx: PlanContext) -> Plan:
    """Return the plan with the inputs of all tasks preloaded that come from elsewhere to a worker already at work."""
    found = set(plan.instructions.preload)
    for order in plan.orders.values():
        here: set[int] = set(order[:1]).union(*(dag.upstreams(task) for task in order[:1]))
        for task in order[1:]:
            upstreams = dag.upstreams(task)
            if not here.issuperset(upstreams):
                found.add(task)
            here.update(upstreams, (task,))
    if found == plan.instructions.preload:
        return plan
    return replace(plan, instructions=replace(plan.instructions, preload=frozenset(found)))
