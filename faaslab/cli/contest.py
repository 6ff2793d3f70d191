"""Benchmarks in pairs: every engine runs the same workload in turn, round after round, on warm workers.

What is timed is what a user waits for: from the call to the result. FaaSLab begins with lazy tasks, so that building,
checking and planning the DAG count; a peer begins with lazy calls, too, which are made anew for each run.
"""

import os
import platform
import statistics
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from faaslab.client import Lab
from faaslab.config import Config
from faaslab.errors import ConfigError, RunError
from faaslab.graph import DAG, task
from faaslab.launchers.process import ProcessLauncher

WORKERS = 2
"""Processes of each engine, with one thread."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A synthetic workflow of tiny tasks: ``chain:N``, ``fan:N`` (N + 2 tasks), ``tree:N`` (N - 1 additions).

    Raises:
        ConfigError: There is no such workload, or it would have no task.
    """

    kind: str
    size: int

    def __post_init__(self) -> None:
        if self.kind not in _KINDS or self.size < (2 if self.kind == "tree" else 1):
            raise ConfigError(
                f"unknown workload {self}; known: {', '.join(f'{kind}:N' for kind in _KINDS)} with N from 1"
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``kind:size``."""
        kind, _, size = text.partition(":")
        try:
            return cls(kind, int(size))
        except ValueError:
            raise ConfigError(f"workload {text!r} can't be read; it must look like tree:512") from None

    def __str__(self) -> str:
        return f"{self.kind}:{self.size}"

    def build(self, make: "Make") -> Any:
        """Return the workflow as lazy calls."""
        return _KINDS[self.kind][0](self.size, make)

    @property
    def value(self) -> int:
        """What it must come to."""
        return _KINDS[self.kind][1](self.size)


Make = Callable[[Any], Any]
"""Makes a lazy call of a plain function: this engine's ``task``, or a peer's."""


def _one() -> int:
    return 1


def _increment(x: int) -> int:
    return x + 1


def _add(x: int, y: int) -> int:
    return x + y


def _total(values: list[int]) -> int:
    return sum(values)


def _chain(n: int, make: Make) -> Any:
    increment = make(_increment)
    last = make(_one)()
    for _ in range(n - 1):
        last = increment(last)
    return last


def _fan(n: int, make: Make) -> Any:
    increment = make(_increment)
    first = make(_one)()
    return make(_total)([increment(first) for _ in range(n)])


def _tree(leaves: int, make: Make) -> Any:
    add = make(_add)
    level: list[Any] = list(range(leaves))
    while len(level) > 1:
        odd = level[-1:] if len(level) % 2 else []
        level = [add(left, right) for left, right in zip(level[::2], level[1::2], strict=False)] + odd
    return level[0]


_KINDS: dict[str, tuple[Callable[[int, Make], Any], Callable[[int], int]]] = {
    "chain": (_chain, lambda n: n),
    "fan": (_fan, lambda n: 2 * n),
    "tree": (_tree, lambda n: n * (n - 1) // 2),
}


class Engine(ABC):
    """Something that runs workloads, ready to run when it is made."""

    name: str

    @abstractmethod
    def prepare(self, workload: Workload) -> Callable[[], Any]:
        """Return what is timed: from the user's call to the result."""

    @abstractmethod
    def close(self) -> None:
        """End what it alone uses."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class FaaSLab(Engine):
    """This engine with one planner, on a lab that several may share."""

    def __init__(self, lab: Lab, planner: str) -> None:
        self.name = planner
        self._lab = lab

    def prepare(self, workload: Workload) -> Callable[[], Any]:
        """See ``Engine``."""
        tasks = workload.build(task)
        return lambda: self._lab.compute(tasks, planner=self.name, progress=False)

    def close(self) -> None:
        """Leave the lab to its owner."""


class Dask(Engine):
    """``dask.distributed`` on local processes of one thread.

    Raises:
        ConfigError: It is not installed.
    """

    name = "dask"

    def __init__(self) -> None:
        try:
            from distributed import Client, LocalCluster
        except ImportError:
            raise ConfigError("the peer 'dask' is not installed: pip install 'faaslab[dask]'") from None
        self._cluster = LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=WORKERS, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs="ERROR"
        )
        self._client = Client(self._cluster)  # type: ignore[no-untyped-call]

    def prepare(self, workload: Workload) -> Callable[[], Any]:
        """See ``Engine``."""
        from dask.delayed import delayed

        # The fastest of its forms: optimizing the graph finds nothing here and costs more than it takes.
        tasks = workload.build(delayed)
        return lambda: self._client.compute(tasks, optimize_graph=False).result()  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """See ``Engine``."""
        self._client.close()  # type: ignore[no-untyped-call]
        self._cluster.close()


PEERS: dict[str, Callable[[], Engine]] = {"dask": Dask}


@dataclass(frozen=True, slots=True)
class Sample:
    """One timed run."""

    workload: str
    tasks: int
    engine: str
    round: int
    seconds: float


def measure(workloads: Sequence[Workload], planners: Sequence[str], peers: Sequence[str], rounds: int) -> list[Sample]:
    """Run all workloads on all engines in turn, after one untimed run of each.

    Args:
        planners: Planners to run FaaSLab with; none: ``wukong``, and for chains ``single_worker`` as well.
        peers: Names of other engines.
        rounds: How often each engine runs each workload.

    Raises:
        ConfigError: A peer is not installed.
        RunError: A result is wrong.
    """
    samples: list[Sample] = []
    with ExitStack() as stack:
        others = [stack.enter_context(PEERS[name]()) for name in peers]
        # Saving a trace would go on while the next engine is timed.
        lab = stack.enter_context(Lab(ProcessLauncher(limit=WORKERS), config=Config(runs_dir="")))
        lab.compute([task(_increment)(number) for number in range(64)], planner="per_task", progress=False)
        for workload in workloads:
            names = planners or (("wukong", "single_worker") if workload.kind == "chain" else ("wukong",))
            engines = [*(FaaSLab(lab, name) for name in names), *others]
            tasks = len(DAG(workload.build(task)))
            for number in range(-1, rounds):
                for engine in engines:
                    run, name = engine.prepare(workload), engine.name
                    began_s = time.perf_counter()
                    value = run()
                    seconds = time.perf_counter() - began_s
                    if value != workload.value:
                        raise RunError(f"{name} computed {value} for {workload}, must be {workload.value}")
                    if number >= 0:
                        samples.append(Sample(str(workload), tasks, name, number, seconds))
    return samples


@dataclass(frozen=True, slots=True)
class Row:
    """One engine on one workload.

    Attributes:
        ratios: For each peer how many times as long it took, by pairs of one round: median, least, largest.
    """

    workload: str
    tasks: int
    engine: str
    rounds: int
    median_s: float
    min_s: float
    max_s: float
    ratios: dict[str, tuple[float, float, float]]


def summary(samples: Iterable[Sample], peers: Sequence[str]) -> list[Row]:
    """Return medians and ratios, in the order of the samples."""
    times: dict[tuple[str, int, str], list[float]] = {}
    for sample in samples:
        times.setdefault((sample.workload, sample.tasks, sample.engine), []).append(sample.seconds)
    rows = []
    for (workload, tasks, engine), seconds in times.items():
        ratios = {}
        for peer in peers if engine not in peers else ():
            pairs = [other / own for own, other in zip(seconds, times[workload, tasks, peer], strict=True)]
            ratios[peer] = (statistics.median(pairs), min(pairs), max(pairs))
        rows.append(
            Row(
                *(workload, tasks, engine, len(seconds)),
                *(statistics.median(seconds), min(seconds), max(seconds)),
                ratios,
            )
        )
    return rows


def machine(peers: Sequence[str]) -> dict[str, Any]:
    """Return on what is measured: processor, usable cores, load before, versions.

    Raises:
        ConfigError: A peer is unknown.
    """
    from faaslab.trace.manifest import host, versions

    unknown = [name for name in peers if name not in PEERS]
    if unknown:
        raise ConfigError(f"unknown peer {unknown[0]!r}; known: {', '.join(PEERS)}")
    packages = {"dask": ("dask", "distributed")}
    return {
        "processor": _processor(),
        **host(),
        "load_1min": round(os.getloadavg()[0], 2),
        "versions": versions() | {name: version(name) for peer in peers for name in packages[peer]},
    }


def _processor() -> str:
    """Return the processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
