"""SLA coverage: how often runs keep the p90 that was promised, when what predicts them is wrong in several ways.

A hidden truth stands for reality. Its noise is not what the predictor assumes: a run has luck of its own, and so has a
worker; tasks have stragglers in place of Student's t. And it has overheads that no measurement of an execution shows:
each function takes longer within a run than its samples say, by a factor that differs from truth to truth.

Each truth goes as a user's days go. The first runs teach the predictor, through the samples that a history keeps. Then,
batch by batch, the DAG is planned with all that is known, which includes how earlier promises turned out, and the plan
is run. The runs of the last batches are the ones that count. Promises are compared that are calibrated, that are not,
and that simulate each task with its own 90th percentile, a common mistake.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from tqdm import tqdm

import faaslab as fl
from experiments.saving import RESULTS, RUNS_FILE, start_results
from experiments.truths import TaskTable
from faaslab.graph import generators
from faaslab.model.distribution import LEVELS, Promise
from faaslab.model.estimates import Basis, Estimates
from faaslab.model.history import Snapshot
from faaslab.model.platform import platform_named
from faaslab.model.predictors import PredictedEstimates, Predictor
from faaslab.model.samples import Sample, SampleColumns, Source, samples_of
from faaslab.model.scoring import coverage_of, holm
from faaslab.model.sizes import DEFAULT_SIZE_MIB
from faaslab.model.variation import Spread
from faaslab.planners.registry import plan_context, plan_with
from faaslab.simulate import Draws, simulate_plan
from faaslab.trace.export import write_atomic

STUDY = "sla_coverage"
PROMISED = 0.9
METHODS = ("calibrated", "uncalibrated", "per-task percentiles")
SHAPES = {
    "chain": lambda: generators.chain(20),
    "fan-out-100": lambda: generators.fan(100),
    "layered": lambda: generators.layered(1, 6, 8),
    "fork-join": lambda: generators.fork_join(5, 10),
}
"""DAGs by name."""


@dataclass(frozen=True, slots=True)
class Params:
    """What is simulated, and how wrong predictions are.

    Attributes:
        shapes: Names, out of ``SHAPES``.
        truths: Hidden truths of each shape.
        training: Runs of a truth that teach before anything is promised.
        warm_up: Promised runs that do not count yet, since too few promises have turned out before.
        tests: Runs of each truth that count.
        batch: Runs of one plan before the DAG is planned again.
        planner: Name.
        platform: Name.
        draws: Simulated runs that a promise rests on.
        seed: Of the truths.
        run_sigma: Spread that all tasks of a run share (standard deviation of the logarithm).
        worker_sigma: Spread that all tasks of a worker share.
        task_sigma: Spread of single executions.
        stragglers: Part of executions that take two to four times as long.
        task_effect_sigma: By how much tasks of one function differ for good.
        overhead: By what part functions take longer in a run than their samples say, in the median.
        overhead_sigma: Spread of that among functions.

    Raises:
        fl.ConfigError: A value is unknown or out of its range.
    """

    shapes: tuple[str, ...]
    truths: int
    training: int
    warm_up: int
    tests: int
    batch: int
    planner: str
    platform: str
    draws: int
    seed: int
    run_sigma: float
    worker_sigma: float
    task_sigma: float
    stragglers: float
    task_effect_sigma: float
    overhead: float
    overhead_sigma: float

    def __post_init__(self) -> None:
        if not self.shapes or len(set(self.shapes)) < len(self.shapes) or not set(self.shapes) <= set(SHAPES):
            raise fl.ConfigError(f"shapes is {self.shapes}, must be distinct names out of {', '.join(SHAPES)}")
        for name in ("truths", "training", "tests", "batch", "draws"):
            if getattr(self, name) < 1:
                raise fl.ConfigError(f"{name} is {getattr(self, name)}, must be at least 1")
        for name in ("warm_up", "run_sigma", "worker_sigma", "task_sigma", "task_effect_sigma", "overhead_sigma"):
            if not 0 <= getattr(self, name) < math.inf:
                raise fl.ConfigError(f"{name} is {getattr(self, name)}, must be 0 or more and finite")
        if not 0 <= self.stragglers <= 1 or not self.overhead > -1:
            raise fl.ConfigError(
                f"stragglers is {self.stragglers}, must be from 0 to 1; overhead is {self.overhead}, must be above -1"
            )


SMOKE = Params(
    shapes=tuple(SHAPES),
    truths=2,
    training=3,
    warm_up=20,
    tests=5,
    batch=5,
    planner="els",
    platform="lambda",
    draws=64,
    seed=1,
    run_sigma=0.1,
    worker_sigma=0.15,
    task_sigma=0.15,
    stragglers=0.02,
    task_effect_sigma=0.3,
    overhead=0.25,
    overhead_sigma=0.15,
)
"""Seconds: shows that everything works."""

DEMO = replace(SMOKE, truths=10, warm_up=60, tests=10)
"""Minutes: 100 runs of each shape."""

PAPER = replace(SMOKE, truths=80, training=5, warm_up=60, tests=5, batch=20, draws=128)
"""400 runs of each shape, as many as it takes to tell 85 % from 90 %; of many truths, as runs of one share what its
promises were calibrated on."""

SCALES = {"smoke": SMOKE, "demo": DEMO, "paper": PAPER}


class Truth:
    """How long tasks really take; neither planner nor predictor ever see it, only runs.

    Args:
        dag: The DAG.
        params: How runs scatter.
        rng: Draws what this truth has of its own, then every run.
    """

    def __init__(self, dag: fl.DAG, params: Params, rng: np.random.Generator) -> None:
        self.dag, self.params, self._rng = dag, params, rng
        functions = len(dag.functions)
        of = [dag.function_of(task) for task in range(len(dag))]
        median_s = rng.lognormal(math.log(2.0), 0.5, functions)[of]
        self._median_s = median_s * rng.lognormal(0.0, params.task_effect_sigma, len(dag))
        # What no sample shows: the predictor can't know it.
        self._overhead = (1 + params.overhead) * rng.lognormal(0.0, params.overhead_sigma, functions)[of]
        self._platform = platform_named(params.platform)

    def run(self, plan: fl.Plan, number: int) -> tuple[Source, list[Sample]]:
        """Return what a history keeps of a run of a plan.

        Args:
            plan: The plan; its prediction goes along.
            number: Of the run, which orders runs in time.
        """
        params, rng, count = self.params, self._rng, len(self.dag)
        luck = params.task_sigma * rng.standard_normal(count) + params.run_sigma * rng.standard_normal()
        workers = {name: params.worker_sigma * rng.standard_normal() for name in plan.orders}
        luck += [
            params.worker_sigma * rng.standard_normal() if one.worker is None else workers[one.worker]
            for one in plan.assignments
        ]
        straggling = np.where(rng.random(count) < params.stragglers, rng.uniform(2.0, 4.0, count), 1.0)
        shown_s = self._median_s * np.exp(luck) * straggling
        took_s = (shown_s * self._overhead).tolist()
        seed = int(rng.integers(2**31))
        # Small outputs, which ride along, and one vCPU, to which these times belong.
        drawn = TaskTable(took_s, [100.0] * count, sigma=0.0)
        simulation = simulate_plan(self.dag, plan, drawn, self._platform, draws=Draws(seed))
        promise = None if plan.predicted is None else plan.predicted.promise
        source = Source(
            run=f"run-{number}",
            launcher="hidden truth",
            structure_hash=self.dag.structure_hash,
            recorded_s=float(number),
            planner=plan.planner,
            makespan_s=float(simulation.makespan_s),
            predicted="" if promise is None else msgspec.json.encode(promise).decode(),
        )
        samples = [
            replace(sample, seconds=float(shown_s[sample.task])) if sample.what == "exec" else sample
            for sample in samples_of(simulation.trace(), self.dag)
        ]
        return source, samples


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Estimates in which each task takes its own percentile: the common mistake."""

    estimates: PredictedEstimates
    quantile: float

    def exec_s(self, task: int, size_mib: int) -> float:
        """Return the percentile of the task's execution time."""
        return self.estimates.quantile_s(task, size_mib, self.quantile)

    def output_bytes(self, task: int) -> float:
        """Return what is predicted of it."""
        return self.estimates.output_bytes(task)

    def basis(self, task: int, size_mib: int) -> Basis:
        """Return what the prediction rests on."""
        return self.estimates.basis(task, size_mib)

    def spread(self, task: int, size_mib: int) -> Spread:
        """Return that nothing scatters any more."""
        return Spread(0.0, 0.0, 0.0)


