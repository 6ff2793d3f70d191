"""A DAG with its estimates as flat arrays: what is the same for all plans; see ``placement``."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain
from typing import Any, Self

from faaslab.config import Config
from faaslab.errors import ConfigError
from faaslab.graph.constants import Constant
from faaslab.graph.dag import DAG
from faaslab.model.estimates import Estimates
from faaslab.model.profiles import PlatformProfile
from faaslab.model.variation import Spread
from faaslab.plan import DagView


@dataclass(frozen=True, slots=True)
class FlatDag:
    """A DAG with its estimates, ready for any number of plans; make one with ``of``.

    Attributes:
        dag: The DAG.
        estimates: What is asked of its tasks.
        upstreams: Distinct upstream tasks of each task.
        successors: As rows: starts, tasks, and which number each edge has among all upstreams.
        output_bytes: Size of each output.
        arrays: Roots, upstreams as rows (starts and tasks), sinks and impure tasks as flags, sizes of frames.
        visible: Flags of tasks whose outputs are stored whoever needs them.
        constant_bytes: Size of the large constants of each task, which travel apart; empty: there are none.
        wire_bytes: About how large the DAG is when it is submitted.
    """

    dag: DagView
    estimates: Estimates
    upstreams: tuple[tuple[int, ...], ...]
    successors: tuple[list[int], ...]
    output_bytes: list[int]
    arrays: tuple[list[Any], ...]
    visible: list[int]
    constant_bytes: Sequence[int] = ()
    wire_bytes: int = 0
    _exec_s: dict[int, list[float | None]] = field(default_factory=dict, repr=False)
    _columns: dict[tuple[float, ...], tuple[Any, Any, Any]] = field(default_factory=dict, repr=False)
    _spreads: dict[int, list[Spread | None]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, dag: DagView, estimates: Estimates) -> Self:
        """Return the arrays of a DAG.

        Raises:
            ConfigError: An output size is negative or not a number.
        """
        tasks = range(len(dag))
        upstreams = tuple([tuple(dag.upstreams(task)) for task in tasks])
        up_from = list(accumulate(map(len, upstreams), initial=0))
        up_task = list(chain.from_iterable(upstreams))
        out_from = [0] * (len(upstreams) + 1)
        for upstream in up_task:
            out_from[upstream + 1] += 1
        out_from = list(accumulate(out_from))
        free = out_from[:]
        out_task = [0] * len(up_task)
        out_edge = [0] * len(up_task)
        edge = 0
        for task, row in enumerate(upstreams):
            for upstream in row:
                at = free[upstream]
                out_task[at] = task
                out_edge[at] = edge
                free[upstream] = at + 1
                edge += 1
        sizes = [estimates.output_bytes(task) for task in tasks]
        for task, size in enumerate(sizes):
            if not 0 <= size < math.inf:
                raise ConfigError(
                    f"task {dag.ids[task]!r}: its output is estimated at {size} bytes, must be 0 or more and finite"
                )
        output_bytes = [round(size) for size in sizes]
        is_sink = [0] * len(dag)
        for task in dag.sinks:
            is_sink[task] = 1
        impure = [int(not getattr(dag.options(task), "pure", True)) for task in tasks]
        visible = [int(sink or has_effects) for sink, has_effects in zip(is_sink, impure, strict=True)]
        frames = [float(size) for size in output_bytes]
        arrays = (list(dag.roots), up_from, up_task, is_sink, impure, frames)
        rows = (out_from, out_task, out_edge)
        return cls(dag, estimates, upstreams, rows, output_bytes, arrays, visible, *_constants(dag))

    def times(
        self, profile: PlatformProfile, inline_bytes: int, column: Callable[[Sequence[Any]], Any]
    ) -> tuple[Any, Any, Any]:
        """Return what of each task's time no plan changes.

        That is what its output takes to be stored: before the call that tells of it, and within it; and what comes
        before its inputs: the engine's own work, telling that it begins if it is not pure, and its large constants.
        """
        latency_s, store_s, task_s = profile.store_latency_s, profile.store_s, profile.task_s
        up_s, down_s = byte_s(profile.upload_bytes_per_s), byte_s(profile.download_bytes_per_s)
        key = (latency_s, store_s, task_s, up_s, down_s, float(inline_bytes))
        if key not in self._columns:
            sizes = self.output_bytes
            blob_s = [store_s + (latency_s + size * up_s if size > inline_bytes else 0.0) for size in sizes]
            frame_s = [0.0 if size > inline_bytes else size * up_s for size in sizes]
            base_s = [task_s + has_effects * latency_s for has_effects in listed(self.arrays[4])]
            for task, size in enumerate(self.constant_bytes):
                base_s[task] += latency_s + size * down_s if size else 0.0
            self._columns[key] = (column(blob_s), column(frame_s), column(base_s))
        return self._columns[key]

    def exec_s(self, sizes_mib: Sequence[int]) -> list[float]:
        """Return the execution time of each task at its size.

        Raises:
            ConfigError: One is negative or not a number.
        """
        result: list[float] = []
        for size_mib in set(sizes_mib):
            self._exec_s.setdefault(size_mib, [None] * len(self.upstreams))
        for task, size_mib in enumerate(sizes_mib):
            known = self._exec_s[size_mib][task]
            if known is None:
                known = float(self.estimates.exec_s(task, size_mib))
                if not 0 <= known < math.inf:
                    raise ConfigError(
                        f"task {self.dag.ids[task]!r}: its execution at {size_mib} MiB is estimated at {known} s, must "
                        "be 0 or more and finite"
                    )
                self._exec_s[size_mib][task] = known
            result.append(known)
        return result

    def exec_at_s(self, task: int, size_mib: int) -> float:
        """Return the execution time of a task at a size; raises as ``exec_s``."""
        known = self._exec_s.setdefault(size_mib, [None] * len(self.upstreams))
        if known[task] is None:
            sizes_mib = [size_mib] * len(self.upstreams)
            known[task] = self.exec_s(sizes_mib)[task]
        return float(known[task] or 0.0)

    def spreads(self, sizes_mib: Sequence[int]) -> list[Spread]:
        """Return how the execution time of each task at its size scatters.

        Raises:
            ConfigError: A scale is negative or not finite, or degrees of freedom are not above 0.
        """
        result: list[Spread] = []
        for size_mib in set(sizes_mib):
            self._spreads.setdefault(size_mib, [None] * len(self.upstreams))
        for task, size_mib in enumerate(sizes_mib):
            known = self._spreads[size_mib][task]
            if known is None:
                known = self.estimates.spread(task, size_mib)
                scales = (known.run, known.worker, known.task)
                if not all(0 <= scale < math.inf for scale in scales) or not known.degrees > 0:
                    raise ConfigError(
                        f"task {self.dag.ids[task]!r}: its execution at {size_mib} MiB is estimated to scatter by "
                        f"{known}; scales must be 0 or more and finite, degrees above 0"
                    )
                self._spreads[size_mib][task] = known
            result.append(known)
        return result


def byte_s(bytes_per_s: float) -> float:
    """Return the seconds that a byte takes; 0: no rate is given, and it takes none."""
    return 1 / bytes_per_s if bytes_per_s else 0.0


def _constants(dag: DagView) -> tuple[Sequence[int], int]:
    """Return the size of each task's large constants, and that of all code and constants.

    A container fetches a constant once, and who of several tasks does is not known: the first one is taken to.
    """
    if not isinstance(dag, DAG):
        return (), 0
    sizes = [len(constant.data) if isinstance(constant, Constant) else 0 for constant in dag.constants]
    wire_bytes = sum(sizes) + sum([len(function.code) for function in dag.functions])
    least, fetched = Config().part_constant_bytes, set[int]()
    if max(sizes, default=0) <= least:
        return (), wire_bytes
    apart = []
    for uses in dag.uses:
        new = {use for use in uses if sizes[use] > least} - fetched
        fetched |= new
        apart.append(sum([sizes[use] for use in new]))
    return apart, wire_bytes


def listed(values: Any) -> list[Any]:
    """Return a column, which may be a numpy array, as a list of plain numbers."""
    return list(values) if isinstance(values, (list, tuple)) else values.tolist()


def filled_list(count: int, value: Any) -> list[Any]:
    """Return a list of ``count`` equal values."""
    return [value] * count
