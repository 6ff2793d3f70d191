"""What a finished task means for its successors: which run here at once, which the store has to hear of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from faaslab.policy.run_time import Candidate, Decision, Hold, Policy, decide


class Wiring(Protocol):
    """What the decision reads of a DAG and its plan."""

    def id_of(self, task: int, /) -> str:
        """Return the id of ``task``."""
        ...

    def upstreams(self, task: int, /) -> Sequence[int]:
        """Return the distinct tasks whose outputs ``task`` takes."""
        ...

    def successors(self, task: int, /) -> Sequence[int]:
        """Return the distinct tasks that take the output of ``task``."""
        ...

    def assigned_to(self, task: int, /) -> str | None:
        """Return the planned worker, None: decided at run time."""
        ...

    def order(self, worker: str, /) -> Sequence[int]:
        """Return the planned worker's tasks in their order."""
        ...

    def size_mib(self, task: int, /) -> int:
        """Return the size to run it with."""
        ...


@dataclass(frozen=True, slots=True)
class Waiting:
    """A successor that the store has to hear of; see ``protocol.messages.Successor``."""

    task: int
    expected: int
    worker: str
    gate: bool
    size_mib: int


@dataclass(frozen=True, slots=True)
class Onward:
    """Where a finished task leads.

    Attributes:
        here: Successors that this worker runs next without asking anybody.
        waiting: All other successors that other workers, or nobody yet, will run, preferred ones first.
        take: How many of ``waiting`` this worker wants if they turn out to be ready; the first ones.
        hold: Whether the output is stored at once; this and the next two as in ``run_time.Choice``.
        wait_s: How long the worker waits at the end for those that are not.
        late: As ``take``, once a held output has been stored.
    """

    here: tuple[int, ...]
    waiting: tuple[Waiting, ...]
    take: int
    hold: Hold = "no"
    wait_s: float = 0.0
    late: int = 0


def onward(
    dag: Wiring,
    expected: Callable[[int], int],
    task: int,
    worker: str | None,
    size_mib: int,
    *,
    visible: bool,
    policy: Policy | None = None,
    output_bytes: int = 0,
) -> Onward:
    """Decide where a finished task leads.

    A planned worker goes on with its own list; what else its task leads to it runs before that, if a policy says so.
    Without a policy this is WUKONG's rule (SoCC'20, section 3): become one ready successor, invoke the rest. A sole
    successor without other inputs needs no announcement at all.

    Args:
        expected: How many inputs of a task come through the store (``Arrivals`` of this DAG).
        worker: The worker that the task is planned for; None: decided at run time.
        size_mib: Size of the container that ran it.
        visible: The output has to be stored whoever needs it (a sink, an impure task, or ``skip_storage`` is off).
        policy: Asked about successors without a planned worker.
        output_bytes: Size of the output.

    Raises:
        PlanError: The policy chose what it can't.
        Exception: Whatever the policy raises.
    """
    successors = dag.successors(task)
    if worker is not None:
        successors = [s for s in successors if dag.assigned_to(s) != worker]
    decision = Decision(take=0 if worker is not None else 1)
    if policy is not None:
        decision, successors = preferred(dag, task, successors, policy, output_bytes)
    take = decision.take
    if len(successors) == 1 and take and not visible and worker is None:
        only = successors[0]
        if dag.assigned_to(only) is None and dag.size_mib(only) == size_mib and len(dag.upstreams(only)) == 1:
            return Onward((only,), (), 0)
    waiting = tuple(described(dag, expected, s) for s in successors)
    stays = not visible and all(not w.worker and w.size_mib == size_mib for w in waiting)
    return Onward((), waiting, take, decision.hold if stays else "no", decision.wait_s, decision.late)


def preferred(
    dag: Wiring, task: int, successors: Sequence[int], policy: Policy, output_bytes: int
) -> tuple[Decision, Sequence[int]]:
    """Return what a policy decides, and all successors in its order of preference.

    Raises:
        PlanError: The policy chose what it can't.
        Exception: Whatever the policy raises.
    """
    free = [successor for successor in successors if dag.assigned_to(successor) is None]
    if not free:
        return Decision(take=0), successors
    candidates = [Candidate(dag.id_of(s), len(dag.upstreams(s)), dag.size_mib(s)) for s in free]
    decision = decide(policy, dag.id_of(task), output_bytes, candidates)
    if not decision.first:
        return decision, successors
    ahead = [free[number] for number in decision.first]
    others = set(ahead)
    return decision, [*ahead, *(successor for successor in successors if successor not in others)]


def described(dag: Wiring, expected: Callable[[int], int], task: int) -> Waiting:
    """Return what the store has to hear of a successor."""
    worker = dag.assigned_to(task)
    gate = worker is not None and dag.order(worker)[0] == task
    return Waiting(task, expected(task), worker or "", gate, dag.size_mib(task))


class Arrivals:
    """How many inputs of a task come through the store: all but those its planned worker makes itself.

    Remembers the answers: every upstream of a wide fan-in asks.
    """

    def __init__(self, dag: Wiring) -> None:
        self._dag = dag
        self._known: dict[int, int] = {}

    def __call__(self, task: int) -> int:
        """Return the number of distinct upstream tasks that arrive at ``task`` through the store."""
        known = self._known.get(task)
        if known is None:
            worker = self._dag.assigned_to(task)
            upstreams = self._dag.upstreams(task)
            known = len(upstreams)
            if worker is not None:
                known = sum(self._dag.assigned_to(upstream) != worker for upstream in upstreams)
            self._known[task] = known
        return known
