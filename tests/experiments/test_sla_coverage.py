"""The study of kept promises: what its truths hide, what is saved, and what its table says."""

import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import faaslab as fl
from experiments import sla_coverage as study
from faaslab.model.samples import Sample, Source

TINY = replace(study.SMOKE, shapes=("chain", "fork-join"), truths=1, training=2, warm_up=15, tests=3, draws=16)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the folder of all results, and that of a small study."""
    results = tmp_path_factory.mktemp("results")
    return results, study.run(TINY, results)


def test_a_row_for_each_run_that_counts(done: tuple[Path, Path]) -> None:
    """Promises by all methods, beside what the run took; by then there are promises to calibrate on."""
    runs = pd.read_parquet(done[1] / study.RUNS_FILE)
    assert runs.groupby("shape", sort=False).size().to_dict() == {"chain": 3, "fork-join": 3}
    assert (runs[[*study.METHODS, "makespan_s"]] > 0).all().all()
    assert (runs["calibrated_on"] > 0).all()
    assert (runs["run"] >= TINY.training + TINY.warm_up).all()


def test_what_is_saved_is_not_simulated_again(done: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A second run reads what the first has left; only a shape whose file is gone is simulated, to the same end."""
    results, folder = done
    before = pd.read_parquet(folder / study.RUNS_FILE)
    asked: list[str] = []
    runs_of = study.runs_of
    monkeypatch.setattr(
        study, "runs_of", lambda params, shape, truth: asked.append(shape) or runs_of(params, shape, truth)
    )
    assert study.run(TINY, results) == folder
    assert asked == []
    (folder / "chain.parquet").unlink()
    study.run(TINY, results)
    assert asked == ["chain"]
    pd.testing.assert_frame_equal(pd.read_parquet(folder / study.RUNS_FILE), before)


def test_table(done: tuple[Path, Path]) -> None:
    """Each method and shape has its coverage with an exact interval, and tests are adjusted over the shapes."""
    table = study.table(done[1])
    assert list(table.index) == [(method, shape) for method in study.METHODS for shape in TINY.shapes]
    assert (table["runs"] == 3).all()
    assert (table["low"] <= table["coverage"]).all()
    assert (table["coverage"] <= table["high"]).all()
    assert (table["p_holm"] >= table["p_value"]).all()


def runs_of_truth(params: study.Params, count: int) -> list[tuple[Source, list[Sample]]]:
    """Return runs of a chain's truth."""
    dag = fl.DAG(study.SHAPES["chain"](), name="chain")
    truth = study.Truth(dag, params, np.random.default_rng(0))
    plan = dag.plan("single_worker", predict=False)
    return [truth.run(plan, number) for number in range(count)]


def shown_s(run: tuple[Source, list[Sample]]) -> float:
    """Return the sum of all executions that a history is shown."""
    return sum(sample.seconds for sample in run[1] if sample.what == "exec")


def test_overheads_are_in_makespans_and_in_no_sample() -> None:
    """On one worker a run takes its executions and the overhead, which only the makespan shows."""
    quiet = replace(
        TINY, run_sigma=0, worker_sigma=0, task_sigma=0, stragglers=0, overhead=0.5, overhead_sigma=0, platform="none"
    )
    for run in runs_of_truth(quiet, 2):
        assert run[0].makespan_s == pytest.approx(1.5 * shown_s(run))


def test_luck_is_shared_by_run_and_worker() -> None:
    """What tasks have of their own averages out over a chain, what they share does not."""
    calm = replace(TINY, run_sigma=0, worker_sigma=0, task_sigma=0.3, stragglers=0)
    shared = replace(calm, run_sigma=0.2, worker_sigma=0.2, task_sigma=0)
    spreads = [
        statistics.stdev(np.log([shown_s(run) for run in runs_of_truth(params, 60)])) for params in (calm, shared)
    ]
    assert spreads[0] < 0.15
    assert spreads[1] == pytest.approx(0.2 * 2**0.5, rel=0.3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shapes": ("star",)}, "shapes is"),
        ({"shapes": ()}, "shapes is"),
        ({"truths": 0}, "truths is 0"),
        ({"run_sigma": -0.1}, "run_sigma is -0.1"),
        ({"stragglers": 2.0}, "stragglers is 2.0"),
        ({"overhead": -1.0}, "overhead is -1.0"),
    ],
)
def test_refused(change: dict[str, Any], said: str) -> None:
    """What can't be simulated is an error before anything starts."""
    with pytest.raises(fl.ConfigError, match=said):
        replace(TINY, **change)
