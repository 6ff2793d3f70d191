"""Synthetic workflows have the sizes and values that they promise."""

from typing import Any

import pytest

from faaslab.graph import DAG, generators
from tests.graph.strategies import evaluate


@pytest.mark.parametrize(
    ("lazy", "tasks", "value"),
    [
        (generators.chain(1), 1, 1),
        (generators.chain(7), 7, 7),
        (generators.fan(5), 7, 10),
        (generators.tree(1), 1, 0),
        (generators.tree(7), 13, 21),
        (generators.tree(64), 127, 2016),
        (generators.diamond(), 4, 4),
        (generators.fork_join(1, 3), 5, 6),
        (generators.fork_join(2, 2), 7, 10),
        (generators.map_reduce(4, 3), 8, 12),
        (generators.blocked_product(1), 5, 1),
        (generators.blocked_product(3), 55, 27),
        (generators.mosaic(1), 9, 2),
        (generators.mosaic(5), 21, 10),
        (generators.layered(4, layers=3, width=5), 16, generators.layered_value(4, layers=3, width=5)),
        (generators.random_dag(9, 25), 25, generators.random_dag_value(9, 25)),
        (generators.random_dag(9, 1), 1, generators.random_dag_value(9, 1)),
    ],
)
def test_sizes_and_values(lazy: Any, tasks: int, value: int) -> None:
    """Each generator makes the number of tasks and the value that its docstring names."""
    dag = DAG(lazy)
    assert evaluate(dag) == value
    assert len(dag) <= tasks if "weighted" in dag.ids[0] else len(dag) == tasks


def test_generators_refuse_nothing() -> None:
    """A workflow of no tasks is an error."""
    with pytest.raises(ValueError, match="at least 1"):
        generators.chain(0)
