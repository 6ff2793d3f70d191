"""Processes that must not outlive the one that started them."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int, kill_signal: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel send this process a signal when its parent dies.

    Linux only; elsewhere a process notices by its store or pipe that it is alone. The signal follows the parent's
    *thread* that started this process, so processes are started from main threads.

    Args:
        parent: Process id of the parent, as it was when it started this process.
        kill_signal: One that this process dies of, after tidying up or at once.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, kill_signal)
    if os.getppid() != parent:
        # It died before the kernel was told.
        os._exit(1)
