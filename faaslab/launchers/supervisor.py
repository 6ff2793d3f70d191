"""The process that looks after a worker: renews its lease, enforces timeouts, reports how it died.

::

    launcher ── exec ──► supervisor ── fork ──► child: state machine, store connection, user code, kept outputs
                           │  ▲                   │
                  lease, stop  └── shared board ──┘   (what is executed, since when, how long it may take)

User code that holds the interpreter lock for a minute, or crashes it, does not touch the supervisor. Started as
``python -m faaslab.launchers.supervisor`` with a ``Launch`` as JSON on standard input: secrets are in no argument list.
"""

import time

_BOOTED_S = time.time()

import contextlib  # noqa: E402  the import phase of a cold start is measured from here
import fcntl  # noqa: E402
import os  # noqa: E402
import select  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
import traceback  # noqa: E402
from dataclasses import dataclass, replace  # noqa: E402

import msgspec  # noqa: E402

from faaslab.errors import Fenced, StorageError  # noqa: E402
from faaslab.protocol.messages import Claim, Failure, size_of_pool  # noqa: E402
from faaslab.protocol.report import ErrorReport  # noqa: E402
from faaslab.protocol.storage import Storage  # noqa: E402
from faaslab.protocol.tether import die_with_parent  # noqa: E402
from faaslab.storage.redis import RedisStorage  # noqa: E402
from faaslab.worker.actions import ContainerSettings  # noqa: E402
from faaslab.worker.board import Board, Work  # noqa: E402
from faaslab.worker.execute import Executor, read_log  # noqa: E402
from faaslab.worker.lifecycle import Worker  # noqa: E402

IN_WORKER = "FAASLAB_IN_WORKER"
"""Set in the environment of user code: a task can't start runs of its own."""

_SHORTEST_WAIT_S = 0.01
_CONFIRM_S = 0.1
"""Work that is still executed so long after it was first found unwanted is killed."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What a launcher tells a supervisor.

    Attributes:
        parent: Process id of the launcher; the supervisor dies with it. 0: it is not tethered.
        search_path: Folders for ``sys.path``, so that modules beside the notebook are found.
    """

    settings: ContainerSettings
    store_url: str
    lab: str
    storage_timeout_s: float
    heartbeat_s: float
    log_bytes: int
    parent: int
    search_path: tuple[str, ...] = ()


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

    def watch(self) -> int:
        """Watch until the child has ended; returns the exit status for the launcher."""
        descriptor = os.pidfd_open(self._child)
        beat_s = time.monotonic() + self._launch.heartbeat_s
        while True:
            work = self._board.read()
            wait_s = beat_s - time.monotonic()
            if work is not None and work.timeout_s != float("inf"):
                wait_s = min(wait_s, max(_SHORTEST_WAIT_S, work.began_s + work.timeout_s - time.monotonic()))
            if select.select([descriptor], [], [], max(0.0, wait_s))[0]:
                return self._ended()
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
        ran_s = time.monotonic() - work.began_s
        self._report(
            work, "timeout", f"it ran {ran_s:.2f} s, more than its timeout_s of {work.timeout_s:g} s, and was killed"
        )
        self._storage.remove(self._container, "killed")
        return 0

    def _ended(self) -> int:
        """Tell the store how the child ended."""
        _, status = os.waitpid(self._child, 0)
        kill_group(self._child)
        code = os.waitstatus_to_exitcode(status)
        work = self._board.read()
        if work is not None and code != -signal.SIGKILL:
            how = f"exited with status {code}" if code >= 0 else f"died of {signal_name(-code)}"
            self._report(work, "exit", f"the process that ran it {how}")
        if work is not None or code != 0:
            # Killed from outside (or between tasks): not the task's fault, the invocation is dispatched again.
            self._storage.remove(self._container, "killed")
        if work is None and code > 0:
            # Not user code but the engine failed: whoever started the lab should see why.
            sys.stderr.write(read_log(self._log, 0, self._launch.log_bytes)[0])
        # The launcher takes other statuses for a container that could not be started.
        return 0 if code == 0 or self._board.used else 1

    def _report(self, work: Work, kind: str, message: str) -> None:
        """Fail the current task in the child's place."""
        settings = self._launch.settings
        logs, _ = read_log(self._log, work.log_start, self._launch.log_bytes)
        claim = Claim(work.run, work.invocation, work.attempt, self._container)
        size_mib = size_of_pool(settings.pool)
        report = ErrorReport(work.task, kind, work.attempt, self._container, size_mib, message, logs=logs)
        failure = Failure(
            claim,
            work.task,
            message,
            report.encode(),
            work.retries,
            backoff_s=settings.retry_backoff_s,
            backoff_cap_s=settings.retry_backoff_cap_s,
            leaves=True,
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
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ[IN_WORKER] = launch.settings.container
    sys.path[:0] = [folder for folder in launch.search_path if folder not in sys.path]
    storage = RedisStorage(launch.store_url, launch.lab, timeout_s=launch.storage_timeout_s)
    Worker.start_worker_lifecycle(launch.settings, storage, Executor(board, log, launch.log_bytes))
    return 0


def main() -> int:
    """Read the launch, fork the child, watch it."""
    launch = msgspec.json.decode(sys.stdin.buffer.read(), type=Launch)
    if launch.parent:
        die_with_parent(launch.parent, signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    now_s = time.time()
    settings = launch.settings
    offset_s = settings.clock_offset_s
    phases_s = {
        "launch": max(0.0, _BOOTED_S + offset_s - settings.launched_s),
        "import": now_s - _BOOTED_S,
    }
    if settings.ready_s:
        phases_s["emulated"] = max(0.0, settings.ready_s - now_s - offset_s)
    launch = replace(launch, settings=replace(settings, phases_s=phases_s))
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
        return Supervisor(launch, storage, child, board, log).watch()
    except StorageError:
        # Without a store there is nobody to work for and nobody to tell.
        kill_group(child)
        return 1


if __name__ == "__main__":
    sys.exit(main())
