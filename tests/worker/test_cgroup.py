import math
import os
import threading
import time
from pathlib import Path

import pytest

from faaslab.worker.actions import Execute
from faaslab.worker.board import Board
from faaslab.worker.cgroup import (
    CGROUP,
    CpuLoss,
    CpuMeter,
    CpuReading,
    cpu_loss,
    cpu_share,
    memory_limit_bytes,
    memory_peak_bytes,
    oom_kills,
)
from faaslab.worker.execute import Executor

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
MIB = 2**20

V1 = {
    "cpu/cpu.cfs_quota_us": "10000\n",
    "cpu/cpu.cfs_period_us": "20000\n",
    "cpu/cpu.stat": "nr_periods 90\nnr_throttled 60\nthrottled_time 1500000000\n",
    "memory/memory.limit_in_bytes": f"{256 * MIB}\n",
    "memory/memory.max_usage_in_bytes": f"{200 * MIB}\n",
    "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
}
V2 = {
    "cpu.max": "10000 20000\n",
    "cpu.stat": "usage_usec 7000000\nuser_usec 5\nnr_periods 90\nnr_throttled 60\nthrottled_usec 1500000\n",
    "memory.max": f"{256 * MIB}\n",
    "memory.peak": f"{200 * MIB}\n",
    "memory.events": "low 0\nhigh 0\nmax 12\noom 4\noom_kill 3\noom_group_kill 0\n",
}
PROCESSES = {
    "thread-self/schedstat": "340548849 2500000000 67\n",
    "stat": "cpu  700 10 300 9000 40 20 30 50 6 0\ncpu0 350 5 150 4500 20 10 15 25 3 0\nintr 5 0 0\n",
}


def tree(folder: Path, files: dict[str, str]) -> Path:
    """Write files below a folder and return it."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize("files", [V1, V2], ids=["v1", "v2"])
def test_counters_of_both_versions(tmp_path: Path, files: dict[str, str]) -> None:
    """Nanoseconds of version 1 and microseconds of version 2 come out as the same seconds, bytes as bytes."""
    cgroup = tree(tmp_path / "cgroup", files)
    reading = CpuMeter(cgroup, tree(tmp_path / "proc", PROCESSES)).read()
    assert reading == CpuReading(1.5, 2.5, 50 * TICK_S, (700 + 10 + 300 + 20 + 30) * TICK_S)
    assert memory_limit_bytes(cgroup) == 256 * MIB
    assert memory_peak_bytes(cgroup) == 200 * MIB
    assert oom_kills(cgroup) == 3
    assert cpu_share(cgroup) == 0.5


def test_a_kept_meter_reads_anew(tmp_path: Path) -> None:
    """Files are opened once and read each time."""
    meter = CpuMeter(tree(tmp_path, V2), tree(tmp_path, PROCESSES))
    assert meter.read().throttled_s == 1.5
    tree(tmp_path, {"cpu.stat": "throttled_usec 2000000\n", "thread-self/schedstat": "1 3000000000 1\n"})
    assert (meter.read().throttled_s, meter.read().waiting_s) == (2.0, 3.0)


def test_a_system_without_these_files(tmp_path: Path) -> None:
    """Nothing is measured, and nothing is made up."""
    assert CpuMeter(tmp_path, tmp_path).read() == CpuReading()
    assert (memory_limit_bytes(tmp_path), memory_peak_bytes(tmp_path), oom_kills(tmp_path)) == (None, None, None)
    assert cpu_share(tmp_path) == math.inf


@pytest.mark.parametrize("text", ["", "\n", "\0\0\0", "throttled_time much\n", "cpu  1 2 x\n", "7\n"])
def test_damaged_files(tmp_path: Path, text: str) -> None:
    """What makes no sense counts as not known."""
    cgroup = tree(tmp_path / "cgroup", {**dict.fromkeys(V1, text), "memory/memory.limit_in_bytes": "1000"})
    meter = CpuMeter(cgroup, tree(tmp_path / "proc", dict.fromkeys(PROCESSES, text)))
    assert meter.read() == CpuReading()
    assert memory_peak_bytes(cgroup) == (7 if text == "7\n" else None)
    assert oom_kills(cgroup) is None


@pytest.mark.parametrize("unlimited", ["memory/memory.limit_in_bytes", "memory.max"])
def test_without_a_limit_memory_is_not_known(tmp_path: Path, unlimited: str) -> None:
    """The root of a version 1 hierarchy has a peak and kills, but they are the whole machine's."""
    files, limit = (V1, "9223372036854771712\n") if "/" in unlimited else (V2, "max\n")
    cgroup = tree(tmp_path, {**files, unlimited: limit})
    assert (memory_limit_bytes(cgroup), memory_peak_bytes(cgroup), oom_kills(cgroup)) == (None, None, None)


def test_kernels_that_know_less(tmp_path: Path) -> None:
    """Version 2 before Linux 5.19 has no peak, version 1 before 4.13 counts no kills."""
    new = tree(tmp_path / "2", {name: text for name, text in V2.items() if name != "memory.peak"})
    assert (memory_peak_bytes(new), oom_kills(new)) == (None, 3)
    old = tree(tmp_path / "1", V1 | {"memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\n"})
    assert (memory_peak_bytes(old), oom_kills(old)) == (200 * MIB, None)


