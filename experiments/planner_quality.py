"""How good plans are where their planners' estimates are wrong, compared at equal cost and at equal makespan.

Every planner plans every workflow from estimates, asked for different things: single sizes and all of them, makespan,
cost, exchange rates of both, caps on cost. Then the subject, the planner that is compared, is asked to do with as much
money as the others' best plans what it can. All plans are then simulated under several truths that are hidden from
planners, the same for all, and under the estimates themselves. What each planner has reached under one truth is its
front (``fronts``); truths of a workflow share their plans, so what counts as one observation is the workflow.

Workflows are synthetic ones, and recorded ones of a folder where one is given. What is saved is not planned again;
after a change of planners, name another folder for results.
"""

import math
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

import faaslab as fl
from experiments.comparisons import CLUSTER, against_all, against_each, by_family, compare, planned_table
from experiments.fronts import Point, front
from experiments.instances import (
    FAMILIES,
    Instance,
    recorded,
    recorded_files,
    recorded_name,
    synthetic,
    synthetic_name,
)
from experiments.saving import RESULTS, save_table, start_results
from experiments.truths import TaskTable, hidden_truth
from faaslab.model.platform import platform_named
from faaslab.model.sizes import DEFAULT_SIZE_MIB, check_sizes
from faaslab.plan import check_plan
from faaslab.planners import PLANNERS, Planner, get_planner
from faaslab.planners.dask import Dask
from faaslab.planners.registry import plan_context
from faaslab.simulate import Draws, Simulation, Simulator
from faaslab.simulate.cluster import ClusterSimulation, simulate_cluster

STUDY = "planner_quality"
POINTS_FILE = "points.parquet"

ENTRANTS: dict[str, Callable[[], Planner]] = {
    **{name: planner for name, planner in PLANNERS.items() if name != "optimal"},
    "dask_inf": partial(Dask, saturation=math.inf),
}
"""Who takes part: all planners but the one for small DAGs; Dask as it is, and with all root-ish tasks sent at once."""
ON_CLUSTER = ("dask", "dask_inf")
"""Whose plans are also run as Dask would, on machines of one's own: always billed, started before, without storage."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Where workflows run.

    Attributes:
        time_scale: What execution times are multiplied by.
        platform: The platform.
    """

    time_scale: float
    platform: fl.Platform


def _narrow() -> fl.Platform:
    profile = replace(platform_named("lambda").profile, upload_bytes_per_s=1e6, download_bytes_per_s=1e6)
    return fl.Platform(profile, concurrency=16)


PLAIN = "plain"
SCENARIOS = {
    PLAIN: Scenario(1.0, platform_named("lambda")),
    "short": Scenario(0.01, platform_named("lambda")),
    "narrow": Scenario(1.0, _narrow()),
}
"""As it is; with tasks a hundred times as short; with 1 MB/s each way and 16 workers at a time."""


