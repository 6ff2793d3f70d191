"""Calibration: the conformal rule, that quantiles never cross, and that no planner learns from another's runs."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import faaslab as fl
from faaslab.graph.generators import fork_join
from faaslab.model.calibration import Calibration, calibration, conformal_factor
from faaslab.model.distribution import LEVELS, Distribution, Promise
from faaslab.model.samples import Sample, Source
from faaslab.model.scoring import coverage_of

P90 = LEVELS.index(0.9)
FIVE = Distribution((1.0, 2.0, 3.0, 4.0, 5.0))


def promise(platform: str = "lambda", scale: float = 1.0, degrees: float = 8.0) -> Promise:
    """Return what a distribution from 1 to 5 promises."""
    found = Promise.of(Distribution(tuple(scale * draw for draw in FIVE.draws)), platform, degrees)
    assert found is not None
    return found


def recorded(history: fl.History, makespan_s: float, **about: Any) -> None:
    """Record a run that was promised ``promise()``."""
    number = len(history.snapshot().sources)
    source = Source(
        f"r-{number}",
        launcher="process",
        structure_hash="dag",
        recorded_s=float(number),
        planner="els",
        makespan_s=makespan_s,
        predicted=msgspec.json.encode(promise()).decode(),
    )
    history.add(replace(source, **about), [Sample("exec", 1.0, 1769, "f", 0, "f#0")])


@pytest.fixture
def history(tmp_path: Path) -> fl.History:
    return fl.History(tmp_path)


def test_the_conformal_rule_by_hand() -> None:
    """Of n scores the ceil((n + 1) q)-th smallest; with fewer runs than that nothing is corrected."""
    nine = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8]
    assert conformal_factor(nine, 0.9) == 1.8
    assert conformal_factor(nine[:8], 0.9) == 1.0
    assert conformal_factor(nine, 0.5) == 1.4
    assert conformal_factor(nine, 0.01) == 1.0
    assert conformal_factor([float(n) for n in range(1, 100)], 0.99) == 99.0
    assert conformal_factor([float(n) for n in range(1, 99)], 0.99) == 1.0
    assert conformal_factor([float(n) for n in range(1, 20)], 0.9) == 18.0


def test_a_calibrated_quantile_is_the_factor_times_what_it_was() -> None:
    """Runs that take one and a half times what is predicted lift the whole distribution."""
    found = Calibration.of([(promise(), 1.5 * makespan_s) for makespan_s in (1, 2, 2, 3, 3, 3, 4, 4, 5)])
    draws = Distribution(tuple(1.0 + number / 250 for number in range(1001)))
    assert found.runs == 9
    assert found.factor(0.9) == pytest.approx(1.5 * 5 / FIVE.quantile(0.9))
    assert found.apply(draws).quantile(0.9) == pytest.approx(found.factor(0.9) * draws.quantile(0.9))
    assert found.apply(draws).quantile(0.5) == pytest.approx(1.5 * 3)
    few = Distribution((1.0, 2.0, 5.0))
    assert found.apply(few).quantile(0.9) == pytest.approx(found.factor(0.9) * few.quantile(0.9))
    # For p99 nine runs say nothing; it is lifted to the largest below, and no further.
    assert found.factor(0.99) == 1.0
    assert draws.quantile(0.99) < found.apply(draws).quantile(0.99) == found.apply(draws).quantile(0.95)


def test_without_runs_nothing_changes() -> None:
    """No run, no correction."""
    assert Calibration().apply(FIVE) is FIVE
    assert Calibration().factor(0.5) == 1.0
    assert Calibration().runs == 0


runs = st.lists(st.tuples(st.floats(0.1, 10), st.floats(0.01, 100)), max_size=120)


@given(runs, st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=50))
def test_a_higher_percentile_never_promises_less(found: list[tuple[float, float]], draws: list[float]) -> None:
    """Whatever earlier runs came to, calibrated quantiles rise, and so does the promise of every higher SLA."""
    calibrated = Calibration.of([(promise(scale=scale), actual) for scale, actual in found])
    applied = calibrated.apply(Distribution(tuple(sorted(draws))))
    values = [applied.quantile(percent / 100) for percent in range(101)]
    assert values == sorted(values)


@pytest.mark.parametrize("quantile", [0.5, 0.9])
def test_the_next_run_stays_below_as_often_as_promised(quantile: float) -> None:
    """However wrong the prediction, calibrated on 19 runs the next one keeps it in at least ``quantile`` of cases."""
    rng = random.Random(1)
    hits, trials = 0, 2000
    wide = Distribution(tuple(1.0 + number / 250 for number in range(1001)))
    for _ in range(trials):
        found = Calibration.of([(promise(), rng.lognormvariate(2.0, 0.8)) for _ in range(19)])
        hits += rng.lognormvariate(2.0, 0.8) <= found.apply(wide).quantile(quantile)
    # Of n = 19 runs the guarantee is from quantile to quantile + 1/20.
    assert hits / trials > quantile - 0.02
    assert coverage_of(hits, trials, quantile).low < quantile + 0.05


def test_runs_are_those_of_the_same_dag_planner_and_platform(history: fl.History) -> None:
    """No planner learns from another's runs, nor a prediction for one platform from that for another."""
    for _ in range(9):
        recorded(history, 10.0)
    recorded(history, 99.0, planner="heft")
    recorded(history, 99.0, structure_hash="another dag")
    recorded(history, 99.0, kind="simulated")
    recorded(history, 99.0, predicted="")
    recorded(history, 0.0)
    elsewhere = msgspec.json.encode(promise("openwhisk")).decode()
    recorded(history, 99.0, predicted=elsewhere)
    recorded(history, 99.0, predicted=msgspec.json.encode(promise(degrees=0.0)).decode())
    snapshot = history.snapshot()
    found = calibration(snapshot, "dag", "els", "lambda", 8.0)
    assert found.scores[P90] == (10.0 / FIVE.quantile(0.9),) * 9
    assert calibration(snapshot, "dag", "els", "openwhisk", 8.0).runs == 1
    assert calibration(snapshot, "dag", "uniform", "lambda", 8.0).runs == 0
    assert calibration(None, "dag", "els", "lambda", 8.0).runs == 0
    # Whatever another planner does, the factor of this one stays.
    recorded(history, 1e6, planner="heft")
    assert calibration(history.snapshot(), "dag", "els", "lambda", 8.0) == found


