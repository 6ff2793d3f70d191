"""Planners compared on local worker processes: what the makespan of a workflow is with cold and with warm containers.

For every repeat, workflow and planner, in an order drawn anew for each repeat, a lab with no containers runs the
workflow twice: the first run starts cold, the second finds warm the containers that the first has left. Every result
is verified. What is saved is not measured again, so a study that was interrupted goes on where it stopped.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pandas as pd

# Not tqdm.auto: a bar made of text stays readable on the terminal, in the executed notebook and in its HTML.
from tqdm import tqdm

import faaslab as fl
from experiments.saving import RESULTS, RUNS_FILE, start_results
from experiments.workflows import Workflow, matrix_multiply, word_count
from faaslab.planners import PLANNERS
from faaslab.trace import Trace
from faaslab.trace.export import RUN_FILE, write_atomic
from faaslab.trace.manifest import git_commit
from faaslab.viz import run_table

STUDY = "planners_on_processes"
WORKFLOWS = ("word_count", "matrix_multiply")
POOLS = ("cold", "warm")


@dataclass(frozen=True, slots=True)
class Params:
    """What is run, how often and on what.

    Attributes:
        workflows: Names, out of ``WORKFLOWS``.
        planners: Names.
        repeats: Runs of each workflow by each planner on each pool.
        seed: Of the order of runs, the emulated delays and the matrices.
        containers: How many containers may exist at a time.
        cold_start_s: Emulated median cold start. 0: as fast as this machine.
        invocation_latency_s: Emulated median latency of an invocation.
        sigma: Spread of both delays (standard deviation of the logarithm).
        corpus_bytes: Word count: size of the corpus.
        chunks: Word count: texts that are counted in parallel.
        matrix_rows: Matrix multiplication: rows, and columns, of the matrices.
        matrix_blocks: Matrix multiplication: blocks in a row and in a column.

    Raises:
        fl.ConfigError: A value is unknown or out of its range.
    """

    workflows: tuple[str, ...]
    planners: tuple[str, ...]
    repeats: int
    seed: int
    containers: int
    cold_start_s: float
    invocation_latency_s: float
    sigma: float
    corpus_bytes: int
    chunks: int
    matrix_rows: int
    matrix_blocks: int

    def __post_init__(self) -> None:
        for name, known in (("workflows", WORKFLOWS), ("planners", tuple(PLANNERS))):
            chosen = getattr(self, name)
            if not chosen or len(set(chosen)) < len(chosen) or not set(chosen) <= set(known):
                raise fl.ConfigError(f"{name} is {chosen}, must be distinct names out of {', '.join(known)}")
        for name in ("repeats", "containers"):
            if getattr(self, name) < 1:
                raise fl.ConfigError(f"{name} is {getattr(self, name)}, must be at least 1")
        # These check their own.
        _ = self.launcher(), self.word_count, self.matrix_multiply

    def launcher(self, repeat: int = 0) -> fl.ProcessLauncher:
        """Return what the workflows run on: all planners of a repeat meet the same delays, each repeat others."""
        return fl.ProcessLauncher(
            limit=self.containers,
            cold_start_s=self.cold_start_s,
            invocation_latency_s=self.invocation_latency_s,
            sigma=self.sigma,
            seed=self.seed + repeat,
        )

    @property
    def word_count(self) -> word_count.Params:
        """Parameters of the word count."""
        return word_count.Params(self.corpus_bytes, self.chunks)

    @property
    def matrix_multiply(self) -> matrix_multiply.Params:
        """Parameters of the matrix multiplication."""
        return matrix_multiply.Params(self.matrix_rows, self.matrix_blocks, self.seed)


SMOKE = Params(
    workflows=WORKFLOWS,
    planners=("per_task", "single_worker", "wukong"),
    repeats=2,
    seed=1,
    containers=2,
    cold_start_s=0.0,
    invocation_latency_s=0.0,
    sigma=0.0,
    corpus_bytes=word_count.SMOKE.corpus_bytes,
    chunks=word_count.SMOKE.chunks,
    matrix_rows=matrix_multiply.SMOKE.rows,
    matrix_blocks=matrix_multiply.SMOKE.blocks,
)
"""Seconds: shows that everything works."""

DEMO = replace(
    SMOKE,
    repeats=3,
    containers=4,
    cold_start_s=0.5,
    invocation_latency_s=0.01,
    sigma=0.2,
    corpus_bytes=6_000_000,
    chunks=16,
    matrix_rows=1024,
    matrix_blocks=4,
)
"""Less than a minute on two cores, on real input."""

PAPER = replace(
    DEMO,
    repeats=20,
    containers=16,
    cold_start_s=0.4,
    corpus_bytes=word_count.PAPER.corpus_bytes,
    chunks=word_count.PAPER.chunks,
    matrix_rows=matrix_multiply.PAPER.rows,
    matrix_blocks=matrix_multiply.PAPER.blocks,
)
"""Enough repeats for confidence intervals, enough tasks to keep a larger machine busy."""

SCALES = {"smoke": SMOKE, "demo": DEMO, "paper": PAPER}


@dataclass(frozen=True, slots=True)
class Point:
    """One lab's worth of runs."""

    workflow: str
    planner: str
    repeat: int

    def folder(self, results: Path, pool: str) -> Path:
        """Return where the trace of its run on a pool is saved."""
        return results / "runs" / f"{self.workflow}-{self.planner}-{pool}-{self.repeat}"


