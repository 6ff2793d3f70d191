"""Predictions for a DAG from what earlier runs taught."""

import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faaslab.errors import ConfigError
from faaslab.graph import DAG, Task, task
from faaslab.launchers import VirtualLauncher
from faaslab.launchers.model import VirtualModel
from faaslab.model.estimates import DEFAULT_OUTPUT_BYTES, Estimates
from faaslab.model.history import History, Snapshot
from faaslab.model.predictors import Predictor
from faaslab.model.samples import Sample, SampleColumns, Source
from faaslab.model.variation import DECLARED_SIGMA, UNKNOWN_SIGMA

ONE = 1769


@task
def source(x: int) -> int:
    return x


@task
def work(*xs: int) -> int:
    return xs[0]


@task(expected_s=3.0, output_bytes=700)
def declared(x: int) -> int:
    return x + 1


@task
def unheard(x: int) -> int:
    return x + 2


def diamond() -> DAG:
    """Return two tasks ``work`` that take the output of ``source``, and one that takes theirs."""
    first = source(1)
    return DAG(work(work(first), work(first, 2)))


def executions(
    dag: DAG, name: str, *, size_mib: int = ONE, inputs: tuple[float, ...] = (1000.0,) * 6, seconds: float = 2.0
) -> list[Sample]:
    """Return executions of a function of ``dag`` that return half of their input, or 800 bytes without."""
    (identity,) = {function.identity for function in dag.functions if function.name == name}
    return [
        Sample("exec", seconds, size_mib, identity, 0, f"{name}#0", bytes=int(n), output_bytes=int(n / 2) if n else 800)
        for n in inputs
    ]


def snapshot(*runs: tuple[Source, list[Sample]]) -> Snapshot:
    """Return a snapshot of some runs."""
    return Snapshot("digest", SampleColumns.of(runs))


def test_outputs_become_inputs() -> None:
    """Predicted outputs travel along the DAG: 800 bytes, halved to 400 twice, whose sum is the last task's input."""
    dag = diamond()
    samples = executions(dag, "source", inputs=(0,) * 6)
    samples += executions(dag, "work", inputs=(500, 600, 700, 800, 900, 1000))
    estimates = Predictor.fit(samples).estimates(dag)
    assert [estimates.input_bytes(t) for t in range(4)] == pytest.approx([0, 800, 800, 800])
    assert [estimates.output_bytes(t) for t in range(4)] == pytest.approx([800, 400, 400, 400], rel=1e-3)


def test_times_follow_inputs_and_sizes() -> None:
    """A time is that of the predicted input, at the size asked for."""
    dag = DAG(work(source(1)))
    samples = executions(dag, "source", inputs=(0,) * 6)
    (identity,) = {function.identity for function in dag.functions if function.name == "work"}
    for size in (ONE, 2 * ONE, 4 * ONE):
        samples += [
            Sample("exec", (1 + n / 400) * ONE / size, size, identity, 0, "work#0", bytes=n) for n in (400, 1200, 2000)
        ]
    estimates = Predictor.fit(samples).estimates(dag)
    assert estimates.exec_s(1, ONE) == pytest.approx(3.0, rel=1e-3)
    assert estimates.exec_s(1, 3 * ONE) == pytest.approx(1.0, rel=1e-3)


def test_every_prediction_says_what_it_rests_on() -> None:
    """Measured at the size and input, extrapolated elsewhere, declared, or unknown."""
    dag = DAG(work(source(1), declared(1), unheard(1)))
    estimates: Estimates = Predictor.fit(executions(dag, "source", inputs=(0,) * 6)).estimates(dag)
    names = {dag.ids[t].rpartition("#")[0]: t for t in range(len(dag))}
    assert estimates.basis(names["source"], ONE) == "measured"
    assert estimates.basis(names["source"], 512) == "extrapolated"
    assert estimates.basis(names["declared"], ONE) == "declared"
    assert estimates.exec_s(names["declared"], ONE) == 3.0
    assert estimates.output_bytes(names["declared"]) == 700
    assert estimates.basis(names["unheard"], ONE) == "unknown"
    assert estimates.output_bytes(names["unheard"]) == DEFAULT_OUTPUT_BYTES
    far = Predictor.fit(executions(dag, "work", inputs=(10,) * 6)).estimates(dag)
    assert far.basis(names["work"], ONE) == "extrapolated"


