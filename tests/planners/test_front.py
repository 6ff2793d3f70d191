"""Fronts: what each dollar more saves."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import faaslab as fl
from faaslab.model.platform import platform_named
from faaslab.planners.front import Front
from faaslab.planners.per_task import PerTask
from faaslab.planners.single_worker import SingleWorker
from tests.plan.dags import FakeDag, dags

EIGHT = FakeDag(((),) * 8, expected_s=dict.fromkeys(range(8), 10.0), output_bytes=dict.fromkeys(range(8), 0))


def points(front: Front) -> list[tuple[float, int]]:
    """Return the makespan and the number of workers of each plan."""
    return [(pytest.approx(found.simulation.makespan_s), len(found.plan.orders)) for found in front.plans]


def test_the_front_of_independent_tasks() -> None:
    """Each further worker costs a request, and shortens the run where the tasks can be divided better."""
    front = fl.pareto(EIGHT, platform="none")
    assert points(front) == [(80.0, 1), (40.0, 2), (30.0, 3), (20.0, 4), (10.0, 8)]
    assert [plan.planner for plan in front] == ["faaslab"] * 5
    assert list(front.table["workers"]) == [1, 2, 3, 4, 8]
    assert "makespan_s" in front._repr_html_()


@settings(max_examples=20)
@given(dags(max_tasks=8), st.sampled_from(["faaslab", "els", "critical_path"]), st.integers(2, 6))
def test_no_plan_of_a_front_is_beaten(dag: FakeDag, planner: str, count: int) -> None:
    """Each plan is dearer and faster than the one before, and the same front is found again."""
    front = fl.pareto(dag, points=count, planner=planner, sizes=[1024, 3008], budget=2000)
    assert front.points == tuple(sorted(front.points, reverse=True))
    assert list(dict.fromkeys(usd for _, usd in front.points)) == sorted(usd for _, usd in front.points)
    assert len(front) >= 1
    assert planner != "faaslab" or len(front) <= count
    assert list(front) == list(fl.pareto(dag, points=count, planner=planner, sizes=[1024, 3008], budget=2000))


def test_planners_without_a_front_are_asked_at_each_size() -> None:
    """Also objects: their plans at every size, as far as they beat one another."""
    chain = FakeDag(((), (0,)), expected_s={0: 5.0, 1: 5.0})
    front = fl.pareto(chain, planner=SingleWorker(), sizes=[1769, 3538], platform=platform_named("none"))
    assert [plan.sizes_mib for plan in front] == [(1769,), (3538,)]
    wide = fl.pareto(EIGHT, planner=PerTask(), sizes=[1769], platform="none")
    assert points(wide) == [(10.0, 8)]
    both = (80.0, 1.0)
    assert fl.pareto(EIGHT, platform="none").hypervolume(*both) > wide.hypervolume(*both)


def test_hypervolume() -> None:
    """The area that a front leaves below a reference point, by hand."""
    front = fl.pareto(EIGHT, platform="none")
    (slow_s, cheap), *_, (fast_s, dear) = front.points
    assert front.hypervolume(slow_s, cheap) == 0.0
    steps = sum((a[0] - b[0]) * (dear - b[1]) for a, b in zip(front.points, front.points[1:], strict=False))
    assert front.hypervolume() == pytest.approx(steps)
    assert front.hypervolume(fast_s + 1.0, dear + 1.0) == pytest.approx(1.0)
    assert Front(()).hypervolume() == 0.0


@pytest.mark.parametrize(
    ("planning", "message"),
    [
        ({"objective": "cost"}, "a front has no one objective"),
        ({"deadline_s": 1.0}, "pareto got deadline_s=1.0"),
        ({"points": 1}, "points is 1, must be 2 or more"),
        ({"planner": "nobody"}, "unknown planner 'nobody'"),
    ],
)
def test_what_is_no_front_is_refused(planning: dict[str, object], message: str) -> None:
    """An objective, a limit, and too few points are refused before anything is planned."""
    with pytest.raises(fl.PlanError, match=message):
        fl.pareto(EIGHT, **planning)  # type: ignore[arg-type]
