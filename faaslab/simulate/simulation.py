"""Running a placement, and what came of it."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from faaslab.errors import PlanError
from faaslab.simulate import kernel
from faaslab.simulate.draws import Drawn, Draws, drawn_runs, medians
from faaslab.simulate.flat import filled_list, listed
from faaslab.simulate.placement import Placement

if TYPE_CHECKING:
    from faaslab.trace import Trace

RUN_TIME = "~"
"""First character of workers that no plan names: ``~<task>``, as in real runs."""
EMPTY = "!"
"""First character of empty invocations: ``!<after>.<position>.<number>``, as in real runs."""
_SOURCES = ("store", "inline", "local", "preload", "stream")
"""By what the kernel says of an input of a task that finds some at hand."""
_WHY = ("client", "cold", "queue", "local", "remote")


@dataclass(frozen=True, slots=True)
class SimulatedWorker:
    """One invocation in a container: what is billed.

    Attributes:
        invocation: Name of the plan's worker, or ``~<task>``.
        attempt: Above 1 if it had given up its slot while it waited, as planned or because it was asked to.
        container: Number of its container; -1: an empty one whose place another took before there was a container.
        size_mib: Its size.
        cold: Whether the container was new.
        requested_s: When it was asked for.
        launched_s: When its container began to start (cold), or it began (warm): billing begins, as prices say.
        started_s: When it began.
        ended_s: When its slot was free again.
        tasks: What it ran, in order; none: it was to make its container warm.
    """

    invocation: str
    attempt: int
    container: int
    size_mib: int
    cold: bool
    requested_s: float
    launched_s: float
    started_s: float
    ended_s: float
    tasks: tuple[int, ...]


@dataclass(frozen=True, repr=False, eq=False)
class Simulation:
    """What a plan comes to; times are seconds after the run was submitted, sequences are by task index.

    Attributes:
        placement: What was simulated.
        makespan_s: When the last output was stored.
        cost_usd: Of all workers.
        gb_seconds: Billed.
        invocations: How many there were.
        containers: How many were started.
        tasks: Columns about tasks, see the properties.
        instances: Columns about instances, see ``workers``.
        exec_s: Seconds of execution of each task, as drawn.
        cold_s: Seconds of the cold start of each container, as drawn.
    """

    placement: Placement
    makespan_s: float
    cost_usd: float
    gb_seconds: float
    invocations: int
    containers: int
    tasks: tuple[Sequence[Any], ...] = field(repr=False)
    instances: tuple[Sequence[Any], ...] = field(repr=False)
    exec_s: Sequence[float] = field(repr=False)
    cold_s: Sequence[float] = field(repr=False)

    def __repr__(self) -> str:
        return (
            f"Simulation({self.placement.planner!r} on {self.placement.platform.name!r}: {self.makespan_s:.3f} s, "
            f"{self.cost_usd:.6f} USD, {self.invocations} invocations, {self.cold_starts} cold)"
        )

    @property
    def turn_s(self) -> Sequence[float]:
        """When a worker turned to the task; it may have to wait then."""
        return self.tasks[0]

    @property
    def begin_s(self) -> Sequence[float]:
        """When the worker began to fetch the task's inputs."""
        return self.tasks[1]

    @property
    def start_s(self) -> Sequence[float]:
        """When the task began to execute."""
        return self.tasks[2]

    @property
    def finish_s(self) -> Sequence[float]:
        """When the task had executed."""
        return self.tasks[3]

    @property
    def visible_s(self) -> Sequence[float]:
        """When the task's output was stored; infinite if it never was."""
        return self.tasks[4]

    @cached_property
    def why(self) -> tuple[str, ...]:
        """What each task last waited for before its inputs were fetched.

        ``client``: nothing, a warm container was there; ``cold``: a container started; ``queue``: its worker was busy
        with another task, or no container was free; ``local``: its worker was busy with an input of it;
        ``remote:<p>``: task ``p`` on another worker made it ready.
        """
        codes, via = self.tasks[8], self.tasks[7]
        return tuple(f"remote:{via[task]}" if code == kernel.REMOTE else _WHY[code] for task, code in enumerate(codes))

    def critical_path(self) -> tuple[int, ...]:
        """Return the tasks that the makespan is made of: each began only when the one before it let it."""
        via, visible_s = self.tasks[7], self.visible_s
        sinks = [task for task in range(len(via)) if self.placement.flat.arrays[3][task]]
        if not sinks:
            return ()
        path = [max(sinks, key=lambda task: (visible_s[task], -task))]
        while via[path[-1]] >= 0:
            path.append(int(via[path[-1]]))
        return tuple(reversed(path))

    @cached_property
    def _prewarms(self) -> list[tuple[str, int]]:
        """Return name and size in MiB of each batch of empty invocations."""
        after_of, pool_of = map(listed, self.placement.extra[3][:2])
        positions: dict[int, int] = {}
        named = []
        for after, pool in zip(after_of, pool_of, strict=True):
            position = positions[after] = positions.get(after, -1) + 1
            named.append((f"{EMPTY}{after if after >= 0 else ''}.{position}", self.placement.sizes_mib[pool]))
        return named

    @cached_property
    def cold_starts(self) -> int:
        """How many invocations with tasks waited for a new container."""
        if not self._prewarms:
            return int(sum(self.instances[6][: self.invocations]))
        first, cold = self.instances[0], self.instances[6]
        return sum(int(cold[i]) for i in range(self.invocations) if first[i] >= 0)

    @cached_property
    def stored_bytes(self) -> int:
        """Size of all outputs that were stored."""
        sizes = self.placement.flat.output_bytes
        return sum(size for size, at_s in zip(sizes, self.visible_s, strict=True) if at_s < math.inf)

    @cached_property
    def fetched_bytes(self) -> int:
        """Size of all inputs that were read from the store; those that rode along with a message are not."""
        sizes = self.placement.flat.output_bytes
        upstreams = self.placement.flat.upstreams
        return sum(
            sizes[upstream]
            for task, row in enumerate(upstreams)
            for upstream, source in zip(row, self.sources(task), strict=True)
            if source in ("store", "preload")
        )

    def sources(self, task: int) -> list[str]:
        """Return where each input of a task came from: ``local``, ``inline``, ``store``, ``preload`` or ``stream``."""
        placed, flat = self.placement, self.placement.flat
        row, first = flat.upstreams[task], flat.arrays[1][task]
        inline_bytes, touch = placed.limits[3], placed.arrays[17]
        if self.tasks[9][task]:
            # Of a large one only the reference comes with an answer.
            return [
                _SOURCES[state if state != kernel.SENT or flat.output_bytes[upstream] <= inline_bytes else 0]
                for state, upstream in zip(self.tasks[10][first : first + len(row)], row, strict=True)
            ]
        if placed.worker_of[task] < 0:
            at_hand = [upstream == self.tasks[6][task] for upstream in row]
            rides = [bool(placed.rides[edge]) for edge in range(first, first + len(row))]
        else:
            instance = self.tasks[5][task]
            base = placed.arrays[5][self.instances[0][instance]]
            at_hand = [touch[edge] >= base for edge in range(first, first + len(row))]
            if len(self.tasks[17]):
                taken = self.tasks[17][first : first + len(row)]
                at_hand = [here or by == instance for here, by in zip(at_hand, taken, strict=True)]
            if len(self.tasks[18]):
                made = self.tasks[18][first : first + len(row)]
                at_hand = [here or by == instance for here, by in zip(at_hand, made, strict=True)]
            room = placed.numbers[8] if placed.arrays[7][task] else 0.0
            rides = []
            for upstream, local in zip(row, at_hand, strict=True):
                size = flat.output_bytes[upstream]
                rides.append(not local and room > 0 and size <= min(room, inline_bytes))
                room -= size if rides[-1] else 0
        small = [flat.output_bytes[upstream] <= inline_bytes for upstream in row]
        return [
            "local" if local else "inline" if riding and little else "store"
            for local, riding, little in zip(at_hand, rides, small, strict=True)
        ]

    @cached_property
    def workers(self) -> tuple[SimulatedWorker, ...]:
        """All workers, in the order in which they were asked for."""
        placed = self.placement
        after = [-1] * len(self.start_s)
        for task, before in enumerate(self.tasks[6]):
            if before >= 0:
                after[before] = task
        first, requested, launched, started, ended, container, cold, *_ = self.instances
        attempts: dict[str, int] = {}
        numbers: dict[str, int] = {}
        found = []
        for i in range(self.invocations):
            if first[i] < 0:
                batch, size_mib = self._prewarms[-1 - first[i]]
                numbers[batch] = numbers.get(batch, -1) + 1
                name, tasks = f"{batch}.{numbers[batch]}", []
            else:
                worker = placed.worker_of[first[i]]
                name = placed.workers[worker] if worker >= 0 else f"{RUN_TIME}{first[i]}"
                size_mib = placed.sizes_mib[placed.arrays[1][first[i]]]
                tasks = [int(first[i])]
                while after[tasks[-1]] >= 0:
                    tasks.append(after[tasks[-1]])
            attempts[name] = attempts.get(name, 0) + 1
            found.append(
                SimulatedWorker(
                    invocation=name,
                    attempt=attempts[name],
                    container=int(container[i]),
                    size_mib=size_mib,
                    cold=bool(cold[i]),
                    requested_s=float(requested[i]),
                    launched_s=float(launched[i]),
                    started_s=float(started[i]),
                    ended_s=float(ended[i]),
                    tasks=tuple(tasks),
                )
            )
        return tuple(found)

    def trace(self) -> "Trace":
        """Return the events that a real run of the same course would have reported."""
        from faaslab.simulate.tracing import trace_of

        return trace_of(self)