def test_guessed_inputs_are_said() -> None:
    """Behind a task of which nothing is known, nothing counts as measured, unless its output hides the input again."""
    dag = DAG(source(work(unheard(1))))
    guessed = int(DEFAULT_OUTPUT_BYTES)
    samples = executions(dag, "work", inputs=(guessed,) * 6)
    (identity,) = {function.identity for function in dag.functions if function.name == "source"}
    samples += [Sample("exec", 1.0, ONE, identity, 0, "source#0", bytes=guessed // 2)] * 6
    estimates = Predictor.fit(samples).estimates(dag)
    assert [estimates.basis(t, ONE) for t in range(3)] == ["unknown", "extrapolated", "measured"]
    assert estimates.spread(1, ONE).total > 0.6 > estimates.spread(2, ONE).total


def test_doubt_grows_with_distance() -> None:
    """Spread widens from measured to a doubling away to four times the input to declared to unknown."""
    dag = DAG(work(source(1), declared(1), unheard(1)))
    estimates = Predictor.fit(executions(dag, "source", inputs=(0,) * 20)).estimates(dag)
    at_size, doubled, far = (estimates.spread(0, size).total for size in (ONE, 2 * ONE, 4 * ONE))
    assert doubled == pytest.approx(math.hypot(at_size, 0.1))
    assert far == pytest.approx(math.hypot(at_size, 0.2))
    names = {dag.ids[t].rpartition("#")[0]: t for t in range(len(dag))}
    assert estimates.spread(names["declared"], ONE).total == DECLARED_SIGMA
    assert estimates.spread(names["unheard"], ONE).total == UNKNOWN_SIGMA


def test_few_samples_are_doubtful() -> None:
    """The same scatter leaves more doubt with two samples than with two hundred."""
    dag = DAG(source(1))
    few, many = (Predictor.fit(executions(dag, "source", inputs=(0,) * n)).estimates(dag) for n in (2, 200))
    assert few.spread(0, ONE).total > many.spread(0, ONE).total
    assert few.quantile_s(0, ONE, 0.9) > many.quantile_s(0, ONE, 0.9) > many.exec_s(0, ONE)


def test_higher_quantiles_are_never_faster() -> None:
    """Quantiles rise; those of 0 and 1 are refused."""
    dag = DAG(source(1))
    prediction = Predictor.fit(executions(dag, "source", inputs=(0,) * 3)).estimates(dag).prediction(0, 512)
    quantiles = [prediction.quantile_s(q) for q in (0.01, 0.25, 0.5, 0.75, 0.9, 0.99)]
    assert quantiles == sorted(quantiles)
    assert quantiles[2] == pytest.approx(prediction.median_s)
    for wrong in (0.0, 1.0, 1.5, math.nan):
        with pytest.raises(ConfigError, match="quantile"):
            prediction.quantile_s(wrong)


def test_what_others_took_is_not_learnt() -> None:
    """Executions that waited for a CPU count as what they took beside, and the predictor says how many they were."""
    dag = DAG(source(1))
    samples = executions(dag, "source", inputs=(0,) * 6)
    slow = [replace(samples[0], seconds=90.0, cpu_s=1.5, queued_s=80.0, steal_s=8.0, contended=True)] * 5
    predictor = Predictor.fit(samples + slow)
    assert predictor.estimates(dag).exec_s(0, ONE) == pytest.approx(2.0)
    assert (predictor.learnt, predictor.contended) == (11, 5)
    assert "5 of them contended" in repr(predictor)


def test_sizes_that_were_not_enforced() -> None:
    """What ran at the machine's speed counts as one vCPU; where no size is enforced, all are predicted alike."""
    dag = DAG(source(1))
    free = snapshot(
        (Source("r-1", sizes_enforced=False), executions(dag, "source", size_mib=512, inputs=(0,) * 6)),
    )
    strict = Predictor.from_history(free).estimates(dag)
    assert strict.exec_s(0, ONE) == pytest.approx(2.0)
    assert strict.exec_s(0, 512) > 4.0
    assert strict.basis(0, ONE) == "extrapolated"
    loose = Predictor.from_history(free, sizes_enforced=False).estimates(dag)
    assert loose.exec_s(0, 512) == loose.exec_s(0, 4096) == pytest.approx(2.0)
    assert loose.basis(0, 4096) == "measured"


def test_other_kinds_of_runs_are_kept_apart() -> None:
    """Virtual runs say nothing of real ones, and the other way round."""
    dag = DAG(source(1))
    mixed = snapshot(
        (Source("r-1"), executions(dag, "source", inputs=(0,) * 6, seconds=2.0)),
        (Source("r-2", kind="virtual"), executions(dag, "source", inputs=(0,) * 6, seconds=9.0)),
    )
    assert Predictor.from_history(mixed).estimates(dag).exec_s(0, ONE) == pytest.approx(2.0)
    assert Predictor.from_history(mixed, kind="virtual").estimates(dag).exec_s(0, ONE) == pytest.approx(9.0)


def test_transfers_and_starts_are_the_platforms_own() -> None:
    """Transfers and starts of another launcher or profile are left out where one is named; None if that leaves none."""
    moved = [Sample("in", 0.001 + n / 1e8, ONE, bytes=n) for n in (10**4, 10**6, 10**7)]
    slow = [Sample("in", 3.0, ONE, bytes=10**6)] * 9
    cold = [Sample("cold", seconds, ONE) for seconds in (1.9, 2.0, 2.1)]
    mixed = snapshot(
        (Source("r-1", launcher="docker", platform="lambda"), moved + cold),
        (Source("r-2", launcher="docker", platform="openwhisk"), slow),
    )
    predictor = Predictor.from_history(mixed, launcher="docker", platform="lambda")
    found = predictor.transfer("in", 5e6, ONE)
    assert found is not None
    assert (found.median_s, found.basis) == (pytest.approx(0.051, rel=1e-3), "measured")
    start = predictor.start("cold", 512)
    assert start is not None
    assert start.median_s == pytest.approx(2.0, rel=0.01)
    assert predictor.transfer("out", 1e6, ONE) is None
    assert predictor.start("warm", ONE) is None
    both = Predictor.from_history(mixed).transfer("in", 1e6, ONE)
    assert both is not None
    assert both.median_s > 0.5


def test_a_task_that_differs_does_so_again() -> None:
    """A task that was twice as slow in ten runs, and returned ten times as much, will be so again in this DAG only."""
    dag = DAG([work(n) for n in range(8)])
    identity = dag.functions[0].identity
    rng = np.random.default_rng(6)
    runs = []
    for run in range(10):
        samples = [
            Sample(
                "exec",
                float((4.0 if t == 3 else 2.0) * np.exp(rng.normal(0, 0.02))),
                ONE,
                identity,
                t,
                f"work#{t}",
                output_bytes=9000 if t == 3 else 900,
            )
            for t in range(8)
        ]
        runs.append((Source(f"r-{run}", structure_hash=dag.structure_hash), samples))
    predictor = Predictor.from_history(snapshot(*runs))
    estimates = predictor.estimates(dag)
    assert [estimates.exec_s(t, ONE) for t in (2, 3)] == pytest.approx([2.0, 4.0], rel=0.03)
    assert [estimates.output_bytes(t) for t in (2, 3)] == pytest.approx([900, 9000], rel=0.05)
    assert predictor.time_shares.task > 0.8
    other = DAG([work(n) for n in range(9)])
    assert predictor.estimates(other).exec_s(3, ONE) == pytest.approx(predictor.estimates(other).exec_s(2, ONE))


def test_one_function_under_several_names() -> None:
    """A function that does what its arguments say is learnt by the names of its tasks, too."""
    dag = DAG([work.with_options(name="short")(1), work.with_options(name="long")(2)])
    identity = dag.functions[0].identity
    samples = [Sample("exec", 1.0, ONE, identity, 0, "short#0"), Sample("exec", 60.0, ONE, identity, 1, "long#0")]
    estimates = Predictor.fit(samples).estimates(dag)
    assert [estimates.exec_s(t, ONE) for t in (0, 1)] == pytest.approx([1.0, 60.0])


def declaring(seconds: float, size_bytes: int) -> Task[int]:
    """Return a task that declares its time and output."""
    return work.with_options(expected_s=seconds, output_bytes=size_bytes)(1)


def test_declared_numbers_become_units() -> None:
    """Where tasks take twice what they declare, others of the function are expected to do so, too."""
    seen, new = [DAG([declaring(s, 10 * s) for s in series]) for series in ([1, 3, 10, 30, 100, 300], [7, 70])]
    samples = [
        Sample("exec", 2.0 * s, ONE, seen.functions[0].identity, t, f"work#{t}", "", 0, 30 * s, s, 10 * s)
        for t, s in enumerate([1, 3, 10, 30, 100, 300])
    ]
    predictor = Predictor.fit(samples)
    estimates = predictor.estimates(new)
    assert [estimates.exec_s(t, ONE) for t in (0, 1)] == pytest.approx([14.0, 140.0])
    assert [estimates.output_bytes(t) for t in (0, 1)] == pytest.approx([210.0, 2100.0])
    assert estimates.basis(0, ONE) == "measured"
    silent = predictor.estimates(DAG(work(1)))
    assert silent.basis(0, ONE) == "unknown"


def test_careless_declarations_are_ignored() -> None:
    """Where declared numbers have nothing to do with what came, they change nothing."""
    dag = DAG([declaring(s, s) for s in (1, 300, 20, 5000)])
    samples = [
        Sample("exec", 2.0, ONE, dag.functions[0].identity, t, f"work#{t}", "", 0, 900, s, s)
        for t, s in enumerate([1.0, 300.0, 20.0, 5000.0])
    ]
    estimates = Predictor.fit(samples).estimates(dag)
    assert [estimates.exec_s(t, ONE) for t in range(4)] == pytest.approx([2.0] * 4)
    assert [estimates.output_bytes(t) for t in range(4)] == pytest.approx([900] * 4)


def test_what_a_run_shares_is_known_as_such() -> None:
    """Slow runs show as the run's part of the spread, which does not average out over tasks."""
    dag = DAG([work(n) for n in range(20)])
    identity = dag.functions[0].identity
    rng = np.random.default_rng(7)
    runs = []
    for run in range(40):
        slow = rng.normal(0, 0.3)
        samples = [
            Sample("exec", float(np.exp(slow + rng.normal(0, 0.1))), ONE, identity, t, f"work#{t}", f"c-{t}")
            for t in range(20)
        ]
        runs.append((Source(f"r-{run}", structure_hash=dag.structure_hash), samples))
    spread = Predictor.from_history(snapshot(*runs)).estimates(dag).spread(5, ONE)
    assert spread.run == pytest.approx(0.3, rel=0.3)
    assert spread.task == pytest.approx(0.1, rel=0.3)
    assert spread.worker < 0.05


def test_virtual_runs_are_predicted(tmp_path: Path) -> None:
    """From recording runs of the engine at two sizes to a prediction at a third: one thread of one second."""
    dag = diamond()
    history = History(tmp_path)
    for size in (1024, 4096):
        for seed in range(6):
            launcher = VirtualLauncher(seed=seed, model=VirtualModel(durations_s={"source": 1.0, "work": 0.5}))
            run = dag.submit(launcher=launcher, plan=dag.plan("per_task", sizes=[size]))
            run.result(timeout=60)
            history.record(run.trace, dag)
    predictor = Predictor.from_history(history.snapshot(), kind="virtual")
    estimates = predictor.estimates(dag)
    assert estimates.exec_s(0, 1024) == pytest.approx(ONE / 1024, rel=0.01)
    assert estimates.exec_s(0, 4096) == pytest.approx(1.0, rel=0.01)
    assert 1.0 <= estimates.exec_s(0, 2048) <= ONE / 1024
    assert estimates.basis(3, 1024) == "measured"
    assert predictor.start("cold", 1024) is not None
    assert predictor.digest == history.snapshot().digest


def test_nothing_known_at_all(tmp_path: Path) -> None:
    """An empty history predicts what users declared, and knows no transfers and no starts."""
    predictor = Predictor.from_history(History(tmp_path).snapshot())
    dag = DAG(declared(source(1)))
    estimates = predictor.estimates(dag)
    assert [estimates.basis(t, ONE) for t in (0, 1)] == ["unknown", "declared"]
    assert predictor.transfer("in", 1.0, ONE) is None
    assert predictor.start("cold", ONE) is None


def test_sizes_out_of_range_are_refused() -> None:
    """A size that no worker can have is not predicted."""
    dag = DAG(source(1))
    estimates = Predictor.fit(executions(dag, "source")).estimates(dag)
    with pytest.raises(ConfigError, match="64 MiB"):
        estimates.exec_s(0, 64)


def test_ten_thousand_tasks_are_estimated_fast() -> None:
    """Estimates for 10,000 tasks at a size take less than 100 ms (the best of three, as the machine may be busy)."""
    layer = [work(n) for n in range(100)]
    for _ in range(99):
        layer = [work(layer[n], layer[(n + 1) % 100]) for n in range(100)]
    dag = DAG(layer)
    assert len(dag) == 10_000
    samples = []
    for size in (512, 1024, ONE, 4096):
        samples += executions(dag, "work", size_mib=size, inputs=(0, 1e3, 1e4, 1e5, 1e6), seconds=1000 / size)
    predictor = Predictor.fit(samples)
    best_s = math.inf
    for _ in range(3):
        started_s = time.perf_counter()
        estimates = predictor.estimates(dag)
        estimates.exec_s(9_999, 2048)
        best_s = min(best_s, time.perf_counter() - started_s)
    assert best_s < 0.1


SAMPLES = st.lists(
    st.tuples(
        st.floats(0, 1e6), st.sampled_from([128, 512, ONE, 4096]), st.integers(0, 10**10), st.integers(0, 10**10)
    ),
    max_size=20,
)


@settings(max_examples=80, deadline=None)
@given(SAMPLES, st.integers(128, 10_240), st.floats(0.01, 0.99))
def test_predictions_are_numbers(samples: list[tuple[float, int, int, int]], size_mib: int, quantile: float) -> None:
    """Whatever was measured, times, bytes and spreads are finite and not negative, and a higher SLA is not faster."""
    identity = CHAIN.functions[0].identity
    rows = [
        Sample("exec", s, size, identity, n, f"work#{n}", bytes=i, output_bytes=o)
        for n, (s, size, i, o) in enumerate(samples)
    ]
    estimates = Predictor.fit(rows).estimates(CHAIN)
    for t in range(len(CHAIN)):
        seconds, spread = estimates.exec_s(t, size_mib), estimates.spread(t, size_mib)
        assert 0 <= seconds < math.inf
        assert 0 <= estimates.output_bytes(t) < math.inf
        assert 0 < spread.total < math.inf
        slower = estimates.quantile_s(t, size_mib, quantile)
        assert slower >= seconds * (1 - 1e-9) if quantile >= 0.5 else slower <= seconds * (1 + 1e-9)


CHAIN = DAG(work(work(work(work(work(1))))))
