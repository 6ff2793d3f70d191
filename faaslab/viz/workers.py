"""Workers of two runs of one DAG: which is which."""

from collections import Counter

from faaslab.protocol.messages import RUN_TIME
from faaslab.trace import Trace
from faaslab.trace.records import Records

Pair = tuple[str | None, str | None]
"""An invocation of the plan and the one of the run that did its work; None: there is none."""


def match_workers(planned: Records, actual: Records) -> list[Pair]:
    """Return pairs of invocations: in the order in which they were planned, then those that no plan foresaw.

    Invocations that a plan names have the same name in a run. Those decided at run time are named after the task that
    they began with, which may differ; the two with the most tasks in common are matched first.
    """
    before, after = _invocations(planned), _invocations(actual)
    matched = {name: name for name in before if name in after and not name.startswith(RUN_TIME)}
    where = {task.task: task.invocation for task in planned.tasks if _free(task.invocation)}
    shared = Counter(
        (where[task.task], task.invocation)
        for task in actual.tasks
        if task.task in where and _free(task.invocation) and task.invocation in after
    )
    taken: set[str] = set()
    ranks = {name: rank for names in (before, after) for rank, name in enumerate(names)}
    for (plan, run), _ in sorted(
        shared.items(), key=lambda item: (-item[1], item[0][0] != item[0][1], ranks[item[0][0]], ranks[item[0][1]])
    ):
        if plan not in matched and run not in taken:
            matched[plan] = run
            taken.add(run)
    found: list[Pair] = [(name, matched.get(name)) for name in before]
    known = set(matched.values())
    return found + [(None, name) for name in after if name not in known]


def name_of(trace: Trace, invocation: str) -> str:
    """Return what a worker is called in a chart; those decided at run time are called after their first task."""
    return f"{RUN_TIME}{trace.task_id(int(invocation[1:]))}" if _free(invocation) else invocation


def _free(invocation: str) -> bool:
    return invocation.startswith(RUN_TIME)


def _invocations(records: Records) -> list[str]:
    """Return the distinct invocations of a run in the order in which they were launched."""
    workers = [worker for worker in records.workers if not worker.empty]
    return list(dict.fromkeys(w.invocation for w in sorted(workers, key=lambda w: w.launched_s)))