def run(params: Params, results: Path = RESULTS) -> Path:
    """Measure what is not saved yet; return the folder with ``runs.parquet`` and a trace for each run.

    Args:
        params: What to run.
        results: Folder under which the study's own is made.

    Raises:
        WrongResult: A run's result is not the reference's.
        fl.FaaSLabError: A run has failed.
    """
    folder = start_results(STUDY, params, results)
    builders = {
        "word_count": lambda: word_count.build(params.word_count),
        "matrix_multiply": lambda: matrix_multiply.build(params.matrix_multiply),
    }
    workflows = {name: builders[name]() for name in params.workflows}
    rows = []
    for point in tqdm(list(points(params)), desc=STUDY, unit="lab", mininterval=1.0):
        workflow = workflows[point.workflow]
        traces = saved(folder, point, workflow.dag) or measure(folder, point, workflow, params)
        about = pd.DataFrame({"pool": POOLS, "repeat": point.repeat})
        rows.append(run_table(traces).join(about))
    table = in_order(pd.concat(rows, ignore_index=True), params)
    write_atomic(folder / RUNS_FILE, lambda path: table.to_parquet(path, index=False))
    return folder


def points(params: Params) -> Iterator[Point]:
    """Yield what to measure: repeat by repeat, in an order drawn anew for each, so that drift hits all alike."""
    for repeat in range(params.repeats):
        pairs = [(workflow, planner) for workflow in params.workflows for planner in params.planners]
        random.Random(f"{params.seed}/{repeat}").shuffle(pairs)
        yield from (Point(workflow, planner, repeat) for workflow, planner in pairs)


def measure(folder: Path, point: Point, workflow: Workflow, params: Params) -> list[Trace]:
    """Run a workflow on cold and on warm containers, verify both results, save both traces and return them."""
    traces = []
    commit = git_commit(Path(__file__).parent)
    with fl.Lab(params.launcher(point.repeat), config=fl.Config.from_env(runs_dir="")) as lab:
        for pool in POOLS:
            this = lab.submit(workflow.dag, planner=point.planner)
            workflow.verify(this.result())
            manifest = msgspec.structs.replace(this.trace.manifest, git_commit=commit)
            trace = Trace.from_events(this.trace.events, manifest)
            trace.save(point.folder(folder, pool))
            traces.append(trace)
    return traces


def saved(folder: Path, point: Point, dag: fl.DAG) -> list[Trace] | None:
    """Return the traces of a point, None if one is missing or is of another version of the workflow."""
    places = [point.folder(folder, pool) for pool in POOLS]
    if not all((place / RUN_FILE).exists() for place in places):
        return None
    traces = [Trace.load(place) for place in places]
    return traces if all(trace.manifest.structure_hash == dag.structure_hash for trace in traces) else None


def in_order(table: pd.DataFrame, params: Params) -> pd.DataFrame:
    """Return the runs in the order of the parameters, which figures and tables follow, not in that of measuring."""
    ranks = {
        "workflow": {name: rank for rank, name in enumerate(params.workflows)},
        "planner": {name: rank for rank, name in enumerate(params.planners)},
        "pool": {name: rank for rank, name in enumerate(POOLS)},
    }
    keys = ["workflow", "pool", "planner", "repeat"]
    return table.sort_values(
        keys, key=lambda column: column.map(ranks[str(column.name)]) if column.name in ranks else column
    ).reset_index(drop=True)
