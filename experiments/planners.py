"""Planners compared: what the makespan of a workflow is with cold and with warm containers, on each launcher.

For every repeat, launcher, workflow and planner, in an order drawn anew for each repeat, a lab with no containers runs
the workflow twice: the first run starts cold, the second finds warm the containers that the first has left. Every
result is verified. What is saved is not measured again, so a study that was interrupted goes on where it stopped.

All launchers get the same number of containers, size, delays and requirements. What differs is what a container is:
``docker`` enforces its size, ``process`` shares the machine among its containers.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import msgspec
import pandas as pd

# Not tqdm.auto: a bar made of text stays readable on the terminal, in the executed notebook and in its HTML.
from tqdm import tqdm

import faaslab as fl
from experiments.saving import RESULTS, RUNS_FILE, start_results
from experiments.workflows import Workflow, matrix_multiply, word_count
from faaslab.launchers.settings import EmulatingLauncher
from faaslab.model.sizes import MIB_PER_VCPU, check_size
from faaslab.planners import PLANNERS
from faaslab.trace import Trace
from faaslab.trace.export import RUN_FILE, write_atomic
from faaslab.trace.manifest import git_commit
from faaslab.viz import run_table

STUDY = "planners"
LAUNCHERS: dict[str, type[EmulatingLauncher]] = {"process": fl.ProcessLauncher, "docker": fl.DockerLauncher}
WORKFLOWS = ("word_count", "matrix_multiply")
REQUIREMENTS = ("numpy",)
"""What the workflows import."""
POOLS = ("cold", "warm")


@dataclass(frozen=True, slots=True)
class Params:
    """What is run, how often and on what.

    Attributes:
        launchers: What containers are; names, out of ``LAUNCHERS``.
        workflows: Names, out of ``WORKFLOWS``.
        planners: Names.
        repeats: Runs of each workflow by each planner on each pool of each launcher.
        seed: Of the order of runs, the emulated delays and the matrices.
        containers: How many containers may exist at a time.
        size_mib: Their size. On Docker it is real: memory, and a vCPU for every 1,769 MiB. As many as have a core
            together run side by side, the others queue; processes are not limited.
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

    launchers: tuple[str, ...]
    workflows: tuple[str, ...]
    planners: tuple[str, ...]
    repeats: int
    seed: int
    containers: int
    size_mib: int
    cold_start_s: float
    invocation_latency_s: float
    sigma: float
    corpus_bytes: int
    chunks: int
    matrix_rows: int
    matrix_blocks: int

    def __post_init__(self) -> None:
        for name, known in (("launchers", LAUNCHERS), ("workflows", WORKFLOWS), ("planners", PLANNERS)):
            chosen = getattr(self, name)
            if not chosen or len(set(chosen)) < len(chosen) or not set(chosen) <= set(known):
                raise fl.ConfigError(f"{name} is {chosen}, must be distinct names out of {', '.join(known)}")
        for name in ("repeats", "containers"):
            if getattr(self, name) < 1:
                raise fl.ConfigError(f"{name} is {getattr(self, name)}, must be at least 1")
        check_size(self.size_mib)
        # These check their own.
        _ = self.launcher(self.launchers[0]), self.word_count, self.matrix_multiply

    def launcher(self, name: str, repeat: int = 0) -> EmulatingLauncher:
        """Return what the workflows run on: all planners of a repeat meet the same delays, each repeat others."""
        return LAUNCHERS[name](
            limit=self.containers,
            requirements=REQUIREMENTS,
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
    launchers=("process",),
    workflows=WORKFLOWS,
    planners=("per_task", "single_worker", "wukong"),
    repeats=2,
    seed=1,
    containers=2,
    size_mib=MIB_PER_VCPU // 2,
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
    size_mib=MIB_PER_VCPU // 4,
    cold_start_s=0.5,
    invocation_latency_s=0.01,
    sigma=0.2,
    corpus_bytes=6_000_000,
    chunks=16,
    matrix_rows=1024,
    matrix_blocks=4,
)
"""A minute for each launcher on two cores, on real input; together the containers have the one vCPU that Docker may use
there, since it leaves a core to store and client."""

PAPER = replace(
    DEMO,
    launchers=tuple(LAUNCHERS),
    repeats=20,
    containers=16,
    size_mib=MIB_PER_VCPU,
    cold_start_s=0.4,
    corpus_bytes=word_count.PAPER.corpus_bytes,
    chunks=word_count.PAPER.chunks,
    matrix_rows=matrix_multiply.PAPER.rows,
    matrix_blocks=matrix_multiply.PAPER.blocks,
)
"""Enough repeats for confidence intervals, enough tasks to keep a larger machine busy: one with 17 cores, so that no
container queues."""

