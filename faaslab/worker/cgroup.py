"""What the kernel says of a worker's own CPU and memory: how long it was held up and by what, how much it used.

A task that computes for a second of CPU may take longer for three reasons, and a figure must not mix them up:

=============  ===========================================================  ======================================
lost to        what it means                                                where the kernel counts it
=============  ===========================================================  ======================================
the quota      the worker is as small as its size says: wanted              ``cpu.stat`` of the own cgroup
other work     more was ready to run than there are CPUs: spoils a result   ``schedstat`` of the thread, field 2
hypervisor     other guests of the same machine: spoils a result            ``/proc/stat``, ``steal``
=============  ===========================================================  ======================================

The run queue does not tell the first two apart: a thread whose cgroup is throttled waits in it. For one thread its wait
is the throttled time plus that for others (measured on Linux 6.18: equal to within 1 ms), hence ``queued_s`` in
``CpuLoss``. Everything is read from cgroups of version 1 or 2; what a system does not say is 0 or None.
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
"""Where a container finds its own cgroup; outside of one this is the root, which has neither limits nor quotas."""
PROC = Path("/proc")

_ENOUGH_BYTES = 512
"""More than any of the files says before what is wanted of it."""
_UNLIMITED_BYTES = 2**62
"""Version 1 says "no limit" with a number: the largest one that is a whole number of pages."""
_NS_PER_S = 1e9
_US_PER_S = 1e6


@dataclass(frozen=True, slots=True)
class CpuReading:
    """Counters that only grow, in seconds; what counts is the difference of two.

    Attributes:
        throttled_s: The own cgroup was held back by its quota, summed over CPUs.
        waiting_s: The reading thread was ready to run but did not.
        steal_s: The hypervisor ran somebody else, summed over all CPUs of the machine.
        busy_s: All CPUs of the machine ran anything at all.
    """

    throttled_s: float = 0.0
    waiting_s: float = 0.0
    steal_s: float = 0.0
    busy_s: float = 0.0


@dataclass(frozen=True, slots=True)
class CpuLoss:
    """Why a task took longer than its work.

    Attributes:
        throttled_s: Held back by the quota of the worker's size. All processes of the container together, summed over
            CPUs: with several threads it may exceed the task's duration.
        queued_s: Waited for a CPU that others had: the thread's wait beyond what the quota explains. That is
            ``throttled_s``, or more: in a period in which others had the CPU, less of the quota is used up, so the
            thread queues when it would have been throttled otherwise, and loses nothing. Only the thread that executes
            the task is watched; and where several of a container's threads were throttled at once, this is too little,
            never too much.
        steal_s: Share of the hypervisor's steal, an estimate: the machine's steal is counted in ticks (10 ms) and for
            all processes together, so each CPU second that the machine ran is taken to have lost the same.
    """

    throttled_s: float = 0.0
    queued_s: float = 0.0
    steal_s: float = 0.0


def cpu_loss(
    before: CpuReading, after: CpuReading, *, duration_s: float, cpu_s: float, share: float = math.inf
) -> CpuLoss:
    """Return what a task lost between two readings.

    Args:
        before: Read before it began.
        after: Read after it ended.
        duration_s: How long it took; it can't have waited for longer.
        cpu_s: How much CPU time it used: its part in what all that ran lost to the hypervisor.
        share: The quota, in CPUs.
    """
    throttled_s = max(0.0, after.throttled_s - before.throttled_s)
    waiting_s = max(0.0, after.waiting_s - before.waiting_s)
    stolen_s = max(0.0, after.steal_s - before.steal_s)
    busy_s = after.busy_s - before.busy_s
    explained_s = throttled_s
    if throttled_s and share < 1:
        explained_s = max(throttled_s, cpu_s / share - cpu_s)
    return CpuLoss(
        throttled_s,
        queued_s=min(duration_s, max(0.0, waiting_s - explained_s)),
        # Ticks are coarse: a short task may see one of steal and none of work.
        steal_s=min(duration_s, stolen_s, stolen_s * cpu_s / busy_s) if busy_s > 0 else 0.0,
    )


class CpuMeter:
    """Reads the counters of the calling thread and of its cgroup; about 10 µs a reading.

    Attributes:
        share: The quota of the own cgroup when this was made, in CPUs; infinite if there is none.

    It is made in the process and thread that it is to measure: files of ``/proc`` stay those of who opened them.

    Args:
        cgroup: Folder of the own cgroup.
        proc: Folder of the process file system.
    """

    def __init__(self, cgroup: Path = CGROUP, proc: Path = PROC) -> None:
        self._cpu = _open(cgroup / "cpu" / "cpu.stat")
        self._throttled = (b"throttled_time", _NS_PER_S)
        if self._cpu is None:
            self._cpu = _open(cgroup / "cpu.stat")
            self._throttled = (b"throttled_usec", _US_PER_S)
        self._thread = _open(proc / "thread-self" / "schedstat")
        self._machine = _open(proc / "stat")
        self._tick_s = 1.0 / os.sysconf("SC_CLK_TCK")
        self.share = cpu_share(cgroup)

    def read(self) -> CpuReading:
        """Return what the counters say now; 0 for those that are not there or make no sense."""
        key, per_s = self._throttled
        waited = _numbers(_read(self._thread), 3)
        # user nice system idle iowait irq softirq steal: guests are counted as user already.
        user, nice, system, _, _, irq, softirq, steal = _numbers(_read(self._machine).partition(b" ")[2], 8)
        return CpuReading(
            throttled_s=(_keyed(_read(self._cpu), key) or 0) / per_s,
            waiting_s=waited[1] / _NS_PER_S,
            steal_s=steal * self._tick_s,
            busy_s=(user + nice + system + irq + softirq) * self._tick_s,
        )


def cpu_share(cgroup: Path = CGROUP) -> float:
    """Return how many CPUs the quota of the own cgroup allows; infinite if there is none."""
    first, second = _first(cgroup, "cpu/cpu.cfs_quota_us"), _first(cgroup, "cpu/cpu.cfs_period_us")
    if not first:
        first, _, second = _first(cgroup, "cpu.max").partition(b" ")
    quota, period = _number(first), _number(second)
    return quota / period if quota is not None and quota > 0 and period else math.inf


def memory_limit_bytes(cgroup: Path = CGROUP) -> int | None:
    """Return how much memory the own container may use; None: there is no limit, or nobody says."""
    limit = _number(_first(cgroup, "memory/memory.limit_in_bytes", "memory.max"))
    return limit if limit is not None and limit < _UNLIMITED_BYTES else None


def memory_peak_bytes(cgroup: Path = CGROUP) -> int | None:
    """Return the most memory that the own container has used; None: it has no limit, or the kernel does not say.

    Without a limit, this may not be the cgroup of a container but of the whole machine. Version 2 knows its peak from
    Linux 5.19 on.
    """
    if memory_limit_bytes(cgroup) is None:
        return None
    return _number(_first(cgroup, "memory/memory.max_usage_in_bytes", "memory.peak"))


def oom_kills(cgroup: Path = CGROUP) -> int | None:
    """Return how many processes of the own container the kernel has killed for want of memory.

    None: it has no limit (see ``memory_peak_bytes``), or the kernel does not say: version 1 does from Linux 4.13 on.
    """
    if memory_limit_bytes(cgroup) is None:
        return None
    return _keyed(_first(cgroup, "memory/memory.oom_control", "memory.events"), b"oom_kill")


def _open(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY)
    except OSError:
        return None


def _read(descriptor: int | None) -> bytes:
    """Return the beginning of a file that is open; nothing if user code has closed it."""
    if descriptor is None:
        return b""
    try:
        return os.pread(descriptor, _ENOUGH_BYTES, 0)
    except OSError:
        return b""


def _first(cgroup: Path, *names: str) -> bytes:
    """Return the content of the first of these files that is there."""
    for name in names:
        try:
            return (cgroup / name).read_bytes()
        except OSError:
            continue
    return b""


def _number(text: bytes) -> int | None:
    try:
        return int(text)
    except ValueError:  # "max", or damaged
        return None


def _numbers(text: bytes, count: int) -> tuple[int, ...]:
    """Return the first numbers of a line, zeros if it does not begin with so many."""
    try:
        found = tuple(map(int, text.split(None, count)[:count]))
    except ValueError:
        found = ()
    return found if len(found) == count else (0,) * count


def _keyed(text: bytes, key: bytes) -> int | None:
    """Return the number beside a key, one pair a line."""
    for line in text.splitlines():
        name, _, value = line.partition(b" ")
        if name == key:
            return _number(value)
    return None
