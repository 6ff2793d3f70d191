"""``faaslab doctor --calibrate``: measures this machine as a FaaS platform, through a real lab with Docker workers.

What is measured is what runs meet: all times are read off the traces of small runs, or are a client's waiting time.
"""

import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from faaslab.client import Lab
from faaslab.config import Config
from faaslab.graph import task
from faaslab.launchers.docker import DockerLauncher
from faaslab.model.profiles import THIS_MACHINE, Calibration, Machine, PlatformProfile
from faaslab.model.sizes import MIB_PER_VCPU, vcpus
from faaslab.trace.records import Records

SMALLEST_MIB = 512
HALF_VCPU_MIB = MIB_PER_VCPU // 2
TRANSFER_BYTES = 16 * 2**20
FAITHFUL_PART = 0.05
"""A throttled task is faithful if it takes as long as its CPU seconds over its share of a CPU, within this part."""
RUN_TIMEOUT_S = 60.0
_QUARTILE = statistics.NormalDist().inv_cdf(0.75)


@dataclass(frozen=True, slots=True)
class Effort:
    """How often things are measured.

    Attributes:
        cold: Cold starts of each size.
        warm: Round trips to each size.
        transfers: Transfers of large values; small ones are four times as many.
        burns: Repetitions of each throttled task.
        burn_cpu_s: CPU seconds of the throttled tasks.
    """

    cold: int
    warm: int
    transfers: int
    burns: int
    burn_cpu_s: tuple[float, ...]

    @property
    def runs(self) -> int:
        """How many runs that takes, those included that only warm up."""
        return 3 * (self.cold + self.warm + 1) + 5 * self.transfers + self.burns * len(self.burn_cpu_s) + 2


FULL = Effort(cold=5, warm=30, transfers=5, burns=5, burn_cpu_s=(0.01, 0.02, 0.04, 0.08, 0.16, 0.32))
QUICK = Effort(cold=2, warm=3, transfers=2, burns=1, burn_cpu_s=(0.01, 0.2))


@dataclass(frozen=True, slots=True)
class Spread:
    """A lognormal quantity, by its samples.

    Attributes:
        n: How many samples.
        median: Of the samples.
        sigma: Standard deviation of their logarithms, by their quartiles: a hiccup of the machine does not change it.
    """

    n: int
    median: float
    sigma: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> "Spread":
        """Return the spread of two samples or more; what the clock could not resolve counts as a microsecond."""
        logs = [math.log(max(sample, 1e-6)) for sample in samples]
        low, _, high = statistics.quantiles(logs, n=4, method="inclusive")
        return cls(len(logs), statistics.median(samples), (high - low) / (2 * _QUARTILE))


@dataclass(frozen=True, slots=True)
class ColdStarts:
    """Cold starts at one size: from the decision to start until ready, and the medians of their phases."""

    size_mib: int
    seconds: Spread
    phases_s: dict[str, float]


@dataclass(frozen=True, slots=True)
class RoundTrips:
    """Runs of one task that does nothing, on a warm container: the client's wait, and the part before it starts."""

    size_mib: int
    seconds: Spread
    invocation_s: Spread


@dataclass(frozen=True, slots=True)
class StoreAccess:
    """The way between a worker of one vCPU and the store."""

    latency_s: Spread
    upload_bytes_per_s: Spread
    download_bytes_per_s: Spread


@dataclass(frozen=True, slots=True)
class Throttled:
    """A busy task under a CPU quota.

    Attributes:
        cpu_s: CPU seconds that it used.
        expected_s: These over its share of a CPU.
        wall_s: How long it took.
        n: Repetitions that had a CPU whenever their quota let them; the medians are theirs.
    """

    cpu_s: float
    expected_s: float
    wall_s: float
    n: int

    @property
    def error(self) -> float:
        """How much longer it took than expected, as a part of that."""
        return self.wall_s / self.expected_s - 1


