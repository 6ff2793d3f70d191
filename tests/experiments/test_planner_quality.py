"""The study of planners under hidden truths: its points, what it saves, and its tables."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import faaslab as fl
from experiments import planner_quality as study
from experiments.comparisons import (
    OTHERS,
    PUBLISHED,
    against_all,
    against_each,
    by_family,
    chosen,
    compare,
    planned_table,
)
from faaslab.plan import DagView
from faaslab.planners import PlanContext

TINY = replace(
    study.SMOKE, families=("fork_join",), planners=("per_task", "single_worker", "wukong", "els"), subject="els"
)


def refuse(*args: object) -> None:
    """Stand in for measuring."""
    pytest.fail(f"measured again: {args[0]}")


def test_points_under_every_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every planner has points under the estimates and under each truth, the same plans under all; they are saved."""
    folder = study.run(TINY, tmp_path)
    points = pd.read_parquet(folder / study.POINTS_FILE)
    assert points["error"].isna().all()
    assert set(zip(points["sigma"], points["truth"], strict=True)) == {(0.0, 0), (0.3, 0), (0.3, 1)}
    plans = [[*zip(group["planner"], group["setting"], strict=True)] for _, group in points.groupby(["sigma", "truth"])]
    assert plans[0] == plans[1] == plans[2]
    assert {planner for planner, _ in plans[0]} == set(TINY.planners)
    told = points[points["sigma"] == 0]
    assert (told["makespan_s"] == told["told_makespan_s"]).all()
    assert (told["cost_usd"] == told["told_cost_usd"]).all()
    hidden = points[points["sigma"] > 0]
    assert (hidden["makespan_s"] != hidden["told_makespan_s"]).all()
    monkeypatch.setattr(study, "measure", refuse)
    assert study.run(TINY, tmp_path) == folder
    pd.testing.assert_frame_equal(pd.read_parquet(folder / study.POINTS_FILE), points)
    shown = study.tables(folder, TINY)
    assert all(len(table) for table in shown.values())


def test_workflows_side_by_side(tmp_path: Path) -> None:
    """Two processes find what one finds, but for how long planning took."""
    tiny = replace(TINY, planners=("per_task", "els"), truths=1, ccrs=(0.1, 1.0))
    folders = [study.run(replace(tiny, processes=processes), tmp_path) for processes in (1, 2)]
    one, two = (pd.read_parquet(folder / study.POINTS_FILE).drop(columns="planning_s") for folder in folders)
    pd.testing.assert_frame_equal(one, two)


def test_settings() -> None:
    """Others are asked for each size and all of them, the subject for what the others' plans cost."""
    (point,) = study.points(TINY)
    found = study.measure(point, TINY)
    for_all = {"makespan@all", "cost@all", "rate1@all", "cap1@all"}
    assert set(found[found["planner"] == "els"]["setting"]) <= for_all
    assert set(found[found["planner"] != "els"]["setting"]) <= for_all | {"makespan@884", "makespan@1769"}
    # One plan that fits all is not simulated again and again.
    assert len(found[(found["planner"] == "single_worker") & (found["sigma"] == 0)]) == 2


def test_dask_on_a_cluster() -> None:
    """Dask's plans run on FaaS workers and on a cluster, which is started before: only these start at once."""
    pytest.importorskip("distributed")
    (point,) = study.points(replace(TINY, planners=("dask", "els")))
    found = study.measure(point, replace(TINY, planners=("dask", "els"), truths=1))
    assert list(found["error"].dropna()) == []
    assert set(found["planner"]) == {"dask", "dask (cluster)", "els"}
    keys = ["setting", "sigma", "truth"]
    faas, cluster = (found[found["planner"] == name].set_index(keys) for name in ("dask", "dask (cluster)"))
    assert (cluster["makespan_s"] < faas["makespan_s"]).all()
    told = cluster[cluster.index.get_level_values("sigma") == 0]
    assert (told["makespan_s"] == told["told_makespan_s"]).all()
    compared = compare(found, "els")
    assert set(compared["against"]) == {OTHERS, PUBLISHED, "dask", "dask (cluster)"}
    # All others are those on FaaS workers.
    ratio = compared.set_index(["against", "sigma", "timed", "measured"])["ratio"]
    assert ratio[OTHERS].equals(ratio["dask"])
    table = by_family(compared, ["dask", "dask (cluster)", "dask_inf"])
    assert list(table.columns) == ["dask", "dask (cluster)"]
    assert set(table.index.get_level_values("family")) == {"fork_join", "all"}


