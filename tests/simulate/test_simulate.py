"""``fl.simulate``: from a DAG and a plan to a trace."""

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import faaslab as fl
import faaslab.simulate
from faaslab.errors import ConfigError, PlanError
from faaslab.graph import generators
from faaslab.model.platform import platform_named
from faaslab.model.prices import Prices
from faaslab.simulate import FlatDag
from faaslab.simulate.compiled import _loops, compiled_dag, place_compiled
from faaslab.viz import gantt
from tests.plan.dags import DIAMOND
from tests.simulate.scene import Known, plan_of, platform


@fl.task(expected_s=2.0, output_bytes=10)
def load(x: int) -> int:
    """Return ``x``."""
    return x


@fl.task(expected_s=3.0, output_bytes=10, pure=False)
def save(x: int) -> int:
    """Return ``x``."""
    return x


def test_declared_times_on_an_ideal_platform() -> None:
    """Without delays, a chain takes what its tasks were declared to take."""
    dag = fl.DAG(save(load(1)))
    trace = fl.simulate(dag, dag.plan(), platform="none")
    assert trace.metrics["makespan_s"] == 5.0
    assert list(trace.tasks["task"]) == ["load#0", "save#0"]
    assert trace.status == "finished"


def test_impure_tasks_say_that_they_begin() -> None:
    """An impure task costs a further call before it runs."""
    profile = replace(platform_named("none").profile, store_latency_s=0.25)
    dag = fl.DAG(save(load(1)))
    trace = fl.simulate(dag, dag.plan("single_worker"), platform=fl.Platform(profile))
    # Registering and asking 0.5, flush 0.25, begin 0.25, half a round trip at the end.
    assert trace.metrics["makespan_s"] == 5.0 + 0.5 + 0.25 + 0.25 + 0.125


def test_lambda_is_slower_than_nothing() -> None:
    """On Lambda the same run pays for its cold start."""
    dag = fl.DAG(save(load(1)))
    makespan_s = fl.simulate(dag, dag.plan()).metrics["makespan_s"]
    assert makespan_s == pytest.approx(5.0 + 2.26, abs=0.01)


def test_seeds_draw_cold_starts() -> None:
    """A seed draws cold starts; the same one draws the same, and none takes the medians."""
    dag = fl.DAG(generators.fan(4))
    traces = [fl.simulate(dag, dag.plan(), seed=seed).metrics["makespan_s"] for seed in (None, 0, 0, 1)]
    assert traces[1] == traces[2]
    assert len(set(traces)) == 3


def test_trace_reads_like_a_real_one(tmp_path: Path) -> None:
    """A simulated trace can be saved, loaded and tabulated, and says what it was simulated for."""
    dag = fl.DAG(generators.tree(8), name="tree")
    trace = fl.simulate(dag, dag.plan("per_task"), platform="openwhisk", seed=1)
    loaded = fl.Trace.load(trace.save(tmp_path / "trace"))
    assert loaded.metrics == trace.metrics
    assert loaded.manifest.settings["platform"]["name"] == "openwhisk"
    assert loaded.manifest.launcher == "simulated"
    assert len(trace.workers) == len(trace.invocations) == len(dag)
    assert not trace.breakdown().isna().any().any()
    assert gantt(trace).axes


def test_prices_travel_with_the_trace() -> None:
    """A trace's cost is that of the platform it was simulated for."""
    run = faaslab.simulate.simulate_plan(
        DIAMOND,
        plan_of(DIAMOND, ["w"] * 4),
        Known([1] * 4),
        platform(prices=Prices(usd_per_gb_s=1.0, usd_per_request=1.0)),
    )
    assert run.trace().metrics["cost_usd"] == pytest.approx(run.cost_usd) == pytest.approx(5 * 1769 / 1024 + 1)


def test_unknown_platform_and_foreign_plan() -> None:
    """Typos and plans of other DAGs are refused."""
    dag, other = fl.DAG(generators.chain(2)), fl.DAG(generators.chain(3))
    with pytest.raises(ConfigError, match="unknown platform profile 'lamda'"):
        fl.simulate(dag, dag.plan(), platform="lamda")
    with pytest.raises(PlanError, match="plan it again"):
        fl.simulate(dag, other.plan())


def test_the_name_stays_callable() -> None:
    """``fl.simulate`` can be called also after the package of that name was imported."""
    assert callable(sys.modules["faaslab.simulate"])
    dag = fl.DAG(generators.one())
    trace = sys.modules["faaslab.simulate"](dag, dag.plan(), platform="none")  # type: ignore[operator]
    assert trace.metrics["tasks"] == 1


def test_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling without numba says what to install."""
    monkeypatch.setitem(sys.modules, "numba", None)
    _loops.cache_clear()
    flat = compiled_dag(FlatDag.of(DIAMOND, Known([1] * 4)))
    with pytest.raises(ConfigError, match=r"pip install 'faaslab\[fast\]'"):
        place_compiled(flat, plan_of(DIAMOND, [None] * 4), platform())


def test_infinite_cores_are_left_out_of_the_manifest() -> None:
    """A manifest is JSON, which knows no infinity."""
    dag = fl.DAG(generators.one())
    shared = replace(platform_named("none"), cores=2.0)
    for where, cores in ((shared, 2.0), (platform_named("none"), math.inf)):
        settings = fl.simulate(dag, dag.plan(), platform=where).manifest.settings["platform"]
        assert settings.get("cores", math.inf) == cores


def test_empty_dag() -> None:
    """A DAG without tasks has ended when it was submitted."""
    dag = fl.DAG([])
    metrics = fl.simulate(dag, dag.plan()).metrics
    assert (metrics["makespan_s"], metrics["cost_usd"], metrics["invocations"]) == (0.0, 0.0, 0)


def test_importing_the_simulator_is_light() -> None:
    """The simulator loads neither numpy nor numba until it draws or compiles."""
    code = "import sys, faaslab.simulate; print(*{'numpy', 'numba', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == ""
