"""What a plan says beyond who runs what: the optimizations that work task by task, and what they should save."""

from dataclasses import dataclass

from faaslab.policy.optimization import Optimization


@dataclass(frozen=True, slots=True)
class Prewarm:
    """An *empty invocation*: it makes containers ready (interpreter, imports, function table) and runs no task.

    Attributes:
        size_mib: Of the containers.
        after: Task after whose completion it is sent; None: after the run was submitted.
        delay_s: How long after. Never a time of day: a run may be slow.
        count: How many overlapping ones are sent, which as many containers serve. Those that are idle are merely kept.
    """

    size_mib: int
    after: int | None = None
    delay_s: float = 0.0
    count: int = 1


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A task that a worker which waits for its output may compute itself.

    Attributes:
        task: Pure, and planned for another worker, or decided at run time.
        worker: Planned worker that needs its output.
        own_s: Predicted time there: to fetch its inputs and to execute it.
        expected_s: Predicted time from when its inputs are all stored until its output, made by its own worker, is in
            the hands of ``worker``.
    """

    task: int
    worker: str
    own_s: float
    expected_s: float


@dataclass(frozen=True, slots=True)
class Saving:
    """What became of an optimization that was asked for.

    Attributes:
        optimization: Its name.
        tasks: How many tasks it is applied to; 0: it is not applied.
        makespan_s: By how much the plan's makespan is predicted to be shorter than without it (negative: longer).
        cost_usd: By how much its cost is predicted to be lower.
        why: Why it is applied so, or why not.
    """

    optimization: str
    tasks: int
    makespan_s: float
    cost_usd: float
    why: str


@dataclass(frozen=True, slots=True)
class Instructions:
    """What optimizations a plan applies where.

    Attributes:
        preload: Tasks whose inputs their planned worker fetches as they appear, while it executes others.
        stream: Tasks whose outputs are offered to workers that wait for them while they are uploaded.
        duplicates: What may be computed twice.
        prewarms: Empty invocations.
        own: Optimizations of one's own.
        savings: What each optimization that was asked for should save.
    """

    preload: frozenset[int] = frozenset()
    stream: frozenset[int] = frozenset()
    duplicates: tuple[Duplicate, ...] = ()
    prewarms: tuple[Prewarm, ...] = ()
    own: tuple[Optimization, ...] = ()
    savings: tuple[Saving, ...] = ()
