"""Placing and running compiled by numba (extra ``fast``): the same results, faster, after seconds of compiling once.

What was compiled is cached in numba's cache folder. Columns are numpy arrays here::

    flat = compiled_dag(FlatDag.of(dag, estimates))     # once
    placed = place_compiled(flat, plan, platform)       # for each plan
    simulation = run_compiled(placed, draws)            # for each draw
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from faaslab.errors import ConfigError
from faaslab.model.platform import Platform
from faaslab.plan import Plan
from faaslab.simulate import kernel
from faaslab.simulate.draws import Draws
from faaslab.simulate.flat import FlatDag
from faaslab.simulate.placement import Layout, Placement, arrange, place_columns, place_layout
from faaslab.simulate.simulation import Simulation, run_columns


def compiled_dag(flat: FlatDag) -> FlatDag:
    """Return a DAG whose columns are arrays: what ``place_compiled`` takes."""
    return replace(
        flat,
        arrays=tuple(map(_column, flat.arrays)),
        successors=tuple(map(_column, flat.successors)),
        visible=_column(flat.visible),
        _columns={},
    )


def place_compiled(flat: FlatDag, plan: Plan, platform: Platform) -> Placement:
    """Return a placement whose columns are arrays; else as ``place``.

    Raises:
        ConfigError: numba is not installed, or an execution time is negative or not a number.
        PlanError: The plan has another number of tasks.
    """
    return place_columns(flat, plan, platform, _loops()[0], _column, _filled)


def place_layout_compiled(flat: FlatDag, layout: Layout, platform: Platform) -> Placement:
    """Return the placement of a layout, its columns arrays; see ``place_compiled``."""
    return place_layout(flat, layout, platform, _loops()[0], _column, _filled)


def run_compiled(placement: Placement, draws: Draws | None = None) -> Simulation:
    """Run a placement of ``place_compiled``; the result equals that of ``run_placement`` exactly.

    Raises:
        ConfigError: numba is not installed, or an estimate of how times scatter is out of its range.
        PlanError: The plan can't be run.
    """
    return next(run_all_compiled(placement, [draws]))


def run_all_compiled(placement: Placement, runs: Sequence[Draws | None]) -> Iterator[Simulation]:
    """Run a placement of ``place_compiled`` with the luck of each run; see ``run_compiled``."""
    return run_columns(placement, runs, _loops()[1], _column, _filled)


def _column(values: Any) -> Any:
    import numpy as np

    # An empty list has no type of its own, and with another one all would be compiled once more.
    return values if isinstance(values, np.ndarray) else np.asarray(values, None if len(values) else int)


def _filled(count: int, value: Any) -> Any:
    import numpy as np

    return np.full(count, value)


@cache
def _loops() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return ``arrange`` and ``run_events`` compiled: the first call of each takes seconds, with its cache less."""
    try:
        import numba
    except ImportError:
        raise ConfigError("the compiled simulator needs numba: pip install 'faaslab[fast]'") from None
    numba.extending.register_jitable(kernel.run_stream)
    compile_ = numba.njit(cache=True)
    return compile_(arrange), compile_(kernel.run_events)
