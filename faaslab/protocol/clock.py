"""Clocks: the wall, or a simulated one."""

import time
from typing import Protocol


class Clock(Protocol):
    """Where times come from."""

    def now_s(self) -> float:
        """Return seconds since the epoch."""


class WallClock:
    """The clock of this machine."""

    def now_s(self) -> float:
        """Return seconds since the epoch."""
        return time.time()