@dataclass(frozen=True, slots=True)
class Measurements:
    """All that was measured.

    Attributes:
        throttled_size_mib: Size of the containers of ``throttled``.
        throttled: Throttled tasks, shortest first; without those that always had to wait for a CPU.
        shortest_faithful_s: CPU seconds from which on throttled tasks are faithful; None: not the longest one either.
        largest_size_mib: Largest size that a container can have here.
        cores: Cores that containers share.
    """

    cold_starts: tuple[ColdStarts, ...]
    round_trips: tuple[RoundTrips, ...]
    store: StoreAccess
    throttled_size_mib: int
    throttled: tuple[Throttled, ...]
    shortest_faithful_s: float | None
    largest_size_mib: int
    cores: float


class _Meter:
    """Runs small workflows and tells how far it is.

    The tasks are functions inside a function, so that they travel by value: worker images hold no command line.
    """

    def __init__(self, bar: Any) -> None:
        self._bar = bar

        @task(pure=False)
        def nothing() -> None:
            pass

        @task(pure=False)
        def produce(size_bytes: int) -> bytes:
            import os

            return os.urandom(size_bytes)

        @task
        def consume(value: bytes) -> int:
            return len(value)

        @task(pure=False)
        def burn(cpu_s: float) -> None:
            import time

            began_s = time.thread_time()
            while time.thread_time() - began_s < cpu_s:
                pass

        self._nothing, self._produce, self._consume, self._burn = nothing, produce, consume, burn

    def nothing(self, lab: Lab, size_mib: int, what: str) -> tuple[Records, float]:
        """Run a task that does nothing; returns what happened and how long the client waited."""
        began_s = time.perf_counter()
        records = self._run(lab, self._nothing(), size_mib, what)
        return records, time.perf_counter() - began_s

    def send(self, lab: Lab, size_mib: int, size_bytes: int) -> Records:
        """Run two tasks on two workers, of which the first sends the second a value."""
        return self._run(lab, self._consume(self._produce(size_bytes)), size_mib, f"sending {size_bytes} bytes")

    def burn(self, lab: Lab, size_mib: int, cpu_s: float) -> Records:
        """Run a task that uses some CPU seconds and nothing else."""
        return self._run(lab, self._burn(cpu_s), size_mib, f"computing {cpu_s:g} s")

    def _run(self, lab: Lab, output: Any, size_mib: int, what: str) -> Records:
        self._bar.set_description(f"{what}, {size_mib} MiB")
        run = lab.submit(output, planner="per_task", sizes=[size_mib])
        run.result(RUN_TIMEOUT_S)
        self._bar.update()
        return run.trace.records


def calibrate(effort: Effort, report: Callable[[str], object]) -> tuple[Calibration, Measurements]:
    """Measure this machine; shows a progress bar on a terminal.

    Leaves no container behind. Takes half a minute, and longer where an image has to be built first.

    Args:
        effort: How often to measure.
        report: Told what goes on before, a line at a time: an image may have to be built.

    Raises:
        LauncherError: No engine answers, or the image can't be built.
    """
    from tqdm.auto import tqdm

    from faaslab.launchers.engine import capacity, connect

    with closing(connect()) as client:
        engine = capacity(client)
    launcher = DockerLauncher(keep_alive_s=RUN_TIMEOUT_S).prepare(report)
    # Inputs that ride along would not show the way to the store.
    config = replace(Config.from_env(), runs_dir="", inline_input_bytes=0)
    with tqdm(total=effort.runs, unit="run", leave=False, disable=None) as bar:
        measured = _measure(launcher, config, effort, bar)
    date = datetime.now(UTC).isoformat(timespec="seconds")
    machine = Machine.here()
    source = (
        f"Measured by `faaslab doctor --calibrate` on {date}: {machine.cores} cores, {machine.memory_mib} MiB, Docker "
        f"engine {engine.version}; medians of {effort.cold} cold starts and {effort.warm} warm ones at each of "
        f"{len(measured.cold_starts)} sizes, and {effort.transfers} transfers of {TRANSFER_BYTES // 2**20} MiB each way"
    )
    return Calibration(_profile(measured, source), machine, engine.version, date, asdict(measured)), measured


