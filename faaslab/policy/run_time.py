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

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, get_args

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


Hold = Literal["no", "check", "run"]
"""What a worker does with an output before it stores it; see ``Choice``."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a worker does with the successors of a task that it has finished.

    Which of them are ready is known only to the store: of the candidates that are ready and of its size the worker
    runs the first ``take`` itself, one after the other, and invokes a worker for each other ready one.

    Before that it stores the output, or it first sees whether that is needed at all. An output that has to be stored
    in any case (a sink's, that of an impure task, one that a planned worker or one of another size takes) is not held.

    Attributes:
        take: How many at most.
        first: Candidates in order of preference; all others come after them, in the order of the DAG.
        hold: ``"no"``: the output is stored in the call that tells of it, unless the worker takes all that need it.
            ``"check"``: the worker asks first who is ready, and sends the output only if somebody else needs it.
            ``"run"``: so, but if those that are not taken are not ready either, it keeps the output to itself while it
            runs those that are; those that become ready meanwhile, since all else that they need is there, it runs as
            well (delayed I/O). At the end it stores the output for the others.
        wait_s: How long the worker waits for those, billed, when it has nothing left to run; for ``"run"`` only.
        late: As ``take``, but of those that are ready only once a held output has been stored after all; None: as
            ``take``.
    """

    take: int = 1
    first: Sequence[Candidate] = ()
    hold: Hold = "no"
    wait_s: float = 0.0
    late: int | None = None


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
class Clustering:
    """Brings what takes a large output to where it is; after a small one a worker becomes one and invokes the rest.

    Source: WUKONG (Carver et al., SoCC'20), section 3.3, and its published code.

    Args:
        threshold_bytes: Size from which an output is large.
        fan_out: The worker of a large output runs all ready tasks that take nothing else.
        fan_in: It also runs those that take more and are ready, at once or when its output has been stored.
        delay: It does not store a large output before it has run those (delayed I/O); otherwise only not before it
            knows that somebody else needs it.
        wait_s: How long it waits at the end, billed, for tasks that other workers may make ready; with ``delay`` only.

    Raises:
        PlanError: The threshold or the time is negative or not a number.
    """

    threshold_bytes: float
    fan_out: bool = True
    fan_in: bool = True
    delay: bool = True
    wait_s: float = 0.0

    def __post_init__(self) -> None:
        for name in ("threshold_bytes", "wait_s"):
            value: Any = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
                raise PlanError(f"Clustering.{name} is {value!r}, must be a number, 0 or more")

    @property
    def name(self) -> str:
        """The names of its optimizations."""
        used = {"fan_out_clustering": self.fan_out, "fan_in_clustering": self.fan_in, "delayed_io": self.delay}
        return " + ".join(name for name, is_used in used.items() if is_used) or "become one"

    def choose(self, task: str, output_bytes: int, candidates: Sequence[Candidate], /) -> Choice:
        """Take one of what takes a small output, all of what takes a large one, as far as it is told to."""
        if output_bytes < self.threshold_bytes or not (self.fan_out or self.fan_in or self.delay):
            return Choice()
        wanted = [c for c in candidates if (self.fan_out if c.inputs == 1 else self.fan_in)]
        return Choice(
            take=max(1, len(wanted)),
            first=wanted if len(wanted) < len(candidates) else (),
            hold="run" if self.delay else "check",
            wait_s=self.wait_s if self.delay else 0.0,
            late=len(candidates) if self.fan_in else 1,
        )


POLICIES: dict[str, type[Clustering]] = {"clustering": Clustering}
"""The policies that plans can be written with."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A choice, checked: ``first`` are positions of candidates; for the rest see ``Choice``."""

    take: int = 1
    first: tuple[int, ...] = ()
    hold: Hold = "no"
    wait_s: float = 0.0
    late: int = 1


def decide(policy: Policy, task: str, output_bytes: int, candidates: Sequence[Candidate]) -> Decision:
    """Return what a policy chooses.

    Raises:
        PlanError: The policy returned something else than a choice among the candidates.
        Exception: Whatever the policy raises.
    """
    choice: Any = policy.choose(task, output_bytes, candidates)
    if not _is_possible(choice):
        raise PlanError(f"policy {policy.name!r} chose {choice!r} after task {task!r}; it must return a Choice")
    place = {candidate.task: number for number, candidate in enumerate(candidates)}
    first = [place.get(getattr(candidate, "task", "")) for candidate in choice.first]
    found = [number for number in first if number is not None]
    if len(set(found)) < len(first):
        raise PlanError(
            f"policy {policy.name!r} put {choice.first!r} first after task {task!r}; they must be candidates, each once"
        )
    late = choice.take if choice.late is None else choice.late
    return Decision(choice.take, tuple(found), choice.hold, float(choice.wait_s), late)


def _is_possible(choice: Any) -> bool:
    """Whether it is a choice, with values of their kinds; a policy may be anybody's code."""
    if not isinstance(choice, Choice):
        return False
    counts: tuple[Any, ...] = (choice.take, 0 if choice.late is None else choice.late)
    wait_s: Any = choice.wait_s
    return (
        all(isinstance(count, int) and count >= 0 for count in counts)
        and choice.hold in get_args(Hold)
        and isinstance(wait_s, (int, float))
        and 0 <= wait_s < math.inf
    )


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
    name = next((name for name, shipped in POLICIES.items() if type(policy) is shipped), None)
    if name is None:
        raise PlanError(
            f"policy {policy.name!r} is code of your own, which JSON can't hold; policies that can be written: "
            f"{', '.join(POLICIES)}"
        )
    return name, asdict(policy)  # type: ignore[call-overload]


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
