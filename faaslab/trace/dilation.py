"""Real and virtual seconds: a run slowed down to ``1/d`` of its platform's speed, told as if it had not been.

With dilation d, a launcher gives each worker ``1/d`` of its CPU quota and makes every delay that it emulates, every
time limit and every pause d times as long. Then d workers' worth of computing fits where one did, and a run of more
vCPUs than this machine has is not spoilt by their queueing for CPUs. Divided by d, its seconds are those of the
platform. CPU seconds stay: a task does the same work, however slowly.

What is not dilated looks d times as fast in virtual seconds: memory bandwidth and caches for the same work, the store
and the way to it, starts of containers, and the engine's own time between tasks (``overhead_real_s`` in the metrics is
in real seconds, to judge that by). Clocks that a task reads itself show real seconds, and whatever it waits for on its
own does not wait longer, but for ``time.sleep``, which workers lengthen.

Source: D. Gupta et al., "To Infinity and Beyond: Time-Warped Network Emulation", NSDI 2006 (there d slows the clock of
a whole virtual machine; here only quotas and emulated delays).
"""

from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any

import msgspec

from faaslab.trace.events import AnyEvent


class Unit(Enum):
    """What a field in seconds means, and thereby what dilation does to it."""

    INSTANT = "on the store's clock; 0: not known"
    DURATION = "how long something took, or a dict of such"
    CPU = "seconds of CPU"


UNITS: Mapping[str, Unit] = {
    "at_s": Unit.INSTANT,
    "requested_s": Unit.INSTANT,
    "duration_s": Unit.DURATION,
    "phases_s": Unit.DURATION,
    "throttled_s": Unit.DURATION,
    "queued_s": Unit.DURATION,
    "steal_s": Unit.DURATION,
    "cpu_s": Unit.CPU,
}
"""All fields of events whose names end in ``_s``."""


def to_virtual(event: AnyEvent, origin_s: float, dilation: float) -> AnyEvent:
    """Return an event as it would have been on the platform.

    Args:
        event: In real seconds.
        origin_s: The moment that stays where it is, when the run was submitted, on the store's clock.
        dilation: How many real seconds one virtual second took.
    """
    if dilation == 1.0:
        return event

    def virtual(name: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {phase: part / dilation for phase, part in value.items()}
        if UNITS[name] is Unit.INSTANT:
            return origin_s + (value - origin_s) / dilation if value else value
        return value / dilation

    changes = {name: virtual(name, getattr(event, name)) for name in _dilated(type(event))}
    return msgspec.structs.replace(event, **changes)


def dilation_of(settings: Mapping[str, Any]) -> float:
    """Return the dilation of a run with these settings (``Manifest.settings``); 1 for launchers without one."""
    launcher = settings.get("launcher")
    return float(launcher.get("dilation", 1.0)) if isinstance(launcher, Mapping) else 1.0


@cache
def _dilated(kind: type[AnyEvent]) -> tuple[str, ...]:
    """Return the fields of an event that dilation changes."""
    return tuple(name for name in kind.__struct_fields__ if UNITS.get(name, Unit.CPU) is not Unit.CPU)