def _profile(measured: Measurements, source: str) -> PlatformProfile:
    """Return what was measured as a platform: sizes differ less than starts of one size do."""
    store = measured.store
    return PlatformProfile(
        THIS_MACHINE,
        source,
        cold_start_s=statistics.median(cold.seconds.median for cold in measured.cold_starts),
        cold_start_sigma=statistics.median(cold.seconds.sigma for cold in measured.cold_starts),
        invocation_latency_s=statistics.median(trips.invocation_s.median for trips in measured.round_trips),
        invocation_sigma=statistics.median(trips.invocation_s.sigma for trips in measured.round_trips),
        upload_bytes_per_s=store.upload_bytes_per_s.median,
        download_bytes_per_s=store.download_bytes_per_s.median,
        store_latency_s=store.latency_s.median,
        store_sigma=store.latency_s.sigma,
    )


def _measure(launcher: DockerLauncher, config: Config, effort: Effort, bar: Any) -> Measurements:
    assert launcher.cores is not None
    meter = _Meter(bar)
    largest_mib = launcher.largest_size_mib
    smallest_mib = min(SMALLEST_MIB, largest_mib)
    sizes = (smallest_mib, round(math.sqrt(smallest_mib * largest_mib)), largest_mib)
    one_vcpu_mib, half_vcpu_mib = min(MIB_PER_VCPU, largest_mib), min(HALF_VCPU_MIB, largest_mib)
    with Lab(replace(launcher, initial_pool="empty"), config=config) as lab:
        meter.nothing(lab, smallest_mib, "first run")  # from now on the image's files are in the machine's memory
        colds = tuple(
            _cold_starts(size, [meter.nothing(lab, size, "cold start")[0] for _ in range(effort.cold)])
            for size in sizes
        )
    with Lab(launcher, config=config) as lab:
        trips = []
        for size in sizes:
            meter.nothing(lab, size, "first run")
            trips.append(_round_trips(size, [meter.nothing(lab, size, "round trip") for _ in range(effort.warm)]))
        small = [meter.send(lab, one_vcpu_mib, 1) for _ in range(4 * effort.transfers)]
        large = [meter.send(lab, one_vcpu_mib, TRANSFER_BYTES) for _ in range(effort.transfers)]
        meter.nothing(lab, half_vcpu_mib, "first run")
        burns = [
            _throttled(half_vcpu_mib, [meter.burn(lab, half_vcpu_mib, cpu_s) for _ in range(effort.burns)])
            for cpu_s in effort.burn_cpu_s
        ]
    throttled = tuple(burn for burn in burns if burn is not None)
    return Measurements(
        cold_starts=colds,
        round_trips=tuple(trips),
        store=_store_access(small, large),
        throttled_size_mib=half_vcpu_mib,
        throttled=throttled,
        shortest_faithful_s=shortest_faithful_s(throttled),
        largest_size_mib=largest_mib,
        cores=launcher.cores,
    )


def _cold_starts(size_mib: int, runs: Iterable[Records]) -> ColdStarts:
    seconds: list[float] = []
    phases_s: dict[str, list[float]] = {}
    for records in runs:
        seconds += [worker.started_s - worker.launched_s for worker in records.workers if worker.cold]
        for container in records.containers:
            for name, value in container.phases_s.items():
                phases_s.setdefault(name, []).append(value)
    return ColdStarts(
        size_mib, Spread.of(seconds), {name: statistics.median(values) for name, values in phases_s.items()}
    )


def _round_trips(size_mib: int, runs: Sequence[tuple[Records, float]]) -> RoundTrips:
    workers = [worker for records, _ in runs for worker in records.workers if not worker.cold]
    return RoundTrips(
        size_mib,
        Spread.of([waited_s for _, waited_s in runs]),
        Spread.of([worker.started_s - worker.requested_s for worker in workers]),
    )