@pytest.mark.parametrize(
    ("throttled_s", "waiting_s", "stolen_s", "expected"),
    [
        (2.0, 2.0, 0.0, CpuLoss(2.0, 0.0, 0.0)),
        (0.0, 1.5, 0.0, CpuLoss(0.0, 1.5, 0.0)),
        (2.0, 2.5, 0.0, CpuLoss(2.0, 0.5, 0.0)),
        (5.0, 2.0, 0.0, CpuLoss(5.0, 0.0, 0.0)),
        (0.0, 99.0, 0.0, CpuLoss(0.0, 4.0, 0.0)),
        (0.0, 0.0, 0.8, CpuLoss(0.0, 0.0, 0.2)),
    ],
    ids=["quota", "contention", "both", "many threads", "no longer than it took", "its part of the steal"],
)
def test_what_a_task_lost(throttled_s: float, waiting_s: float, stolen_s: float, expected: CpuLoss) -> None:
    """The wait in the run queue is split into quota and contention; steal is shared by CPU seconds."""
    before = CpuReading(10.0, 20.0, 30.0, 40.0)
    after = CpuReading(10.0 + throttled_s, 20.0 + waiting_s, 30.0 + stolen_s, 48.0)
    loss = cpu_loss(before, after, duration_s=4.0, cpu_s=2.0)
    assert (loss.throttled_s, loss.queued_s, loss.steal_s) == pytest.approx(
        (expected.throttled_s, expected.queued_s, expected.steal_s)
    )


@pytest.mark.parametrize(
    ("throttled_s", "waiting_s", "share", "queued_s"),
    [(1.0, 2.0, 0.5, 0.0), (1.0, 2.5, 0.5, 0.5), (3.0, 3.5, 0.5, 0.5), (0.0, 1.5, 0.5, 1.5), (1.0, 2.0, 2.0, 1.0)],
    ids=["instead of the quota", "beyond the quota", "throttled for longer", "never throttled", "more than one CPU"],
)
def test_queueing_that_the_quota_explains(throttled_s: float, waiting_s: float, share: float, queued_s: float) -> None:
    """Under a quota of half a CPU, two seconds of work take four, whether throttled or in the queue for two."""
    after = CpuReading(throttled_s, waiting_s)
    assert cpu_loss(CpuReading(), after, duration_s=9.0, cpu_s=2.0, share=share).queued_s == pytest.approx(queued_s)


@pytest.mark.parametrize("said", ["-1", "max 100000", "0", "many"])
def test_without_a_quota(tmp_path: Path, said: str) -> None:
    """No quota, in the words of either version, is not a share."""
    v1 = tree(tmp_path / "1", {"cpu/cpu.cfs_quota_us": said, "cpu/cpu.cfs_period_us": "100000"})
    assert cpu_share(v1) == cpu_share(tree(tmp_path / "2", {"cpu.max": said})) == math.inf


def test_steal_is_never_more_than_was_stolen() -> None:
    """Ticks may show steal but hardly any work, or none; counters that jump back show nothing."""
    before = CpuReading(1.0, 1.0, 1.0, 1.0)
    assert cpu_loss(before, CpuReading(1.0, 1.0, 1.01, 1.01), duration_s=1.0, cpu_s=0.5).steal_s == pytest.approx(0.01)
    assert cpu_loss(before, CpuReading(1.0, 1.0, 1.01, 1.0), duration_s=1.0, cpu_s=0.5) == CpuLoss()
    assert cpu_loss(before, CpuReading(), duration_s=1.0, cpu_s=0.5) == CpuLoss()


@pytest.mark.skipif(not Path("/proc/thread-self/schedstat").exists(), reason="needs Linux with schedstat")
def test_waiting_for_a_cpu_is_measured_for_the_own_thread() -> None:
    """Two threads of which one CPU runs one at a time, without the lock of Python between them."""
    import zlib

    data = os.urandom(MIB)
    before_cpus = os.sched_getaffinity(0)
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            zlib.compress(data, 6)  # releases the interpreter's lock

    os.sched_setaffinity(0, {min(before_cpus)})
    other = threading.Thread(target=busy)
    try:
        meter = CpuMeter()
        other.start()
        before, began_s = meter.read(), time.monotonic()
        while time.monotonic() < began_s + 0.4:
            zlib.compress(data, 6)
        waited_s = meter.read().waiting_s - before.waiting_s
    finally:
        stop.set()
        other.join()
        os.sched_setaffinity(0, before_cpus)
    assert waited_s > 0.1


def test_a_reading_costs_little() -> None:
    """Two readings a task must not be seen in it: the best of some is well below 50 µs."""
    meter = CpuMeter()

    def took_s() -> float:
        began_s = time.perf_counter()
        meter.read()
        return time.perf_counter() - began_s

    assert min(took_s() for _ in range(100)) < 50e-6


def test_closed_files_are_no_failure() -> None:
    """User code may close every file it does not know."""
    meter = CpuMeter(CGROUP)
    for descriptor in (meter._cpu, meter._thread, meter._machine):
        if descriptor is not None:
            os.close(descriptor)
    assert meter.read() == CpuReading()


def test_the_executor_tells_what_a_task_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Differences of two readings around user code are in its outcome."""
    readings = iter([CpuReading(1.0, 2.0, 3.0, 4.0), CpuReading(1.25, 2.75, 3.0, 4.0)])
    monkeypatch.setattr(CpuMeter, "read", lambda self: next(readings))
    log = os.memfd_create("log")
    executor = Executor(Board(), log, 1000)
    outcome = executor(Execute(0, "nap#0", "run", "i", 1, 0, True, time.sleep, (0.6,), {}, None))
    assert outcome.error is None
    assert (outcome.throttled_s, outcome.queued_s, outcome.steal_s) == pytest.approx((0.25, 0.5, 0.0))
    os.close(log)
