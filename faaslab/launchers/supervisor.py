"""The process that looks after a worker: renews its lease, enforces timeouts, reports how it died.

::

    launcher ── exec ──► supervisor ── fork ──► child: state machine, store connection, user code, kept outputs
                           │  ▲                   │
                  lease, stop  └── shared board ──┘   (what is executed, since when, how long it may take)

User code that holds the interpreter lock for a minute, or crashes it, does not touch the supervisor. Started as
``python -m faaslab.launchers.supervisor`` with a ``Launch`` as a line of JSON on standard input: secrets are in no
argument list. With ``Launch.held`` it then says ``ready`` on standard output and waits for ``go``, so that limits can
be put on it once it has booted; it says ``left`` before it ends by its own decision; the end of its input ends it.
"""

import time

_BOOTED_S = time.time()

import contextlib  # noqa: E402  the import phase of a cold start is measured from here
import fcntl  # noqa: E402
import math  # noqa: E402
import os  # noqa: E402
import select  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
import traceback  # noqa: E402
from dataclasses import dataclass, replace  # noqa: E402

import msgspec  # noqa: E402

from faaslab.config import SIZE_VARIABLE  # noqa: E402
from faaslab.errors import Fenced, StorageError  # noqa: E402
from faaslab.protocol.emulation import Emulation  # noqa: E402
from faaslab.protocol.launcher import IN_WORKER  # noqa: E402
from faaslab.protocol.messages import Claim, Failure, pool_of, size_of_pool  # noqa: E402
from faaslab.protocol.report import ErrorReport  # noqa: E402
from faaslab.protocol.storage import Storage  # noqa: E402
from faaslab.protocol.tether import die_with_parent  # noqa: E402
from faaslab.storage.network import NetworkProfile, NetworkStorage  # noqa: E402
from faaslab.storage.redis import RedisStorage  # noqa: E402
from faaslab.worker import cgroup  # noqa: E402
from faaslab.worker.actions import ContainerSettings, Turn  # noqa: E402
from faaslab.worker.board import Board, Work  # noqa: E402
from faaslab.worker.execute import Executor, read_log  # noqa: E402
from faaslab.worker.lifecycle import Worker  # noqa: E402

READY, GO, LEFT = b"ready\n", b"go\n", b"left\n"
FULL = 0.8
"""A container whose peak was below this part of its size did not run out of its own memory."""

_SHORTEST_WAIT_S = 0.01
_CONFIRM_S = 0.1
"""Work that is still executed so long after it was first found unwanted is killed."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What a launcher tells a supervisor.

    Attributes:
        parent: Process id of the launcher; the supervisor dies with it. 0: it lives as long as its input is open.
        held: Whether it waits for the launcher's word once it has booted.
        search_path: Folders for ``sys.path``, so that modules beside the notebook are found.
        memory_escalation: Sizes in MiB, rising; a task that ran out of memory is tried again at the next larger one.
    """

    settings: ContainerSettings
    store_url: str
    lab: str
    storage_timeout_s: float
    heartbeat_s: float
    log_bytes: int
    parent: int = 0
    held: bool = False
    search_path: tuple[str, ...] = ()
    memory_escalation: tuple[int, ...] = ()