SCALES = {"smoke": SMOKE, "demo": DEMO, "paper": PAPER}


@dataclass(frozen=True, slots=True)
class Point:
    """One lab's worth of runs."""

    launcher: str
    workflow: str
    planner: str
    repeat: int

    def folder(self, results: Path, pool: str) -> Path:
        """Return where the trace of its run on a pool is saved."""
        return results / "runs" / f"{self.launcher}-{self.workflow}-{self.planner}-{pool}-{self.repeat}"


def run(params: Params, results: Path = RESULTS) -> Path:
    """Measure what is not saved yet; return the folder with ``runs.parquet`` and a trace for each run.

    Args:
        params: What to run.
        results: Folder under which the study's own is made.

    Raises:
        WrongResult: A run's result is not the reference's.
        fl.FaaSLabError: A run has failed, or a launcher has not what it needs; that is known before anything is
            measured.
    """
    folder = start_results(STUDY, params, results)
    builders = {
        "word_count": lambda: word_count.build(params.word_count),
        "matrix_multiply": lambda: matrix_multiply.build(params.matrix_multiply),
    }
    workflows = {name: builders[name]() for name in params.workflows}
    tables = {point: saved(folder, point, workflows[point.workflow].dag) for point in points(params)}
    for name in params.launchers:
        if any(table is None and point.launcher == name for point, table in tables.items()):
            params.launcher(name).prepare(tqdm.write)
    rows = []
    for point, table in tqdm(tables.items(), desc=STUDY, unit="lab", mininterval=1.0):
        if table is None:
            table = measure(folder, point, workflows[point.workflow], params)
        rows.append(table)
    table = in_order(pd.concat(rows, ignore_index=True), params)
    write_atomic(folder / RUNS_FILE, lambda path: table.to_parquet(path, index=False))
    return folder


def points(params: Params) -> Iterator[Point]:
    """Yield what to measure: repeat by repeat, in an order drawn anew for each, so that drift hits all alike."""
    for repeat in range(params.repeats):
        of_repeat = [Point(*what, repeat) for what in product(params.launchers, params.workflows, params.planners)]
        random.Random(f"{params.seed}/{repeat}").shuffle(of_repeat)
        yield from of_repeat


def measure(folder: Path, point: Point, workflow: Workflow, params: Params) -> pd.DataFrame:
    """Run a workflow on cold and on warm containers, verify both results, save both traces; return them as rows."""
    traces = []
    commit = git_commit(Path(__file__).parent)
    with fl.Lab(params.launcher(point.launcher, point.repeat), config=fl.Config.from_env(runs_dir="")) as lab:
        for pool in POOLS:
            this = lab.submit(workflow.dag, planner=point.planner, sizes=[params.size_mib])
            workflow.verify(this.result())
            manifest = msgspec.structs.replace(this.trace.manifest, git_commit=commit)
            trace = Trace.from_events(this.trace.events, manifest)
            trace.save(point.folder(folder, pool))
            traces.append(trace)
    return rows_of(point, traces)


def saved(folder: Path, point: Point, dag: fl.DAG) -> pd.DataFrame | None:
    """Return the rows of a point, None if a trace is missing or is of another version of the workflow."""
    places = [point.folder(folder, pool) for pool in POOLS]
    if not all((place / RUN_FILE).exists() for place in places):
        return None
    traces = [Trace.load(place) for place in places]
    current = all(trace.manifest.structure_hash == dag.structure_hash for trace in traces)
    return rows_of(point, traces) if current else None


def rows_of(point: Point, traces: list[Trace]) -> pd.DataFrame:
    """Return the table of a point's runs, one row for each pool."""
    return run_table(traces).join(pd.DataFrame({"pool": POOLS, "repeat": point.repeat}))


def in_order(table: pd.DataFrame, params: Params) -> pd.DataFrame:
    """Return the runs in the order of the parameters, which figures and tables follow, not in that of measuring."""
    ranks = {
        "launcher": {name: rank for rank, name in enumerate(params.launchers)},
        "workflow": {name: rank for rank, name in enumerate(params.workflows)},
        "planner": {name: rank for rank, name in enumerate(params.planners)},
        "pool": {name: rank for rank, name in enumerate(POOLS)},
    }
    keys = ["workflow", "pool", "launcher", "planner", "repeat"]
    return table.sort_values(
        keys, key=lambda column: column.map(ranks[str(column.name)]) if column.name in ranks else column
    ).reset_index(drop=True)
