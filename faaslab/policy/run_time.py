"""Policies for tasks whose worker is decided at run time: which ready ones a worker runs itself, which it invokes.

A worker asks when a task has finished; the simulator asks beforehand, with the predicted size of the output. So a
policy is a pure function of what it is given. One of your own, in a notebook cell::

    class KeepPairs:
        name = "keep_pairs"

        def choose(self, task, output_bytes, candidates):
            narrow = [candidate for candidate in candidates if candidate.inputs == 1]
            if output_bytes < 100_000:
                return fl.Choice(take=1, first=narrow)    # become one, rather one that needs nothing else
            return fl.Choice(take=2, first=narrow)        # run two of them here, one after the other

    plan = dataclasses.replace(dag.plan("wukong"), policy=KeepPairs())
    result.compute(plan=plan)

It travels to real workers by value, like the code of tasks. A planner gives its plans one by ``ctx.plan(policy=...)``.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from faaslab.errors import PlanError


@dataclass(frozen=True, slots=True)
class Candidate:
    """A task that takes the output and whose worker is decided at run time.

    Attributes:
        task: Its id.
        inputs: Of how many tasks it takes the output; if of one only, it is ready.
        size_mib: Size it is planned at; a worker of another size never runs it itself.
    """

    task: str
    inputs: int
    size_mib: int


@dataclass(frozen=True, slots=True)
class Choice:
    """What a worker does with the successors of a task that it has finished.

    Which of them are ready is known only to the store, which carries this out in the call that stores the output: of
    the candidates that are ready and of its size the worker runs the first ``take`` itself, one after the other, and
    invokes a worker for each other ready one.

    Attributes:
        take: How many at most.
        first: Candidates in order of preference; all others come after them, in the order of the DAG.
    """

    take: int = 1
    first: Sequence[Candidate] = ()


class Policy(Protocol):
    """Decides what follows a task on a worker of run time; the same arguments give the same choice."""

    @property
    def name(self) -> str:
        """Name that plans show."""
        ...

    def choose(self, task: str, output_bytes: int, candidates: Sequence[Candidate], /) -> Choice:
        """Return what the worker that finished a task does with what follows it.

        Args:
            task: Id of the finished task.
            output_bytes: Serialized size of its output; predicted when a plan is simulated.
            candidates: Its successors that no worker is planned for, in the order of the DAG; at least one.
        """
        ...


@dataclass(frozen=True, slots=True)
class FanOutClustering:
    """Runs what a large output makes ready where that output is; after a small one it becomes one, invokes the rest.

    Source: WUKONG (Carver et al., SoCC'20), section 3.3: task clustering for fan-out operations.

    Args:
        threshold_bytes: Size from which an output is large.

    Raises:
        PlanError: The threshold is negative or not a number.
    """

    threshold_bytes: float
    name = "fan_out_clustering"

    def __post_init__(self) -> None:
        if not self.threshold_bytes >= 0:
            raise PlanError(f"FanOutClustering.threshold_bytes is {self.threshold_bytes!r}, must be 0 or more")

    def choose(self, task: str, output_bytes: int, candidates: Sequence[Candidate], /) -> Choice:
        """Take all if the output is large, else one."""
        return Choice(take=len(candidates) if output_bytes >= self.threshold_bytes else 1)


POLICIES: dict[str, type[FanOutClustering]] = {FanOutClustering.name: FanOutClustering}
"""The policies that plans can be written with."""


def decide(policy: Policy, task: str, output_bytes: int, candidates: Sequence[Candidate]) -> tuple[int, list[int]]:
    """Return how many candidates to take, and the positions of those that come first.

    Raises:
        PlanError: The policy returned something else than a choice among the candidates.
        Exception: Whatever the policy raises.
    """
    choice: Any = policy.choose(task, output_bytes, candidates)
    take: Any = choice.take if isinstance(choice, Choice) else None
    if not isinstance(take, int) or take < 0:
        raise PlanError(f"policy {policy.name!r} chose {choice!r} after task {task!r}; it must return a Choice")
    if not choice.first:
        return take, []
    place = {candidate.task: number for number, candidate in enumerate(candidates)}
    first = [place.get(getattr(candidate, "task", "")) for candidate in choice.first]
    found = [number for number in first if number is not None]
    if len(set(found)) < len(first):
        raise PlanError(
            f"policy {policy.name!r} put {choice.first!r} first after task {task!r}; they must be candidates, each once"
        )
    return take, found


def check_policy(policy: object) -> None:
    """Check that something can be asked like a policy.

    Raises:
        PlanError: It has no ``name`` or no ``choose``.
    """
    if isinstance(policy, type):
        raise PlanError(f"the policy is the class {policy.__name__}; give an object, {policy.__name__}()")
    if not isinstance(getattr(policy, "name", None), str) or not callable(getattr(policy, "choose", None)):
        raise PlanError(
            f"{policy!r} is no policy: it needs a text attribute `name` and a method "
            "`choose(task, output_bytes, candidates)`"
        )


def policy_to_data(policy: Policy) -> tuple[str, dict[str, Any]]:
    """Return a shipped policy as its name and settings.

    Raises:
        PlanError: It is none that is shipped.
    """
    if type(policy) not in POLICIES.values():
        raise PlanError(
            f"policy {policy.name!r} is code of your own, which JSON can't hold; policies that can be written: "
            f"{', '.join(POLICIES)}"
        )
    return policy.name, asdict(policy)  # type: ignore[call-overload]


def policy_from_data(name: str, settings: dict[str, Any]) -> Policy:
    """Return the shipped policy of that name and settings.

    Raises:
        PlanError: There is none of that name, or it has other settings.
    """
    if name not in POLICIES:
        raise PlanError(f"unknown policy {name!r}; known: {', '.join(POLICIES)}")
    try:
        return POLICIES[name](**settings)
    except TypeError as error:
        raise PlanError(f"policy {name!r} can't have the settings {settings}: {error}") from None
