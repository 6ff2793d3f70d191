"""What has to run again when an invocation died: the smallest set, kept outputs are lost with their worker."""

from collections.abc import Collection, Iterable, Sequence

from faaslab.policy.successors import Wiring


def lost_work(
    dag: Wiring, targets: Iterable[int], stored: Collection[int], within: Collection[int] | None = None
) -> frozenset[int]:
    """Return ``targets`` and every ancestor whose output they need and the store does not have.

    Args:
        dag: The DAG and its plan.
        targets: What is needed.
        stored: Tasks whose outputs are stored.
        within: Ancestors that count; None: all.
    """
    needed: set[int] = set()
    stack = [task for task in targets if task not in stored]
    while stack:
        task = stack.pop()
        if task not in needed:
            needed.add(task)
            stack.extend(
                u
                for u in dag.upstreams(task)
                if u not in stored and u not in needed and (within is None or u in within)
            )
    return frozenset(needed)


def unfinished(
    dag: Wiring,
    worker: str,
    sinks: Collection[int],
    stored: Collection[int],
    taken: Collection[int] = (),
    owned: Collection[int] = (),
    delivered: Collection[int] = (),
) -> Sequence[int]:
    """Return what a planned worker still has to run, in an order in which it need not wait for what it did not before.

    A task is wanted if others need its output (another worker, or the client) and the store does not have it; what
    only its own worker consumed is run again exactly when such a task needs it.

    Args:
        dag: The DAG and its plan.
        worker: The planned worker.
        sinks: Those of its tasks whose outputs have to be stored in any case.
        stored: Tasks whose outputs are stored.
        taken: Tasks decided at run time that it had taken and not finished. Each comes as soon as what has to be run
            again for it has been: it was ready, so that nothing before it has to wait.
        owned: Tasks decided at run time that it was given at all: none of them needs anything from the store.
        delivered: Tasks whose outputs were streamed to all others who need them.
    """
    order = dag.order(worker)
    wanted = [
        task
        for task in order
        if task in sinks
        or (
            task not in delivered and any(dag.assigned_to(s) != worker and s not in owned for s in dag.successors(task))
        )
    ]
    mine = set(order)
    # What others make is theirs to make; what they need of this worker for that is wanted already.
    lost = lost_work(dag, wanted, stored, mine) | lost_work(dag, taken, stored)
    todo: dict[int, None] = {}
    others = sorted(lost - mine)
    for task in (*(task for task in order if task in lost), None):
        for other in others:
            if all(u in todo or u not in lost for u in dag.upstreams(other)):
                todo[other] = None
        others = [other for other in others if other not in todo]
        if task is not None:
            todo[task] = None
    return list(todo)
