"""``wukong``: decentralized, decided at run time; a worker becomes one successor and invokes the rest.

Fidelity card
    Source: WUKONG (Carver et al., SoCC'20, arXiv 2010.07268), and the behaviour of its published code.
    Decisions: no task has a worker. One worker is invoked for each task without upstreams and follows that task's
    static path: when a task ends, the worker *becomes* the first successor that is ready, in the successor order of
    the DAG, and invokes a worker for every other ready one. A fan-in task is run by whoever completed its last
    input; nobody waits. All workers have one size, as all functions of a WUKONG deployment do: the smallest allowed
    one that holds the hungriest task.
    Deviations: the *become* task is the first ready successor rather than a fixed first out-edge, so that a path does
    not end while others are ready. Fan-in is an idempotent set rather than a counter. Outputs are stored before they
    are announced, always. An output that only its own worker consumes is not stored (``skip_storage``). There is no
    proxy for large fan-outs and no central invoker. Clustering and delayed I/O are separate optimizations, off here.
"""

from faaslab.plan import Assignment, DagView, Plan
from faaslab.planners.planner import PlanContext


class Wukong:
    """Leaves every task's worker to run time."""

    name = "wukong"

    def plan(self, dag: DagView, ctx: PlanContext, /) -> Plan:
        """Return the plan; see the module's fidelity card."""
        size_mib = ctx.size_for(dag, range(len(dag)))
        reasons = [self._reason(dag, task) for task in range(len(dag))]
        return ctx.plan(dag, self.name, [Assignment(None, size_mib)] * len(dag), reasons=reasons)

    def _reason(self, dag: DagView, task: int) -> str:
        upstreams = dag.upstreams(task)
        if not upstreams:
            return "it starts a static path: one worker is invoked for it when the run starts"
        if len(upstreams) > 1:
            return "fan-in: whoever completes its last input runs it or invokes a worker for it"
        if next(iter(dag.successors(upstreams[0]))) == task:
            return "its upstream's worker becomes it: it is the first successor"
        return "its upstream's worker invokes a new worker for it: another successor comes first"
