"""Which of the optimizations that were asked for a plan uses."""

from dataclasses import replace
from typing import Any

import pytest

import faaslab as fl
from faaslab.plan import Plan
from faaslab.planners.registry import plan_context, plan_with
from tests.plan.dags import FakeDag
from tests.simulate.scene import Known, platform

DAG = FakeDag(((), (0,), (0,), (1, 2)))
KNOWN = Known([1.0] * 4, {0: 1e6, 1: 1e6, 2: 1e6})
SLOW = platform(upload_bytes_per_s=1e5, download_bytes_per_s=1e5)


class Shrunk(fl.Optimization):
    """Changes sizes on the way by a factor."""

    def __init__(self, name: str, factor: float) -> None:
        self.name = name
        self.factor = factor

    def effect(self, task: str, output_bytes: float, /) -> fl.Effect | None:
        return fl.Effect(output_bytes * self.factor) if output_bytes else None


class Joined(fl.Optimization):
    """Gives all tasks to one worker."""

    name = "joined"

    def plan(self, dag: Any, plan: Any, ctx: Any, /) -> Any:
        assignments = tuple(fl.Assignment("w", one.size_mib) for one in plan.assignments)
        return replace(plan, assignments=assignments, orders={"w": tuple(range(len(dag)))})


def planned(*optimizations: "fl.Optimization | str", **told: Any) -> Plan:
    ctx = plan_context(DAG, optimizations=optimizations, estimates=KNOWN, platform=SLOW, **told)
    return plan_with("per_task", DAG, ctx, predict=True)


def test_what_pays_stays_and_what_harms_goes() -> None:
    """The plan says what each saves, or would cost."""
    plan = planned(Shrunk("half", 0.5), Shrunk("double", 2.0))
    half, double = plan.instructions.savings
    assert [one.name for one in plan.instructions.own] == ["half"]
    assert plan.optimizations == {"skip_storage", "inline_inputs", "half"}
    assert (half.optimization, half.tasks) == ("half", 3)
    # 10 s for each upload and download: on the way there are two of each, and the inputs of the fan-in come together.
    assert half.makespan_s == pytest.approx(planned().prediction.makespan_s - plan.prediction.makespan_s)
    assert half.makespan_s > 15
    assert (double.optimization, double.tasks) == ("double", 0)
    assert double.makespan_s < -15
    assert "harm" in double.why


def test_what_is_kept_although_it_harms() -> None:
    """Ablations need all that was asked for."""
    plan = planned(Shrunk("half", 0.5), Shrunk("double", 2.0), keep_harmful=True)
    assert [one.name for one in plan.instructions.own] == ["half", "double"]
    assert [saving.makespan_s > 0 for saving in plan.instructions.savings] == [True, False]


def test_savings_are_by_leaving_out() -> None:
    """Where one optimization leaves nothing to another, that one saves nothing."""
    plan = planned(Joined(), Shrunk("half", 0.5))
    joined, half = plan.instructions.savings
    assert joined.makespan_s > 15
    assert half.makespan_s == 0
    assert "half" in plan.optimizations  # it does no harm either


def test_a_plan_that_cannot_be_run_is_refused() -> None:
    """What an optimization of one's own returns is checked as a planner's plan is."""

    class Wrong(fl.Optimization):
        name = "wrong"

        def __init__(self, returned: Any) -> None:
            self.returned = returned

        def plan(self, dag: Any, plan: Any, ctx: Any, /) -> Any:
            return self.returned(plan)

    with pytest.raises(fl.PlanError, match="'wrong' returned str"):
        planned(Wrong(lambda plan: "no plan"))
    with pytest.raises(fl.PlanError, match="task index 9"):
        planned(Wrong(lambda plan: replace(plan, instructions=fl.Instructions(stream=frozenset({9})))))


def test_faaslab_uses_them() -> None:
    """It is never worse than without, and says what was done."""
    plain = plan_with("faaslab", DAG, plan_context(DAG, estimates=KNOWN, platform=SLOW), predict=True)
    told = plan_context(DAG, optimizations=[Shrunk("half", 0.5)], estimates=KNOWN, platform=SLOW)
    plan = plan_with("faaslab", DAG, told, predict=True)
    assert plan.prediction.makespan_s <= plain.prediction.makespan_s
    assert [saving.optimization for saving in plan.instructions.savings] == ["half"]
