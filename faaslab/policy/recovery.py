"""What has to run again when an invocation died: the smallest set, kept outputs are lost with their worker."""

from collections.abc import Collection, Iterable, Sequence

from faaslab.policy.successors import Wiring


def lost_work(dag: Wiring, targets: Iterable[int], stored: Collection[int]) -> frozenset[int]:
    """Return ``targets`` and every ancestor whose output they need and the store does not have."""
    needed: set[int] = set()
    stack = [task for task in targets if task not in stored]
    while stack:
        task = stack.pop()
        if task not in needed:
            needed.add(task)
            stack.extend(u for u in dag.upstreams(task) if u not in stored and u not in needed)
    return frozenset(needed)


def unfinished(dag: Wiring, worker: str, sinks: Collection[int], stored: Collection[int]) -> Sequence[int]:
    """Return those of a planned worker's tasks that still have to run, in planned order.

    A task is wanted if others need its output (another worker, or the client) and the store does not have it; what
    only its own worker consumed is run again exactly when such a task needs it.
    """
    order = dag.order(worker)
    wanted = [
        task
        for task in order
        if task in sinks or any(dag.assigned_to(successor) != worker for successor in dag.successors(task))
    ]
    mine = set(order)
    lost = lost_work(dag, wanted, stored) & mine
    return [task for task in order if task in lost]
