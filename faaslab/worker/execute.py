"""Running user code in a worker process: measured, its output captured, every way of ending turned into an outcome."""

import os
import resource
import sys
import time
import traceback
from typing import Any

from faaslab.graph.functions import call
from faaslab.protocol.report import printable
from faaslab.worker.actions import Execute, Outcome
from faaslab.worker.board import Board
from faaslab.worker.cgroup import CpuMeter, cpu_loss, oom_kills

_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Executor:
    """Runs tasks in this process; made by the thread that it is called from, whose CPU time it measures.

    Args:
        board: Where the supervisor sees what is being executed.
        log: File descriptor that standard output and error were redirected to.
        log_bytes: How much of a task's output is kept, its end.
    """

    def __init__(self, board: Board, log: int, log_bytes: int) -> None:
        self._board = board
        self._log = log
        self._log_bytes = log_bytes
        self._meter = CpuMeter()
        self._oom_kills = oom_kills() or 0

    def __call__(self, action: Execute) -> Outcome:
        """Run one task; never raises."""
        start = os.fstat(self._log).st_size
        self._board.begin(action, start)
        value: Any = None
        error: BaseException | None = None
        text = ""
        before = self._meter.read()
        began_cpu_s = time.process_time()
        began_s = time.perf_counter()
        try:
            value = call(action.function, action.args, action.kwargs, action.outputs)
        except BaseException as raised:  # sys.exit and KeyboardInterrupt end a task, not its worker
            error = raised
            text = remote_traceback(raised) + self._killed_for_memory()
        duration_s = time.perf_counter() - began_s
        cpu_s = time.process_time() - began_cpu_s
        meter = self._meter
        loss = cpu_loss(before, meter.read(), duration_s=duration_s, cpu_s=cpu_s, share=meter.share)
        self._board.end()
        flush_output()
        logs, dropped = "", 0
        if os.fstat(self._log).st_size != start:
            logs, dropped = read_log(self._log, start, self._log_bytes)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT
        return Outcome(
            value,
            error,
            text,
            duration_s,
            cpu_s,
            peak,
            logs,
            dropped,
            loss.throttled_s,
            loss.queued_s,
            loss.steal_s,
        )

    def _killed_for_memory(self) -> str:
        """Return what to say if processes that user code had started were killed, which it may not have noticed."""
        before, self._oom_kills = self._oom_kills, oom_kills() or 0
        killed = self._oom_kills - before
        if killed <= 0:
            return ""
        return f"(The kernel killed {killed} process(es) of this container for want of memory meanwhile.)\n"


def remote_traceback(error: BaseException) -> str:
    """Return the traceback of user code as text, without the engine's own frames."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith(("faaslab.", "asyncio.")):
        trace = trace.tb_next
    return printable("".join(traceback.format_exception(type(error), error, trace)))


def flush_output() -> None:
    """Write out what user code left in Python's buffers."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # user code may have closed it
            continue


def read_log(log: int, start: int, limit_bytes: int) -> tuple[str, int]:
    """Return the end of what was written since ``start``, and how many bytes before it were dropped.

    The file is emptied when it has grown to many times the limit, so that a chatty worker does not fill memory.
    """
    end = os.fstat(log).st_size
    if end < start:
        start = 0  # emptied meanwhile by the supervisor
    begin = max(start, end - limit_bytes)
    text = os.pread(log, end - begin, begin).decode(errors="replace")
    if end > 16 * limit_bytes:
        os.ftruncate(log, 0)
    return text, begin - start