@dataclass(frozen=True, slots=True)
class Params:
    """What is planned, how, and under how many truths it is simulated.

    Attributes:
        wfinstances: Folder of WfFormat files; empty: synthetic workflows only.
        families: Synthetic workflows, out of ``FAMILIES``.
        tasks: About how many tasks a synthetic workflow has.
        ccrs: Communication-to-computation ratios of synthetic workflows, one workflow each.
        scenarios: Those of recorded workflows, out of ``SCENARIOS``; synthetic ones are ``plain``, with their ratio.
        planners: Names.
        subject: Which of them is compared with all others.
        sizes_mib: Worker sizes.
        rates: Exchange rates: how much of the makespan is worth all the cost, both of one worker for each task.
        caps: How many caps on cost, out of what plans on the front of all cost that there are so far.
        sigmas: Standard deviations of the logarithm of true over told.
        truths: How many hidden truths for each.
        budget: Of a planner, each time it is asked, in simulated tasks.
        seed: Of workflows, truths and planners.
        processes: How many workflows are planned at a time.

    Raises:
        fl.ConfigError: A value is unknown or out of its range.
    """

    wfinstances: str
    families: tuple[str, ...]
    tasks: int
    ccrs: tuple[float, ...]
    scenarios: tuple[str, ...]
    planners: tuple[str, ...]
    subject: str
    sizes_mib: tuple[int, ...]
    rates: tuple[float, ...]
    caps: int
    sigmas: tuple[float, ...]
    truths: int
    budget: int
    seed: int
    processes: int

    def __post_init__(self) -> None:
        for name, known in (("families", FAMILIES), ("scenarios", SCENARIOS), ("planners", ENTRANTS)):
            chosen = getattr(self, name)
            if len(set(chosen)) < len(chosen) or not set(chosen) <= set(known):
                raise fl.ConfigError(f"{name} is {chosen}, must be distinct names out of {', '.join(known)}")
        if self.subject not in self.planners or len(self.planners) < 2:
            raise fl.ConfigError(f"subject is {self.subject!r}, must be one of several planners, {self.planners}")
        for name, least in (("tasks", 10), ("caps", 0), ("truths", 1), ("budget", 1), ("processes", 1)):
            if getattr(self, name) < least:
                raise fl.ConfigError(f"{name} is {getattr(self, name)}, must be at least {least}")
        for name in ("ccrs", "rates", "sigmas"):
            if not all(0 < value < float("inf") for value in getattr(self, name)):
                raise fl.ConfigError(f"{name} is {getattr(self, name)}, must be finite numbers above 0")
        if self.wfinstances and not Path(self.wfinstances).is_dir():
            raise fl.ConfigError(f"wfinstances is {self.wfinstances!r}, which is no folder")
        if not (self.wfinstances and self.scenarios) and not (self.families and self.ccrs):
            raise fl.ConfigError("there is nothing to plan: neither wfinstances in scenarios nor families with ccrs")
        check_sizes(self.sizes_mib)