def run(params: Params, results: Path = RESULTS) -> Path:
    """Simulate what is not saved yet; return the folder with ``runs.parquet``, a row for each run that counts.

    Args:
        params: What to simulate.
        results: Folder under which the study's own is made.
    """
    folder = start_results(STUDY, params, results)
    parts = []
    for shape in params.shapes:
        path = folder / f"{shape}.parquet"
        if not path.exists():
            numbers = tqdm(range(params.truths), desc=shape, unit="truth", mininterval=1.0)
            rows = [row for truth in numbers for row in runs_of(params, shape, truth)]
            _write(pd.DataFrame(rows), path)
        parts.append(pd.read_parquet(path))
    _write(pd.concat(parts, ignore_index=True), folder / RUNS_FILE)
    return folder


def _write(rows: pd.DataFrame, path: Path) -> None:
    write_atomic(path, lambda where: rows.to_parquet(where, index=False))


def runs_of(params: Params, shape: str, number: int) -> Iterator[dict[str, object]]:
    """Yield the runs of one truth that count: what was promised and what they took."""
    dag = fl.DAG(SHAPES[shape](), name=shape)
    rng = np.random.default_rng([params.seed, number, list(SHAPES).index(shape)])
    truth = Truth(dag, params, rng)
    planning: dict[str, Any] = {
        "sizes": [DEFAULT_SIZE_MIB],
        "platform": params.platform,
        "sla": f"p{100 * PROMISED:g}",
        "budget": 1,  # plans are chosen by medians: what is studied is what is promised of them
    }
    plan = plan_with(params.planner, dag, plan_context(dag, history=False, **planning))
    kept = [truth.run(plan, at) for at in range(params.training)]
    first, common_s = params.training + params.warm_up, 0.0
    for at in range(params.training, first + params.tests):
        if (at - params.training) % params.batch == 0:
            snapshot = Snapshot(f"{number}-{at}", SampleColumns.of(kept))
            ctx = plan_context(dag, history=snapshot, seed=at, **planning)
            plan = plan_with(params.planner, dag, ctx, predict=True, draws=params.draws)
            if at + params.batch > first:
                common_s = per_task_makespan_s(dag, plan, snapshot, params.platform)
        kept.append(truth.run(plan, at))
        if at >= first:
            yield _row(shape, number, at, plan, common_s, kept[-1][0].makespan_s)


