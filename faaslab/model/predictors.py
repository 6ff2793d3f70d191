"""Predictions from what earlier runs taught: each with what it rests on and how far off it may be."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from faaslab.errors import ConfigError
from faaslab.model.estimates import Basis, DeclaredEstimates
from faaslab.model.history import Snapshot
from faaslab.model.learning import Effects, FunctionModel, effective_sizes, learn_functions
from faaslab.model.platform_times import Direction, PlatformTimes, StartKind, StartTime, TransferTime, widened
from faaslab.model.samples import MEASURED, WHATS, Sample, SampleColumns, Source, constant_bytes, model_name
from faaslab.model.sizes import MIB_PER_VCPU, check_size
from faaslab.model.variation import SIGMA_WEIGHT, Shares, Spread

if TYPE_CHECKING:
    from faaslab.graph.dag import DAG, Kind

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


@dataclass(frozen=True, repr=False)
class Predictor:
    """Fitted models of functions and of the platform they ran on; see ``fit`` and ``from_history``.

    Attributes:
        functions: By identity and name of the tasks.
        platform: Transfers and starts.
        time_shares: How the variance of execution times splits into run, worker, task and rest.
        sizes_enforced: Whether predictions are for workers that have the CPU of their size.
        learnt: Number of executions learnt from.
        contended: For how many of them others had the CPU; what that took is not learnt.
        digest: Hash of the history that it was made from; empty: from single samples.
    """

    functions: Mapping[str, FunctionModel]
    platform: PlatformTimes
    time_shares: Shares
    sizes_enforced: bool
    learnt: int
    contended: int
    digest: str
    _time_effects: Effects
    _output_effects: Effects

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
        learnt = learn_functions(columns.take(executions).alone(), sizes_enforced)
        size_mib, _ = effective_sizes(columns)
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
            functions=learnt.models,
            platform=PlatformTimes(transfers, starts),
            time_shares=learnt.time_shares,
            sizes_enforced=sizes_enforced,
            learnt=learnt.samples,
            contended=int((executions & columns.contended).sum()),
            digest=digest,
            _time_effects=learnt.time_effects,
            _output_effects=learnt.output_effects,
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
            f"Predictor({len(self.functions)} functions from {self.learnt} executions, {self.contended} of them "
            "contended)"
        )


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

    @property
    def history(self) -> str:
        """Digest of the snapshot that this was learnt from."""
        return self.predictor.digest

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
            return self._declared.spread(task, size_mib)
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
