"""How many containers of which size: the gateway's decision, a pure function of what the store reports, carried out."""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Self

from faaslab.model.sizes import vcpus
from faaslab.protocol.launcher import RemoteLauncher
from faaslab.protocol.messages import Demand, size_of_pool
from faaslab.protocol.storage import Storage


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


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may exist at a time.

    Attributes:
        containers: How many (the platform's concurrency limit).
        vcpus: How many vCPUs all containers together may have.
        memory_mib: How much memory their sizes together may be.
    """

    containers: int
    vcpus: float = math.inf
    memory_mib: float = math.inf

    @classmethod
    def of(cls, launcher: RemoteLauncher) -> Self:
        """Return the limits of a launcher."""
        return cls(launcher.concurrency, launcher.vcpu_budget, launcher.memory_budget_mib)


def pool_vcpus(pool: str) -> float:
    """Return the vCPUs of a container of a pool."""
    return vcpus(size_of_pool(pool))


class _Room:
    """What is left of the limits."""

    def __init__(self, limits: Limits, pools: Collection[str]) -> None:
        self._containers = limits.containers - len(pools)
        # Sums of shares that fill the budget exactly must not fail by a rounding error.
        self._vcpus = limits.vcpus + 1e-9 - sum(map(pool_vcpus, pools))
        self._memory_mib = limits.memory_mib - sum(map(size_of_pool, pools))

    def fits(self, pool: str) -> bool:
        return self._containers >= 1 and self._vcpus >= pool_vcpus(pool) and self._memory_mib >= size_of_pool(pool)

    def take(self, pool: str) -> None:
        self._containers -= 1
        self._vcpus -= pool_vcpus(pool)
        self._memory_mib -= size_of_pool(pool)

    def give(self, pool: str) -> None:
        self._containers += 1
        self._vcpus += pool_vcpus(pool)
        self._memory_mib += size_of_pool(pool)


def fitting(needed: Mapping[str, int], limits: Limits) -> dict[str, int]:
    """Return how many of the needed containers fit the limits, each pool in turn getting one more."""
    room, fits = _Room(limits, ()), dict.fromkeys(needed, 0)
    growing = sorted(needed)
    while growing:
        growing = [pool for pool in growing if fits[pool] < needed[pool] and room.fits(pool)]
        for pool in growing:
            if room.fits(pool):
                room.take(pool)
                fits[pool] += 1
    return fits


def pool_changes(
    demand: Demand,
    launched: Mapping[str, str],
    limits: Limits,
    leaving: Collection[str] = (),
    wanted_idle: Mapping[str, int] | None = None,
) -> Changes:
    """Decide which containers to start, retire, or ask to yield.

    Pending invocations first get new containers while the limits allow; then idle containers of other pools are
    evicted; then, so that workers that wait for tasks which can't start never block them, the longest-waiting workers
    are asked to give up their slots. Larger sizes go first, and what they wait for is not given to smaller ones:
    otherwise these would fill up the room for ever.

    Empty invocations come last, and only as the limits allow: nobody is evicted or asked to yield for them, and they
    wait for room until the run ends or an invocation takes their place. Each needs a new container, since one that has
    worked is warm.

    Args:
        demand: What the store reports.
        launched: Containers that were started but are not registered yet, with their pools.
        limits: How much may exist at a time.
        leaving: Registered containers that were asked to leave or to yield and have not done so yet: their room comes
            without asking anybody else.
        wanted_idle: How many idle containers there should be beyond what is pending, by pool.
    """
    room = _Room(limits, [*demand.containers.values(), *launched.values()])
    coming_room = _Room(limits, [*demand.containers.values(), *launched.values()])
    for container in leaving:
        coming_room.give(demand.containers[container])
    # Containers that are about to ask for work: still starting, or registered and neither idle nor assigned to an
    # invocation with tasks.
    coming: dict[str, int] = {}
    for pool in launched.values():
        coming[pool] = coming.get(pool, 0) + 1
    for container, pool in demand.containers.items():
        if container not in demand.assigned and container not in leaving:
            coming[pool] = coming.get(pool, 0) + 1
    needed = dict(demand.pending)
    for pool, count in (wanted_idle or {}).items():
        needed[pool] = needed.get(pool, 0) + count
    # Those that were told to leave are not among the idle ones any more.
    evictable = {pool: count for pool, count in demand.idle.items() if not needed.get(pool)}
    waiting = [container for container in demand.waiting if container not in leaving]
    new = {pool: count - demand.idle.get(pool, 0) for pool, count in coming.items()}
    for container in demand.warming:
        new[demand.containers[container]] -= container not in leaving
    crowded = False
    start: list[str] = []
    retire: list[str] = []
    ask: list[str] = []
    for pool, count in sorted(needed.items(), key=lambda item: (-pool_vcpus(item[0]), item[0])):
        for _ in range(max(0, count - coming.get(pool, 0))):
            if room.fits(pool):
                room.take(pool)
                coming_room.take(pool)
                start.append(pool)
                continue
            while not coming_room.fits(pool):
                if any(evictable.values()):
                    victim = max(evictable, key=lambda name: (evictable[name], name))
                    evictable[victim] -= 1
                    retire.append(victim)
                    coming_room.give(victim)
                elif waiting:
                    ask.append(waiting.pop(0))
                    coming_room.give(demand.containers[ask[-1]])
                else:
                    return Changes(tuple(start), tuple(retire), tuple(ask))
            # What becomes free is meant for this pool.
            crowded = True
            coming_room.take(pool)
            room.take(pool)
    for pool, count in [] if crowded else sorted(demand.empty.items(), key=lambda item: (pool_vcpus(item[0]), item[0])):
        others = max(0, needed.get(pool, 0) - (coming.get(pool, 0) - new.get(pool, 0)))
        for _ in range(count - max(0, new.get(pool, 0) - others)):
            if room.fits(pool):
                room.take(pool)
                start.append(pool)
    return Changes(tuple(start), tuple(retire), tuple(ask))


ASKED_S = 1.0
"""A container that was asked to make room and has not done so after this long is not counted on any more."""


class PoolManager:
    """Carries out the gateway's decisions against a store, and remembers whom it has asked to make room.

    Args:
        storage: The lab's.
        limits: How much may exist at a time.
    """

    def __init__(self, storage: Storage, limits: Limits) -> None:
        self._storage = storage
        self._limits = limits
        self._retired: dict[str, float] = {}
        self._yielding: dict[str, float] = {}

    def decide(
        self,
        demand: Demand,
        launched: Mapping[str, str],
        start: Callable[[str], object],
        now_s: float,
        wanted_idle: Mapping[str, int] | None = None,
    ) -> bool:
        """Start, retire or ask to yield what the pending invocations call for; returns whether anything was done.

        Args:
            demand: What the store reports now.
            launched: Containers that were started but are not registered yet, with their pools.
            start: Starts a container of a pool.
            now_s: The time, on any clock.
            wanted_idle: How many idle containers there should be beyond what is pending, by pool.
        """
        oldest_s = now_s - ASKED_S
        self._retired = {
            container: asked_s
            for container, asked_s in self._retired.items()
            if asked_s > oldest_s and container in demand.containers and container not in demand.assigned
        }
        # One that has yielded is free; one that waits again has been given something else meanwhile.
        self._yielding = {
            container: asked_s
            for container, asked_s in self._yielding.items()
            if asked_s > oldest_s and container in demand.assigned and container not in demand.waiting
        }
        changes = pool_changes(demand, launched, self._limits, {*self._retired, *self._yielding}, wanted_idle)
        for pool in changes.start:
            start(pool)
        asked = [self.retire(pool, now_s) for pool in changes.retire]
        for container in changes.ask_yield:
            if self._storage.ask_yield(container):
                self._yielding[container] = now_s
                asked.append(True)
        return bool(changes.start) or any(asked)

    def retire(self, pool: str, now_s: float) -> bool:
        """Tell the longest-idle container of a pool to leave; returns whether one was idle."""
        retired = self._storage.retire_idle(pool)
        if retired is not None:
            self._retired[retired] = now_s
        return retired is not None
