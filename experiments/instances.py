"""Workflows to plan, with what is told of their tasks: recorded ones of a folder, and synthetic ones of each family."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isqrt
from pathlib import Path

import numpy as np

import faaslab as fl
from experiments.truths import TaskTable, function_of
from faaslab.graph import generators
from faaslab.graph.wfformat import read_wfformat
from faaslab.model.profiles import profile_named

MEDIAN_S = 2.0
"""Of the execution times of functions of synthetic workflows, at one vCPU."""
FUNCTION_SIGMA, TASK_SIGMA = 0.7, 0.3
"""How functions, and tasks of one function, differ: standard deviations of logarithms. Assumptions."""


@dataclass(frozen=True, slots=True)
class Instance:
    """A workflow and what is told of its tasks.

    Attributes:
        name: Unique within a study.
        family: Shape of a synthetic workflow, application of a recorded one.
        dag: The DAG.
        told: What planners know.
    """

    name: str
    family: str
    dag: fl.DAG
    told: TaskTable


def _chains(tasks: int) -> fl.Task[int]:
    length = max(1, isqrt(tasks) // 2)
    return generators.total([generators.chain(length) for _ in range(max(1, tasks // length))])


def _fork_join(tasks: int) -> fl.Task[int]:
    width = max(1, isqrt(tasks))
    return generators.fork_join(max(1, tasks // (width + 1)), width)


def _layered(tasks: int) -> fl.Task[int]:
    width = max(1, isqrt(tasks))
    return generators.layered(tasks, layers=max(1, tasks // width), width=width)


def _blocked_product(tasks: int) -> fl.Task[int]:
    blocks = 1
    while (blocks + 1) ** 3 + 3 * (blocks + 1) ** 2 <= tasks:
        blocks += 1
    return generators.blocked_product(blocks)


FAMILIES: dict[str, Callable[[int], fl.Task[int]]] = {
    "chains": _chains,
    "fork_join": _fork_join,
    "layered": _layered,
    "tree_reduction": lambda tasks: generators.tree(max(1, tasks // 2)),
    "map_reduce": lambda tasks: generators.map_reduce(max(1, 3 * tasks // 4), max(1, tasks // 4)),
    "mosaic": lambda tasks: generators.mosaic(max(1, (tasks - 6) // 3)),
    "blocked_product": _blocked_product,
    "random": lambda tasks: generators.random_dag(tasks, tasks),
}
"""Synthetic workflows of about so many tasks: parallel chains, and those of ``faaslab.graph.generators``."""


def synthetic(family: str, tasks: int, ccr: float, seed: int) -> Instance:
    """Return a synthetic workflow.

    Args:
        family: Out of ``FAMILIES``.
        tasks: About how many.
        ccr: Communication-to-computation ratio: how long storing and fetching a typical output takes on AWS Lambda,
            over how long its task does.
        seed: Of times and sizes.
    """
    dag = fl.DAG(FAMILIES[family](tasks), name=synthetic_name(family, tasks, ccr))
    return Instance(dag.name, family, dag, drawn(dag, ccr, [seed, zlib.crc32(dag.name.encode())]))


def synthetic_name(family: str, tasks: int, ccr: float) -> str:
    """Return the name of a synthetic workflow."""
    return f"{family}-{tasks}-ccr{ccr:g}"


def drawn(dag: fl.DAG, ccr: float, seed: Sequence[int]) -> TaskTable:
    """Return random times and sizes of outputs, alike for tasks of one function; see ``synthetic``."""
    rng = np.random.default_rng(list(seed))
    functions, codes = np.unique(function_of(dag), return_inverse=True)
    by_function = FUNCTION_SIGMA * rng.standard_normal((2, len(functions)))[:, codes]
    factors = np.exp(by_function + TASK_SIGMA * rng.standard_normal((2, len(dag))))
    profile = profile_named("lambda")
    both_ways_s = 1 / profile.upload_bytes_per_s + 1 / profile.download_bytes_per_s
    median_bytes = ccr * MEDIAN_S / both_ways_s
    return TaskTable(tuple((MEDIAN_S * factors[0]).tolist()), tuple((median_bytes * factors[1]).tolist()))


def recorded(path: Path) -> Instance:
    """Return the workflow of a WfFormat file.

    Raises:
        fl.GraphError: The file can't be read.
    """
    dag = fl.from_wfformat(read_wfformat(path))
    return Instance(recorded_name(path), recorded_name(path).partition("-")[0], dag, TaskTable.declared(dag))


def recorded_name(path: Path) -> str:
    """Return the name of the workflow of a WfFormat file."""
    return path.name.removesuffix(".gz").removesuffix(".json").replace(".", "-")


def recorded_files(folder: Path) -> list[Path]:
    """Return the WfFormat files of a folder.

    Raises:
        fl.GraphError: There is none.
    """
    paths = sorted(path for path in folder.glob("*.json*") if path.name != "MANIFEST.json")
    if not paths:
        raise fl.GraphError(f"there is no WfFormat file (*.json, *.json.gz) in {str(folder)!r}")
    return paths
