"""What each optimization does: alone and left out of all, predicted and measured, on three workflows.

Optimizations at run time (clustering, delayed I/O) are compared on ``wukong``'s plan, which decides there; those of
planned workers (preload, streaming, task duplication, prewarm) on ``uniform``'s. Containers have little bandwidth and
start slowly, so that what is saved shows on one machine: both are emulated, and predicted as measured beforehand.
What is saved is not measured again.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

import faaslab as fl
from experiments.saving import RESULTS, save_table, start_results
from experiments.workflows import Workflow, broadcast, matrix_multiply, tree_reduction
from faaslab.launchers.settings import EmulatingLauncher
from faaslab.model.sizes import MIB_PER_VCPU, check_size
from faaslab.viz import Ablation, run_table

STUDY = "ablation"
LAUNCHERS: dict[str, type[EmulatingLauncher]] = {"process": fl.ProcessLauncher, "docker": fl.DockerLauncher}
WORKFLOWS = ("broadcast", "matrix_multiply", "tree_reduction")
REQUIREMENTS = ("numpy",)
OPTIMIZATIONS = {
    "wukong": ("fan_out_clustering", "fan_in_clustering", "delayed_io"),
    "uniform": ("preload", "streaming", "task_dup", "prewarm"),
}
"""By the planner whose plan they are applied to."""
TABLES = ("effects", "variants", "runs")
KEYS = ["launcher", "workflow", "planner"]


@dataclass(frozen=True, slots=True)
class Params:
    """What is run, how often and on what.

    Attributes:
        launchers: What containers are; names, out of ``LAUNCHERS``.
        workflows: Names, out of ``WORKFLOWS``.
        planners: Names, out of ``OPTIMIZATIONS``.
        repeats: Runs of each variant.
        training: Runs of each workflow that the predictor learns from.
        seed: Of the order of runs, the emulated delays and the data.
        containers: How many containers may exist at a time.
        size_mib: Their size.
        cold_start_s: Emulated cold start.
        bandwidth_bytes_per_s: Emulated bandwidth between a container and the store, each way.
        dilation: How many times slower Docker containers are made, so that as many more of them fit the machine.
        model_elements: Broadcast: numbers in the model.
        scorers: Broadcast: tasks that take it.
        matrix_rows: Matrix multiplication: rows, and columns, of the matrices.
        matrix_blocks: Matrix multiplication: blocks in a row and in a column.
        leaves: Tree reduction: number of arrays.
        elements: Tree reduction: numbers in each.
        rounds: Tree reduction: sines that each addition takes.

    Raises:
        fl.ConfigError: A value is unknown or out of its range.
    """

    launchers: tuple[str, ...]
    workflows: tuple[str, ...]
    planners: tuple[str, ...]
    repeats: int
    training: int
    seed: int
    containers: int
    size_mib: int
    cold_start_s: float
    bandwidth_bytes_per_s: float
    dilation: float
    model_elements: int
    scorers: int
    matrix_rows: int
    matrix_blocks: int
    leaves: int
    elements: int
    rounds: int

    def __post_init__(self) -> None:
        for name, known in (
            ("launchers", tuple(LAUNCHERS)),
            ("workflows", WORKFLOWS),
            ("planners", tuple(OPTIMIZATIONS)),
        ):
            chosen = getattr(self, name)
            if not chosen or len(set(chosen)) < len(chosen) or not set(chosen) <= set(known):
                raise fl.ConfigError(f"{name} is {chosen}, must be distinct names out of {', '.join(known)}")
        for name in ("repeats", "training", "containers"):
            if getattr(self, name) < 1:
                raise fl.ConfigError(f"{name} is {getattr(self, name)}, must be at least 1")
        check_size(self.size_mib)
        # These check their own.
        _ = [self.launcher(name) for name in self.launchers], [self.params(name) for name in WORKFLOWS]

    def launcher(self, name: str) -> EmulatingLauncher:
        """Return what the workflows run on: every run starts without a container."""
        settings: dict[str, Any] = {
            "limit": self.containers,
            "requirements": REQUIREMENTS,
            "initial_pool": "empty",
            "cold_start_s": self.cold_start_s,
            "upload_bytes_per_s": self.bandwidth_bytes_per_s,
            "download_bytes_per_s": self.bandwidth_bytes_per_s,
            "seed": self.seed,
        }
        if name == "docker":
            settings["dilation"] = self.dilation
        return LAUNCHERS[name](**settings)

    def params(self, workflow: str) -> Any:
        """Return the parameters of a workflow."""
        makers: dict[str, Callable[[], Any]] = {
            "broadcast": partial(broadcast.Params, self.model_elements, self.scorers, 1, self.seed),
            "matrix_multiply": partial(matrix_multiply.Params, self.matrix_rows, self.matrix_blocks, self.seed),
            "tree_reduction": partial(tree_reduction.Params, self.leaves, self.elements, self.rounds, self.seed),
        }
        return makers[workflow]()

    def workflow(self, name: str) -> Workflow:
        """Return a workflow."""
        modules = {"broadcast": broadcast, "matrix_multiply": matrix_multiply, "tree_reduction": tree_reduction}
        workflow: Workflow = modules[name].build(self.params(name))
        return workflow


SMOKE = Params(
    launchers=("process",),
    workflows=("broadcast",),
    planners=tuple(OPTIMIZATIONS),
    repeats=1,
    training=2,
    seed=1,
    containers=4,
    size_mib=MIB_PER_VCPU // 4,
    cold_start_s=0.1,
    bandwidth_bytes_per_s=20e6,
    dilation=1.0,
    model_elements=broadcast.SMOKE.elements,
    scorers=broadcast.SMOKE.scorers,
    matrix_rows=matrix_multiply.SMOKE.rows,
    matrix_blocks=matrix_multiply.SMOKE.blocks,
    leaves=tree_reduction.SMOKE.leaves,
    elements=tree_reduction.SMOKE.elements,
    rounds=tree_reduction.SMOKE.rounds,
)
"""Seconds: shows that everything works."""

DEMO = replace(
    SMOKE,
    repeats=2,
    training=3,
    cold_start_s=0.3,
    bandwidth_bytes_per_s=4e6,
    model_elements=150_000,
    scorers=8,
    matrix_rows=720,
    matrix_blocks=2,
    elements=130_000,
)
"""A few minutes on two cores."""

PAPER = replace(
    DEMO,
    launchers=tuple(LAUNCHERS),
    workflows=WORKFLOWS,
    repeats=7,
    training=6,
    cold_start_s=0.5,
    dilation=4.0,
    scorers=16,
    matrix_rows=1080,
    matrix_blocks=3,
    leaves=8,
)
"""An hour on two cores. What moves takes far longer than what is computed, so that four containers do not contend for
the cores, and an array of a megabyte takes half a second into the store and out again: what clustering calls large."""

SCALES = {"smoke": SMOKE, "demo": DEMO, "paper": PAPER}


def run(params: Params, results: Path = RESULTS) -> Path:
    """Measure what is not saved yet; return the folder with ``effects``, ``variants`` and ``runs`` as Parquet tables.

    Args:
        params: What to run.
        results: Folder under which the study's own is made.

    Raises:
        WrongResult: A run's result is not the reference's.
        fl.FaaSLabError: A run has failed, or a launcher has not what it needs.
    """
    folder = start_results(STUDY, params, results)
    places = [
        (launcher, name, planner)
        for launcher in params.launchers
        for name in params.workflows
        for planner in params.planners
    ]
    found: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    for place in tqdm(places, desc=STUDY, unit="ablation"):
        tables = saved(folder, place)
        if tables is None:
            tables = tables_of(measure(params, *place))
            for name, table in tables.items():
                save_table(table, file_of(folder, place, name))
        for name, table in tables.items():
            found[name].append(table.assign(**dict(zip(KEYS, place, strict=True))))
    for name, parts in found.items():
        save_table(pd.concat(parts, ignore_index=True), folder / f"{name}.parquet")
    return folder


def measure(params: Params, launcher: str, workflow: str, planner: str) -> Ablation:
    """Return the ablation of one planner's plan of a workflow on a launcher."""
    built = params.workflow(workflow)
    config = fl.Config.from_env(runs_dir="", history_dir="")
    with fl.Lab(params.launcher(launcher), config=config) as lab:
        return fl.ablation(
            built.dag,
            planner,
            OPTIMIZATIONS[planner],
            lab=lab,
            repeats=params.repeats,
            training=params.training,
            seed=params.seed,
            check=built.verify,
            progress=False,
            sizes=[params.size_mib],
        )


def tables_of(ablation: Ablation) -> dict[str, pd.DataFrame]:
    """Return an ablation as tables: its effects, its variants, and its runs with where their workers' time went."""
    runs = []
    for variant in ablation.variants.values():
        for repeat, trace in enumerate(variant.traces):
            spent = trace.breakdown().filter(regex="_s$").sum().add_prefix("spent_")
            row = run_table([trace]).iloc[0]
            runs.append({"variant": variant.name, "repeat": repeat, **row, **spent})
    return {
        "effects": ablation.effects.reset_index(),
        "variants": ablation.table.reset_index(),
        "runs": pd.DataFrame(runs),
    }


def file_of(folder: Path, place: tuple[str, str, str], name: str) -> Path:
    """Return where a table of one ablation is saved."""
    return folder / "-".join(place) / f"{name}.parquet"


def saved(folder: Path, place: tuple[str, str, str]) -> dict[str, pd.DataFrame] | None:
    """Return the tables of an ablation that was measured before; None: it was not, or not to its end."""
    files = {name: file_of(folder, place, name) for name in TABLES}
    for file in files.values():
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            return None
    return {name: pd.read_parquet(file) for name, file in files.items()}
