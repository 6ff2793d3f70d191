"""Predictions from what earlier runs taught: each with what it rests on and how far off it may be."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar

from faaslab.errors import ConfigError
from faaslab.model.estimates import Basis, DeclaredEstimates
from faaslab.model.history import Snapshot
from faaslab.model.ladder import Ladder
from faaslab.model.outputs import LEAST_BYTES, OutputSize
from faaslab.model.platform_times import (
    Direction,
    PlatformTimes,
    StartKind,
    StartTime,
    TransferTime,
    log_predictions,
    widened,
)
from faaslab.model.regression import LEAST_S
from faaslab.model.samples import MEASURED, WHATS, Sample, SampleColumns, Source, constant_bytes, model_name
from faaslab.model.sizes import MIB_PER_VCPU, check_size
from faaslab.model.variation import (
    DECLARED_SIGMA,
    NO_SHARES,
    SIGMA,
    SIGMA_WEIGHT,
    UNKNOWN_SIGMA,
    Shares,
    Spread,
    shares,
    shrunk_variance,
    task_effects,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from faaslab.graph.dag import DAG, Kind

    Floats = NDArray[np.float64]

M = TypeVar("M")

_TASK_TIME, _TASK_OUTPUT = 0.5, 0.9
"""Which part of the differences within one run is taken for the tasks' own until a second run tells: about half of
those of times, nearly all of those of outputs, as most functions return the same again."""
_TASKS = 1 << 32
"""More than a DAG has tasks, or a run workers."""

_MUCH_BETTER = 0.5
"""Declared numbers are taken as units if that halves the variance: users may also have declared them carelessly."""

GUESSED_DISTANCE = 2.0
"""An input of which nothing is known counts as so many doublings away from those that were measured."""

_NO_EFFECT = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Prediction:
    """A predicted time.

    Attributes:
        median_s: Half of all times are longer.
        basis: What it rests on.
        spread: How times scatter around it.
    """

    median_s: float
    basis: Basis
    spread: Spread

    def quantile_s(self, quantile: float) -> float:
        """Return the time that a part ``quantile`` of all times stays below.

        Raises:
            ConfigError: It is not above 0 and below 1.
        """
        if not 0 < quantile < 1:
            raise ConfigError(f"quantile is {quantile}, must be above 0 and below 1")
        return self.median_s * self.spread.factor(quantile)


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


@dataclass(frozen=True, repr=False)
class Predictor:
    """Fitted models of functions and of the platform they ran on; see ``fit`` and ``from_history``.

    Attributes:
        functions: By identity and name of the tasks.
        platform: Transfers and starts.
        time_shares: How the variance of execution times splits into run, worker, task and rest.
        sizes_enforced: Whether predictions are for workers that have the CPU of their size.
        learnt: Number of executions learnt from.
        left_out: Number of executions not learnt from, because others had the CPU.
        digest: Hash of the history that it was made from; empty: from single samples.
    """

    functions: Mapping[str, FunctionModel]
    platform: PlatformTimes
    time_shares: Shares
    sizes_enforced: bool
    learnt: int
    left_out: int
    digest: str
    _time_effects: Mapping[tuple[str, int], tuple[float, float]]
    _output_effects: Mapping[tuple[str, int], tuple[float, float]]

    @classmethod
    def from_history(
        cls,
        snapshot: Snapshot,
        *,
        sizes_enforced: bool = True,
        kind: str = MEASURED,
        launcher: str | None = None,
        platform: str | None = None,
    ) -> Self:
        """Learn from a snapshot.

        Args:
            snapshot: The history; ``snapshot.only(...)`` narrows it.
            sizes_enforced: Whether to predict for workers that have the CPU of their size. What ran without is taken
                to have had one vCPU, whatever its size.
            kind: Learn from ``real``, ``virtual`` or ``simulated`` runs.
            launcher: Learn transfers and starts from this launcher's runs only; None: from all.
            platform: Learn transfers and starts under this profile only; None: under all.
        """
        import numpy as np

        columns, sources = snapshot.columns, snapshot.sources
        right = [source.kind == kind for source in sources]
        here = [
            launcher in (None, source.launcher) and platform in (None, source.platform) and is_right
            for source, is_right in zip(sources, right, strict=True)
        ]
        is_exec = columns.what == WHATS.index("exec")
        rows = np.where(
            is_exec, np.array(right, dtype=bool)[columns.source], np.array(here, dtype=bool)[columns.source]
        )
        return cls._learn(columns.take(rows), sizes_enforced, snapshot.digest)

    @classmethod
    def fit(cls, samples: Iterable[Sample], *, sizes_enforced: bool = True) -> Self:
        """Learn from samples of one run."""
        source = Source(sizes_enforced=sizes_enforced)
        return cls._learn(SampleColumns.of([(source, list(samples))]), sizes_enforced, "")

    @classmethod
    def _learn(cls, columns: SampleColumns, sizes_enforced: bool, digest: str) -> Self:
        import numpy as np

        usable = np.isfinite(columns.seconds) & (columns.seconds >= 0) & (columns.size_mib > 0)
        executions = usable & (columns.what == WHATS.index("exec"))
        table = _Executions.of(columns.take(executions & ~columns.contended), sizes_enforced)
        size_mib, _ = _effective_sizes(columns)
        transfers: dict[Direction, TransferTime] = {}
        starts: dict[StartKind, StartTime] = {}
        directions: tuple[Direction, ...] = ("in", "out")
        for direction in directions:
            rows = usable & (columns.what == WHATS.index(direction))
            if rows.any():
                transfers[direction] = TransferTime.fit(
                    size_mib[rows], columns.bytes[rows].astype(float), columns.seconds[rows]
                )
        kinds: tuple[StartKind, ...] = ("cold", "warm")
        for kind in kinds:
            rows = usable & (columns.what == WHATS.index(kind))
            if rows.any():
                starts[kind] = StartTime.fit(size_mib[rows], columns.seconds[rows])
        return cls(
            functions=table.models,
            platform=PlatformTimes(transfers, starts),
            time_shares=table.time_shares,
            sizes_enforced=sizes_enforced,
            learnt=len(table),
            left_out=int((executions & columns.contended).sum()),
            digest=digest,
            _time_effects=table.time_effects,
            _output_effects=table.output_effects,
        )

    def estimates(self, dag: "DAG") -> "PredictedEstimates":
        """Return what is expected of the tasks of a DAG; what is not known from runs comes from ``@task`` options."""
        return PredictedEstimates(dag, self)

    def transfer(self, direction: Direction, size_bytes: float, size_mib: int) -> Prediction | None:
        """Return the time to fetch (``in``) or to store (``out``) bytes; None: no transfer was measured."""
        model = self.platform.transfers.get(direction)
        if model is None:
            return None
        size = self.effective_size(size_mib)
        near = model.ladder.bytes_distance(size_bytes) == 0 and model.ladder.weight(size) >= 0.5
        basis: Basis = "measured" if near else "extrapolated"
        return Prediction(model.median_s(size_bytes, size), basis, model.spread(size_bytes, size))

    def start(self, kind: StartKind, size_mib: int) -> Prediction | None:
        """Return the time of a cold or warm start; None: none was measured."""
        model = self.platform.starts.get(kind)
        if model is None:
            return None
        return Prediction(model.median_s(check_size(size_mib)), "measured", Spread(0.0, 0.0, model.sigma))

    def effective_size(self, size_mib: int) -> int:
        """Return the size whose CPU a worker of ``size_mib`` has."""
        return check_size(size_mib) if self.sizes_enforced else MIB_PER_VCPU

    def __repr__(self) -> str:
        return (
            f"Predictor({len(self.functions)} functions from {self.learnt} executions, {self.left_out} contended ones "
            "left out)"
        )


def _effective_sizes(columns: SampleColumns) -> tuple["NDArray[np.int32]", "NDArray[np.bool_]"]:
    """Return the size whose CPU each sample had, and whether that was the size of its worker."""
    import numpy as np

    enforced = np.array([source.sizes_enforced for source in columns.sources], dtype=bool)[columns.source]
    return np.where(enforced, columns.size_mib, MIB_PER_VCPU).astype(np.int32), enforced


class _Executions:
    """Executions of all functions, while models are fitted to them."""

    def __init__(self, columns: SampleColumns) -> None:
        self.columns = columns
        self.models: dict[str, FunctionModel] = {}
        self.time_shares = self.output_shares = NO_SHARES
        self.time_effects: dict[tuple[str, int], tuple[float, float]] = {}
        self.output_effects: dict[tuple[str, int], tuple[float, float]] = {}

    def __len__(self) -> int:
        return len(self.columns)

    @classmethod
    def of(cls, columns: SampleColumns, sizes_enforced: bool) -> "_Executions":
        """Fit a model to each function, then what tasks have of their own."""
        import numpy as np

        table = cls(columns)
        if not len(columns):
            return table
        size_mib, enforced = _effective_sizes(columns)
        sizes_bytes, seconds = columns.bytes.astype(float), columns.seconds
        time_residuals, output_residuals = np.zeros(len(columns)), np.zeros(len(columns))
        order = np.argsort(columns.function, kind="stable")
        numbers, starts = np.unique(columns.function[order], return_index=True)
        fitted = []
        for rows in np.split(order, starts[1:]):
            size, n = size_mib[rows], sizes_bytes[rows]

            def time_fit(
                values: "Floats", size: "NDArray[np.int32]" = size, n: "Floats" = n
            ) -> tuple[Ladder, "Floats"]:
                ladder = Ladder.fit(size, n, values)
                return ladder, np.log(np.maximum(values, LEAST_S)) - log_predictions(ladder, size, n)

            def output_fit(values: "Floats", n: "Floats" = n) -> tuple[OutputSize, "Floats"]:
                output = OutputSize.fit(n, values)
                return output, np.log(np.maximum(LEAST_BYTES, values)) - np.log(output.at(n))

            ladder, time_residuals[rows], scales_time = _with_declared(
                time_fit, seconds[rows], columns.expected_s[rows]
            )
            output, output_residuals[rows], scales_output = _with_declared(
                output_fit, np.maximum(1.0, columns.output_bytes[rows]), columns.expected_bytes[rows].astype(float)
            )
            own_squares = float(time_residuals[rows] @ time_residuals[rows])
            fitted.append((rows, ladder, output, own_squares, scales_time, scales_output))
        squares = sum([found[3] for found in fitted])
        degrees = sum([max(0, len(rows) - ladder.parameters) for rows, ladder, *_ in fitted])
        pooled = shrunk_variance(squares, degrees, SIGMA**2)
        scaled = time_residuals.copy()
        for number, (rows, ladder, output, own_squares, time_scaled, output_scaled) in zip(
            numbers, fitted, strict=True
        ):
            degrees = max(0, len(rows) - ladder.parameters)
            variance = shrunk_variance(own_squares, degrees, pooled)
            same = size_mib[rows][enforced[rows] == sizes_enforced]
            own = {int(size): int(count) for size, count in zip(*np.unique(same, return_counts=True), strict=True)}
            model = FunctionModel(ladder, output, time_scaled, output_scaled, variance, degrees, own)
            table.models[columns.functions[number]] = model
            scaled[rows] /= math.sqrt(variance)
        table._find_effects(scaled, time_residuals, output_residuals)
        return table

    def _find_effects(
        self,
        scaled: "NDArray[np.float64]",
        time_residuals: "NDArray[np.float64]",
        output_residuals: "NDArray[np.float64]",
    ) -> None:
        """Split residuals, and keep by structure hash and task what will come again."""
        import numpy as np

        columns = self.columns
        hashes: dict[str, int] = {}
        structure = np.array(
            [hashes.setdefault(source.structure_hash, len(hashes)) for source in columns.sources], dtype=np.int64
        )[columns.source]
        runs = columns.source.astype(np.int64)
        workers = runs * _TASKS + columns.worker
        tasks = np.where(columns.task >= 0, structure * _TASKS + columns.task, -1)
        self.time_shares = shares(scaled, runs, workers, tasks, _TASK_TIME)
        if (spread := float(output_residuals.std())) > 0:
            self.output_shares = shares(output_residuals / spread, runs, workers, tasks, _TASK_OUTPUT)
        names = list(hashes)
        for residuals, parts, effects in (
            (time_residuals, self.time_shares, self.time_effects),
            (output_residuals, self.output_shares, self.output_effects),
        ):
            for key, effect in task_effects(residuals, tasks, parts).items():
                effects[names[key // _TASKS], key % _TASKS] = effect


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


class PredictedEstimates:
    """Estimates of one DAG's tasks from earlier runs.

    The input of a task is what its upstream tasks are predicted to return, and its serialized constants.

    Args:
        dag: The DAG.
        predictor: What was learnt.
    """

    def __init__(self, dag: "DAG", predictor: Predictor) -> None:
        self.dag = dag
        self.predictor = predictor
        self._declared = DeclaredEstimates(dag)
        by_kind = [self._known(kind) for kind in dag.kinds]
        self._models: Sequence[FunctionModel | None] = [by_kind[kind] for kind in dag.kind_of]
        structure = dag.structure_hash
        tasks = range(len(dag))
        times, outputs = predictor._time_effects, predictor._output_effects
        self._effects = [times.get((structure, task), _NO_EFFECT) for task in tasks]
        self._inputs: list[float] = [float(size) for size in constant_bytes(dag)]
        self._outputs: list[float] = []
        # Whether they are, or follow from, the output of a task of which nothing is known.
        self._guessed_input: list[bool] = []
        self._guessed_output: list[bool] = []
        self._seconds: dict[int, list[float]] = {}
        for task in tasks:
            upstreams = dag.upstreams(task)
            size = self._inputs[task] = self._inputs[task] + sum([self._outputs[u] for u in upstreams])
            guessed = any(self._guessed_output[u] for u in upstreams)
            self._guessed_input.append(guessed)
            model = self._models[task]
            if model is None:
                self._outputs.append(self._declared.output_bytes(task))
                self._guessed_output.append(dag.options(task).output_bytes is None)
            else:
                form = model.output
                self._guessed_output.append(guessed and form.ratio > 0)
                expected = min(form.most, form.fixed + form.ratio * size)
                if model.scales_output:
                    expected *= self._declared.output_bytes(task)
                factor = math.exp(outputs.get((structure, task), _NO_EFFECT)[0])
                self._outputs.append(max(1.0, expected * factor))

    def _known(self, kind: "Kind") -> FunctionModel | None:
        """Return what was learnt of tasks of a kind, if it applies: a multiple of what they declare needs that."""
        identity = self.dag.functions[kind.function].identity
        model = self.predictor.functions.get(model_name(identity, kind.name))
        if model is None or (model.scales_time and not kind.options.expected_s):
            return None
        return None if model.scales_output and not kind.options.output_bytes else model

    def exec_s(self, task: int, size_mib: int) -> float:
        """Return the median seconds of execution of ``task`` on a worker of ``size_mib``."""
        seconds = self._seconds.get(size_mib)
        if seconds is None:
            seconds = self._seconds[size_mib] = self._at_size(size_mib)
        return seconds[task]

    def output_bytes(self, task: int) -> float:
        """Return the size of the output of ``task``."""
        return self._outputs[task]

    def input_bytes(self, task: int) -> float:
        """Return the size of all inputs of ``task``."""
        return self._inputs[task]

    def basis(self, task: int, size_mib: int) -> Basis:
        """Return what ``exec_s`` of the same arguments rests on.

        ``measured`` needs samples of the size that count at least half, and inputs that are known and like those seen.
        """
        model = self._models[task]
        if model is None:
            return self._declared.basis(task, size_mib)
        size = self.predictor.effective_size(size_mib)
        near = model.ladder.weight(size) >= 0.5 and self._bytes_distance(task, model) == 0
        return "measured" if near and model.own.get(size, 0) else "extrapolated"

    def spread(self, task: int, size_mib: int) -> Spread:
        """Return how execution times scatter around ``exec_s`` of the same arguments."""
        model = self._models[task]
        if model is None:
            known = self._declared.basis(task, size_mib) == "declared"
            return Spread(0.0, 0.0, DECLARED_SIGMA if known else UNKNOWN_SIGMA)
        parts = self.predictor.time_shares
        variance = model.variance
        own = variance * (parts.rest + parts.task * (1 - self._effects[task][1]))
        size = self.predictor.effective_size(size_mib)
        doubt = widened(variance, model.ladder, self._bytes_distance(task, model), size) - variance
        return Spread(
            run=math.sqrt(variance * parts.run),
            worker=math.sqrt(variance * parts.worker),
            task=math.sqrt(own + doubt),
            degrees=model.degrees + SIGMA_WEIGHT,
        )

    def prediction(self, task: int, size_mib: int) -> Prediction:
        """Return ``exec_s`` with its basis and spread."""
        return Prediction(self.exec_s(task, size_mib), self.basis(task, size_mib), self.spread(task, size_mib))

    def quantile_s(self, task: int, size_mib: int, quantile: float) -> float:
        """Return the execution time that a part ``quantile`` of executions stays below.

        Of a whole run's makespan this says little: draw that from ``spread`` by simulation.
        """
        return self.prediction(task, size_mib).quantile_s(quantile)

    def _bytes_distance(self, task: int, model: FunctionModel) -> float:
        return max(
            model.ladder.bytes_distance(self._inputs[task]), GUESSED_DISTANCE if self._guessed_input[task] else 0.0
        )

    def _at_size(self, size_mib: int) -> list[float]:
        """Return the seconds of all tasks at a size."""
        import numpy as np

        size = self.predictor.effective_size(size_mib)
        seconds = [0.0] * len(self.dag)
        members: dict[int, list[int]] = {}
        for task, model in enumerate(self._models):
            if model is None:
                seconds[task] = self._declared.exec_s(task, size)
            else:
                members.setdefault(id(model), []).append(task)
        for tasks in members.values():
            model = self._models[tasks[0]]
            assert model is not None
            found: Any = model.ladder.predict(np.array([self._inputs[task] for task in tasks]), size).tolist()
            for task, value in zip(tasks, found, strict=True):
                effect = self._effects[task][0]
                unit = self._declared.exec_s(task, MIB_PER_VCPU) if model.scales_time else 1.0
                seconds[task] = value * unit * math.exp(effect) if effect else value * unit
        return seconds
