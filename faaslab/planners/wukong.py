"""``wukong``: decentralized, decided at run time; a worker becomes one successor and invokes the rest.

Fidelity card
    Source: WUKONG (Carver et al., SoCC'20, arXiv 2010.07268), and the behaviour of its published code.
    Decisions: no task has a worker. One worker is invoked for each task without upstreams and follows that task's
    static path: when a task ends, the worker *becomes* the first successor that is ready, in the successor order of
    the DAG, and invokes a worker for every other ready one. A fan-in task is run by whoever completed its last
    input; nobody waits. All workers have one size, as all functions of a WUKONG deployment do: the smallest allowed
    one that holds the hungriest task.
    Clustering: with a threshold, a worker whose task made an output of so many bytes or more runs all ready successors
    itself, one after the other, so that the output need not travel (section 3.3, task clustering for fan-out).
    Invokers: WUKONG has a pool of processes that invoke in parallel; here the call that stores an output hands all
    invocations over at once, like invokers without number. A client that invokes first workers one by one is the
    platform's ``client_invokes_per_s``.
    Deviations: the *become* task is the first ready successor rather than a fixed first out-edge, so that a path does
    not end while others are ready. Fan-in is an idempotent set rather than a counter. Outputs are stored before they
    are announced, always. An output that only its own worker consumes is not stored (``skip_storage``). There is no
    proxy for large fan-outs and no central invoker. Clustering on fan-in and delayed I/O are not part of it.
"""

from faaslab.plan import Assignment, DagView, Plan
from faaslab.planners.planner import PlanContext
from faaslab.policy.run_time import FanOutClustering


class Wukong:
    """Leaves every task's worker to run time.

    Args:
        threshold_bytes: Size from which what takes an output runs where the output is; None: there is no such size.

    Raises:
        PlanError: The threshold is negative or not a number.
    """

    def __init__(self, threshold_bytes: float | None = None) -> None:
        self.name = "wukong" if threshold_bytes is None else f"wukong {threshold_bytes / 1e6:g} MB"
        self._policy = None if threshold_bytes is None else FanOutClustering(threshold_bytes)

    def plan(self, dag: DagView, ctx: PlanContext, /) -> Plan:
        """Return the plan; see the module's fidelity card."""
        size_mib = ctx.size_for(dag, range(len(dag)))
        reasons = [self._reason(dag, task) for task in range(len(dag))]
        return ctx.plan(dag, self.name, [Assignment(None, size_mib)] * len(dag), reasons=reasons, policy=self._policy)

    def _reason(self, dag: DagView, task: int) -> str:
        upstreams = dag.upstreams(task)
        if not upstreams:
            return "it starts a static path: one worker is invoked for it when the run starts"
        if len(upstreams) > 1:
            return "fan-in: whoever completes its last input runs it or invokes a worker for it"
        if next(iter(dag.successors(upstreams[0]))) == task:
            return "its upstream's worker becomes it: it is the first successor"
        if self._policy is not None:
            return "its upstream's worker invokes a new worker for it, or runs it later if the output is large"
        return "its upstream's worker invokes a new worker for it: another successor comes first"