def test_caps_by_hand() -> None:
    """Caps are costs on the front but for the cheapest plan, which needs none."""
    told = [(1.0, 9.0), (2.0, 8.0), (2.5, 8.5), (3.0, 7.0), (4.0, 6.0), (5.0, 5.0)]
    assert study.caps_usd(told, 2) == [2.0, 5.0]
    assert study.caps_usd(told, 9) == [2.0, 3.0, 4.0, 5.0]
    assert study.caps_usd(told, 0) == []
    assert study.caps_usd(told[:1], 3) == []


class Failing:
    """Plans nothing."""

    name = "failing"

    def plan(self, dag: DagView, ctx: PlanContext) -> fl.Plan:
        """Fail."""
        raise fl.PlanError("no plan today")


def test_planner_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A planner that can't plan a workflow shows in the table, and the others are compared all the same."""
    monkeypatch.setitem(study.ENTRANTS, "failing", Failing)
    folder = study.run(replace(TINY, planners=("failing", "per_task", "els")), tmp_path)
    points = pd.read_parquet(folder / study.POINTS_FILE)
    table = planned_table(points)
    assert table["failing"].tolist() == ["PlanError: no plan today"]
    assert float(table["els"].iloc[0]) <= float(table["per_task"].iloc[0])
    assert set(compare(points, "els")["against"]) == {OTHERS, PUBLISHED, "per_task"}


def synthetic_points() -> pd.DataFrame:
    """Return points of three planners on two workflows under two truths; ``a`` is compared."""
    rows = []
    for workflow, factor in (("one", 1.0), ("two", 2.0)):
        for truth in (0, 1):
            for planner, cost_usd, makespan_s, planning_s in (
                ("a", 1.0, 4.0 * factor, 6.0),
                ("b", 1.0, 8.0, 2.0),
                ("b", 1.5, 8.0, 0.0),
                ("c", 2.0, 2.0, 0.0),
            ):
                rows.append(
                    {
                        "scenario": "s",
                        "family": f"family {workflow}",
                        "workflow": workflow,
                        "tasks": 5,
                        "planner": planner,
                        "sigma": 0.3,
                        "truth": truth,
                        "cost_usd": cost_usd,
                        "makespan_s": makespan_s * (1 + truth),
                        "told_cost_usd": cost_usd,
                        "told_makespan_s": makespan_s,
                        "planning_s": planning_s,
                        "error": None,
                    }
                )
    return pd.DataFrame(rows)


def test_comparison_by_hand() -> None:
    """``a`` against ``b`` and against both, with and without planning time, on points whose ratios are known."""
    compared = compare(synthetic_points(), "a").set_index(["workflow", "measured", "timed", "against"]).sort_index()
    ratio = compared["ratio"]
    at_cost, at_makespan = "makespan at equal cost", "cost at equal makespan"
    assert ratio["one", at_cost, False, "b"] == 0.5
    assert ratio["two", at_cost, False, "b"] == 1.0
    # Both truths: (4 + 6) / (8 + 2) and (8 + 6) / (16 + 2) at one cost, and without planning time 8 and 16 at 1.5.
    assert ratio["one", at_cost, True, "b"] == pytest.approx(np.median([10 / 10, 10 / 8, 14 / 18, 14 / 16]))
    # The front of both others: 8 s for 1.0, 2 s for 2.0, where a has 4 s.
    assert ratio["one", at_cost, False, OTHERS] == pytest.approx(np.median([0.5, 2.0]))
    assert compared.loc[("one", at_cost, False, OTHERS), ["better", "worse", "worst"]].tolist() == [0.5, 0.5, 2.0]
    assert ratio["one", at_makespan, False, "b"] == 1.0
    # Nothing of a is as fast as c.
    assert ratio["one", at_makespan, False, "c"] == 10.0


def test_luck_does_not_count() -> None:
    """A plan that nobody would have chosen, since another one was told to be faster and cheaper, is no point."""
    points = pd.DataFrame(
        {
            "planner": ["a", "a", "b", "c"],
            "sigma": 0.3,
            "truth": 1,
            "told_cost_usd": [1.0, 2.0, 2.0, 2.0],
            "told_makespan_s": [5.0, 4.0, 4.0, 4.5],
            "planning_s": [0.0, 0.0, 9.0, 9.0],
            "cost_usd": [1.1, 2.2, 2.2, 0.1],
            "makespan_s": [5.5, 4.4, 4.4, 0.1],
        }
    )
    assert chosen(points, ["a", "b", "c"], timed=False) == {(0.3, 1): [(1.1, 5.5), (2.2, 4.4)]}
    assert chosen(points, ["b", "c"], timed=False) == {(0.3, 1): [(2.2, 4.4)]}
    assert chosen(points, ["c"], timed=True) == {(0.3, 1): [(0.1, 9.1)]}


