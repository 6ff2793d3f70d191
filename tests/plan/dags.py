"""Small DAGs for tests of plans, planners, traces and figures: wiring only, nothing to run."""

from dataclasses import dataclass, field

from hypothesis import strategies as st


@dataclass(frozen=True)
class Options:
    memory_mib: int | None = None
    expected_s: float | None = None
    output_bytes: int | None = None


@dataclass(frozen=True)
class FakeDag:
    """A DAG given as the upstreams of each task."""

    wiring: tuple[tuple[int, ...], ...]
    name: str = "fake"
    structure_hash: str = "hash-1"
    memory_mib: dict[int, int] = field(default_factory=dict)
    expected_s: dict[int, float] = field(default_factory=dict)
    output_bytes: dict[int, int] = field(default_factory=dict)

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(f"f#{task}" for task in range(len(self.wiring)))

    @property
    def roots(self) -> tuple[int, ...]:
        return tuple(task for task in range(len(self)) if not self.wiring[task])

    @property
    def sinks(self) -> tuple[int, ...]:
        return tuple(task for task in range(len(self)) if not self.successors(task))

    def __len__(self) -> int:
        return len(self.wiring)

    def upstreams(self, task: int) -> tuple[int, ...]:
        return self.wiring[task]

    def successors(self, task: int) -> tuple[int, ...]:
        return tuple(other for other in range(len(self)) if task in self.wiring[other])

    def options(self, task: int) -> Options:
        return Options(self.memory_mib.get(task), self.expected_s.get(task), self.output_bytes.get(task))


DIAMOND = FakeDag(((), (0,), (0,), (1, 2)))
CHAIN = FakeDag(((), (0,), (1,)))
CROSS = FakeDag(((), (), (0,), (1,)))
"""Two independent edges: 0 → 2 and 1 → 3."""


@st.composite
def dags(draw: st.DrawFn, max_tasks: int = 12) -> FakeDag:
    """Any DAG of up to ``max_tasks`` tasks, some of which ask for memory."""
    size = draw(st.integers(1, max_tasks))
    wiring = tuple(
        tuple(sorted(draw(st.sets(st.integers(0, task - 1), max_size=4)))) if task else () for task in range(size)
    )
    memory = draw(st.dictionaries(st.integers(0, size - 1), st.integers(128, 3000), max_size=3))
    return FakeDag(wiring, memory_mib=memory)
