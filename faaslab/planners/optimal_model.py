"""The constraint model behind ``optimal``: placement, order, sizes and warm starts of elastic workers, for CP-SAT.

::

    request ─► cold or warm start ─► [ fetch what other workers made │ execute │ put what others or the user need ] ─► …
       │                                                                                                          │
    all inputs of the first task are stored                                    billed until the last one is done ─┘

A worker bears the number of its lowest task, so that renaming workers gives nothing new. Times are whole ticks, rounded
down, and waits of half a round trip to the store are left out: what the model excludes, the simulator can't do either,
so that a bound on the one is a bound on the other.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from faaslab.model.platform import Platform
from faaslab.plan import DagView, Plan
from faaslab.planners.objective import Objective
from faaslab.simulate import FlatDag, Simulation

TICKS = 100_000
"""Ticks in the makespan that is known to be possible: rounding costs a few of them."""
_SCALE = 1e6
"""Size of the largest weight in the objective, whose weights are whole numbers."""
Terms = list[tuple[float, Any]]
"""Weights and expressions of a sum."""


@dataclass(frozen=True, slots=True)
class Solution:
    """Workers that the solver found.

    Attributes:
        orders: Tasks of each worker in their order.
        sizes_mib: Size of each worker.
        value: What the model takes the objective to be.
    """

    orders: tuple[tuple[int, ...], ...]
    sizes_mib: tuple[int, ...]
    value: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What came out of a search.

    Attributes:
        status: ``optimal``, ``feasible``, ``infeasible`` (there is no plan within the limits) or ``unknown``.
        bound: What the objective can't be below; infinite if there is no plan.
        solutions: What was found, the best last.
    """

    status: str
    bound: float
    solutions: tuple[Solution, ...]


@dataclass(frozen=True, slots=True)
class _Ticks:
    """How long things take, in ticks, by task or by task and size."""

    exec_by_size: list[list[int]]
    fetch: list[int]
    put: list[int]
    before: list[int]
    root: dict[int, int]
    round_trip: int
    half_trip: int
    cold: int
    warm: int
    billed_cold: int

    @classmethod
    def of(
        cls, flat: FlatDag, platform: Platform, sizes_mib: Sequence[int], inline_bytes: int, tick_s: float
    ) -> "_Ticks":
        def ticks(seconds: float) -> int:
            return math.floor(seconds / tick_s + 1e-6)

        profile, count = platform.profile, len(flat.upstreams)
        latency_s = profile.store_latency_s
        up_s = 1 / profile.upload_bytes_per_s if profile.upload_bytes_per_s else 0.0
        down_s = 1 / profile.download_bytes_per_s if profile.download_bytes_per_s else 0.0
        exec_s = [flat.exec_s([size_mib] * count) for size_mib in sizes_mib]
        calls = [1 if size > inline_bytes else 0 for size in flat.output_bytes]  # blobs have calls of their own
        sizes = list(zip(flat.output_bytes, calls, strict=True))
        cold_s = max(profile.cold_start_s + 2 * latency_s, profile.invocation_latency_s)
        billed_cold_s = min(profile.cold_start_s + latency_s, cold_s) if platform.prices.bill_cold_start else 0.0
        return cls(
            exec_by_size=[[ticks(row[task]) for row in exec_s] for task in range(count)],
            fetch=[ticks(size * down_s + blob * latency_s) for size, blob in sizes],
            put=[ticks(size * up_s + (blob + 0.5) * latency_s) for size, blob in sizes],
            before=[ticks(impure * latency_s) for impure in flat.arrays[4]],
            root={root: ticks(place / platform.client_invokes_per_s) for place, root in enumerate(flat.arrays[0])},
            round_trip=ticks(latency_s),
            half_trip=ticks(latency_s / 2),
            cold=ticks(cold_s),
            warm=ticks(max(latency_s / 2, profile.invocation_latency_s)),
            billed_cold=ticks(billed_cold_s),
        )

    def all_in_a_row(self, upstreams: Sequence[Sequence[int]]) -> int:
        """Return what no sensible plan exceeds: each task on a new worker, one after the other."""
        each = self.cold + self.round_trip + self.half_trip
        return (
            sum(max(row) for row in self.exec_by_size)
            + sum(self.put)
            + sum(self.before)
            + sum(self.fetch[upstream] for row in upstreams for upstream in row)
            + each * len(upstreams)
            + max(self.root.values(), default=0)
        )


