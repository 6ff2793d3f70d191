"""What differs between two plans of one DAG.

Workers' names mean nothing across plans, so the workers of the two are matched first: greedily, those that share most
tasks together. A task has *moved* if its worker in one plan is not matched with its worker in the other.
"""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from faaslab.errors import PlanError
from faaslab.plan.report import policy_text

if TYPE_CHECKING:
    from faaslab.plan.plan import Plan


@dataclass(frozen=True, slots=True)
class PlanDiff:
    """Changes from a plan to another one; false if there are none."""

    before: str
    """Planner of the first plan."""
    after: str
    """Planner of the second plan."""
    moved: tuple[tuple[str, str | None, str | None], ...]
    """Task id, worker before, worker after (None: decided at run time)."""
    resized: tuple[tuple[str, int, int], ...]
    """Task id, size before, size after in MiB."""
    reordered: tuple[str, ...]
    """Workers (names of the first plan) that run the tasks they have in both plans in another order."""
    rewaited: tuple[tuple[str, str, str], ...]
    """Task id, what its worker does while it waits before and after: ``stay`` or ``leave``."""
    policies: tuple[str, str] | None
    """What decides at run time before and after, if that differs."""
    instructed: tuple[str, ...]
    """Tasks with other instructions of optimizations; ``""``: what is prewarmed when the run is submitted."""
    optimizations_added: frozenset[str]
    optimizations_removed: frozenset[str]

    def __bool__(self) -> bool:
        return bool(
            self.moved
            or self.resized
            or self.reordered
            or self.rewaited
            or self.policies
            or self.instructed
            or self.optimizations_added
            or self.optimizations_removed
        )

    def __str__(self) -> str:
        lines = [f"{self.before} → {self.after}: " + ("" if self else "no differences")]
        lines[0] += ", ".join(
            f"{len(items)} {what}"
            for items, what in (
                (self.moved, "tasks moved"),
                (self.resized, "tasks resized"),
                (self.reordered, "workers reordered"),
                (self.rewaited, "tasks waited for otherwise"),
            )
            if items
        )
        lines += [f"  {task}: {_place(a)} → {_place(b)}" for task, a, b in self.moved]
        lines += [f"  {task}: {a} MiB → {b} MiB" for task, a, b in self.resized]
        lines += [f"  {worker}: another task order" for worker in self.reordered]
        lines += [f"  {task}: {a} → {b} while it waits" for task, a, b in self.rewaited]
        if self.policies:
            lines.append(f"  policy: {self.policies[0]} → {self.policies[1]}")
        lines += [f"  {task or 'at submission'}: other instructions" for task in self.instructed]
        lines += [f"  + {name}" for name in sorted(self.optimizations_added)]
        lines += [f"  - {name}" for name in sorted(self.optimizations_removed)]
        return "\n".join(lines)


def diff_plans(before: "Plan", after: "Plan") -> PlanDiff:
    """Return the changes from ``before`` to ``after``.

    Raises:
        PlanError: The plans are for different DAGs.
    """
    if before.structure_hash != after.structure_hash:
        raise PlanError(
            f"the plans are for different DAGs: {before.dag_name!r} ({before.structure_hash}) "
            f"and {after.dag_name!r} ({after.structure_hash})"
        )
    match = _match_workers(before, after)
    pairs = list(zip(before.ids, before.assignments, after.assignments, strict=True))
    return PlanDiff(
        before=before.planner,
        after=after.planner,
        moved=tuple(
            (task, a.worker, b.worker)
            for task, a, b in pairs
            if (b.worker is not None if a.worker is None else match.get(a.worker) != b.worker)
        ),
        resized=tuple((task, a.size_mib, b.size_mib) for task, a, b in pairs if a.size_mib != b.size_mib),
        reordered=tuple(
            worker for worker, other in match.items() if _reordered(before.orders[worker], after.orders[other])
        ),
        rewaited=tuple((task, a.wait, b.wait) for task, a, b in pairs if a.wait != b.wait),
        policies=None if before.policy == after.policy else (policy_text(before), policy_text(after)),
        instructed=_instructed(before, after, match),
        optimizations_added=after.optimizations - before.optimizations,
        optimizations_removed=before.optimizations - after.optimizations,
    )


def _instructed(before: "Plan", after: "Plan", match: dict[str, str]) -> tuple[str, ...]:
    """Return the tasks whose instructions differ; workers' names don't count."""

    def of(plan: "Plan", names: dict[str, str]) -> set[tuple[int, object]]:
        told = plan.instructions
        return {
            *((task, "preload") for task in told.preload),
            *((task, "stream") for task in told.stream),
            *((one.task, (names.get(one.worker, one.worker), one.own_s, one.expected_s)) for one in told.duplicates),
            *((-1 if p.after is None else p.after, (p.size_mib, p.delay_s, p.count)) for p in told.prewarms),
        }

    changed = sorted({task for task, _ in of(before, match) ^ of(after, {})})
    return tuple(before.ids[task] if task >= 0 else "" for task in changed)


def _match_workers(before: "Plan", after: "Plan") -> dict[str, str]:
    """Return the worker of ``after`` for each worker of ``before`` that has a counterpart."""
    shared = Counter(
        (a.worker, b.worker)
        for a, b in zip(before.assignments, after.assignments, strict=True)
        if a.worker is not None and b.worker is not None
    )
    match: dict[str, str] = {}
    taken: set[str] = set()
    # Most shared tasks first; among equals the same name, then the earliest task.
    for a, b in sorted(shared, key=lambda pair: (-shared[pair], pair[0] != pair[1])):
        if a not in match and b not in taken:
            match[a] = b
            taken.add(b)
    return match


def _reordered(before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    common = set(before) & set(after)
    return [task for task in before if task in common] != [task for task in after if task in common]


def _place(worker: str | None) -> str:
    return "run time" if worker is None else worker