def run_placement(placement: Placement, draws: Draws | None = None) -> Simulation:
    """Run a placement; the same placement and draws give the same simulation.

    Args:
        placement: Made by ``place``.
        draws: Luck of this run; None: everything takes its median.

    Raises:
        ConfigError: An estimate of how times scatter is out of its range.
        PlanError: The plan can't be run: its workers wait for each other.
    """
    return next(run_columns(placement, [draws], kernel.run_events, listed, filled_list))


def run_columns(
    placement: Placement,
    runs: Sequence[Draws | None],
    loop: Callable[..., Any],
    column: Callable[[Any], Any],
    filled: Callable[[int, Any], Any],
) -> Iterator[Simulation]:
    """Run a placement in columns of any kind, with the luck of each run; None: everything takes its median."""
    lucky = [draws for draws in runs if draws is not None]
    drawn = drawn_runs(placement, lucky, column, filled) if lucky else iter(())
    for draws in runs:
        yield _run(placement, medians(placement, filled) if draws is None else next(drawn), loop, filled)


def _run(placement: Placement, drawn: Drawn, loop: Callable[..., Any], filled: Callable[[int, Any], Any]) -> Simulation:
    count, room = len(placement.exec_s), placement.capacity
    early = len(placement.rides) if len(placement.extra[0][0]) else 0
    flows = count if len(placement.extra[1][0]) else 0
    asked = len(placement.extra[5][0]) > 0
    some, edges = (count, len(placement.rides)) if asked else (0, 0)
    copies, copied = len(placement.extra[2][0]), len(placement.extra[2][13])
    made = len(placement.rides) if copied else 0
    tasks = (
        *(filled(count, 0.0) for _ in range(4)),
        filled(count, math.inf),
        *(filled(count, -1) for _ in range(3)),
        filled(count, kernel.CLIENT),
        filled(count, 0),
        filled(len(placement.rides), 0),
        *(filled(early, 0.0) for _ in range(2)),
        filled(some, math.inf),
        *(filled(some, 0.0) for _ in range(3)),
        filled(edges, -1),
        filled(made, -1),
        *(filled(copies, math.inf) for _ in range(3)),
        filled(copies, -1),
        filled(copied, 0),
        filled(flows, 0),
        *(filled(flows, 0.0) for _ in range(2)),
    )
    instances = (
        filled(room, -1),
        *(filled(room, 0.0) for _ in range(4)),
        filled(room, -1),
        filled(room, 0),
        filled(room, -1),
        filled(room, -1),
        filled(room, 0.0),
        filled(room, 0.0),
        filled(room if copied else 0, -1.0),
        filled(room if copied else 0, 0),
    )
    arrays = placement.arrays
    stored = (drawn.blob_s, drawn.frame_s, *arrays[13:15], drawn.take_carry_s, drawn.take_fetch_s)
    makespan_s, cost_usd, gb_seconds, invocations, containers, left = loop(
        placement.numbers,
        placement.limits,
        (*placement.flat.arrays, *placement.flat.successors),
        (drawn.exec_s, *arrays[:11], *stored, *arrays[17:], drawn.cold_s, drawn.invocation_s),
        placement.extra,
        tuple(changed.copy() for changed in (*placement.changing[:2], drawn.carry_s, drawn.fetch_s)),
        tasks,
        instances,
    )
    if left:
        raise PlanError(
            f"the simulation of the {placement.planner!r} plan stopped at {makespan_s:g} s with {left} outputs "
            "missing: its workers wait for each other; check_plan says where"
        )
    return Simulation(
        placement,
        makespan_s,
        cost_usd,
        gb_seconds,
        invocations,
        containers,
        tasks,
        instances,
        drawn.exec_s,
        drawn.cold_s,
    )