class Supervisor:
    """Watches one child.

    Args:
        launch: What the launcher said.
        storage: The supervisor's own connection.
        child: Process id of the child.
        board: Memory shared with it.
        log: File that it prints into.
    """

    def __init__(self, launch: Launch, storage: Storage, child: int, board: Board, log: int) -> None:
        self._launch = launch
        self._storage = storage
        self._child = child
        self._board = board
        self._log = log
        self._container = launch.settings.container
        self._unwanted: Work | None = None
        self._killed_for_memory = cgroup.oom_kills() or 0

    def watch(self) -> int:
        """Watch until the child has ended; returns the exit status for the launcher."""
        descriptor = os.pidfd_open(self._child)
        heeded = [descriptor] if self._launch.parent else [descriptor, sys.stdin.fileno()]
        beat_s = time.monotonic() + self._launch.heartbeat_s
        while True:
            work = self._board.read()
            wait_s = beat_s - time.monotonic()
            if work is not None and work.timeout_s != float("inf"):
                wait_s = min(wait_s, max(_SHORTEST_WAIT_S, work.began_s + work.timeout_s - time.monotonic()))
            heard = select.select(heeded, [], [], max(0.0, wait_s))[0]
            if descriptor in heard:
                return self._ended()
            if heard:
                kill_group(self._child)
                return 0  # the launcher has gone: whoever follows it starts containers of its own
            work = self._board.read()
            if work is not None and time.monotonic() >= work.began_s + work.timeout_s:
                return self._timed_out(work)
            if time.monotonic() >= beat_s:
                pause_s = self._beat()
                if pause_s is None:
                    return self._kill("killed")
                beat_s = time.monotonic() + pause_s
                self._bound_log()

    def _beat(self) -> float | None:
        """Renew the lease; returns when to do so again, None if the child has to be killed: nobody wants its work."""
        pause_s = self._launch.heartbeat_s
        orders = self._storage.renew(self._container, self._launch.settings.lease_s)
        if not orders.known:
            # The first calls of the child may still be under way.
            return pause_s if time.time() < _BOOTED_S + self._launch.settings.lease_s else None
        # Work that just ended looks unwanted for a moment; what is still executed a little later has to be killed.
        unwanted = self._board.read() if orders.stop else None
        if unwanted is not None and unwanted == self._unwanted:
            return None
        self._unwanted = unwanted
        return pause_s if unwanted is None else min(pause_s, _CONFIRM_S)

    def _bound_log(self) -> None:
        """Empty a log that grows without end while a task runs."""
        if os.fstat(self._log).st_size > 64 * self._launch.log_bytes:
            os.ftruncate(self._log, 0)

    def _kill(self, reason: str) -> int:
        kill_group(self._child)
        os.waitpid(self._child, 0)
        self._storage.remove(self._container, reason)
        return 0

    def _timed_out(self, work: Work) -> int:
        kill_group(self._child)
        os.waitpid(self._child, 0)
        dilation = self._launch.settings.dilation
        ran_s, limit_s = (time.monotonic() - work.began_s) / dilation, work.timeout_s / dilation
        self._report(work, "timeout", f"it ran {ran_s:.2f} s, more than its timeout_s of {limit_s:g} s, and was killed")
        self._storage.remove(self._container, "killed")
        return 0

    def _ended(self) -> int:
        """Tell the store how the child ended."""
        _, status = os.waitpid(self._child, 0)
        kill_group(self._child)
        code = os.waitstatus_to_exitcode(status)
        work = self._board.read()
        if work is not None and code == -signal.SIGKILL and (cgroup.oom_kills() or 0) > self._killed_for_memory:
            self._report_memory(work)
        elif work is not None and code != -signal.SIGKILL and (code < 0 or work.executing):
            how = f"exited with status {code}" if code >= 0 else f"died of {signal_name(-code)}"
            self._report(work, "exit", f"the process that ran it {how}")
        if work is not None or code != 0:
            # Killed from outside (or between tasks): not the task's fault, the invocation is dispatched again.
            self._storage.remove(self._container, "killed")
        if code > 0 and not (work is not None and work.executing):
            # Not user code but the engine failed: whoever started the lab should see why.
            sys.stderr.write(read_log(self._log, 0, self._launch.log_bytes)[0])
        # The launcher takes other statuses for a container that could not be started.
        return 0 if code == 0 or self._board.used else 1

    def _report_memory(self, work: Work) -> None:
        """Fail a task whose container ran out of memory; a larger size may be left to try."""
        size_mib = size_of_pool(self._launch.settings.pool)
        image = self._launch.settings.pool.rsplit("/", 1)[0]
        larger = None
        if work.pure or work.retries:
            larger = next((size for size in self._launch.memory_escalation if size > size_mib), None)
        peak_bytes = cgroup.memory_peak_bytes() or 0
        pool = "" if larger is None else pool_of(image, larger)
        message = f"the kernel killed it for want of memory in a container of {size_mib} MiB"
        if peak_bytes:  # kernels before 5.19 don't say with cgroup v2
            message += f", whose peak was {peak_bytes / 2**20:.1f} MiB"
        if 0 < peak_bytes < FULL * size_mib * 2**20:
            message += "; it is the machine that ran out of memory: fewer or smaller containers at a time will help"
        self._report(work, "memory", message, peak_bytes=peak_bytes, pool=pool)

    def _report(self, work: Work, kind: str, message: str, *, peak_bytes: int = 0, pool: str = "") -> None:
        """Fail the current task in the child's place, unless it is another worker's."""
        if work.copy:
            return
        settings = self._launch.settings
        logs, _ = read_log(self._log, work.log_start, self._launch.log_bytes)
        claim = Claim(work.run, work.invocation, work.attempt, self._container)
        size_mib = size_of_pool(settings.pool)
        report = ErrorReport(
            work.task, kind, work.attempt, self._container, size_mib, message, logs=logs, peak_bytes=peak_bytes
        )
        failure = Failure(
            claim,
            work.task,
            message,
            report.encode(),
            work.retries,
            backoff_s=settings.retry_backoff_s,
            backoff_cap_s=settings.retry_backoff_cap_s,
            leaves=True,
            pool=pool,
        )
        try:
            self._storage.fail(failure)
        except Fenced:
            return  # somebody else owns it meanwhile


