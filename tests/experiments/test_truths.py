"""What is hidden from planners has the spread and the correlation that it promises."""

import numpy as np
import pytest
from numpy.typing import NDArray

import faaslab as fl
from experiments.instances import FAMILIES, drawn, synthetic, synthetic_name
from experiments.truths import FUNCTION_SHARE, RUN_SHARE, TOLD_SIGMA, TaskTable, function_of, hidden_truth
from faaslab.graph import generators
from faaslab.model.estimates import prior_scale

DAG = fl.DAG(generators.map_reduce(30, 10))
TOLD = TaskTable(tuple(range(1, 42)), tuple(range(100, 141)))


def logs(sigma: float, seeds: int = 2_000) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the logarithms of true over told, times and sizes, a row for each truth."""
    truths = [hidden_truth(DAG, TOLD, sigma, [seed]) for seed in range(seeds)]
    return (
        np.log([truth.one_vcpu_s for truth in truths]) - np.log(TOLD.one_vcpu_s),
        np.log([truth.sizes_bytes for truth in truths]) - np.log(TOLD.sizes_bytes),
    )


def test_spread_and_correlation() -> None:
    """Times share the run, tasks of a function its part too; sizes do not share the run; medians stay."""
    times, sizes = logs(0.3)
    functions = np.array(function_of(DAG))
    one, two = np.flatnonzero(functions == "identity")[:2]
    other = np.flatnonzero(functions == "reduce")[0]
    assert times.std(axis=0) == pytest.approx([0.3] * 41, rel=0.08)
    assert sizes.std(axis=0) == pytest.approx([0.3 * (1 - RUN_SHARE) ** 0.5] * 41, rel=0.08)
    assert np.abs(np.median(times, axis=0)).max() < 0.04
    assert np.corrcoef(times[:, one], times[:, two])[0, 1] == pytest.approx(RUN_SHARE + FUNCTION_SHARE, abs=0.06)
    assert np.corrcoef(times[:, one], times[:, other])[0, 1] == pytest.approx(RUN_SHARE, abs=0.06)
    assert np.corrcoef(sizes[:, one], sizes[:, other])[0, 1] == pytest.approx(0.0, abs=0.07)


def test_no_spread_is_as_told() -> None:
    """Without spread, the truth is what planners know; a seed gives one truth."""
    truth = hidden_truth(DAG, TOLD, 0.0, [1])
    assert truth.one_vcpu_s == pytest.approx(TOLD.one_vcpu_s)
    assert truth.sizes_bytes == pytest.approx(TOLD.sizes_bytes)
    assert truth.spread(0, 1769).total == 0
    assert hidden_truth(DAG, TOLD, 0.3, [1, 2]) == hidden_truth(DAG, TOLD, 0.3, [1, 2])
    assert hidden_truth(DAG, TOLD, 0.3, [1, 2]) != hidden_truth(DAG, TOLD, 0.3, [1, 3])


def test_table_of_declared_tasks() -> None:
    """A table answers as what tasks declare does, at every size, and times can be scaled."""
    first = generators.one.with_options(expected_s=3.0, output_bytes=50)()
    dag = fl.DAG(generators.increment(first))
    table = TaskTable.declared(dag)
    assert table.exec_s(0, 442) == pytest.approx(3.0 * prior_scale(442))
    assert table.output_bytes(0) == 50
    assert table.scaled(0.01).exec_s(0, 1769) == pytest.approx(0.03)
    assert table.spread(0, 1769).total == pytest.approx(TOLD_SIGMA)
    assert table.scaled(0.01).sizes_bytes == table.sizes_bytes


@pytest.mark.parametrize("family", FAMILIES)
def test_synthetic_workflows(family: str) -> None:
    """Each family has about as many tasks as asked for, and the same times and sizes for a seed."""
    instance = synthetic(family, 100, 1.0, seed=3)
    assert instance.name == synthetic_name(family, 100, 1.0)
    assert 50 <= len(instance.dag) <= 115
    again = synthetic(family, 100, 1.0, seed=3)
    assert again.told == instance.told
    assert synthetic(family, 100, 1.0, seed=4).told != instance.told
    assert len(synthetic(family, 10, 1.0, seed=3).dag) >= 2


def test_ratio_of_communication_to_computation() -> None:
    """Over many functions, storing and fetching an output takes ``ccr`` times as long as its task."""
    dag = fl.DAG([generators.identity.with_options(name=f"f{number}")(number) for number in range(400)])
    for ccr in (0.1, 10.0):
        told = drawn(dag, ccr, [1])
        both_ways_s = 2 * np.array(told.sizes_bytes) / 75e6
        assert np.median(both_ways_s) / np.median(told.one_vcpu_s) == pytest.approx(ccr, rel=0.15)
