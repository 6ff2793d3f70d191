"""From a DAG, estimates, a plan and a platform to the flat arrays that the event loop runs on.

Planners simulate thousands of plans for one DAG, so the two halves are separate: ``FlatDag`` once, ``place`` per plan.
"""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, get_args

from faaslab.config import Config
from faaslab.errors import PlanError
from faaslab.model.platform import Platform
from faaslab.model.sizes import vcpus
from faaslab.plan import Instructions, Plan
from faaslab.policy.optimization import Optimization
from faaslab.policy.run_time import Candidate, Hold, Policy, decide
from faaslab.simulate.flat import FlatDag, byte_s, filled_list, listed
from faaslab.simulate.kernel import NARROW

HOLDS = get_args(Hold)
"""What holding an output is called, by the number that stands for it in columns."""
MEMORY_PART = 0.4
"""Part of a worker's size that outputs it holds may fill (``worker.shelf``, which counts all others as well)."""
_NO_LIMIT = 1e12
"""Of vCPUs and GiB: numbers that can be divided, which infinity can't."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Who runs what, where and in which order: what ``place`` reads off a plan, or what a search has in mind.

    Columns, by task index, are lists or numpy arrays.

    Attributes:
        optimizations: Names of the optimizations in use.
        sizes_mib: Sizes, rising: the pools; there may be more of them than are in use.
        worker_of: Index of each task's planned worker; -1: decided at run time.
        position: Place of each task in its worker's order.
        following: Next task of each task's worker; -1: none.
        pool_of: Which of ``sizes_mib`` each task's worker has.
        ordered: All tasks, worker by worker in their order, then those without a worker.
        exec_s: Execution time of each task.
        leaves: Flags of tasks that their workers don't wait for but leave; None: nobody leaves.
        take: How many successors that its output makes ready the worker of each task runs itself; None: one, where it
            has no planned worker. Where it is given, so are the next two.
        holds: Whether the worker of each task stores its output at once (0), sees first whether it has to (1), or
            when it has run what is ready (2); as ``late`` and ``wait_s`` of ``policy.run_time.Choice`` the other two.
        successors: Successors and which upstreams these edges are, as in ``FlatDag``, but preferred ones first; None
            where ``take`` is.
        instructions: What optimizations are applied where.
        workers: Names of workers, where instructions name some.
    """

    optimizations: frozenset[str]
    sizes_mib: tuple[int, ...]
    worker_of: Any
    position: Any
    following: Any
    pool_of: Any
    ordered: Any
    exec_s: Any
    leaves: Any = None
    take: Any = None
    holds: tuple[Any, Any, Any] = ((), (), ())
    successors: Any = None
    instructions: Instructions = field(default_factory=Instructions)
    workers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Placement:
    """A DAG placed by a plan on a platform, ready to run any number of times.

    Attributes:
        flat: The DAG.
        plan: The plan; None: there is none yet, only a layout.
        platform: Where it runs.
        sizes_mib: Sizes, rising: the pools.
        worker_of: Index of each task's planned worker; -1: decided at run time.
        numbers: Of the platform, for the event loop.
        limits: Of platform and plan, for the event loop.
        exec_s: Execution time of each task.
        arrays: What else the plan says, for the event loop.
        changing: Arrays that a run changes: missing inputs, whether to wait, seconds of riding along and of fetching.
        capacity: How many instances there can be.
        rides: For each upstream of each task, in rows as in ``FlatDag``: whether it rides along or is its reference.
        extra: What the instructions say, for the event loop: one tuple of columns for each optimization.
    """

    flat: FlatDag
    plan: Plan | None
    platform: Platform
    sizes_mib: tuple[int, ...]
    worker_of: Sequence[int]
    numbers: tuple[float, ...]
    limits: tuple[int, ...]
    exec_s: Sequence[float]
    arrays: tuple[list[Any], ...]
    changing: tuple[list[Any], ...]
    capacity: int
    rides: list[int]
    extra: tuple[tuple[Any, ...], ...]

    @property
    def planner(self) -> str:
        """Who made the plan."""
        return "" if self.plan is None else self.plan.planner

    @property
    def workers(self) -> tuple[str, ...]:
        """Names of the plan's workers; none without a plan."""
        return () if self.plan is None else tuple(self.plan.orders)