def per_task_makespan_s(dag: fl.DAG, plan: fl.Plan, snapshot: Snapshot, platform: str) -> float:
    """Return the makespan if each task takes its own percentile."""
    estimates: Estimates = Percentiles(Predictor.from_history(snapshot).estimates(dag), PROMISED)
    return float(simulate_plan(dag, plan, estimates, platform_named(platform)).makespan_s)


def _row(shape: str, truth: int, at: int, plan: fl.Plan, common_s: float, makespan_s: float) -> dict[str, object]:
    predicted = plan.predicted
    assert predicted is not None
    assert isinstance(predicted.promise, Promise)
    raw = dict(zip(LEVELS, predicted.promise.quantiles_s, strict=True))
    return {
        "shape": shape,
        "truth": truth,
        "run": at,
        "makespan_s": makespan_s,
        "calibrated_on": predicted.calibrated_on,
        "median_s": predicted.makespan.quantile(0.5),
        "uncalibrated_median_s": raw[0.5],
        "pit": predicted.makespan.rank(makespan_s),
        "calibrated": predicted.makespan.quantile(PROMISED),
        "uncalibrated": raw[PROMISED],
        "per-task percentiles": common_s,
    }


def table(folder: Path) -> pd.DataFrame:
    """Return how often each method's promise was kept, by shape, with exact tests adjusted over shapes (Holm)."""
    runs = pd.read_parquet(folder / RUNS_FILE)
    rows = []
    for method in METHODS:
        found: list[dict[str, Any]] = []
        for shape, group in runs.groupby("shape", sort=False):
            promised, took = group[method], group["makespan_s"]
            above = took - promised
            kept = coverage_of(int((above <= 0).sum()), len(group), PROMISED)
            middle = group["median_s" if method == "calibrated" else "uncalibrated_median_s"]
            found.append(
                {
                    "method": method,
                    "shape": shape,
                    "runs": kept.runs,
                    "coverage": kept.rate,
                    "low": kept.low,
                    "high": kept.high,
                    "p_value": kept.p_value,
                    "pinball_s": float(np.maximum(PROMISED * above, (PROMISED - 1) * above).mean()),
                    "sharpness": float((promised / middle).median()),
                }
            )
        for row, adjusted in zip(found, holm([row["p_value"] for row in found]), strict=True):
            rows.append(row | {"p_holm": adjusted})
    return pd.DataFrame(rows).set_index(["method", "shape"])


def tables(folder: Path, params: Params) -> dict[str, pd.DataFrame]:
    """Return the tables by title."""
    return {f"How often p{100 * PROMISED:g} was kept, with {params.planner}": table(folder)}