def test_tables_by_hand() -> None:
    """Families have the median of their workflows, planners statistics over workflows."""
    compared = compare(synthetic_points(), "a")
    families = against_all(compared)
    key = (0.3, False, "makespan at equal cost")
    together = ("s", OTHERS, *key)
    assert families.loc[(*together, "family one"), "ratio"] == pytest.approx(1.25)
    assert families.loc[(*together, "family two"), "ratio"] == pytest.approx(2.5)
    assert families.loc[(*together, "all"), ["workflows", "ratio"]].tolist() == pytest.approx([2, 1.875])
    each = against_each(compared)
    row = each.loc[("s", *key, "b")]
    assert row[["workflows", "ratio", "wins", "ties", "losses"]].tolist() == [2, 0.75, 1, 1, 0]
    assert row["geometric_mean"] == pytest.approx(0.5**0.5)
    assert 0.5 <= row["low"] <= row["high"] <= 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: replace(TINY, planners=("els", "nobody")), "planners is .*nobody.* out of per_task"),
        (lambda: replace(TINY, families=("circle",)), "families is .*circle"),
        (lambda: replace(TINY, scenarios=("mars",)), "scenarios is .*mars.* out of plain, short, narrow"),
        (lambda: replace(TINY, subject="heft"), "subject is 'heft', must be one of several planners"),
        (lambda: replace(TINY, truths=0), "truths is 0, must be at least 1"),
        (lambda: replace(TINY, sigmas=(0.0,)), "sigmas is .*above 0"),
        (lambda: replace(TINY, sizes_mib=(1,)), "size is 1 MiB"),
        (lambda: replace(TINY, wfinstances="/nowhere"), "'/nowhere', which is no folder"),
        (lambda: replace(TINY, families=()), "nothing to plan"),
    ],
)
def test_impossible_parameters(change: Callable[[], study.Params], message: str) -> None:
    """Parameters that can't be run are refused when they are made."""
    with pytest.raises(fl.ConfigError, match=message):
        change()


def test_recorded_workflows(tmp_path: Path) -> None:
    """WfFormat files of a folder are planned; their application is the family."""
    folder = tmp_path / "recorded"
    folder.mkdir()
    with pytest.raises(fl.GraphError, match="no WfFormat file"):
        study.points(replace(TINY, wfinstances=str(folder)))
    document = {
        "name": "x",
        "schemaVersion": "1.5",
        "workflow": {
            "specification": {
                "tasks": [
                    {"name": "a", "id": "a", "parents": [], "children": ["b"]},
                    {"name": "b", "id": "b", "parents": ["a"], "children": []},
                ],
                "files": [],
            },
            "execution": {
                "makespanInSeconds": 3.0,
                "executedAt": "2026-01-01T00:00:00Z",
                "tasks": [{"id": "a", "runtimeInSeconds": 1.0}, {"id": "b", "runtimeInSeconds": 2.0}],
            },
        },
    }
    (folder / "MANIFEST.json").write_text("{}")
    (folder / "tiny-one.v1.json").write_text(json.dumps(document))
    params = replace(TINY, wfinstances=str(folder), families=())
    (point,) = study.points(params)
    found = study.measure(point, params)
    assert set(found["workflow"]) == {"tiny-one-v1"}
    assert set(found["family"]) == {"tiny"}
    assert set(found["tasks"]) == {2}


@pytest.mark.skipif(
    not (Path(os.environ.get("FAASLAB_SHARED_DATA", "/nowhere")) / "wfinstances").is_dir(),
    reason="FAASLAB_SHARED_DATA names no folder with wfinstances in it",
)
@pytest.mark.parametrize("scenario", study.SCENARIOS)
def test_every_planner_plans_every_recorded_workflow(scenario: str) -> None:
    """No planner fails on a recorded workflow of up to 120 tasks, and none has a plan without a makespan."""
    folder = Path(os.environ["FAASLAB_SHARED_DATA"]) / "wfinstances"
    params = replace(study.SMOKE, wfinstances=str(folder), families=(), scenarios=(scenario,), truths=1)
    planned = 0
    for point in study.points(params):
        if len(point.make().dag) <= 120:
            found = study.measure(point, params)
            assert found["error"].isna().all(), found["error"].dropna().tolist()
            assert (found["makespan_s"] > 0).all()
            planned += 1
    assert planned >= 9