def place(flat: FlatDag, plan: Plan, platform: Platform) -> Placement:
    """Return a placement; the rules are the engine's (``worker.machine``, ``policy.successors``, ``storage.memory``).

    What rides along and what is a blob is decided by the defaults of ``Config``.

    Raises:
        ConfigError: An execution time is negative or not a number.
        PlanError: The plan has another number of tasks, a worker that the platform can never have, or a policy that
            chose what it can't.
    """
    return place_columns(flat, plan, platform, arrange, list, filled_list)


def place_columns(
    flat: FlatDag,
    plan: Plan,
    platform: Platform,
    loop: Callable[..., None],
    column: Callable[[Sequence[Any]], Any],
    filled: Callable[[int, Any], Any],
) -> Placement:
    """Do what ``place`` does, in columns of any kind: ``loop`` is ``arrange``, or the same compiled."""
    count = len(flat.upstreams)
    if len(plan.assignments) != count:
        raise PlanError(f"the plan has {len(plan.assignments)} assignments, the DAG {count} tasks; plan it again")
    worker_of = [-1] * count
    position = [0] * count
    following = [-1] * count
    for number, order in enumerate(plan.orders.values()):
        last = -1
        for place_in_order, task in enumerate(order):
            worker_of[task] = number
            position[task] = place_in_order
            if last >= 0:
                following[last] = task
            last = task
    size_mib_of = [assignment.size_mib for assignment in plan.assignments]
    sizes_mib = tuple(sorted({*size_mib_of, *(one.size_mib for one in plan.instructions.prewarms)}))
    pool_index = {size_mib: number for number, size_mib in enumerate(sizes_mib)}
    _check_fits(sizes_mib, platform)
    ordered = list(chain.from_iterable(plan.orders.values()))
    ordered += [task for task, worker in enumerate(worker_of) if worker < 0]
    asked = None if plan.policy is None else _ask_policy(flat, plan, plan.policy)
    take, holds, successors = (None, ((), (), ()), None) if asked is None else asked
    layout = Layout(
        plan.optimizations,
        sizes_mib,
        worker_of,
        position,
        following,
        [pool_index[size_mib] for size_mib in size_mib_of],
        ordered,
        flat.exec_s(size_mib_of),
        [int(assignment.wait == "leave") for assignment in plan.assignments],
        take,
        holds,
        successors,
        instructions=plan.instructions,
        workers=tuple(plan.orders),
    )
    return place_layout(flat, layout, platform, loop, column, filled, plan)