SMOKE = Params(
    wfinstances="",
    families=("fork_join", "map_reduce"),
    tasks=16,
    ccrs=(1.0,),
    scenarios=(PLAIN,),
    planners=tuple(ENTRANTS),
    subject="faaslab",
    sizes_mib=(DEFAULT_SIZE_MIB // 2, DEFAULT_SIZE_MIB),
    rates=(1.0,),
    caps=1,
    sigmas=(0.3,),
    truths=2,
    budget=2_000,
    seed=1,
    processes=1,
)
"""Seconds: shows that everything works."""

PAPER = replace(
    SMOKE,
    families=tuple(FAMILIES),
    tasks=100,
    ccrs=(0.1, 1.0, 10.0),
    scenarios=tuple(SCENARIOS),
    sizes_mib=(512, 1024, DEFAULT_SIZE_MIB, 2 * DEFAULT_SIZE_MIB, 4 * DEFAULT_SIZE_MIB),
    rates=(1.0,),
    caps=10,
    sigmas=(0.3, 0.6),
    truths=10,
    budget=100_000,
    processes=2,
)
"""Enough workflows for tests of significance; about ten minutes on two cores."""

SCALES = {"smoke": SMOKE, "paper": PAPER}


def run(params: Params, results: Path = RESULTS) -> Path:
    """Plan and simulate what is not saved yet; return the folder with ``points.parquet``.

    A row is one plan under one truth; ``sigma`` 0 is the estimates themselves. A planner that can't plan a workflow has
    a row with its ``error``.

    Args:
        params: What to do.
        results: Folder under which the study's own is made.

    Raises:
        fl.GraphError: A recorded workflow can't be read.
    """
    folder = start_results(STUDY, params, results)
    (folder / "points").mkdir(exist_ok=True)
    paths = {point: folder / "points" / f"{point.scenario}-{point.name}.parquet" for point in points(params)}
    missing = [point for point, path in paths.items() if not path.exists()]
    bar = tqdm(_tables(missing, params), STUDY, len(missing), unit="workflow", mininterval=1.0)
    for point, table in bar:
        save_table(table, paths[point])
    save_table(pd.concat([pd.read_parquet(path) for path in paths.values()], ignore_index=True), folder / POINTS_FILE)
    return folder


@dataclass(frozen=True, slots=True)
class WorkflowPoint:
    """One workflow in one scenario; ``make`` builds the workflow."""

    scenario: str
    name: str
    make: Callable[[], Instance]


def points(params: Params) -> list[WorkflowPoint]:
    """Return what to plan."""
    found = []
    if params.wfinstances:
        for path, scenario in product(recorded_files(Path(params.wfinstances)), params.scenarios):
            found.append(WorkflowPoint(scenario, recorded_name(path), partial(recorded, path)))
    for family, ccr in product(params.families, params.ccrs):
        make = partial(synthetic, family, params.tasks, ccr, params.seed)
        found.append(WorkflowPoint(PLAIN, synthetic_name(family, params.tasks, ccr), make))
    return found


def _tables(missing: list[WorkflowPoint], params: Params) -> Iterator[tuple[WorkflowPoint, pd.DataFrame]]:
    if params.processes == 1:
        yield from ((point, measure(point, params)) for point in missing)
        return
    with ProcessPoolExecutor(params.processes, get_context("spawn")) as pool:
        futures = {pool.submit(measure, point, params): point for point in missing}
        for future in as_completed(futures):
            yield futures[future], future.result()


@dataclass(frozen=True, slots=True)
class Setting:
    """What a planner is asked for.

    Attributes:
        name: Says it.
        sizes_mib: Allowed worker sizes.
        objective: As ``dag.plan`` takes it.
        cost_cap_usd: Cost not to exceed.
    """

    name: str
    sizes_mib: tuple[int, ...]
    objective: str | float
    cost_cap_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, what was asked for, how long that took the CPU, and what the plan comes to if all is as told."""

    planner: str
    setting: Setting
    plan: fl.Plan
    planning_s: float
    told: Point


def measure(point: WorkflowPoint, params: Params) -> pd.DataFrame:
    """Plan one workflow with all planners and simulate their plans under all truths; see ``run`` for the rows."""
    instance, scenario = point.make(), SCENARIOS[point.scenario]
    dag, told = instance.dag, instance.told.scaled(scenario.time_scale)
    planned, failed = plan_all(dag, told, scenario.platform, params)
    distinct = list({_identity(one): one for one in reversed(planned)}.values())
    seed = zlib.crc32(point.name.encode())
    rows = _simulated(distinct, dag, told, scenario.platform, {"sigma": 0.0, "truth": 0}, None)
    for sigma, truth in product(params.sigmas, range(params.truths)):
        table = hidden_truth(dag, told, sigma, [params.seed, seed, truth])
        which = {"sigma": sigma, "truth": truth}
        rows += _simulated(distinct, dag, table, scenario.platform, which, Draws(truth))
    simulated = pd.DataFrame(rows)
    as_told = simulated[simulated["sigma"] == 0].set_index(["planner", "setting"])[["makespan_s", "cost_usd"]]
    simulated = simulated.join(as_told.add_prefix("told_"), on=["planner", "setting"])
    whole = pd.concat([simulated, pd.DataFrame(failed, columns=["planner", "setting", "error"])], ignore_index=True)
    whole = whole.assign(scenario=point.scenario, family=instance.family, workflow=instance.name, tasks=len(dag))
    return whole.astype({"error": "string"})


def plan_all(
    dag: fl.DAG, told: TaskTable, platform: fl.Platform, params: Params
) -> tuple[list[Planned], list[tuple[str, str, str]]]:
    """Return all planners' plans, and who failed, at which setting and why."""
    simulator = Simulator(dag, told, platform)
    planned: list[Planned] = []
    failed: list[tuple[str, str, str]] = []

    def ask(planners: Sequence[str], settings: Sequence[Setting]) -> None:
        for name, setting in product(planners, settings):
            try:
                planned.append(ask_planner(name, setting, dag, told, simulator, params))
            except fl.FaaSLabError as error:
                failed.append((name, setting.name, f"{type(error).__name__}: {error}"))

    def at_costs() -> list[Setting]:
        caps = enumerate(caps_usd([one.told for one in planned], params.caps), 1)
        return [Setting(f"cap{number}@all", params.sizes_mib, "makespan", cap) for number, cap in caps]

    others = [name for name in params.planners if name != params.subject]
    for_all_sizes, for_each_size = settings_without_caps(params, simulator, dag)
    ask(others, [*for_each_size, *for_all_sizes])
    ask(others, at_costs())
    # What the others have reached is what the subject is asked for.
    ask([params.subject], [*for_all_sizes, *at_costs()])
    return planned, failed


def _simulated(
    planned: Sequence[Planned],
    dag: fl.DAG,
    table: TaskTable,
    platform: fl.Platform,
    which: dict[str, Any],
    draws: Draws | None,
) -> list[dict[str, Any]]:
    """Return a row for each plan under one truth, and another one for each that runs on a cluster, too."""
    simulator = Simulator(dag, table, platform)
    bandwidth = platform.profile.download_bytes_per_s
    rows = []
    for one in planned:
        found: dict[str, Simulation | ClusterSimulation] = {
            one.planner: simulator.run(simulator.place(one.plan), draws)
        }
        if one.planner in ON_CLUSTER:
            found[f"{one.planner}{CLUSTER}"] = simulate_cluster(
                dag, one.plan, table, platform, bandwidth_bytes_per_s=bandwidth
            )
        for planner, result in found.items():
            about = {"planner": planner, "setting": one.setting.name, "planning_s": one.planning_s}
            rows.append(about | which | {"makespan_s": result.makespan_s, "cost_usd": result.cost_usd})
    return rows


def settings_without_caps(params: Params, simulator: Simulator, dag: fl.DAG) -> tuple[list[Setting], list[Setting]]:
    """Return all sizes together for makespan, for cost and at each exchange rate; and each size alone for makespan."""
    sizes = sorted(params.sizes_mib)
    ctx = plan_context(dag, sizes=[sizes[len(sizes) // 2]], platform=simulator.platform)
    plain = simulator.run(simulator.place(get_planner("per_task").plan(dag, ctx)))
    exchange = plain.makespan_s / plain.cost_usd
    objectives = {"makespan": "makespan", "cost": "cost"} | {f"rate{r:g}": r * exchange for r in params.rates}
    return (
        [Setting(f"{name}@all", tuple(sizes), objective) for name, objective in objectives.items()],
        [Setting(f"makespan@{size_mib}", (size_mib,), "makespan") for size_mib in sizes],
    )


def caps_usd(told: Sequence[Point], count: int) -> list[float]:
    """Return the costs of up to ``count`` points of the front of all plans so far, evenly spread, without the least."""
    costs = [cost_usd for cost_usd, _ in front(told)][1:]
    places = np.linspace(0, len(costs) - 1, min(count, len(costs))).round().astype(int)
    return [costs[place] for place in places]


def ask_planner(
    name: str, setting: Setting, dag: fl.DAG, told: TaskTable, simulator: Simulator, params: Params
) -> Planned:
    """Return a planner's plan; one that exceeds the cap on cost, because the planner minds none, is a plan, too.

    Raises:
        fl.FaaSLabError: There is none.
    """
    started_s = time.process_time()
    ctx = plan_context(
        dag,
        sizes=setting.sizes_mib,
        platform=simulator.platform,
        objective=setting.objective,
        cost_cap_usd=setting.cost_cap_usd,
        estimates=told,
        seed=params.seed,
        budget=params.budget,
    )
    plan = ENTRANTS[name]().plan(dag, ctx)
    planning_s = time.process_time() - started_s
    check_plan(dag, plan)
    found = simulator.run(simulator.place(plan))
    return Planned(name, setting, plan, planning_s, (found.cost_usd, found.makespan_s))


def _identity(one: Planned) -> tuple[Any, ...]:
    """Return what makes a plan another one: a planner that is asked differently may answer the same."""
    plan = one.plan
    return one.planner, plan.assignments, tuple(plan.orders.items()), plan.optimizations


def tables(folder: Path, params: Params) -> dict[str, pd.DataFrame]:
    """Return the study's tables by title."""
    found = pd.read_parquet(folder / POINTS_FILE)
    compared = compare(found, params.subject)
    shown = {
        "planned: makespan (s) as told, at best": planned_table(found),
        f"{params.subject} against the fronts of all others, by family": against_all(compared),
        f"{params.subject} against each planner, over workflows": against_each(compared),
    }
    of_dask = [name + where for name in ON_CLUSTER if name in params.planners for where in ("", CLUSTER)]
    if of_dask:
        shown[f"{params.subject} against Dask, by family"] = by_family(compared, of_dask)
    return shown
