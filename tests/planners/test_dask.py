"""The plan that Dask would make: golden decisions, the same in every process, and what is said where Dask is not."""

import json
import math
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faaslab.errors import ConfigError, PlannerUnavailable
from faaslab.graph import DAG
from faaslab.graph.generators import layered, tree
from faaslab.planners import compare, plan_dag
from faaslab.planners import dask_scheduler as asked
from faaslab.planners.dask import Dask
from faaslab.planners.dask_scheduler import dask_schedule
from faaslab.planners.registry import plan_context, plan_with
from faaslab.simulate.cluster import simulate_cluster
from tests.plan.dags import FakeDag, dags
from tests.simulate.scene import Known

dask = pytest.importorskip("dask")
pytest.importorskip("distributed")

ROOT = Path(__file__).parents[2]
PAIRS = FakeDag((*[()] * 8, (0, 1), (2, 3), (4, 5), (6, 7)))
"""Eight roots, each two neighbours of which are taken by one task."""


def orders(dag: FakeDag | DAG, workers: int, saturation: float, nbytes: int = 50_000_000) -> list[list[int]]:
    """Return what each worker executes, if every task takes half a second."""
    found = dask_schedule(dag, [0.5] * len(dag), [nbytes] * len(dag), workers, saturation)
    return [list(order) for order in found.orders]


def remote_edges(dag: DAG, found: list[list[int]]) -> int:
    """Return how many edges cross workers."""
    worker_of = {task: worker for worker, order in enumerate(found) for task in order}
    return sum(worker_of[upstream] != worker_of[task] for task in range(len(dag)) for upstream in dag.upstreams(task))


def test_golden_plans() -> None:
    """What the pinned version of Dask decides: neighbours 6, 7 and 4, 5 apart with queuing, together without."""
    assert version("distributed") == asked.TESTED
    reduction = DAG(tree(8), name="reduction")
    assert orders(reduction, 2, 1.1) == [[7, 5, 3, 2, 9, 0, 8, 12, 14], [6, 4, 11, 10, 13, 1]]
    assert orders(reduction, 2, math.inf) == [[7, 6, 11, 5, 4, 10, 13, 14], [3, 2, 9, 1, 0, 8, 12]]


def test_saturation_decides_what_moves() -> None:
    """A tree reduction of 1,024 leaves on 4 workers: queuing tears pairs apart, co-assignment moves three outputs."""
    reduction = DAG(tree(1024), name="reduction")
    assert remote_edges(reduction, orders(reduction, 4, math.inf)) == 3
    assert remote_edges(reduction, orders(reduction, 4, 1.1)) > 600


def test_same_plan_in_every_process() -> None:
    """Dask walks over sets of hashed tasks and workers; the hash seed of the process changes nothing."""
    script = (
        "import json, math\n"
        "from faaslab.graph import DAG\n"
        "from faaslab.graph.generators import layered\n"
        "from faaslab.planners.dask_scheduler import dask_schedule\n"
        "dag = DAG(layered(1, 6, 30), name='layers')\n"
        "n = len(dag)\n"
        "print(json.dumps([dask_schedule(dag, [0.5 + i % 5 for i in range(n)], [i % 7 * 10**7 for i in range(n)], "
        "workers, saturation).orders for workers in (3, 20) for saturation in (1.1, math.inf)]))\n"
    )
    found = []
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        found.append(json.loads(done.stdout))
    assert found[0] == found[1]


@given(dags(), st.integers(1, 5), st.sampled_from([1.1, math.inf]), st.sampled_from([0, 10**7, 10**9]))
def test_a_cluster_runs_it_as_dask_would(dag: FakeDag, workers: int, saturation: float, nbytes: int) -> None:
    """Simulated on a cluster, the plan takes exactly the course that it was read off."""
    known = Known([1.0 + task % 4 / 4 for task in range(len(dag))], dict.fromkeys(range(len(dag)), nbytes))
    ctx = plan_context(dag, estimates=known, sizes=[3008])
    plan = plan_with(Dask(workers, saturation), dag, ctx)
    schedule = dask_schedule(dag, known.seconds, [nbytes] * len(dag), workers, saturation)
    found = simulate_cluster(dag, plan, known, ctx.platform)
    assert found.start_s == pytest.approx(schedule.start_s)
    assert found.cost_usd == pytest.approx(
        workers * ctx.platform.prices.gb_seconds(3008, found.makespan_s) * ctx.platform.prices.usd_per_gb_s
    )


def test_as_many_workers_as_pay_off() -> None:
    """One for the least cost; for the makespan more, a power of two; the plan says how many there were."""
    dag = DAG(layered(1, 4, 16), name="layers")
    known = Known([20.0] * len(dag))
    cheap = plan_dag(dag, Dask(), estimates=known, objective="cost")
    assert (len(cheap.orders), cheap.settings["workers"]) == (1, 1)
    fast = plan_dag(dag, Dask(), estimates=known)
    assert fast.settings["workers"] in (8, 16)
    assert plan_dag(dag, Dask(workers=4), estimates=known, sizes=[1024, 2048]).settings["workers"] == 4


def test_both_variants_side_by_side() -> None:
    """They have names of their own; each plan says what it rests on."""
    found = compare(DAG(tree(8), name="reduction"), [Dask(2), Dask(2, math.inf)])
    assert list(found.table.index) == ["dask", "dask_inf"]
    assert found["dask_inf"].settings["saturation"] == "inf"
    assert "like a root" in found["dask"].explain("identity#0")
    assert "holder of an input" in found["dask"].explain("add#0")


def test_dask_settings_of_this_machine_do_not_matter() -> None:
    """A plan is Dask's with its defaults."""
    plain = orders(PAIRS, 2, 1.1)
    with dask.config.set({"distributed.scheduler.bandwidth": "1kB", "distributed.scheduler.worker-saturation": 7}):
        assert orders(PAIRS, 2, 1.1) == plain


def test_without_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for by name it says what to install; side by side it is left out, and the comparison says so."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(PlannerUnavailable, match=r"pip install 'faaslab\[dask\]'"):
        plan_dag(PAIRS, "dask")
    with pytest.raises(PlannerUnavailable):
        compare(PAIRS, ["els", "dask"])
    found = compare(PAIRS, budget=1)
    assert "dask" not in found.table.index
    assert "faaslab[dask]" in found.left_out["dask"]
    assert "faaslab[dask]" in found._repr_html_()


def test_changed_internals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another version of Dask lacks a name, both versions are named; in the tested one it is a defect of ours."""
    from distributed.scheduler import SchedulerState

    monkeypatch.delattr(SchedulerState, "is_rootish")
    with pytest.raises(AttributeError, match="is_rootish"):
        orders(PAIRS, 2, 1.1)
    monkeypatch.setattr(asked, "TESTED", "2001.1.0")
    with pytest.raises(
        PlannerUnavailable, match=rf"{version('distributed')} does not answer as 2001\.1\.0 .*is_rootish"
    ):
        orders(PAIRS, 2, 1.1)


def test_bad_settings() -> None:
    """Numbers outside their range are refused by name."""
    with pytest.raises(ConfigError, match=r"Dask\.workers is 0"):
        Dask(workers=0)
    with pytest.raises(ConfigError, match=r"Dask\.saturation is 0"):
        Dask(saturation=0)