def place_layout(
    flat: FlatDag,
    layout: Layout,
    platform: Platform,
    loop: Callable[..., None],
    column: Callable[[Sequence[Any]], Any],
    filled: Callable[[int, Any], Any],
    plan: Plan | None = None,
) -> Placement:
    """Return the placement of a layout, in columns of any kind."""
    count, sizes_mib = len(flat.upstreams), layout.sizes_mib
    profile, prices, config = platform.profile, platform.prices, Config()
    own = layout.instructions.own
    flat, effects = _effects(flat, own, column) if own else (flat, None)
    latency_s = profile.store_latency_s
    down_s, kept_s = byte_s(profile.download_bytes_per_s), byte_s(profile.task_bytes_per_s)
    inline_bytes = config.inline_output_bytes
    room_bytes = config.inline_input_bytes if "inline_inputs" in layout.optimizations else 0
    blob_s, frame_s, base_s = flat.times(profile, inline_bytes, column)
    visible = column(flat.visible) if "skip_storage" in layout.optimizations else filled(count, 1)

    edges = len(flat.arrays[2])
    worker_of, position, following, pool_of, ordered = map(
        column, (layout.worker_of, layout.position, layout.following, layout.pool_of, layout.ordered)
    )
    successors, take = flat.successors, filled(count, -1)
    if layout.take is not None:
        successors, take = (successors[0], *map(column, layout.successors)), column(layout.take)
    missing, waits = filled(count, 0), filled(count, 0)
    carry_s, fetch_s = filled(count, 0.0), filled(count, 0.0)
    touch, rides = filled(edges, -1), filled(edges, 0)
    out_from, out_task = filled(count + 1, 0), filled(edges, -1)
    take_carry_s, take_fetch_s = filled(edges, 0.0), filled(edges, 0.0)
    quiet, follows_input = filled(count, -1), filled(count, 0)
    announced, is_gate = filled(count, 0), filled(count, 0)
    loop(
        (float(latency_s), down_s, kept_s, float(room_bytes)),
        inline_bytes,
        (flat.arrays[1], flat.arrays[2], *successors, flat.arrays[5]),
        (ordered, worker_of, position, following, pool_of, visible, take, base_s),
        (missing, waits, carry_s, fetch_s, touch, rides, announced, is_gate),
        (out_from, out_task, take_carry_s, take_fetch_s, quiet, follows_input),
    )

    undo_s = filled(0, 0.0)
    if effects is not None:
        make_s, undo_s = effects
        blob_s = column([before + made for before, made in zip(listed(blob_s), make_s, strict=True)])
        _undo(flat, undo_s, (touch, fetch_s, worker_of, quiet), (out_from, out_task, take_fetch_s))
        undo_s = column(undo_s)

    # What has to be stored in any case, or goes along with what is told of it, is not streamed.
    streams = [
        task
        for task in layout.instructions.stream
        if worker_of[task] >= 0
        and not visible[task]
        and flat.arrays[5][task] > inline_bytes
        and out_from[task] < out_from[task + 1]
    ]
    numbers = (
        latency_s,
        profile.keep_alive_s,
        down_s,
        1 / platform.client_invokes_per_s,
        float(platform.cores),
        prices.billing_step_s,
        prices.usd_per_gb_s,
        prices.usd_per_request,
        float(room_bytes),
        # Sums of shares that fill a budget exactly must not fail by a rounding error.
        min(platform.vcpus, _NO_LIMIT) + 1e-9,
        min(platform.memory_mib / 1024, _NO_LIMIT) + 1e-9,
        profile.submit_s + flat.wire_bytes * byte_s(profile.submit_bytes_per_s),
    )
    sinks = int(sum(flat.arrays[3]))
    limits = (platform.concurrency, int(prices.bill_cold_start), len(sizes_mib), inline_bytes, sinks)
    return Placement(
        flat=flat,
        plan=plan,
        platform=platform,
        sizes_mib=sizes_mib,
        worker_of=worker_of,
        numbers=tuple(map(float, numbers)),
        limits=limits,
        exec_s=column(layout.exec_s),
        arrays=(
            column([min(1.0, vcpus(size_mib)) if platform.sizes_enforced else 1.0 for size_mib in sizes_mib]),
            pool_of,
            column([size_mib / 1024 for size_mib in sizes_mib]),
            worker_of,
            following,
            position,
            is_gate,
            announced,
            quiet,
            follows_input,
            visible,
            blob_s,
            frame_s,
            out_from,
            out_task,
            take_carry_s,
            take_fetch_s,
            touch,
            column([vcpus(size_mib) for size_mib in sizes_mib]),
            filled(count, 0) if layout.leaves is None else column(layout.leaves),
            take,
            base_s,
        ),
        changing=(missing, waits, carry_s, fetch_s),
        # Each wait of a planned worker can end its instance, and its plan makes it wait at most once for each task.
        capacity=2 * count + sum(one.count for one in layout.instructions.prewarms),
        rides=rides,
        extra=(
            _preloaded(flat, layout, (touch, quiet, fetch_s, kept_s), streams, column, filled),
            *_instructed(
                layout,
                profile.invocation_latency_s,
                _streams(
                    flat, layout, streams, (blob_s, latency_s, byte_s(profile.upload_bytes_per_s)), column, filled
                ),
                _copies(flat, layout, (visible, out_from, inline_bytes, kept_s), column, filled),
                column,
                filled,
            ),
            (undo_s,),
            (
                column(layout.holds[0]),
                column(layout.holds[1]),
                column(layout.holds[2] or filled(0, 0.0)),
                column([MEMORY_PART * size_mib * 2**20 for size_mib in sizes_mib]),
                column([profile.store_s]),
            ),
        ),
    )


