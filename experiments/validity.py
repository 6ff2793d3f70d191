"""Predictions held against real runs: how far the makespan is from what the plan said before.

For each launcher and workflow, training runs are recorded in a history of the study's own. One snapshot of it, named by
its digest, is all that every planner learns from; test runs are recorded nowhere, so no planner learns from another's,
and run in an order drawn anew for each repeat. Every result is verified. What is saved is not measured again::

    training runs ─► snapshot (digest) ─► plan by each planner ─► predicted ─┐
                                            └─► test runs ─► actual ─────────┴─► runs.parquet
                                                   └─► simulated again with their own durations ─► replayed
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import msgspec
import pandas as pd
from tqdm import tqdm

import faaslab as fl
from experiments.saving import RESULTS, RUNS_FILE, start_results
from experiments.workflows import Workflow, matrix_multiply, tree_reduction, word_count
from faaslab.client.profiling import PLANNERS as TRAINERS
from faaslab.launchers.settings import EmulatingLauncher
from faaslab.model.history import Snapshot
from faaslab.model.samples import samples_of, source_of
from faaslab.model.sizes import check_size
from faaslab.planners import PLANNERS
from faaslab.planners.registry import plan_context, plan_with
from faaslab.simulate.replay import replay
from faaslab.trace import Trace
from faaslab.trace.export import RUN_FILE, write_atomic
from faaslab.trace.manifest import git_commit

STUDY = "validity"
LAUNCHERS: dict[str, type[EmulatingLauncher]] = {"process": fl.ProcessLauncher, "docker": fl.DockerLauncher}
WORKFLOWS = ("tree_reduction", "matrix_multiply", "word_count")
REQUIREMENTS = ("numpy",)
"""What the workflows import."""


@dataclass(frozen=True, slots=True)
class Params:
    """What is run, how often and on what.

    Attributes:
        launchers: What containers are; names, out of ``LAUNCHERS``.
        workflows: Names, out of ``WORKFLOWS``.
        planners: Names.
        training: Runs of each workflow on each launcher that predictions are learnt from.
        repeats: Test runs of each plan.
        seed: Of the order of runs and of random inputs.
        containers: How many containers may exist at a time.
        size_mib: Their size; real on Docker.
        leaves: Tree reduction: arrays.
        elements: Tree reduction: numbers in each.
        rounds: Tree reduction: sines of each number.
        matrix_rows: Matrix multiplication: rows, and columns, of the matrices.
        matrix_blocks: Matrix multiplication: blocks in a row and in a column.
        corpus_bytes: Word count: size of the corpus.
        chunks: Word count: texts that are counted in parallel.

    Raises:
        fl.ConfigError: A value is unknown or out of its range.
    """

    launchers: tuple[str, ...]
    workflows: tuple[str, ...]
    planners: tuple[str, ...]
    training: int
    repeats: int
    seed: int
    containers: int
    size_mib: int
    leaves: int
    elements: int
    rounds: int
    matrix_rows: int
    matrix_blocks: int
    corpus_bytes: int
    chunks: int

    def __post_init__(self) -> None:
        for name, known in (("launchers", LAUNCHERS), ("workflows", WORKFLOWS), ("planners", PLANNERS)):
            chosen = getattr(self, name)
            if not chosen or len(set(chosen)) < len(chosen) or not set(chosen) <= set(known):
                raise fl.ConfigError(f"{name} is {chosen}, must be distinct names out of {', '.join(known)}")
        for name in ("training", "repeats", "containers"):
            if getattr(self, name) < 1:
                raise fl.ConfigError(f"{name} is {getattr(self, name)}, must be at least 1")
        check_size(self.size_mib)
        # These check their own.
        _ = self.tree_reduction, self.matrix_multiply, self.word_count

    def launcher(self, name: str) -> EmulatingLauncher:
        """Return what the workflows run on: every run starts without a container."""
        return LAUNCHERS[name](limit=self.containers, requirements=REQUIREMENTS, initial_pool="empty")

    @property
    def tree_reduction(self) -> tree_reduction.Params:
        """Parameters of the tree reduction."""
        return tree_reduction.Params(self.leaves, self.elements, self.rounds, self.seed)

    @property
    def matrix_multiply(self) -> matrix_multiply.Params:
        """Parameters of the matrix multiplication."""
        return matrix_multiply.Params(self.matrix_rows, self.matrix_blocks, self.seed)

    @property
    def word_count(self) -> word_count.Params:
        """Parameters of the word count."""
        return word_count.Params(self.corpus_bytes, self.chunks)

    def workflow(self, name: str) -> Workflow:
        """Return a workflow."""
        builders = {
            "tree_reduction": lambda: tree_reduction.build(self.tree_reduction),
            "matrix_multiply": lambda: matrix_multiply.build(self.matrix_multiply),
            "word_count": lambda: word_count.build(self.word_count),
        }
        return builders[name]()


SMOKE = Params(
    launchers=("process",),
    workflows=WORKFLOWS,
    planners=("wukong", "uniform"),
    training=2,
    repeats=1,
    seed=1,
    containers=2,
    size_mib=884,
    leaves=tree_reduction.SMOKE.leaves,
    elements=tree_reduction.SMOKE.elements,
    rounds=tree_reduction.SMOKE.rounds,
    matrix_rows=matrix_multiply.SMOKE.rows,
    matrix_blocks=matrix_multiply.SMOKE.blocks,
    corpus_bytes=word_count.SMOKE.corpus_bytes,
    chunks=word_count.SMOKE.chunks,
)
"""Seconds: shows that everything works."""

PAPER = replace(
    SMOKE,
    launchers=tuple(LAUNCHERS),
    planners=("wukong", "uniform", "critical_path", "heft", "els"),
    training=10,
    repeats=5,
    leaves=tree_reduction.PAPER.leaves,
    elements=tree_reduction.PAPER.elements,
    rounds=tree_reduction.PAPER.rounds,
    matrix_rows=1024,
    matrix_blocks=4,
    corpus_bytes=8_000_000,
    chunks=16,
)
"""Minutes on two cores: two containers that share one vCPU on Docker, which leaves a core to store and client."""

SCALES = {"smoke": SMOKE, "paper": PAPER}


@dataclass(frozen=True, slots=True)
class Point:
    """One test run."""

    launcher: str
    workflow: str
    planner: str
    repeat: int

    def folder(self, results: Path, digest: str) -> Path:
        """Return where its trace is saved: what was planned from another snapshot is another point."""
        return results / "runs" / f"{self.launcher}-{self.workflow}-{self.planner}-{self.repeat}-{digest[:12]}"


def run(params: Params, results: Path = RESULTS) -> Path:
    """Measure what is not saved yet; return the folder with ``runs.parquet`` and a trace for each run.

    Args:
        params: What to run.
        results: Folder under which the study's own is made.

    Raises:
        WrongResult: A run's result is not the reference's.
        fl.FaaSLabError: A run has failed, or a launcher has not what it needs.
    """
    folder = start_results(STUDY, params, results)
    workflows = {name: params.workflow(name) for name in params.workflows}
    snapshots = {name: trained(folder, name, workflows, params) for name in params.launchers}
    plans = {
        (launcher, name, planner): planned(workflow.dag, planner, launcher, snapshots[launcher], params)
        for launcher in params.launchers
        for name, workflow in workflows.items()
        for planner in params.planners
    }
    rows = []
    for point in tqdm(list(points(params)), desc=STUDY, unit="run", mininterval=1.0):
        plan, predicted_s = plans[point.launcher, point.workflow, point.planner]
        workflow, digest = workflows[point.workflow], snapshots[point.launcher].digest
        trace = saved(point.folder(folder, digest), workflow.dag)
        if trace is None:
            trace = measure(workflow, plan, params.launcher(point.launcher))
            trace.save(point.folder(folder, digest))
        rows.append(row_of(point, trace, workflow.dag, predicted_s, digest))
    keys = ["launcher", "workflow", "planner", "repeat"]
    table = pd.DataFrame(rows).sort_values(keys, ignore_index=True)
    write_atomic(folder / RUNS_FILE, lambda path: table.to_parquet(path, index=False))
    return folder


def points(params: Params) -> Iterator[Point]:
    """Yield the test runs: repeat by repeat, in an order drawn anew for each, so that drift hits all alike."""
    for repeat in range(params.repeats):
        of_repeat = [Point(*what, repeat) for what in product(params.launchers, params.workflows, params.planners)]
        random.Random(f"{params.seed}/{repeat}").shuffle(of_repeat)
        yield from of_repeat


def trained(folder: Path, launcher: str, workflows: dict[str, Workflow], params: Params) -> Snapshot:
    """Return what the training runs on a launcher teach, running those that are not saved.

    Trainers take turns, as in ``dag.profile``. What is learnt does not depend on the history of whoever runs the study.
    """
    runs = []
    todo = [(name, number) for number in range(params.training) for name in workflows]
    for name, number in tqdm(todo, desc=f"{STUDY}: training on {launcher}", unit="run", mininterval=1.0):
        dag = workflows[name].dag
        place = folder / "training" / f"{launcher}-{name}-{number}"
        trace = saved(place, dag)
        if trace is None:
            plan = dag.plan(TRAINERS[number % len(TRAINERS)], sizes=[params.size_mib], history=False)
            trace = measure(workflows[name], plan, params.launcher(launcher))
            trace.save(place)
        runs.append((source_of(trace, float(number)), samples_of(trace, dag)))
    history = fl.History(folder / f"history-{launcher}")
    for source, samples in runs:
        history.add(source, samples)
    return history.snapshot()


def planned(dag: fl.DAG, planner: str, launcher: str, snapshot: Snapshot, params: Params) -> tuple[fl.Plan, float]:
    """Return a planner's plan for a launcher, and the makespan that half of its runs are predicted to stay below."""
    ctx = plan_context(dag, sizes=[params.size_mib], platform=params.launcher(launcher), history=snapshot)
    plan = plan_with(planner, dag, ctx)
    return plan, ctx.predict(dag, plan).makespan.quantile(0.5)


