"""Learning from executions: a model of each function, and what runs, workers and tasks have of their own."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from faaslab.model.ladder import Ladder
from faaslab.model.outputs import LEAST_BYTES, OutputSize
from faaslab.model.platform_times import log_predictions
from faaslab.model.regression import LEAST_S
from faaslab.model.samples import SampleColumns
from faaslab.model.sizes import MIB_PER_VCPU
from faaslab.model.variation import NO_SHARES, SIGMA, Shares, shares, shrunk_variance, task_effects

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Sizes = NDArray[np.int32]

M = TypeVar("M")

_TASK_TIME, _TASK_OUTPUT = 0.5, 0.9
"""Which part of the differences within one run is taken for the tasks' own until a second run tells: about half of
those of times, nearly all of those of outputs, as most functions return the same again."""
_TASKS = 1 << 32
"""More than a DAG has tasks, or a run workers."""
_MUCH_BETTER = 0.5
"""Declared numbers are taken as units if that halves the variance: users may also have declared them carelessly."""

Effects = Mapping[tuple[str, int], tuple[float, float]]
"""By structure hash and task: the logarithm of a factor, and which part of the task's variance it explains."""


@dataclass(frozen=True, slots=True)
class FunctionModel:
    """What is known of one function.

    Attributes:
        ladder: Its execution time, or that in units of what users declared.
        output: Its output, or that in units of what users declared.
        scales_time: Whether declared times tell its executions apart: ``ladder`` is to be multiplied with them.
        scales_output: The same of outputs.
        variance: Of the logarithm of measured over predicted execution times.
        degrees: How many residuals that rests on, beyond what was fitted.
        own: By size, how many samples are of the kind that is predicted (sizes enforced, or not).
    """

    ladder: Ladder
    output: OutputSize
    scales_time: bool
    scales_output: bool
    variance: float
    degrees: float
    own: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Learnt:
    """What executions taught.

    Attributes:
        models: By ``Sample.model``.
        time_shares: How the variance of execution times splits.
        time_effects: What tasks' times have of their own.
        output_effects: What tasks' outputs have of their own.
        samples: Number of executions.
    """

    models: Mapping[str, FunctionModel]
    time_shares: Shares
    time_effects: Effects
    output_effects: Effects
    samples: int


def effective_sizes(columns: SampleColumns) -> tuple["Sizes", "NDArray[np.bool_]"]:
    """Return the size whose CPU each sample had, and whether that was the size of its worker."""
    import numpy as np

    enforced = np.array([source.sizes_enforced for source in columns.sources], dtype=bool)[columns.source]
    return np.where(enforced, columns.size_mib, MIB_PER_VCPU).astype(np.int32), enforced


def learn_functions(columns: SampleColumns, sizes_enforced: bool) -> Learnt:
    """Fit a model to each function, then find what tasks have of their own.

    Args:
        columns: Executions to learn from.
        sizes_enforced: Whether predictions are for workers that have the CPU of their size.
    """
    import numpy as np

    if not len(columns):
        return Learnt({}, NO_SHARES, {}, {}, 0)
    size_mib, enforced = effective_sizes(columns)
    time_residuals, output_residuals = np.zeros(len(columns)), np.zeros(len(columns))
    order = np.argsort(columns.function, kind="stable")
    numbers, starts = np.unique(columns.function[order], return_index=True)
    fitted = []
    for number, rows in zip(numbers, np.split(order, starts[1:]), strict=True):
        own = columns.take(rows)
        ladder, time_residuals[rows], scales_time = _fit_times(own, size_mib[rows])
        output, output_residuals[rows], scales_output = _fit_outputs(own)
        squares = float(time_residuals[rows] @ time_residuals[rows])
        degrees = float(max(0, len(rows) - ladder.parameters))
        fitted.append((columns.functions[number], rows, ladder, output, scales_time, scales_output, squares, degrees))
    pooled = shrunk_variance(sum([one[-2] for one in fitted]), sum([one[-1] for one in fitted]), SIGMA**2)
    models = {}
    scaled = time_residuals.copy()
    for name, rows, ladder, output, scales_time, scales_output, squares, degrees in fitted:
        variance = shrunk_variance(squares, degrees, pooled)
        same, counts = np.unique(size_mib[rows][enforced[rows] == sizes_enforced], return_counts=True)
        own_sizes = {int(size): int(count) for size, count in zip(same, counts, strict=True)}
        models[name] = FunctionModel(ladder, output, scales_time, scales_output, variance, degrees, own_sizes)
        scaled[rows] /= math.sqrt(variance)
    time_shares, time_effects = _effects(columns, scaled, time_residuals, _TASK_TIME)
    spread = float(output_residuals.std()) or 1.0
    _, output_effects = _effects(columns, output_residuals / spread, output_residuals, _TASK_OUTPUT)
    return Learnt(models, time_shares, time_effects, output_effects, len(columns))


