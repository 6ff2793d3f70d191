"""Candidates: plans as a search changes them, on arrays, and what they come to.

A plan is a value with names and texts. A search looks at thousands of variants, so it works on three columns instead::

    worker   which worker runs each task; -1: decided at run time
    tier     which of the allowed sizes that worker has
    order    all tasks in a topological order of the DAG; each worker takes its tasks in this order

Whatever the first two say, workers and DAG never wait for each other in a circle, since all follow one order.
"""

import bisect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from faaslab.plan import Assignment, DagView, Plan
from faaslab.planners.objective import Objective
from faaslab.planners.planner import PlanContext
from faaslab.simulate import Layout, Simulation

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Step:
    """One change on the way from a seed to a candidate.

    Attributes:
        tasks: Tasks that were moved, or got another size or place.
        why: What was changed, and why.
        before: The step before; None: none.
    """

    tasks: tuple[int, ...]
    why: str
    before: "Step | None" = None


@dataclass(frozen=True, eq=False)
class Candidate:
    """A variant of a plan; columns by task index, which are never changed in place.

    Attributes:
        seed: What it was made from.
        worker: Worker of each task, by number below the number of tasks; -1: decided at run time.
        tier: Place of its size among all allowed sizes; the same for all tasks of a worker.
        order: All tasks in a topological order, in which each worker takes its own.
        step: The last change since the seed; None: there was none.
    """

    seed: str
    worker: "Ints"
    tier: "Ints"
    order: "Ints"
    step: Step | None = None

    def changed(self, tasks: Iterable[Any], why: str, **columns: Any) -> "Candidate":
        """Return a variant with other columns, which remembers for which tasks, and why."""
        return replace(self, step=Step(tuple(map(int, tasks)), why, self.step), **columns)

    def steps(self) -> Iterator[Step]:
        """Yield the changes since the seed, the last one first."""
        step = self.step
        while step is not None:
            yield step
            step = step.before


@dataclass(frozen=True, eq=False)
class Found:
    """A candidate and what it comes to.

    Attributes:
        candidate: The candidate.
        makespan_s: When its last output is stored.
        cost_usd: What all its workers cost.
        score: What the objective makes of it, to be minimized.
    """

    candidate: Candidate
    makespan_s: float
    cost_usd: float
    score: tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Evaluated(Found):
    """A candidate with all that is known of it: some sixty columns, so that few are kept at a time.

    Attributes:
        layout: Its columns as the simulator takes them.
        simulation: What was simulated.
    """

    layout: Layout
    simulation: Simulation

    @property
    def kept(self) -> Found:
        """What is kept of it."""
        return Found(self.candidate, self.makespan_s, self.cost_usd, self.score)


@dataclass
class Archive:
    """Candidates that no other one beats in makespan and cost both, by rising makespan."""

    found: list[Found] = field(default_factory=list)

    def add(self, one: Evaluated) -> bool:
        """Keep a candidate unless another one is as good in both; drop those that it beats."""
        at = bisect.bisect_right(self.found, one.makespan_s, key=lambda kept: kept.makespan_s)
        if at and self.found[at - 1].cost_usd <= one.cost_usd:
            return False
        end = at
        while end < len(self.found) and self.found[end].cost_usd >= one.cost_usd:
            end += 1
        if at and self.found[at - 1].makespan_s == one.makespan_s:
            at -= 1
        self.found[at:end] = [one.kept]
        return True

    def best(self, count: int) -> list[Found]:
        """Return the candidates that the objective prefers, the best one first."""
        return sorted(self.found, key=lambda kept: kept.score)[:count]

    def spread(self, count: int) -> list[Found]:
        """Return the fastest, the cheapest, and so many others that the area between them is as large as may be."""
        if len(self.found) <= count:
            return list(self.found)
        chosen = [0, len(self.found) - 1]
        while len(chosen) < count:
            best_area, best_at = -1.0, -1
            for left, right in pairwise(sorted(chosen)):
                for at in range(left + 1, right):
                    width_s = self.found[right].makespan_s - self.found[at].makespan_s
                    area = width_s * (self.found[left].cost_usd - self.found[at].cost_usd)
                    if area > best_area:
                        best_area, best_at = area, at
            chosen.append(best_at)
        return [self.found[at] for at in sorted(chosen)]


