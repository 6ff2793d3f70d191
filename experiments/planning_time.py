"""How long planners take, and how long simulating a plan takes, by number of tasks; in wall time on this machine.

Everything a planner needs counts: asking for estimates, flattening the DAG, all its simulations. Planners take turns in
an order drawn anew for each repeat. The simulation of the plan is timed apart, in plain Python and, where wanted and
numba is installed, compiled.
"""

import gc
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from tqdm import tqdm

import faaslab as fl
from experiments.instances import FAMILIES, Instance, synthetic, synthetic_name
from experiments.saving import RESULTS, save_table, start_results
from faaslab.model.platform import platform_named
from faaslab.model.sizes import DEFAULT_SIZE_MIB, check_sizes
from faaslab.planners import PLANNERS
from faaslab.planners.planner import DEFAULT_BUDGET
from faaslab.planners.registry import plan_context, plan_with
from faaslab.simulate import FlatDag, Placement, Simulation, place, run_placement
from faaslab.trace.manifest import host

STUDY = "planning_time"
TIMES_FILE = "times.parquet"
CCR = 0.1
"""Communication-to-computation ratio of the workflows."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Params:
    """What is planned and how often.

    Attributes:
        families: Synthetic workflows, out of ``instances.FAMILIES``.
        tasks: About how many tasks they have.
        planners: Names.
        sizes_mib: Worker sizes.
        budget: Of a planner, in simulated tasks.
        repeats: How often each is timed.
        seed: Of workflows and of the order.
        compiled: Whether simulations are timed compiled, too, where numba is installed. Compiling takes a while.

    Raises:
        fl.ConfigError: A value is unknown or out of its range.
    """

    families: tuple[str, ...]
    tasks: tuple[int, ...]
    planners: tuple[str, ...]
    sizes_mib: tuple[int, ...]
    budget: int
    repeats: int
    seed: int
    compiled: bool

    def __post_init__(self) -> None:
        for name, known in (("families", FAMILIES), ("planners", PLANNERS)):
            chosen = getattr(self, name)
            if not chosen or len(set(chosen)) < len(chosen) or not set(chosen) <= set(known):
                raise fl.ConfigError(f"{name} is {chosen}, must be distinct names out of {', '.join(known)}")
        if not self.tasks or min(self.tasks) < 10:
            raise fl.ConfigError(f"tasks is {self.tasks}, must be numbers of 10 or more")
        for name in ("budget", "repeats"):
            if getattr(self, name) < 1:
                raise fl.ConfigError(f"{name} is {getattr(self, name)}, must be at least 1")
        check_sizes(self.sizes_mib)


SMALL_DAGS_ONLY = frozenset({"optimal"})

SMOKE = Params(
    families=("random",),
    tasks=(100,),
    planners=tuple(name for name in PLANNERS if name not in SMALL_DAGS_ONLY),
    sizes_mib=(DEFAULT_SIZE_MIB // 2, DEFAULT_SIZE_MIB, 2 * DEFAULT_SIZE_MIB),
    budget=10_000,
    repeats=1,
    seed=1,
    compiled=False,
)
"""Seconds: shows that everything works."""

PAPER = replace(
    SMOKE, families=("random", "mosaic"), tasks=(1_000, 10_000), budget=DEFAULT_BUDGET, repeats=3, compiled=True
)
"""Minutes; to be run on a machine that does nothing else."""

SCALES = {"smoke": SMOKE, "paper": PAPER}


def run(params: Params, results: Path = RESULTS) -> Path:
    """Time what is not saved yet; return the folder with ``times.parquet``.

    Args:
        params: What to time.
        results: Folder under which the study's own is made.

    Raises:
        fl.FaaSLabError: A planner can't plan a workflow.
    """
    folder = start_results(STUDY, params, results)
    (folder / "times").mkdir(exist_ok=True)
    points = []
    for family, tasks, repeat in product(params.families, params.tasks, range(params.repeats)):
        planners = list(params.planners)
        random.Random(f"{params.seed}/{family}/{tasks}/{repeat}").shuffle(planners)
        points += [(family, tasks, repeat, planner) for planner in planners]
    tables = []
    instance: Instance | None = None
    for family, tasks, repeat, planner in tqdm(points, STUDY, unit="plan", mininterval=1.0):
        path = folder / "times" / f"{family}-{tasks}-{planner}-{repeat}.parquet"
        if not path.exists():
            if instance is None or instance.name != synthetic_name(family, tasks, CCR):
                instance = synthetic(family, tasks, CCR, params.seed)
            save_table(pd.DataFrame([measure(instance, planner, params) | {"repeat": repeat}]), path)
        tables.append(pd.read_parquet(path))
    save_table(pd.concat(tables, ignore_index=True), folder / TIMES_FILE)
    return folder


def measure(instance: Instance, planner: str, params: Params) -> dict[str, Any]:
    """Time one plan and its simulation."""
    dag, platform = instance.dag, platform_named("lambda")
    ctx = plan_context(dag, sizes=params.sizes_mib, estimates=instance.told, platform=platform, budget=params.budget)
    gc.collect()
    plan, planning_s = timed(lambda: plan_with(planner, dag, ctx))
    flat = FlatDag.of(dag, instance.told)
    flat.exec_s([assignment.size_mib for assignment in plan.assignments])
    simulated, simulation_s = timed(lambda: run_placement(place(flat, plan, platform)))
    return {
        "family": instance.family,
        "tasks": len(dag),
        "edges": sum(len(dag.upstreams(task)) for task in range(len(dag))),
        "planner": planner,
        "planning_s": planning_s,
        "simulation_s": simulation_s,
        "compiled_simulation_s": compiled_simulation_s(flat, plan, platform) if params.compiled else None,
        "makespan_s": simulated.makespan_s,
    }


def compiled_simulation_s(flat: FlatDag, plan: fl.Plan, platform: fl.Platform) -> float | None:
    """Return how long the compiled simulation takes once it is compiled; None: numba is not installed."""
    if find_spec("numba") is None:
        return None
    from faaslab.simulate.compiled import compiled_dag, place_compiled, run_compiled

    compiled = compiled_dag(flat)

    def simulate() -> Simulation:
        placement: Placement = place_compiled(compiled, plan, platform)
        return run_compiled(placement)

    simulate()
    return timed(simulate)[1]


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """Return what ``work`` returns, and the seconds it took."""
    started_s = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started_s


def machine() -> str:
    """Return what the times hold for: processor, usable cores, memory and system."""
    found = host()
    path = Path("/proc/cpuinfo")
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (
        f"{models[0] if models else found['machine']}, {found['cores']} cores, {found.get('memory_mib', 0) / 1024:.0f} "
        f"GiB, {found['system']}"
    )


def tables(folder: Path, params: Params) -> dict[str, pd.DataFrame]:
    """Return the study's tables by title: medians over repeats."""
    times = pd.read_parquet(folder / TIMES_FILE)
    seconds = ["planning_s", "simulation_s"] + ["compiled_simulation_s"] * params.compiled
    title = f"median seconds of {params.repeats}, on {machine()}"
    return {title: times.groupby(["family", "tasks", "edges", "planner"], sort=False)[seconds].median()}