def _fit_times(columns: SampleColumns, size_mib: "Sizes") -> tuple[Ladder, "Floats", bool]:
    """Return the ladder of one function, its logarithmic residuals, and whether it is in declared units."""
    import numpy as np

    sizes_bytes = columns.bytes.astype(float)

    def fit(values: "Floats") -> tuple[Ladder, "Floats"]:
        ladder = Ladder.fit(size_mib, sizes_bytes, values)
        return ladder, np.log(np.maximum(values, LEAST_S)) - log_predictions(ladder, size_mib, sizes_bytes)

    return _with_declared(fit, columns.seconds, columns.expected_s)


def _fit_outputs(columns: SampleColumns) -> tuple[OutputSize, "Floats", bool]:
    """Return the output size of one function, its logarithmic residuals, and whether it is in declared units."""
    import numpy as np

    sizes_bytes = columns.bytes.astype(float)

    def fit(values: "Floats") -> tuple[OutputSize, "Floats"]:
        output = OutputSize.fit(sizes_bytes, values)
        return output, np.log(np.maximum(LEAST_BYTES, values)) - np.log(output.at(sizes_bytes))

    return _with_declared(fit, np.maximum(1.0, columns.output_bytes), columns.expected_bytes.astype(float))


def _with_declared(
    fit: Callable[["Floats"], tuple[M, "Floats"]], values: "Floats", declared: "Floats"
) -> tuple[M, "Floats", bool]:
    """Fit values, or values in units of what was declared if that explains much more; return model, residuals, which.

    Args:
        fit: Returns a model and its logarithmic residuals.
        values: What was measured.
        declared: What users had said of each; 0: nothing.
    """
    import numpy as np

    model, residuals = fit(values)
    if not (declared > 0).all() or declared.max() <= declared.min():
        return model, residuals, False
    scaled, scaled_residuals = fit(values / declared)
    if np.square(scaled_residuals).sum() < _MUCH_BETTER * np.square(residuals).sum():
        return scaled, scaled_residuals, True
    return model, residuals, False


def _effects(
    columns: SampleColumns, scaled: "Floats", residuals: "Floats", assumed_task: float
) -> tuple[Shares, Effects]:
    """Return how residuals split, and what of them is the tasks' own and will come again.

    Args:
        columns: The executions.
        scaled: Residuals of standard deviation 1.
        residuals: Logarithmic residuals.
        assumed_task: See ``shares``.
    """
    import numpy as np

    hashes: dict[str, int] = {}
    number = [hashes.setdefault(source.structure_hash, len(hashes)) for source in columns.sources]
    structure = np.array(number, dtype=np.int64)[columns.source]
    runs = columns.source.astype(np.int64)
    workers = runs * _TASKS + columns.worker
    tasks = np.where(columns.task >= 0, structure * _TASKS + columns.task, -1)
    parts = shares(scaled, runs, workers, tasks, assumed_task)
    names = list(hashes)
    found = task_effects(residuals, tasks, parts)
    return parts, {(names[key // _TASKS], key % _TASKS): effect for key, effect in found.items()}