def _effects(
    flat: FlatDag, own: Sequence[Optimization], column: Callable[[Sequence[Any]], Any]
) -> tuple[FlatDag, tuple[list[float], list[float]]]:
    """Return a DAG whose outputs are as large as they are stored, and the seconds to make and to undo that of each.

    Raises:
        PlanError: An optimization expects something that is negative or not a number.
    """
    stored = [float(size) for size in flat.output_bytes]
    make_s, undo_s = [0.0] * len(stored), [0.0] * len(stored)
    sinks = set(flat.dag.sinks)
    for task in range(len(stored)):
        for optimization in own if task not in sinks else ():
            effect = optimization.effect(flat.dag.ids[task], stored[task])
            if effect is None:
                continue
            if not all(0 <= value < math.inf for value in (effect.stored_bytes, effect.outgoing_s, effect.incoming_s)):
                raise PlanError(
                    f"optimization {optimization.name!r} expects {effect} of the output of task "
                    f"{flat.dag.ids[task]!r}; all of it must be 0 or more and finite"
                )
            stored[task] = effect.stored_bytes
            make_s[task] += effect.outgoing_s
            undo_s[task] += effect.incoming_s
    smaller = replace(
        flat,
        output_bytes=[round(size) for size in stored],
        arrays=(*flat.arrays[:5], column(stored)),
        _columns={},
    )
    return smaller, (make_s, undo_s)


def _undo(
    flat: FlatDag, undo_s: Sequence[float], fetched: tuple[Any, Any, Any, Any], taken: tuple[Any, Any, Any]
) -> None:
    """Add what each worker needs to undo what was done to its inputs, but for those that it has in memory."""
    touch, fetch_s, worker_of, quiet = fetched
    out_from, out_task, take_fetch_s = taken
    up_from, up_task = flat.arrays[1], flat.arrays[2]
    all_s = [0.0] * len(undo_s)
    for task in range(len(undo_s)):
        for edge in range(up_from[task], up_from[task + 1]):
            if touch[edge] < 0 and quiet[up_task[edge]] != task:
                all_s[task] += undo_s[up_task[edge]]
        fetch_s[task] += all_s[task]
    for task in range(len(undo_s)):
        for at in range(out_from[task], out_from[task + 1]):
            if worker_of[out_task[at]] < 0:
                take_fetch_s[at] += all_s[out_task[at]] - undo_s[task]


def _preloaded(
    flat: FlatDag,
    layout: Layout,
    placed: tuple[Any, Any, Any, float],
    streams: Collection[int],
    column: Callable[[Sequence[Any]], Any],
    filled: Callable[[int, Any], Any],
) -> tuple[Any, Any, Any, Any]:
    """Return what preloading and streaming need as columns, which are empty if there are none.

    That is whether the inputs of a task are preloaded, the seconds that inputs take which are on the worker already,
    what fetching takes otherwise, and whether any of its inputs may be fetched beforehand or streamed.
    """
    told = layout.instructions.preload
    first_of, row_of = (listed(rows) for rows in flat.successors[:2])
    others = {other for task in streams for other in row_of[first_of[task] : first_of[task + 1]]}
    early = told | {other for other in others if layout.worker_of[other] >= 0}
    if not early:
        return filled(0, 0), filled(0, 0.0), filled(0, 0.0), filled(0, 0)
    touch, quiet, fetch_s, kept_s = placed
    up_from, up_task, sizes = flat.arrays[1], flat.arrays[2], flat.arrays[5]
    preload, home_s, shelved = filled(len(fetch_s), 0), filled(len(fetch_s), 0.0), filled(len(fetch_s), 0)
    for task in early:
        preload[task], shelved[task] = int(task in told), 1
        row = range(up_from[task], up_from[task + 1])
        home_s[task] = sum([sizes[up_task[edge]] for edge in row if touch[edge] >= 0]) * kept_s
    for task, after in enumerate(listed(quiet)):
        if after >= 0 and shelved[after]:
            home_s[after] += sizes[task] * kept_s
    return preload, home_s, column(listed(fetch_s)), shelved