class Bench:
    """Where candidates for one DAG are made of plans, evaluated, and turned into plans again.

    Args:
        dag: The DAG.
        ctx: What planning it has to heed.

    Attributes:
        dag: The DAG.
        ctx: What planning it has to heed.
        exec_s: Execution time of each task at each allowed size: a row for each size.
        least_tier: Smallest size that holds each task.
        simulator: What simulates them.
        all_tasks: Their numbers.
        archive: The best of all that was evaluated.
        own: What each planner would do by itself, by its name and whether it was asked at several sizes.
        simulations: How many candidates were evaluated.

    Raises:
        PlanError: A task asks for more memory than the largest allowed size.
    """

    def __init__(self, dag: DagView, ctx: PlanContext) -> None:
        import numpy as np

        ctx.sizes_for(dag)
        self.dag, self.ctx = dag, ctx
        self.simulator = ctx.simulator(dag)
        flat = self.simulator.flat
        tasks = range(len(dag))
        self.exec_s: Floats = np.array([flat.exec_s([size_mib] * len(dag)) for size_mib in ctx.sizes])
        minimum_mib = [dag.options(task).memory_mib or 0 for task in tasks]
        self.least_tier: Ints = np.searchsorted(np.array(ctx.sizes), np.array(minimum_mib, dtype=np.int64))
        self.is_sink = np.array(flat.arrays[3], dtype=bool)
        self.up_from = np.array(flat.arrays[1], dtype=np.int64)
        self.up_task = np.array(flat.arrays[2], dtype=np.int64)
        self.all_tasks: Ints = np.arange(len(dag))
        self._aimed = ctx
        self.archive = Archive()
        self.own: dict[tuple[str, str], Found] = {}
        self.simulations = 0

    @property
    def spent(self) -> int:
        """How many tasks have been simulated here."""
        return self.simulations * len(self.dag)

    def candidate(self, plan: Plan, seed: str) -> Candidate:
        """Return a plan, whose orders follow the numbers of tasks, as a candidate."""
        numbers = {name: number for number, name in enumerate(plan.orders)}
        tiers = {size_mib: tier for tier, size_mib in enumerate(self.ctx.sizes)}
        return self.seed(
            seed,
            [-1 if one.worker is None else numbers[one.worker] for one in plan.assignments],
            [tiers[one.size_mib] for one in plan.assignments],
            self.all_tasks,
        )

    def seed(self, name: str, worker: Sequence[int], tier: "Sequence[int] | int", order: "Ints") -> Candidate:
        """Return the candidate of some columns; one tier: all have it."""
        import numpy as np

        tiers = np.full(len(worker), tier) if isinstance(tier, int) else np.array(tier, dtype=np.int64)
        return Candidate(name, np.array(worker, dtype=np.int64), tiers, order)

    def layout(self, candidate: Candidate) -> Layout:
        """Return a candidate's columns as the simulator takes them."""
        import numpy as np

        worker = candidate.worker
        count = len(worker)
        # Those without a worker come last; the sort of short integers is the fast one.
        last = np.where(worker < 0, count, worker)[candidate.order]
        ordered = candidate.order[np.argsort(last.astype(np.uint16) if count < 2**16 else last, kind="stable")]
        owners = worker[ordered]
        position = np.zeros(count, dtype=np.int64)
        following = np.full(count, -1, dtype=np.int64)
        if count:
            begins = np.ones(count, dtype=bool)
            begins[1:] = owners[1:] != owners[:-1]
            begins |= owners < 0
            places = self.all_tasks - np.maximum.accumulate(np.where(begins, self.all_tasks, 0))
            position[ordered] = places
            onward = ~begins[1:]
            following[ordered[:-1][onward]] = ordered[1:][onward]
        return Layout(
            self.ctx.optimizations,
            self.ctx.sizes,
            worker,
            position,
            following,
            candidate.tier,
            ordered,
            self.exec_s[candidate.tier, self.all_tasks],
        )

    def evaluate(self, candidate: Candidate) -> Evaluated:
        """Simulate a candidate, and archive it if it is worth it."""
        layout = self.layout(candidate)
        simulation = self.simulator.run(self.simulator.place_layout(layout))
        self.simulations += 1
        makespan_s, cost_usd = float(simulation.makespan_s), float(simulation.cost_usd)
        evaluated = Evaluated(candidate, makespan_s, cost_usd, self._aimed.rate(simulation), layout, simulation)
        self.archive.add(evaluated)
        return evaluated

    def evaluate_seed(self, seed: Candidate) -> Evaluated:
        """Simulate a candidate that is a planner's own plan; the best of each planner's is remembered."""
        found = self.evaluate(seed)
        planner, several, _ = seed.seed.partition(" at ")
        best = self.own.get((planner, several))
        if best is None or found.score < best.score:
            self.own[planner, several] = found.kept
        return found

    @property
    def objective(self) -> Objective:
        """What candidates are scored by: the context's, unless ``aim`` has set another."""
        return self._aimed.objective

    def aim(self, objective: Objective) -> None:
        """Score by another objective from now on, and what is in the archive, too."""
        self._aimed = replace(self.ctx, objective=objective)
        self.archive.found = [replace(one, score=self._aimed.rate(one)) for one in self.archive.found]

    def plan(self, candidate: Candidate, planner: str) -> Plan:
        """Return the plan of a candidate, with a reason for each task."""
        layout = self.layout(candidate)
        orders: dict[int, list[int]] = {}
        workers = candidate.worker.tolist()
        for task in map(int, layout.ordered):
            if workers[task] >= 0:
                orders.setdefault(workers[task], []).append(task)
        names = {worker: f"w{number}" for number, worker in enumerate(orders)}
        names[-1] = ""
        sizes = [self.ctx.sizes[tier] for tier in candidate.tier.tolist()]
        return self.ctx.plan(
            self.dag,
            planner,
            [Assignment(names[worker] or None, size) for worker, size in zip(workers, sizes, strict=True)],
            orders={names[worker]: tasks for worker, tasks in orders.items()},
            reasons=self._reasons(candidate, orders, names),
        )

    def _reasons(self, candidate: Candidate, orders: dict[int, list[int]], names: dict[int, str]) -> list[str]:
        """Return why each task is where it is: whom it joins, by which seed, and what changes did to it."""
        dag, estimates, workers = self.dag, self.ctx.predictor, candidate.worker.tolist()
        before: dict[int, int] = {}
        for tasks in orders.values():
            before.update(zip(tasks[1:], tasks, strict=False))
        moved: dict[int, str] = {}
        for step in candidate.steps():
            for task in step.tasks:
                moved.setdefault(task, step.why)
        reasons = []
        for task, worker in enumerate(workers):
            at_hand = [upstream for upstream in dag.upstreams(task) if workers[upstream] == worker >= 0]
            if worker < 0:
                where = "its worker is found at run time"
            elif at_hand:
                largest = max(at_hand, key=estimates.output_bytes)
                where = f"on the worker of its input {dag.ids[largest]}"
            elif task in before:
                where = f"on the worker that is free after {dag.ids[before[task]]}"
            else:
                where = "it starts a worker" + (
                    ", which is invoked once its inputs are there" * bool(dag.upstreams(task))
                )
            reasons.append(f"{where} ({candidate.seed})" + (f"; {moved[task]}" if task in moved else ""))
        return reasons
