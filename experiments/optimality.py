"""How far plans are from the best there is, on random DAGs that are small enough for ``optimal``.

All planners plan the same DAGs for the same sizes; what their plans come to under the model is compared with the best
plan of any, which is the optimum where ``optimal`` has proven it, and with what nothing can be below.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

import faaslab as fl
from experiments.instances import drawn
from experiments.saving import RESULTS, save_table, start_results
from faaslab.graph import generators
from faaslab.model.sizes import DEFAULT_SIZE_MIB, check_sizes
from faaslab.planners import PLANNERS
from faaslab.planners.planner import DEFAULT_BUDGET
from faaslab.planners.registry import plan_context, plan_with

STUDY = "optimality"
OPTIMAL = "optimal"
GAPS_FILE = "gaps.parquet"


@dataclass(frozen=True, slots=True)
class Params:
    """What is planned.

    Attributes:
        tasks: Numbers of tasks.
        dags: How many random DAGs of each.
        planners: Names; ``optimal`` is one of them.
        sizes_mib: Worker sizes.
        ccr: Communication-to-computation ratio, see ``instances.synthetic``.
        objective: ``makespan`` or ``cost``: what is minimized and compared.
        budget: Of a planner, in simulated tasks.
        seed: Of the DAGs.

    Raises:
        fl.ConfigError: A value is unknown or out of its range.
    """

    tasks: tuple[int, ...]
    dags: int
    planners: tuple[str, ...]
    sizes_mib: tuple[int, ...]
    ccr: float
    objective: str
    budget: int
    seed: int

    def __post_init__(self) -> None:
        if len(set(self.planners)) < len(self.planners) or not set(self.planners) <= set(PLANNERS):
            raise fl.ConfigError(f"planners is {self.planners}, must be distinct names out of {', '.join(PLANNERS)}")
        if OPTIMAL not in self.planners:
            raise fl.ConfigError(f"planners is {self.planners}, must have {OPTIMAL!r} to compare with")
        if self.objective not in ("makespan", "cost"):
            raise fl.ConfigError(f"objective is {self.objective!r}, must be makespan or cost")
        if not self.tasks or min(self.tasks) < 1:
            raise fl.ConfigError(f"tasks is {self.tasks}, must be numbers of 1 or more")
        for name in ("dags", "budget"):
            if getattr(self, name) < 1:
                raise fl.ConfigError(f"{name} is {getattr(self, name)}, must be at least 1")
        if not 0 < self.ccr < float("inf"):
            raise fl.ConfigError(f"ccr is {self.ccr}, must be a finite number above 0")
        check_sizes(self.sizes_mib)


SMOKE = Params(
    tasks=(6,),
    dags=2,
    planners=tuple(PLANNERS),
    sizes_mib=(DEFAULT_SIZE_MIB,),
    ccr=1.0,
    objective="makespan",
    budget=20_000,
    seed=1,
)
"""Seconds: shows that everything works."""

PAPER = replace(SMOKE, tasks=(12, 16, 20, 24), dags=9, budget=DEFAULT_BUDGET)
"""Minutes."""

SCALES = {"smoke": SMOKE, "paper": PAPER}


def run(params: Params, results: Path = RESULTS) -> Path:
    """Plan what is not saved yet; return the folder with ``gaps.parquet``, a row for each plan.

    Args:
        params: What to do.
        results: Folder under which the study's own is made.

    Raises:
        fl.FaaSLabError: A planner can't plan a DAG.
    """
    folder = start_results(STUDY, params, results)
    (folder / "gaps").mkdir(exist_ok=True)
    tables = []
    for tasks, seed in tqdm(list(product(params.tasks, range(params.dags))), STUDY, unit="DAG", mininterval=1.0):
        path = folder / "gaps" / f"{tasks}-{seed}.parquet"
        if not path.exists():
            save_table(pd.DataFrame(measure(tasks, seed, params)), path)
        tables.append(pd.read_parquet(path))
    save_table(pd.concat(tables, ignore_index=True), folder / GAPS_FILE)
    return folder


def measure(tasks: int, seed: int, params: Params) -> Iterator[dict[str, Any]]:
    """Yield what each planner's plan of a random DAG comes to, how long planning took, and its gap to the best."""
    dag = fl.DAG(generators.random_dag(params.seed + 1_000 * seed + tasks, tasks), name=f"random-{tasks}-{seed}")
    told = drawn(dag, params.ccr, [params.seed, tasks, seed])
    rows: list[dict[str, Any]] = []
    proven, bound = False, 0.0
    for planner in params.planners:
        ctx = plan_context(
            dag,
            sizes=params.sizes_mib,
            estimates=told,
            objective=params.objective,
            budget=params.budget,
            seed=params.seed,
        )
        started_s = time.perf_counter()
        plan = plan_with(planner, dag, ctx)
        planning_s = time.perf_counter() - started_s
        found = ctx.simulate(dag, plan)
        value = found.makespan_s if params.objective == "makespan" else found.cost_usd
        if planner == OPTIMAL:
            proven, bound = plan.settings["status"] == OPTIMAL, plan.settings["bound"]
        rows.append({"tasks": tasks, "dag": seed, "planner": planner, "value": value, "planning_s": planning_s})
    best = min(row["value"] for row in rows)
    for row in rows:
        yield row | {"gap": row["value"] / best - 1, "bound": bound, "proven": proven}


def tables(folder: Path, params: Params) -> dict[str, pd.DataFrame]:
    """Return the study's tables by title: gaps to the best plan, and how often and how fast it is proven the best.

    ``over_bound`` is by how much the plan exceeds in the simulator what the solver proves that nothing can be below.
    """
    found = pd.read_parquet(folder / GAPS_FILE)
    found["over_bound"] = found["value"] / found["bound"] - 1
    by_size = found.groupby(["tasks", "planner"], sort=False)
    optimal = found[found["planner"] == OPTIMAL].groupby("tasks", sort=False)
    return {
        f"median gap of the {params.objective} to the best plan": by_size["gap"]
        .median()
        .unstack("planner", sort=False),
        f"largest gap of the {params.objective} to the best plan": by_size["gap"].max().unstack("planner", sort=False),
        "proven, and seconds": pd.DataFrame(
            {
                "DAGs": optimal.size(),
                "proven": optimal["proven"].sum(),
                "median_s": optimal["planning_s"].median(),
                "max_s": optimal["planning_s"].max(),
                "over_bound": optimal["over_bound"].median(),
            }
        ),
    }