def _store_access(small: Sequence[Records], large: Sequence[Records]) -> StoreAccess:
    """Return latency by small inputs, and bandwidth by what a large value takes beyond it."""
    latency_s = Spread.of([_transfer_s(records, "in") for records in small])
    put_s = statistics.median(_transfer_s(records, "out") for records in small)

    def bandwidth(direction: str, base_s: float) -> Spread:
        moved_s = [max(_transfer_s(records, direction) - base_s, 1e-6) for records in large]
        return Spread.of([TRANSFER_BYTES / seconds for seconds in moved_s])

    return StoreAccess(latency_s, bandwidth("out", put_s), bandwidth("in", latency_s.median))


def _transfer_s(records: Records, direction: str) -> float:
    """Return how long the value took that the first task made, up to the store or down from it."""
    task_number = 0 if direction == "out" else 1
    return next(
        transfer.end_s - transfer.start_s
        for transfer in records.transfers
        if (transfer.direction, transfer.task, transfer.source) == (direction, task_number, "store")
    )


def _throttled(size_mib: int, runs: Iterable[Records]) -> Throttled | None:
    """Return what a task came to, by the repetitions that did not have to wait for a CPU; None: all had to."""
    alone = [record for records in runs for record in records.tasks if not record.contended]
    if not alone:
        return None
    cpu_s = statistics.median(record.cpu_s for record in alone)
    return Throttled(cpu_s, cpu_s / vcpus(size_mib), statistics.median(record.exec_s for record in alone), len(alone))


def shortest_faithful_s(throttled: Sequence[Throttled]) -> float | None:
    """Return the CPU seconds of the shortest task from which on all are faithful; None: the longest is not."""
    shortest = None
    for burn in reversed(throttled):
        if abs(burn.error) > FAITHFUL_PART:
            break
        shortest = burn.cpu_s
    return shortest


def lines_of(measured: Measurements) -> Iterator[str]:
    """Yield what was measured as lines for people."""
    for cold in measured.cold_starts:
        phases = ", ".join(f"{name} {seconds * 1000:.0f}" for name, seconds in cold.phases_s.items())
        yield _line("cold start", cold.size_mib, cold.seconds, f"({phases})")
    for trips in measured.round_trips:
        yield _line("warm run", trips.size_mib, trips.seconds, f"(invocation {trips.invocation_s.median * 1000:.1f})")
    store = measured.store
    bandwidth = " ".join(
        f"{name} {spread.median / 1e6:.0f} MB/s"
        for name, spread in (("up", store.upload_bytes_per_s), ("down", store.download_bytes_per_s))
    )
    yield _line("store", MIB_PER_VCPU, store.latency_s, f"({bandwidth})")
    for burn in measured.throttled:
        yield (
            f"{'throttled':<12}{measured.throttled_size_mib:>6} MiB{burn.cpu_s * 1000:>9.2f} ms of CPU take "
            f"{burn.wall_s * 1000:.0f} ms, expected {burn.expected_s * 1000:.0f} ms ({burn.error:+.1%}, n {burn.n})"
        )
    shortest_s = measured.shortest_faithful_s
    yield (
        f"throttled tasks are faithful within {FAITHFUL_PART:.0%} from {shortest_s * 1000:.0f} ms of CPU on"
        if shortest_s is not None
        else f"no throttled task was faithful within {FAITHFUL_PART:.0%}; measure again when nothing else runs here"
    )
    yield f"largest size {measured.largest_size_mib} MiB; cores for containers: {measured.cores:g}"


def _line(what: str, size_mib: int, seconds: Spread, more: str) -> str:
    median = f"{seconds.median * 1000:>9.2f} ms"
    return f"{what:<12}{size_mib:>6} MiB{median}  sigma {seconds.sigma:.2f}  n {seconds.n:<3} {more}"
