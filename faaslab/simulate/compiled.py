"""The event loop compiled by numba (extra ``fast``): the same results, faster, after seconds of compiling once.

What was compiled is cached in numba's cache folder. Columns are numpy arrays here; a placement is converted once and
run any number of times, which is what Monte Carlo does.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from faaslab.errors import ConfigError
from faaslab.simulate import kernel
from faaslab.simulate.draws import Draws
from faaslab.simulate.placement import SECONDS, Placement
from faaslab.simulate.simulation import Simulation, run_columns


def compiled(placement: Placement) -> Placement:
    """Return a placement whose columns are arrays: what ``run_compiled`` takes.

    Raises:
        ConfigError: numba is not installed.
    """
    _loop()
    flat = replace(placement.flat, arrays=tuple(map(_column, placement.flat.arrays)))
    return replace(
        placement,
        flat=flat,
        exec_s=_column(placement.exec_s),
        arrays=tuple(
            _column(values, float if number in SECONDS else None) for number, values in enumerate(placement.arrays)
        ),
        changing=tuple(map(_column, placement.changing)),
    )


def run_compiled(placement: Placement, draws: Draws | None = None) -> Simulation:
    """Run a placement that ``compiled`` has returned; the result equals that of ``run_placement`` exactly.

    Raises:
        ConfigError: numba is not installed.
        PlanError: The plan can't be run.
    """
    return run_columns(placement, draws, _loop(), _column, _filled)


def _column(values: Sequence[Any], kind: type[Any] | None = None) -> Any:
    import numpy as np

    # An empty list has no type of its own, and another type would be compiled once more.
    return np.asarray(values, kind if kind or len(values) else int)


def _filled(count: int, value: Any) -> Any:
    import numpy as np

    return np.full(count, value)


@cache
def _loop() -> Callable[..., Any]:
    """Return the compiled loop: compiling takes seconds, and reading it from the cache a good part of one."""
    try:
        import numba
    except ImportError:
        raise ConfigError("the compiled simulator needs numba: pip install 'faaslab[fast]'") from None
    loop: Callable[..., Any] = numba.njit(cache=True)(kernel.run_events)
    return loop