class Model:
    """The model of one DAG.

    Args:
        dag: The DAG.
        platform: Where it runs; its limits on concurrency and cores are not part of the model.
        sizes_mib: Allowed sizes.
        start: A plan that has workers for all tasks: where the search starts.
        known: Its simulation.
        objective: What is to be minimized, within which limits.
    """

    def __init__(
        self,
        dag: DagView,
        platform: Platform,
        sizes_mib: Sequence[int],
        start: Plan,
        known: Simulation,
        objective: Objective,
    ) -> None:
        from ortools.sat.python import cp_model

        placed = known.placement
        self._dag, self._flat, self._platform, self._sizes_mib = dag, placed.flat, platform, sizes_mib
        self._known_plan, self._known, self._objective = start, known, objective
        self._cp = cp_model.CpModel()
        self._tick_s = max(known.makespan_s, 1e-6) / TICKS
        self._tasks, self._sizes = range(len(dag)), range(len(sizes_mib))
        self._ticks = _Ticks.of(self._flat, platform, sizes_mib, placed.limits[3], self._tick_s)
        self._horizon = self._latest()
        self._add_workers()
        self._add_edges(stores_all="skip_storage" not in start.optimizations)
        self._add_times()
        self._add_starts()
        self._add_containers()
        self._add_money()
        self._hint()

    def _latest(self) -> int:
        """Return a tick after which nothing need happen."""
        aim, known = self._objective, self._known
        latest = self._ticks.all_in_a_row(self._flat.upstreams)
        if aim.makespan_weight > 0:
            excess, value, _, _ = aim.score(known.makespan_s, known.cost_usd)
            if not excess:
                latest = min(latest, math.ceil(value / aim.makespan_weight / self._tick_s) + 1)
        if aim.deadline_s is not None:
            latest = min(latest, math.ceil(aim.deadline_s / self._tick_s))
        return latest

    def _flag(self) -> Any:
        return self._cp.new_bool_var("")

    def _time(self, least: int = 0, extra: int = 0) -> Any:
        return self._cp.new_int_var(min(least, self._horizon), self._horizon + extra, "")

    def _add_workers(self) -> None:
        """Where tasks run, which come first, and sizes: ``on[t][w]``, t >= w; with t = w: whether there is a worker."""
        cp, tasks, sizes = self._cp, self._tasks, self._sizes
        self._on = [[self._flag() for _ in range(task + 1)] for task in tasks]
        self._first = [[self._flag() for _ in range(task + 1)] for task in tasks]
        self._size_of_worker = [[self._flag() for _ in sizes] for _ in tasks]
        self._size_of_task = [[self._flag() for _ in sizes] for _ in tasks]
        for task in tasks:
            cp.add_exactly_one(self._on[task])
            cp.add_exactly_one(self._size_of_task[task])
            memory_mib = self._dag.options(task).memory_mib or 0
            for size in sizes:
                if self._sizes_mib[size] < memory_mib:
                    cp.add(self._size_of_task[task][size] == 0)
            for worker in range(task + 1):
                here = self._on[task][worker]
                cp.add_implication(here, self._on[worker][worker])
                cp.add_implication(self._first[task][worker], here)
                for size in sizes:
                    cp.add_bool_or(~here, ~self._size_of_worker[worker][size], self._size_of_task[task][size])
        for worker in tasks:
            cp.add(sum(self._size_of_worker[worker]) == self._on[worker][worker])
            cp.add(sum(self._first[task][worker] for task in tasks[worker:]) == self._on[worker][worker])

    def _add_edges(self, *, stores_all: bool) -> None:
        """Which edges stay on a worker, and which outputs are stored."""
        cp, flat = self._cp, self._flat
        self._local: dict[tuple[int, int], Any] = {}
        self._put = [self._flag() for _ in self._tasks]
        for task in self._tasks:
            for upstream in flat.upstreams[task]:
                near = self._local[upstream, task] = self._flag()
                self._together(near, upstream, task)
                for worker in range(upstream + 1):
                    there, here = self._on[upstream][worker], self._on[task][worker]
                    cp.add_bool_or(near, ~there, ~here)
                    cp.add_bool_or(~self._first[task][worker], ~there)
                cp.add_bool_or(near, self._put[upstream])
        for task in self._tasks:
            if stores_all or flat.visible[task]:
                cp.add(self._put[task] == 1)
            else:
                cp.add_bool_or(~self._put[task], *(~self._local[task, other] for other in self._dag.successors(task)))

    def _together(self, flag: Any, one: int, other: int) -> None:
        """Let a flag be set only if two tasks share a worker."""
        low, high = min(one, other), max(one, other)
        for worker in range(high + 1):
            if worker > low:
                self._cp.add_bool_or(~flag, ~self._on[high][worker])
            else:
                self._cp.add_bool_or(~flag, ~self._on[low][worker], self._on[high][worker])
                self._cp.add_bool_or(~flag, ~self._on[high][worker], self._on[low][worker])

    def _add_times(self) -> None:
        """When tasks begin, when they are done, and when their worker is free again."""
        cp, ticks, flat, tasks, sizes = self._cp, self._ticks, self._flat, self._tasks, self._sizes
        shortest = [min(row) for row in ticks.exec_by_size]
        # No container is there when the run starts, so nothing begins before one has started.
        head, tail = [ticks.cold] * len(tasks), [0] * len(tasks)
        for task in tasks:
            head[task] = max([head[task], *(head[upstream] + shortest[upstream] for upstream in flat.upstreams[task])])
        for task in reversed(tasks):
            onward = max((tail[other] for other in self._dag.successors(task)), default=ticks.put[task])
            tail[task] = shortest[task] + onward
        self._begin = [self._time(head[task]) for task in tasks]
        self._done = [self._time() for _ in tasks]
        self._free = [self._time(extra=ticks.half_trip) for _ in tasks]
        self._makespan = self._time()
        gets = self._fetched()
        self._work: list[Any] = []
        for task in tasks:
            fetch: Any = sum(gets[upstream, task] * ticks.fetch[upstream] for upstream in flat.upstreams[task])
            fetch += ticks.before[task]
            if flat.upstreams[task] and ticks.round_trip:
                asks = self._flag()
                for upstream in flat.upstreams[task]:
                    cp.add_bool_or(self._local[upstream, task], asks)
                fetch += asks * ticks.round_trip
            run = sum(self._size_of_task[task][size] * ticks.exec_by_size[task][size] for size in sizes)
            self._work.append(fetch + run + self._put[task] * ticks.put[task])
            cp.add(self._done[task] == self._begin[task] + self._work[task])
            cp.add(self._free[task] == self._done[task] + self._put[task] * ticks.half_trip)
            cp.add(self._makespan >= self._begin[task] + fetch + tail[task])
            for upstream in flat.upstreams[task]:
                # A worker that waits has asked before: its question is on the way while the output is being stored.
                cp.add(self._begin[task] >= self._done[upstream] - ticks.half_trip - 1)
                cp.add(self._begin[task] >= self._done[upstream]).only_enforce_if(self._local[upstream, task])
        for task in self._dag.sinks:
            cp.add(self._makespan >= self._done[task])

    def _fetched(self) -> dict[tuple[int, int], Any]:
        """Return which task fetches an output: of those that share another worker than its own, the first."""
        cp, gets = self._cp, {}
        for upstream in self._tasks:
            takers = self._dag.successors(upstream)
            for task in takers:
                gets[upstream, task] = self._flag()
                cp.add_implication(gets[upstream, task], ~self._local[upstream, task])
            for task in takers:
                ways = [self._local[upstream, task], gets[upstream, task]]
                for other in takers:
                    if other != task:
                        after = self._flag()
                        self._together(after, task, other)
                        cp.add_implication(after, gets[upstream, other])
                        cp.add(self._begin[task] >= self._free[other]).only_enforce_if(after)
                        ways.append(after)
                cp.add_bool_or(ways)
        return gets

    def _add_starts(self) -> None:
        """When workers are requested, start and end."""
        cp, ticks, tasks = self._cp, self._ticks, self._tasks
        ready = [self._ready(task) for task in tasks]
        self._request, self._start, self._end = ([self._time() for _ in tasks] for _ in range(3))
        request, start, end = self._request, self._start, self._end
        busy = [self._time(extra=ticks.half_trip) for _ in tasks]
        for task in tasks:
            cp.add(busy[task] == self._free[task] - self._begin[task])
        self._span = [self._time() for _ in tasks]
        for worker in tasks:
            for moment in (request[worker], start[worker], end[worker]):
                cp.add(moment == 0).only_enforce_if(~self._on[worker][worker])
            runs = []
            for task in tasks[worker:]:
                here, first = self._on[task][worker], self._first[task][worker]
                cp.add(self._begin[task] >= start[worker]).only_enforce_if(here)
                cp.add(end[worker] >= self._done[task]).only_enforce_if(here)
                cp.add(self._begin[task] == start[worker]).only_enforce_if(first)
                cp.add(request[worker] == ready[task]).only_enforce_if(first)
                runs.append(cp.new_optional_interval_var(self._begin[task], busy[task], self._free[task], here, ""))
            cp.add_no_overlap(runs)
            cp.add(self._span[worker] == end[worker] - start[worker])
            # Redundant, as is the sum below: what a worker is given takes its time.
            least = sum(self._on[task][worker] * min(ticks.exec_by_size[task]) for task in tasks[worker:])
            cp.add(self._span[worker] >= least)
        cp.add(sum(self._span) >= sum(self._work))

    def _add_containers(self) -> None:
        """Where workers' containers come from: one that has ended leaves its own, and each request starts a new one.

        Whichever is there first is taken, so that a new container may serve another worker than it was started for.
        """
        cp, ticks, tasks = self._cp, self._ticks, self._tasks
        request, start, end = self._request, self._start, self._end
        left = [[self._flag() for _ in tasks] for _ in tasks]
        new = [[self._flag() for _ in tasks] for _ in tasks]
        self._before: list[Any] = []
        for worker in tasks:
            there = self._on[worker][worker]
            cp.add(left[worker][worker] == 0)
            cp.add(sum(row[worker] for row in left) + sum(row[worker] for row in new) == there)
            cp.add(sum(left[worker]) <= there)
            cp.add(sum(new[worker]) <= there)
            at_hand, available = self._time(), self._time()
            cp.add(at_hand == request[worker] + ticks.warm).only_enforce_if(there)
            for other in tasks:
                cp.add(available == end[other]).only_enforce_if(left[other][worker])
                cp.add(available == request[other] + ticks.cold).only_enforce_if(new[other][worker])
                if other != worker:
                    cp.add(request[other] <= request[worker]).only_enforce_if(new[other][worker])
                for size in self._sizes:
                    mine, its = self._size_of_worker[worker][size], self._size_of_worker[other][size]
                    cp.add_bool_or(~left[other][worker], ~its, mine)
                    cp.add_bool_or(~new[other][worker], ~its, mine)
            latest = self._time()
            cp.add_max_equality(latest, [at_hand, available])
            cp.add(start[worker] >= latest).only_enforce_if(there)
            cp.add(start[worker] <= latest + ticks.half_trip + 1).only_enforce_if(there)
            cp.add(start[worker] <= request[worker] + ticks.cold + 1).only_enforce_if(there)
            # Of a new container, what has passed since the request is billed, but not before it was started.
            before = self._time()
            cp.add(before >= ticks.billed_cold * new[worker][worker])
            unbilled = ticks.cold - ticks.billed_cold + ticks.warm + 1
            for other in tasks:
                if other != worker:
                    waited = start[worker] - request[worker]
                    cp.add(before >= waited - unbilled).only_enforce_if(new[other][worker])
            self._before.append(before)

    def _ready(self, task: int) -> Any:
        """Return when all inputs of a task are there."""
        upstreams = self._flat.upstreams[task]
        if not upstreams:
            return self._ticks.root[task]
        if len(upstreams) == 1:
            return self._done[upstreams[0]]
        latest = self._time()
        self._cp.add_max_equality(latest, [self._done[upstream] for upstream in upstreams])
        return latest

    def _add_money(self) -> None:
        """What is billed: the time of workers by size, and requests."""
        cp, tasks, prices = self._cp, self._tasks, self._platform.prices
        billed = [[self._time(extra=self._ticks.billed_cold) for _ in self._sizes] for _ in tasks]
        for worker in tasks:
            cp.add(sum(billed[worker]) == self._span[worker] + self._before[worker])
            for size in self._sizes:
                cp.add(billed[worker][size] == 0).only_enforce_if(~self._size_of_worker[worker][size])
        self._usd: Terms = [
            (prices.usd_per_gb_s * size_mib / 1024 * self._tick_s, sum(row[size] for row in billed))
            for size, size_mib in enumerate(self._sizes_mib)
        ]
        self._usd.append((prices.usd_per_request, sum(self._on[worker][worker] for worker in tasks)))
        cap_usd = self._objective.cost_cap_usd
        if cap_usd is not None:
            total, unit = _whole(self._usd)
            cp.add(total <= math.ceil(cap_usd / unit))

    def _hint(self) -> None:
        """Tell the solver the known plan."""
        cp, plan = self._cp, self._known_plan
        orders = {min(order): order for order in plan.orders.values()}
        owner = {task: number for number, order in orders.items() for task in order}
        for task in self._tasks:
            for number in range(task + 1):
                cp.add_hint(self._on[task][number], owner[task] == number)
                cp.add_hint(self._first[task][number], owner[task] == number and orders[number][0] == task)
            for size, size_mib in enumerate(self._sizes_mib):
                is_size = plan.assignments[task].size_mib == size_mib
                cp.add_hint(self._size_of_task[task][size], is_size)
                cp.add_hint(self._size_of_worker[task][size], is_size and task in orders)
            cp.add_hint(self._begin[task], math.floor(self._known.turn_s[task] / self._tick_s))
        for (upstream, task), near in self._local.items():
            cp.add_hint(near, owner[upstream] == owner[task])

    def solve(self, seed: int, effort: float) -> Answer:
        """Minimize the objective, then, among equals, whichever of makespan and cost it leaves out.

        Args:
            seed: Of the solver.
            effort: How much to search, in the solver's deterministic time: of the order of seconds, but the same on
                any machine.
        """
        from ortools.sat.python import cp_model

        aim, makespan = self._objective, (self._tick_s, self._makespan)
        terms: Terms = [(aim.makespan_weight * makespan[0], makespan[1])]
        terms += [(aim.cost_weight * weight, expression) for weight, expression in self._usd]
        aimed, unit = _whole([term for term in terms if term[0] > 0])
        solver = cp_model.CpSolver()
        solver.parameters.random_seed = seed
        # One thread: several that share what they learn give another plan each time. The linear relaxation bounds sums,
        # that is money; for the makespan alone it only takes time.
        solver.parameters.num_workers = 1
        solver.parameters.linearization_level = 1 if aim.cost_weight > 0 else 0
        solver.parameters.max_deterministic_time = effort
        self._cp.minimize(aimed)
        status = solver.solve(self._cp)
        if status == cp_model.INFEASIBLE:
            return Answer("infeasible", math.inf, ())
        bound = max(0.0, solver.best_objective_bound) * unit
        if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            return Answer("unknown", bound, ())
        best = round(solver.objective_value)
        found = [self._read(solver, best * unit)]
        if aim.cost_weight == 0 or aim.makespan_weight == 0:
            self._cp.add(aimed <= best)
            self._cp.clear_hints()  # type: ignore[no-untyped-call]
            for variables in (self._begin, *self._on, *self._first, *self._size_of_worker):
                for variable in variables:
                    self._cp.add_hint(variable, solver.value(variable))
            self._cp.minimize(_whole(self._usd if aim.cost_weight == 0 else [makespan])[0])
            solver.parameters.linearization_level = 1 if aim.cost_weight == 0 else 0
            solver.parameters.max_deterministic_time = effort / 4
            if solver.solve(self._cp) in (cp_model.OPTIMAL, cp_model.FEASIBLE):
                found.append(self._read(solver, best * unit))
        return Answer("optimal" if status == cp_model.OPTIMAL else "feasible", bound, tuple(found))

    def _read(self, solver: Any, value: float) -> Solution:
        orders, sizes_mib = [], []
        for worker in self._tasks:
            if not solver.value(self._on[worker][worker]):
                continue
            tasks = [task for task in self._tasks[worker:] if solver.value(self._on[task][worker])]
            # Where two begin at once, the first one takes no time.
            tasks.sort(key=lambda task: (solver.value(self._begin[task]), solver.value(self._free[task]), task))
            orders.append(tuple(tasks))
            chosen = [solver.value(flag) for flag in self._size_of_worker[worker]]
            sizes_mib.append(self._sizes_mib[chosen.index(1)])
        return Solution(tuple(orders), tuple(sizes_mib), value)


def _whole(terms: Terms) -> tuple[Any, float]:
    """Return a sum with whole weights, rounded down, and what one unit of it stands for."""
    unit = max(weight for weight, _ in terms) / _SCALE
    return sum(math.floor(weight / unit) * expression for weight, expression in terms), unit