def measure(workflow: Workflow, plan: fl.Plan, launcher: EmulatingLauncher) -> Trace:
    """Run a plan in a lab of its own, verify the result, and return the trace; nothing is recorded."""
    with fl.Lab(launcher, config=fl.Config.from_env(runs_dir="", history_dir="")) as lab:
        this = lab.submit(workflow.dag, plan=plan)
        workflow.verify(this.result())
        manifest = msgspec.structs.replace(this.trace.manifest, git_commit=git_commit(Path(__file__).parent))
        return Trace.from_events(this.trace.events, manifest)


def saved(place: Path, dag: fl.DAG) -> Trace | None:
    """Return a saved trace; None if there is none, or it is of another version of the workflow."""
    if not (place / RUN_FILE).exists():
        return None
    trace = Trace.load(place)
    return trace if trace.manifest.structure_hash == dag.structure_hash else None


def row_of(point: Point, trace: Trace, dag: fl.DAG, predicted_s: float, digest: str) -> dict[str, object]:
    """Return what one test run says of its prediction."""
    metrics = trace.metrics
    actual_s = metrics["makespan_s"]
    return {
        "launcher": point.launcher,
        "workflow": point.workflow,
        "planner": point.planner,
        "repeat": point.repeat,
        "run": trace.manifest.run,
        "history": digest,
        "predicted_s": predicted_s,
        "actual_s": actual_s,
        "error": predicted_s / actual_s - 1,
        "replayed_s": replay(trace, dag).makespan_s,
        "contended_tasks": metrics["contended_tasks"],
        "tasks": metrics["tasks"],
    }


def error_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Return median relative errors, of predictions and of runs simulated again, by launcher, workflow and planner."""
    errors = runs.assign(
        predicted=runs["error"].abs(), bias=runs["error"], replayed=(runs["replayed_s"] / runs["actual_s"] - 1).abs()
    )
    grouped = errors.groupby(["launcher", "workflow", "planner"])
    table = grouped[["actual_s", "predicted_s", "predicted", "bias", "replayed"]].median()
    return table.assign(runs=grouped.size())
