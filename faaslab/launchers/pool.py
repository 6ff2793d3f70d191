"""How many containers of which size: the gateway's decision, as a pure function of what the store reports."""

from collections.abc import Mapping
from dataclasses import dataclass

from faaslab.protocol.messages import Demand


@dataclass(frozen=True, slots=True)
class Changes:
    """What the gateway does now.

    Attributes:
        start: Pools to start one container of each (repeated for several).
        retire: Pools of which one idle container has to make room.
        ask_yield: Containers that are asked to give up their slot.
    """

    start: tuple[str, ...] = ()
    retire: tuple[str, ...] = ()
    ask_yield: tuple[str, ...] = ()


def pool_changes(demand: Demand, launched: Mapping[str, str], limit: int) -> Changes:
    """Decide which containers to start, retire, or ask to yield.

    Pending invocations first get new containers while the limit allows; then idle containers of other pools are
    evicted; then, so that workers that wait for tasks which can't start never block them, the longest-waiting workers
    are asked to give up their slots.

    Args:
        demand: What the store reports.
        launched: Containers that were started but are not registered yet, with their pools.
        limit: How many containers may exist at a time (the platform's concurrency limit).
    """
    room = limit - len(demand.containers) - len(launched)
    # Containers that are about to ask for work: still starting, or registered and neither idle nor assigned.
    coming: dict[str, int] = dict(demand.idle)
    for pool in launched.values():
        coming[pool] = coming.get(pool, 0) + 1
    registered: dict[str, int] = {}
    for container, pool in demand.containers.items():
        if container not in demand.assigned:
            registered[pool] = registered.get(pool, 0) + 1
    for pool, count in registered.items():
        coming[pool] = coming.get(pool, 0) + count - demand.idle.get(pool, 0)
    evictable = {pool: count for pool, count in demand.idle.items() if not demand.pending.get(pool)}
    waiting = list(demand.waiting)
    start: list[str] = []
    retire: list[str] = []
    ask: list[str] = []
    for pool, pending in sorted(demand.pending.items()):
        for _ in range(max(0, pending - max(0, coming.get(pool, 0)))):
            if room > 0:
                room -= 1
                start.append(pool)
            elif any(evictable.values()):
                victim = max(evictable, key=lambda name: (evictable[name], name))
                evictable[victim] -= 1
                retire.append(victim)
            elif waiting:
                ask.append(waiting.pop(0))
            else:
                break
    return Changes(tuple(start), tuple(retire), tuple(ask))
