"""``uniform``: small groups of tasks on workers of one size.

Fidelity card
    Source: the uniform planner of OctoFlows, the closest earlier system, after what its code does; it has no paper.
    Decisions: a task with one upstream that has no other successor stays on its worker. Of a fan-out the three tasks
    with the shortest predicted execution stay where their input is; of the others one long and two short ones share a
    new worker. A fan-in joins the worker that holds the most bytes of its inputs. Roots are grouped like a fan-out.
    All workers have one size: that whose plan has the best objective.
    Deviations: without history the original leaves everything to run time; here declared or assumed times serve.
    Use: the earlier system's idea of clustering, in comparisons.
"""

from collections.abc import Sequence

from faaslab.plan import Assignment, DagView, Plan
from faaslab.planners.planner import PlanContext

GROUP = 3
"""Most tasks of a fan-out that share a worker."""


class Uniform:
    """Plans small groups on workers of one size."""

    name = "uniform"

    def plan(self, dag: DagView, ctx: PlanContext, /) -> Plan:
        """Return the plan; see the module's fidelity card."""
        return ctx.best(dag, (self._at(size_mib, dag, ctx) for size_mib in ctx.sizes_for(dag)))

    def _at(self, size_mib: int, dag: DagView, ctx: PlanContext) -> Plan:
        workers, reasons = group(dag, ctx, size_mib)
        return ctx.plan(dag, self.name, [Assignment(f"w{w}", size_mib) for w in workers], reasons=reasons)


def group(dag: DagView, ctx: PlanContext, size_mib: int) -> tuple[list[int], list[str]]:
    """Return the worker of each task and why, by task index.

    Args:
        dag: The DAG.
        ctx: Knows what is expected of its tasks.
        size_mib: Size at which their times are compared.
    """
    estimates = ctx.predictor
    exec_s = [estimates.exec_s(task, size_mib) for task in range(len(dag))]
    output_bytes = [estimates.output_bytes(task) for task in range(len(dag))]
    worker_of, reasons = [-1] * len(dag), [""] * len(dag)
    started = 0

    def spread(tasks: Sequence[int], why: str) -> None:
        """Put one long and two short tasks together, again and again."""
        nonlocal started
        left = sorted(tasks, key=lambda task: (exec_s[task], task))
        while left:
            # The longest, then the shortest.
            for task in [left.pop(), *left[: GROUP - 1]]:
                worker_of[task], reasons[task] = started, why
            del left[: GROUP - 1]
            started += 1

    spread([task for task in range(len(dag)) if not dag.upstreams(task)], "it is a root; roots share workers by threes")
    for task in range(len(dag)):
        # All inputs of a task come before it, so it is placed by now, or with its fan-in below.
        if worker_of[task] < 0:
            held: dict[int, float] = {}
            for upstream in dag.upstreams(task):
                held[worker_of[upstream]] = held.get(worker_of[upstream], 0.0) + output_bytes[upstream]
            worker_of[task] = max(held, key=lambda worker: (held[worker], -worker))
            reasons[task] = "fan-in: this worker holds the most bytes of its inputs"
        onward = [successor for successor in dag.successors(task) if len(dag.upstreams(successor)) == 1]
        if len(dag.successors(task)) == 1 and onward:
            worker_of[onward[0]], reasons[onward[0]] = worker_of[task], "it is the only successor of its only input"
            continue
        onward.sort(key=lambda successor: (exec_s[successor], successor))
        for successor in onward[:GROUP]:
            worker_of[successor], reasons[successor] = worker_of[task], "fan-out: it is short and stays at its input"
        spread(onward[GROUP:], "fan-out: one long and two short tasks share a worker")
    return worker_of, reasons