def _streams(
    flat: FlatDag,
    layout: Layout,
    streams: Collection[int],
    placed: tuple[Any, float, float],
    column: Callable[[Sequence[Any]], Any],
    filled: Callable[[int, Any], Any],
) -> tuple[Any, Any, Any, Any]:
    """Return what streaming needs as columns, which are empty if the plan says nothing of it.

    That is, by task, whether its output may be, how long storing it takes otherwise, and the part of that before
    anything moves; and the seconds a byte takes.
    """
    blob_s, latency_s, up_s = placed
    if not layout.instructions.stream:
        return filled(0, 0), filled(0, 0.0), filled(0, 0.0), filled(0, 0.0)
    stream, before_s = filled(len(blob_s), 0), filled(len(blob_s), 0.0)
    sizes = flat.arrays[5]
    for task in streams:
        stream[task] = 1
        before_s[task] = max(0.0, blob_s[task] - latency_s - sizes[task] * up_s)
    return stream, column(listed(blob_s)), before_s, filled(1, up_s)


def _copies(
    flat: FlatDag,
    layout: Layout,
    placed: tuple[Any, Any, int, float],
    column: Callable[[Sequence[Any]], Any],
    filled: Callable[[int, Any], Any],
) -> tuple[tuple[Any, ...], ...]:
    """Return what copies of other workers' tasks need as columns, which are empty if none may be made.

    That is, by copy: the task, both predicted times, for which task of its worker it is, how long it executes there,
    how long the task does, what keeping it takes, and where in the next column its inputs begin: which of them are at
    hand. By task: the first copy for it, by copy the next one for the same; and the same for copies of the task. And by
    task, whether its own worker asks before it executes it, or before it stores its output, whether anybody needs it.
    """
    told = layout.instructions.duplicates
    if not told:
        ints, floats = filled(0, 0), filled(0, 0.0)
        return (ints, floats, floats, ints, floats, floats, floats, ints, ints, ints, ints, ints, ints, ints, ints)
    visible, out_from, inline_bytes, kept_s = placed
    worker_of, position = listed(layout.worker_of), listed(layout.position)
    number_of = {name: number for number, name in enumerate(layout.workers)}
    first_of, row = (listed(column) for column in flat.successors[:2])
    sizes, count = listed(flat.arrays[5]), len(flat.upstreams)

    def taken_by(task: int, worker: int) -> list[int]:
        """Return the tasks of a worker that take an output, in its order."""
        takers = [other for other in row[first_of[task] : first_of[task + 1]] if worker_of[other] == worker]
        return sorted(takers, key=position.__getitem__)

    rows: list[tuple[Any, ...]] = []
    home: list[int] = []
    for one in sorted(told, key=lambda one: (one.task, one.worker)):
        worker = number_of[one.worker]
        takers = taken_by(one.task, worker)
        if not takers or position[takers[0]] == 0:
            continue  # the first task of a worker does not wait
        task, place = takers[0], position[takers[0]]
        size_mib = layout.sizes_mib[layout.pool_of[task]]
        size_s, plain_s = flat.exec_at_s(one.task, size_mib), float(layout.exec_s[one.task])
        keep_s = 2 * sizes[one.task] * kept_s  # serialized when it is kept, then copied
        rows.append((one.task, float(one.own_s), float(one.expected_s), task, size_s, plain_s, keep_s, len(home)))
        for upstream in flat.upstreams[one.task]:
            places = [position[other] for other in taken_by(upstream, worker)]
            was_here = (worker_of[upstream] == worker and position[upstream] < place) or (places and places[0] < place)
            home.append(int(bool(was_here and places and places[-1] >= place)))
    linked = []
    for which in (3, 0):
        first, after = filled(count, -1), filled(len(rows), -1)
        for number in range(len(rows) - 1, -1, -1):
            after[number] = first[rows[number][which]]
            first[rows[number][which]] = number
        linked += [first, after]
    asks_first, asks_last = filled(count, 0), filled(count, 0)
    for task in {one.task for one in told}:
        if visible[task]:
            continue
        owners = {worker_of[other] for other in row[first_of[task] : first_of[task + 1]]}
        asks_first[task] = int(worker_of[task] not in owners and -1 not in owners)
        asks_last[task] = int(sizes[task] > inline_bytes and out_from[task] < out_from[task + 1])
    columns = [column([one[which] for one in rows] or filled(0, 0)) for which in (0, 3, 7)]
    times = [column([one[which] for one in rows] or filled(0, 0.0)) for which in (1, 2, 4, 5, 6)]
    return (
        *(columns[0], times[0], times[1], columns[1], times[2], times[3], times[4], columns[2]),
        *(column(home), *linked, asks_first, asks_last),
    )


