"""Moves of the search: one change to a candidate, guided by what its simulation says a task waited for.

::

    remote  an input came from another worker    ─► together with that worker, or its task comes here
    queue   its worker had other tasks first      ─► elsewhere, split there, or before the others
    cold    a container had to start              ─► on a worker that is there already, at a size that is idle
    local, client   nothing but execution         ─► a larger size

Away from what the makespan is made of, moves save money: a smaller size, workers joined, workers split.
"""

import random
from collections.abc import Callable, Sequence

from faaslab.planners.candidates import Bench, Candidate, Evaluated
from faaslab.simulate import kernel

GUIDED = 0.55
"""Part of the moves that start from the critical path."""


class Moves:
    """Draws moves for evaluated candidates.

    Args:
        bench: Where candidates are evaluated.
        rng: Source of all that is random.
    """

    def __init__(self, bench: Bench, rng: random.Random) -> None:
        self._bench, self._rng = bench, rng
        self._tiers = len(bench.ctx.sizes)

    def draw(self, at: Evaluated, path: Sequence[int]) -> Candidate | None:
        """Return a variant of a candidate; None: the move that was drawn changes nothing.

        Args:
            at: Where the search stands.
            path: Its critical path.
        """
        if not path:
            return None
        rng = self._rng
        if rng.random() < GUIDED:
            task = path[rng.randrange(len(path))]
            return rng.choice(self._guided(at, task))(at, task)
        task = rng.randrange(len(self._bench.dag))
        return rng.choice((self.smaller, self.append, self.split, self.join, self.beside_input))(at, task)

    def _guided(self, at: Evaluated, task: int) -> Sequence[Callable[[Evaluated, int], Candidate | None]]:
        why = at.simulation.tasks[8][task]
        if why == kernel.REMOTE:
            return (
                self.to_last_input,
                self.input_here,
                self.beside_input,
                self.beside_successor,
                self.append,
                self.larger,
            )
        if why == kernel.QUEUE:
            return (self.split, self.alone, self.elsewhere, self.sooner, self.blocker_out, self.larger)
        if why == kernel.COLD:
            return (self.to_last_input, self.append, self.beside_successor, self.resized, self.larger)
        return (self.larger, self.beside_successor, self.blocker_out, self.sooner)

    def to_last_input(self, at: Evaluated, task: int) -> Candidate | None:
        """Move a task to the worker of the input that came last."""
        via = int(at.simulation.tasks[7][task])
        return self._moved(at, task, via, "next to the input it waited for") if via >= 0 else None

    def beside_input(self, at: Evaluated, task: int) -> Candidate | None:
        """Move a task to the worker of any of its inputs."""
        upstreams = self._bench.dag.upstreams(task)
        return self._moved(at, task, self._rng.choice(upstreams), "next to an input") if upstreams else None

    def beside_successor(self, at: Evaluated, task: int) -> Candidate | None:
        """Move a task to the worker of any of its successors."""
        successors = self._bench.dag.successors(task)
        return self._moved(at, task, self._rng.choice(successors), "next to a successor") if successors else None

    def input_here(self, at: Evaluated, task: int) -> Candidate | None:
        """Move the task whose output came last to where it was waited for."""
        via = int(at.simulation.tasks[7][task])
        return self._moved(at, via, task, "next to the task that waited for it") if via >= 0 else None

    def elsewhere(self, at: Evaluated, task: int) -> Candidate | None:
        """Move a task to the worker of any other one."""
        return self._moved(at, task, self._rng.randrange(len(self._bench.dag)), "to another worker")

    def alone(self, at: Evaluated, task: int) -> Candidate | None:
        """Give a task a worker of its own."""
        return self._placed(at, (task,), self._unused(at), int(at.candidate.tier[task]), "a worker of its own")

    def blocker_out(self, at: Evaluated, task: int) -> Candidate | None:
        """Give a worker of its own to the task before this one."""
        tasks = self._tasks(at, task)
        place = tasks.index(task)
        return self.alone(at, tasks[place - 1]) if place else None

    def split(self, at: Evaluated, task: int) -> Candidate | None:
        """End a worker before a task, and give it and all after it to a new one."""
        tasks = self._tasks(at, task)
        place = tasks.index(task)
        if not place:
            return None
        return self._placed(
            at, tasks[place:], self._unused(at), int(at.candidate.tier[task]), "its worker was split here", (task,)
        )

    def append(self, at: Evaluated, task: int) -> Candidate | None:
        """Give a task, and all after it on its worker, to the worker of one of its inputs."""
        upstreams = self._bench.dag.upstreams(task)
        if not upstreams:
            return None
        tasks = self._tasks(at, task)
        return self._with(at, tasks[tasks.index(task) :], self._rng.choice(upstreams), "appended to an input's worker")

    def join(self, at: Evaluated, task: int) -> Candidate | None:
        """Give all tasks of a worker to the worker of an input of its first one, or of any task."""
        tasks = self._tasks(at, task)
        upstreams = self._bench.dag.upstreams(tasks[0])
        other = self._rng.choice(upstreams) if upstreams else self._rng.randrange(len(self._bench.dag))
        return self._with(at, tasks, other, "its worker was joined with another")

    def sooner(self, at: Evaluated, task: int) -> Candidate | None:
        """Take a task before the one that its worker takes before it."""
        import numpy as np

        tasks = self._tasks(at, task)
        place = tasks.index(task)
        if not place:
            return None
        order = at.candidate.order
        place_of = np.empty(len(order), dtype=np.int64)
        place_of[order] = self._bench.all_tasks
        target, present = int(place_of[tasks[place - 1]]), int(place_of[task])
        if any(place_of[upstream] >= target for upstream in self._bench.dag.upstreams(task)):
            return None
        moved = order.copy()
        moved[target + 1 : present + 1] = order[target:present]
        moved[target] = task
        return at.candidate.changed((task,), "taken sooner by its worker (search)", order=moved)

    def larger(self, at: Evaluated, task: int) -> Candidate | None:
        """Give a worker the next larger size."""
        return self._sized(at, task, int(at.candidate.tier[task]) + 1, "a larger size")

    def smaller(self, at: Evaluated, task: int) -> Candidate | None:
        """Give a worker the next smaller size."""
        return self._sized(at, task, int(at.candidate.tier[task]) - 1, "a smaller size")

    def resized(self, at: Evaluated, task: int) -> Candidate | None:
        """Give a worker any other size: one of which a container may be idle."""
        return self._sized(at, task, self._rng.randrange(self._tiers), "a size of which a container may be idle")

    def _tasks(self, at: Evaluated, task: int) -> list[int]:
        """Return the tasks of a task's worker, in their order; the task alone if it has none."""
        import numpy as np

        worker = at.candidate.worker
        if worker[task] < 0:
            return [task]
        tasks = np.flatnonzero(worker == worker[task])
        found: list[int] = tasks[np.argsort(at.layout.position[tasks])].tolist()
        return found

    def _unused(self, at: Evaluated) -> int:
        """Return a number that no worker has, or one past the last: then all have one task."""
        import numpy as np

        worker = at.candidate.worker
        highest = int(worker.max())
        if highest + 1 < len(worker):
            return highest + 1
        used = np.zeros(len(worker), dtype=bool)
        used[worker[worker >= 0]] = True
        return len(worker) if used.all() else int(used.argmin())

    def _moved(self, at: Evaluated, task: int, other: int, why: str) -> Candidate | None:
        return self._with(at, (task,), other, why)

    def _with(self, at: Evaluated, tasks: Sequence[int], other: int, why: str) -> Candidate | None:
        """Give tasks to the worker of another task, which gets a worker if it has none."""
        worker = at.candidate.worker
        target = int(worker[other])
        if target < 0:
            return self._placed(at, (*tasks, other), self._unused(at), int(at.candidate.tier[other]), why)
        if target == worker[tasks[0]]:
            return None
        return self._placed(at, tasks, target, int(at.candidate.tier[other]), why)

    def _placed(
        self, at: Evaluated, tasks: Sequence[int], target: int, tier: int, why: str, said_of: Sequence[int] = ()
    ) -> Candidate | None:
        """Give tasks to a worker, which becomes large enough for them."""
        candidate, chosen = at.candidate, list(tasks)
        if target >= len(candidate.worker):
            return None
        worker = candidate.worker.copy()
        worker[chosen] = target
        tiers = candidate.tier.copy()
        least = max(tier, int(self._bench.least_tier[chosen].max()))
        tiers[worker == target if least > tier else chosen] = least
        return candidate.changed(said_of or chosen, f"{why} (search)", worker=worker, tier=tiers)

    def _sized(self, at: Evaluated, task: int, tier: int, why: str) -> Candidate | None:
        candidate, tasks = at.candidate, self._tasks(at, task)
        least = int(self._bench.least_tier[tasks].max())
        if not least <= tier < self._tiers or tier == candidate.tier[task]:
            return None
        tiers = candidate.tier.copy()
        tiers[tasks] = tier
        return candidate.changed(tasks, f"{why} (search)", tier=tiers)
