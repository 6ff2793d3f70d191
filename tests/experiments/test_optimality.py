"""The study of gaps to the optimum."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import faaslab as fl
from experiments import optimality as study
from faaslab.plan import DagView
from faaslab.planners import PLANNERS, PlanContext, get_planner


class BestOfTwo:
    """Stands in for ``optimal``, whose solver may not be installed."""

    name = "optimal"

    def plan(self, dag: DagView, ctx: PlanContext) -> fl.Plan:
        """Return the better one of two planners' plans."""
        plans = [get_planner(name).plan(dag, ctx) for name in ("per_task", "single_worker")]
        best = ctx.best(dag, plans)
        known = {"status": "optimal" if len(dag) == 6 else "feasible", "bound": 1.0}
        return replace(best, planner=self.name, settings={**best.settings, **known})


TINY = replace(study.SMOKE, planners=("per_task", "single_worker", "optimal"), tasks=(6, 7))


def test_gaps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gaps are to the best plan of all; what is saved is not planned again; the tables say what was proven."""
    monkeypatch.setitem(PLANNERS, "optimal", BestOfTwo)
    folder = study.run(TINY, tmp_path)
    found = pd.read_parquet(folder / study.GAPS_FILE)
    assert len(found) == 2 * TINY.dags * len(TINY.planners)
    for _, of_dag in found.groupby(["tasks", "dag"]):
        by_planner = of_dag.set_index("planner")
        best = by_planner["value"].min()
        assert by_planner.loc["optimal", "value"] == best
        assert by_planner["gap"].tolist() == pytest.approx((by_planner["value"] / best - 1).tolist())
        assert by_planner["gap"].max() > 0
    gaps, worst, proven = study.tables(folder, TINY).values()
    assert (gaps["optimal"] == 0).all()
    assert (worst["single_worker"] >= gaps["single_worker"]).all()
    assert proven["proven"].to_dict() == {6: 2, 7: 0}
    monkeypatch.setattr(study, "measure", lambda *_: pytest.fail("planned again"))
    assert study.run(TINY, tmp_path) == folder


def test_gap_of_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The objective can be the cost: the cheapest of both plans is the best then."""
    monkeypatch.setitem(PLANNERS, "optimal", BestOfTwo)
    rows = list(study.measure(6, 0, replace(TINY, objective="cost")))
    assert {row["planner"]: row["gap"] == 0 for row in rows} == {
        "per_task": False,
        "single_worker": True,
        "optimal": True,
    }
    assert all(row["value"] < 0.1 for row in rows)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: replace(TINY, planners=("optimal", "nobody")), "planners is .*nobody"),
        (lambda: replace(TINY, planners=("per_task",)), "must have 'optimal' to compare with"),
        (lambda: replace(TINY, tasks=()), "tasks is"),
        (lambda: replace(TINY, dags=0), "dags is 0"),
        (lambda: replace(TINY, objective="both"), "objective is 'both'"),
        (lambda: replace(TINY, ccr=0.0), "ccr is 0"),
    ],
)
def test_impossible_parameters(change: Callable[[], study.Params], message: str) -> None:
    """Parameters that can't be run are refused when they are made."""
    with pytest.raises(fl.ConfigError, match=message):
        change()