def _instructed(
    layout: Layout,
    invocation_s: float,
    streams: tuple[Any, ...],
    copies: tuple[Any, ...],
    column: Callable[[Sequence[Any]], Any],
    filled: Callable[[int, Any], Any],
) -> tuple[tuple[Any, ...], ...]:
    """Return what the instructions say as columns: streams, duplicates, prewarms."""
    pool = {size_mib: number for number, size_mib in enumerate(layout.sizes_mib)}
    prewarms = layout.instructions.prewarms
    return (
        streams,
        copies,
        (
            column([-1 if one.after is None else one.after for one in prewarms]),
            column([pool[one.size_mib] for one in prewarms]),
            column([float(one.delay_s) for one in prewarms] or filled(0, 0.0)),
            column([one.count for one in prewarms]),
            filled(len(prewarms), float(invocation_s)),
        ),
    )


def _check_fits(sizes_mib: Sequence[int], platform: Platform) -> None:
    """Refuse sizes of which not even one worker fits."""
    for size_mib in sizes_mib:
        if vcpus(size_mib) > platform.vcpus + 1e-9 or size_mib > platform.memory_mib:
            raise PlanError(
                f"a worker of {size_mib} MiB has {vcpus(size_mib):.2f} vCPUs, all workers on {platform.name!r} "
                f"together {platform.vcpus:g} vCPUs and {platform.memory_mib:g} MiB; plan with smaller sizes"
            )


def _ask_policy(
    flat: FlatDag, plan: Plan, policy: Policy
) -> tuple[list[int], tuple[list[int], list[int], list[float]], tuple[list[int], list[int]]]:
    """Return ``take``, ``holds`` and ``successors`` of a layout: what a policy says of outputs of predicted sizes."""
    starts, successors, edges = (list(map(int, row)) for row in flat.successors)
    ids, assignments = flat.dag.ids, plan.assignments
    stores_all = "skip_storage" not in plan.optimizations
    count = len(assignments)
    take, late, wait_s, hold = [0] * count, [0] * count, [0.0] * count, [0] * count
    for task, assignment in enumerate(assignments):
        first, stop = starts[task], starts[task + 1]
        free = [at for at in range(first, stop) if assignments[successors[at]].worker is None]
        if not free:
            continue
        others = [successors[at] for at in free]
        candidates = [Candidate(ids[o], len(flat.upstreams[o]), assignments[o].size_mib) for o in others]
        decision = decide(policy, ids[task], flat.output_bytes[task], candidates)
        take[task], late[task], wait_s[task] = decision.take, decision.late, decision.wait_s
        foreign = (assignments[s] for s in successors[first:stop])
        if not (stores_all or flat.visible[task]) and all(
            a.size_mib == assignment.size_mib if a.worker is None else a.worker == assignment.worker for a in foreign
        ):
            hold[task] = HOLDS.index(decision.hold)
        if decision.first:
            chosen = dict.fromkeys(free[number] for number in decision.first)
            order = [*chosen, *(at for at in range(first, stop) if at not in chosen)]
            successors[first:stop] = [successors[at] for at in order]
            edges[first:stop] = [edges[at] for at in order]
    return take, (hold, late, wait_s), (successors, edges)