def test_of_several_launchers_that_of_the_newest_run_counts(history: fl.History) -> None:
    """Where a plan is going to run is not known when it is made; the last place is the best guess."""
    recorded(history, 10.0)
    recorded(history, 20.0, launcher="docker", platform="lambda")
    recorded(history, 30.0, launcher="docker", platform="lambda")
    assert calibration(history.snapshot(), "dag", "els", "lambda", 8.0).runs == 2
    recorded(history, 10.0)
    assert calibration(history.snapshot(), "dag", "els", "lambda", 8.0).runs == 2
    only = history.snapshot().only(launcher="docker")
    assert calibration(only, "dag", "els", "lambda", 8.0).scores[0][0] == 20.0 / promise().quantiles_s[0]


def test_scores_are_forgotten_as_the_predictor_learns(history: fl.History) -> None:
    """Predictions that rested on less than half of what is known now, or on nothing, were others."""
    for degrees in (0.0, 3.0, 4.0, 8.0, 100.0):
        recorded(history, 10.0 + degrees, predicted=msgspec.json.encode(promise(degrees=degrees)).decode())
    snapshot = history.snapshot()
    runs = {degrees: calibration(snapshot, "dag", "els", "lambda", degrees).runs for degrees in (0.0, 3.0, 8.0, 200.0)}
    assert runs == {0.0: 1, 3.0: 4, 8.0: 3, 200.0: 1}


def test_plans_are_calibrated_by_the_runs_of_their_dag(tmp_path: Path) -> None:
    """Runs that were given learnt plans teach how far those were off, those of assumed times nothing."""
    dag = fl.DAG(fork_join(2, 3), name="fork")
    history = fl.History(tmp_path)
    asked: dict[str, Any] = {"sla": "p90", "platform": "none", "draws": 50}
    assumed = dag.plan("per_task", **asked)
    assert (assumed.predicted.calibrated_on, assumed.predicted.calibration) == (0, 1.0)
    with fl.Lab("inline", config=fl.Config(runs_dir="")) as lab:

        def ran(plan: fl.Plan) -> None:
            run = lab.submit(dag, plan=plan)
            run.result()
            history.record(run.trace, dag)

        for _ in range(3):
            ran(assumed)
        learnt = dag.plan("per_task", history=history, **asked)
        assert learnt.predicted.calibrated_on == 0
        assert learnt.predicted.makespan_s < assumed.predicted.makespan_s / 10
        for _ in range(20):
            ran(dag.plan("per_task", history=history, **asked))
    snapshot = history.snapshot()
    assert all(source.planner == "per_task" and source.makespan_s > 0 for source in snapshot.sources)
    after = dag.plan("per_task", history=snapshot, **asked)
    found = after.predicted
    assert 9 <= found.calibrated_on <= 20
    assert found.history == snapshot.digest
    calibrated = calibration(snapshot, dag.structure_hash, "per_task", "none", found.promise.degrees)
    uncalibrated_s = found.promise.quantiles_s[P90]
    # Exactly that, unless a lower quantile has been corrected beyond it.
    assert found.makespan_s >= calibrated.factor(0.9) * uncalibrated_s * (1 - 1e-9)
    assert found.calibration == pytest.approx(found.makespan_s / uncalibrated_s)
    assert dag.plan("els", history=snapshot, **asked).predicted.calibrated_on == 0
    assert f"calibrated on {found.calibrated_on} earlier runs" in after._repr_html_()


def test_a_run_that_failed_scores_nothing(tmp_path: Path) -> None:
    """It has no makespan to compare, and a manifest whose promise is none is refused."""

    @fl.task
    def fails(x: int) -> int:
        raise ValueError("no")

    @fl.task
    def works() -> int:
        return 1

    dag = fl.DAG(fails(works()))
    history = fl.History(tmp_path)
    with fl.Lab("inline", config=fl.Config(runs_dir="")) as lab:
        run = lab.submit(dag, plan=dag.plan("per_task"))
        with pytest.raises(fl.TaskFailed):
            run.result()
    history.record(run.trace, dag)
    (source,) = history.snapshot().sources
    assert (source.makespan_s, source.promise is None) == (0.0, False)
    settings = {**run.trace.manifest.settings, "predicted": {"platform": "lambda"}}
    broken = replace(run.trace, manifest=msgspec.structs.replace(run.trace.manifest, settings=settings))
    with pytest.raises(fl.TraceError, match=r"settings\.predicted.*`degrees`"):
        history.record(broken, dag)


def test_a_promise_needs_times() -> None:
    """Runs that may take no time promise nothing that a run could be compared with."""
    assert Promise.of(Distribution((0.0, 1.0)), "none", 8.0) is None
    with pytest.raises(ValueError, match="10 quantiles above 0"):
        Promise("lambda", 8.0, (1.0,), 1.0)