def signal_name(number: int) -> str:
    """Return how people call a signal."""
    known = [known.name for known in signal.Signals if known == number]
    return known[0] if known else f"signal {number}"


def kill_group(child: int) -> None:
    """Kill a child and whatever user code started in it and did not detach."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)


def run_child(launch: Launch, board: Board, log: int, supervisor: int) -> int:
    """Be the child: serve invocations until the container leaves; returns the exit status."""
    die_with_parent(supervisor)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    settings = launch.settings
    os.environ[IN_WORKER] = settings.container
    os.environ[SIZE_VARIABLE] = str(size_of_pool(settings.pool))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")  # out of memory, the child has to go: the supervisor tells why
    sys.path[:0] = [folder for folder in launch.search_path if folder not in sys.path]
    storage: Storage = RedisStorage(launch.store_url, launch.lab, timeout_s=launch.storage_timeout_s)
    if settings.emulation.slows_store:
        seed = f"{settings.emulation.seed}/{settings.container}"
        storage = NetworkStorage(storage, _network(settings.emulation), seed)
    sleep = time.sleep
    if settings.dilation != 1.0:
        # A task that sleeps does so in the user's seconds; the engine's own sleeps are real.
        time.sleep = lambda seconds: sleep(float(seconds) * settings.dilation)

    def turn(action: Turn | None) -> None:
        if action is None:
            board.clear()
        else:
            board.turn(action, os.fstat(log).st_size)

    execute = Executor(board, log, launch.log_bytes)
    Worker.start_worker_lifecycle(settings, storage, execute, turn=turn, sleep=sleep)
    return 0


def _network(emulation: Emulation) -> NetworkProfile:
    """Return the emulated way to the store."""
    return NetworkProfile(
        emulation.store_latency_s,
        emulation.upload_bytes_per_s or math.inf,
        emulation.download_bytes_per_s or math.inf,
        jitter=emulation.store_sigma,
    )


def _read_line() -> bytes:
    """Return the next line of the input, unbuffered; empty at its end."""
    line = b""
    while not line.endswith(b"\n"):
        # A launch is longer than a read; what follows it is only ever said after an answer.
        piece = os.read(0, 65536)
        if not piece:
            return b""
        line += piece
    return line


def main() -> int:
    """Read the launch, fork the child, watch it."""
    line = _read_line()
    if not line:
        return 1  # the launcher has gone
    launch = msgspec.json.decode(line, type=Launch)
    if launch.parent:
        die_with_parent(launch.parent, signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = launch.settings
    phases_s = dict(settings.phases_s)
    phases_s["boot"] = max(0.0, _BOOTED_S + settings.clock_offset_s - settings.launched_s - sum(phases_s.values()))
    phases_s["import"] = time.time() - _BOOTED_S
    launch = replace(launch, settings=replace(settings, phases_s=phases_s))
    if launch.held:
        os.write(1, READY)
        if _read_line() != GO:
            return 1
    log = os.memfd_create("faaslab-log")
    fcntl.fcntl(log, fcntl.F_SETFL, os.O_APPEND)  # so that emptying it works while the child writes
    board = Board()
    supervisor = os.getpid()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setpgid(0, 0)
            status = run_child(launch, board, log, supervisor)
        except BaseException:
            os.write(log, traceback.format_exc().encode(errors="replace"))
        finally:
            os._exit(status)
    with contextlib.suppress(OSError):  # whoever of the two comes first
        os.setpgid(child, child)

    def leave(*_: object) -> None:
        kill_group(child)
        os._exit(0)

    signal.signal(signal.SIGTERM, leave)  # from the launcher, or from the kernel when that has died
    storage = RedisStorage(launch.store_url, launch.lab, timeout_s=launch.storage_timeout_s)
    try:
        status = Supervisor(launch, storage, child, board, log).watch()
        if launch.held and status == 0:
            os.write(1, LEFT)
        return status
    except StorageError:
        # Without a store there is nobody to work for and nobody to tell.
        kill_group(child)
        return 1


if __name__ == "__main__":
    sys.exit(main())