def arrange(numbers: Any, inline_bytes: Any, dag: Any, placed: Any, inputs: Any, outputs: Any) -> None:
    """Find where each task's inputs come from, and whom it tells; fills the columns of ``inputs`` and ``outputs``."""
    latency_s, down_s, kept_s, room_bytes = numbers
    up_from, up_task, successors_from, successors, successor_edges, sizes = dag
    ordered, worker_of, position, following, pool_of, visible, take, base_s = placed
    missing, waits, carry_s, fetch_s, touch, rides, announced, is_gate = inputs
    out_from, out_task, take_carry_s, take_fetch_s, quiet, follows_input = outputs
    count = len(worker_of)
    calls_of = [0] * count
    small_of = [0.0] * count
    blobs_of = [0] * count
    large_of = [0.0] * count
    # Which worker had an output at hand last, since which of its tasks: workers come one after the other.
    holder = [-1] * count
    held = [0] * count
    for task in ordered:
        worker = worker_of[task]
        if take[task] < 0:
            take[task] = 1 if worker < 0 else 0
        is_gate[task] = 1 if worker >= 0 and position[task] == 0 else 0
        first, stop = up_from[task], up_from[task + 1]
        if first == stop:
            fetch_s[task] = base_s[task]
            continue
        expected = stop - first
        if worker >= 0:
            for edge in range(first, stop):
                upstream = up_task[edge]
                if worker_of[upstream] == worker:
                    expected -= 1
                    touch[edge] = position[upstream]
                if holder[upstream] == worker:
                    touch[edge] = held[upstream]
                holder[upstream] = worker
                held[upstream] = position[task]
        missing[task] = expected
        announced[task] = 1 if expected > 0 else 0
        room = room_bytes if worker >= 0 or expected <= NARROW else 0.0
        riding = small = large = local = 0.0
        calls = blobs = remote = 0
        for edge in range(first, stop):
            if touch[edge] >= 0:
                local += sizes[up_task[edge]]
                continue
            remote += 1
            travels = size = sizes[up_task[edge]]
            if size > inline_bytes:
                travels = 0.0  # its reference does
                blobs += 1
                large += size
            if room > 0 and travels <= room:
                room -= travels
                riding += travels
                rides[edge] = 1
            else:
                calls += 1
                small += travels
        waits[task] = 1 if worker >= 0 and expected > 0 and remote > 0 else 0
        calls_of[task] = calls
        small_of[task] = small
        blobs_of[task] = blobs
        large_of[task] = large
        carry_s[task] = riding * down_s
        fetch_s[task] = (
            ((1 if calls > 0 else 0) + blobs) * latency_s + (small + large) * down_s + local * kept_s + base_s[task]
        )

    # Who is told of what: see ``policy.successors.onward``, with which tests compare this.
    end = 0
    for task in range(count):
        worker = worker_of[task]
        first, stop = successors_from[task], successors_from[task + 1]
        if worker >= 0:
            after = following[task]
            begin = end
            for at in range(first, stop):
                other = successors[at]
                if worker_of[other] != worker:
                    out_task[end] = other
                    end += 1
                elif other == after:
                    follows_input[after] = 1
            if begin == end and not visible[task]:
                quiet[task] = after
                if after >= 0:
                    fetch_s[after] += sizes[task] * kept_s  # serialized when it was kept
        else:
            only = successors[first] if stop == first + 1 and not visible[task] and take[task] > 0 else -1
            if (
                only >= 0
                and worker_of[only] < 0
                and pool_of[only] == pool_of[task]
                and up_from[only] + 1 == up_from[only + 1]
            ):
                quiet[task] = only
                carry_s[only] = 0.0
                fetch_s[only] = base_s[only] + 2 * sizes[task] * kept_s  # serialized when it was kept, then copied
            else:
                size = sizes[task]
                large_too = size if size > inline_bytes else 0.0
                travels = size - large_too
                for at in range(first, stop):
                    other = successors[at]
                    out_task[end] = other
                    if worker_of[other] < 0:
                        # If this very worker goes on with it, it has this input already.
                        calls = calls_of[other]
                        small = small_of[other]
                        carried_s = carry_s[other]
                        if rides[successor_edges[at]]:
                            carried_s = max(0.0, carried_s - travels * down_s)
                        else:
                            calls -= 1
                            small -= travels
                        blobs = blobs_of[other] - (1 if large_too > 0 else 0)
                        take_carry_s[end] = carried_s
                        take_fetch_s[end] = (
                            ((1 if calls > 0 else 0) + blobs) * latency_s
                            + (small + large_of[other] - large_too) * down_s
                            + size * kept_s
                            + base_s[other]
                        )
                    end += 1
        out_from[task + 1] = end
