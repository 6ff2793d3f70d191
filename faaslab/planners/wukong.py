"""``wukong``: decentralized, decided at run time; a worker becomes one successor and invokes the rest.

Fidelity card
    Source: WUKONG (Carver et al., SoCC'20, arXiv 2010.07268), and the behaviour of its published code.
    Decisions: no task has a worker. One worker is invoked for each task without upstreams and follows that task's
    static path: when a task ends, the worker *becomes* the first successor that is ready, in the successor order of
    the DAG, and invokes a worker for every other ready one. A fan-in task is run by whoever completed its last
    input; nobody waits. All workers have one size, as all functions of a WUKONG deployment do: the smallest allowed
    one that holds the hungriest task.
    Clustering: with a threshold, a worker whose task made an output of so many bytes or more first asks who is ready,
    and runs those successors itself, one after the other, so that the output need not travel (section 3.3: task
    clustering for fan-out and fan-in). With delayed I/O it stores the output only when it has run them, and those that
    have become ready meanwhile, and only if somebody is left who needs it. At the end it may wait; the published code
    polls, for 171.5 s at most.
    Invokers: WUKONG has a pool of processes that invoke in parallel; here the call that stores an output hands all
    invocations over at once, like invokers without number. A client that invokes first workers one by one is the
    platform's ``client_invokes_per_s``.
    Deviations: the *become* task is the first ready successor rather than a fixed first out-edge, so that a path does
    not end while others are ready. Fan-in is an idempotent set rather than a counter. Outputs are stored before they
    are announced, always. An output that only its own worker consumes is not stored (``skip_storage``). There is no
    proxy for large fan-outs and no central invoker. Where workers would hold inputs of one task from each other, the
    one with most of them goes on doing so, and is handed the task; WUKONG guesses from the names of tasks. What a
    planned worker or one of another size needs is never held.
"""

import math
from dataclasses import replace

from faaslab.errors import PlanError
from faaslab.plan import Assignment, DagView, Plan
from faaslab.planners.parts.clustering import bytes_of
from faaslab.planners.planner import PlanContext
from faaslab.policy.run_time import Clustering


class Wukong:
    """Leaves every task's worker to run time.

    Args:
        threshold_bytes: Size from which an output is large.
        threshold_s: The same as seconds that it is predicted to take into the store and out again; without either
            no output is large, unless optimizations are asked for (``planners.parts.clustering``).
        fan_out: This and the next three as in ``policy.run_time.Clustering``.
        fan_in: See there.
        delay: See there.
        wait_s: See there.

    Raises:
        PlanError: A threshold or the time is negative or not a number, or there are two thresholds.
    """

    def __init__(
        self,
        threshold_bytes: float | None = None,
        threshold_s: float | None = None,
        *,
        fan_out: bool = True,
        fan_in: bool = True,
        delay: bool = True,
        wait_s: float = 0.0,
    ) -> None:
        if threshold_bytes is not None and threshold_s is not None:
            raise PlanError(
                f"Wukong has threshold_bytes={threshold_bytes!r} and threshold_s={threshold_s!r}; give one of them"
            )
        given = threshold_bytes if threshold_s is None else threshold_s
        self._threshold_s = threshold_s
        self._policy = None if given is None else Clustering(given, fan_out, fan_in, delay, wait_s)
        self.name = "wukong"
        if given is not None:
            self.name += f" {given / 1e6:g} MB" if threshold_s is None else f" {given:g} s"

    def plan(self, dag: DagView, ctx: PlanContext, /) -> Plan:
        """Return the plan; see the module's fidelity card."""
        size_mib = ctx.size_for(dag, range(len(dag)))
        reasons = [self._reason(dag, task) for task in range(len(dag))]
        policy = self._policy
        if policy is not None and self._threshold_s is not None:
            threshold_bytes = bytes_of(self._threshold_s, ctx.platform)
            policy = replace(policy, threshold_bytes=threshold_bytes) if threshold_bytes < math.inf else None
        return ctx.plan(dag, self.name, [Assignment(None, size_mib)] * len(dag), reasons=reasons, policy=policy)

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
