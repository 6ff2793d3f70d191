"""How fast the simulator is; the best of several tries, as other work on the machine only ever makes it slower."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from faaslab.planners import plan_dag
from faaslab.simulate import FlatDag, place, run_placement
from faaslab.simulate.compiled import compiled_dag, place_compiled, run_compiled
from tests.plan.dags import Options
from tests.simulate.scene import Known, platform

pytestmark = pytest.mark.slow

PLANNERS = ("per_task", "wukong", "single_worker")


@dataclass(frozen=True)
class BigDag:
    """A DAG of many tasks, inverted once."""

    wiring: tuple[tuple[int, ...], ...]
    name: str = "big"
    structure_hash: str = "big"
    inverted: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.inverted.extend([] for _ in self.wiring)
        for task, row in enumerate(self.wiring):
            for upstream in row:
                self.inverted[upstream].append(task)

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(f"f#{task}" for task in range(len(self)))

    @property
    def roots(self) -> tuple[int, ...]:
        return tuple(task for task, row in enumerate(self.wiring) if not row)

    @property
    def sinks(self) -> tuple[int, ...]:
        return tuple(task for task, row in enumerate(self.inverted) if not row)

    def __len__(self) -> int:
        return len(self.wiring)

    def upstreams(self, task: int) -> tuple[int, ...]:
        return self.wiring[task]

    def successors(self, task: int) -> list[int]:
        return self.inverted[task]

    def options(self, task: int) -> Options:
        return Options()


def chain(count: int) -> BigDag:
    """Return a chain."""
    return BigDag(tuple((task - 1,) if task else () for task in range(count)))


def fan(count: int) -> BigDag:
    """Return a fan-out and a fan-in."""
    return BigDag(((), *((0,) for _ in range(count - 2)), tuple(range(1, count - 1))))


def layered(count: int, width: int = 100) -> BigDag:
    """Return layers of tasks that take one to three of the layer before: two edges for each task."""
    rng = random.Random(1)
    rows: list[tuple[int, ...]] = [()] * width
    for task in range(width, count):
        base = (task // width - 1) * width
        rows.append(tuple(sorted({base + rng.randrange(width) for _ in range(rng.randint(1, 3))})))
    return BigDag(tuple(rows))


WHERE = platform(cold_start_s=2.26, store_latency_s=0.00023, upload_bytes_per_s=75e6, download_bytes_per_s=75e6)
"""A platform like Lambda."""


def flat(dag: BigDag) -> FlatDag:
    """Return a DAG with estimates; a third of its outputs are too large to ride along."""
    count = len(dag)
    known = Known([0.5 + task * 7919 % 101 / 100 for task in range(count)], dict.fromkeys(range(0, count, 3), 2e6))
    return FlatDag.of(dag, known)


def best_s(what: Callable[[], object], tries: int = 7) -> float:
    """Return the shortest of several times."""
    times = []
    for _ in range(tries):
        began_s = time.perf_counter()
        what()
        times.append(time.perf_counter() - began_s)
    return min(times)


@pytest.mark.parametrize(("count", "limit_s"), [(10_000, 0.05), (100_000, 0.6)])
@pytest.mark.parametrize("planner", PLANNERS)
@pytest.mark.parametrize("shape", [chain, layered, fan])
def test_plain_python(shape: Callable[[int], BigDag], planner: str, count: int, limit_s: float) -> None:
    """10,000 tasks are simulated in 50 ms, 100,000 in 0.6 s."""
    dag = shape(count)
    placed = place(flat(dag), plan_dag(dag, planner), WHERE)
    assert best_s(lambda: run_placement(placed)) < limit_s


@pytest.mark.parametrize("planner", PLANNERS)
@pytest.mark.parametrize("shape", [chain, layered, fan])
def test_compiled(shape: Callable[[int], BigDag], planner: str) -> None:
    """Compiled, the loop is at least five times as fast."""
    pytest.importorskip("numba")
    dag = shape(10_000)
    plan, plain = plan_dag(dag, planner), flat(dag)
    fast = compiled_dag(plain)
    slow_placed, fast_placed = place(plain, plan, WHERE), place_compiled(fast, plan, WHERE)
    run_compiled(fast_placed)
    assert best_s(lambda: run_compiled(fast_placed)) < best_s(lambda: run_placement(slow_placed)) / 5
    assert best_s(lambda: place_compiled(fast, plan, WHERE)) < best_s(lambda: place(plain, plan, WHERE))
