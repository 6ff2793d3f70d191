"""Processes that must not outlive the one that started them."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

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


def dying_with_parent() -> Callable[[], None] | None:
    """Return what the child runs between fork and exec so that the kernel kills it when we die; None where it can't.

    Everything is looked up here, before the fork: between fork and exec only two system calls happen, which take no
    lock that another thread of ours might have held.
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl, parent, kill_signal = ctypes.CDLL(None, use_errno=True).prctl, os.getpid(), int(signal.SIGKILL)
    prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong]
    get_parent, leave = os.getppid, os._exit

    def arrange() -> None:
        prctl(_PR_SET_PDEATHSIG, kill_signal, 0, 0, 0)
        if get_parent() != parent:
            leave(1)  # it died before we could ask

    return arrange
