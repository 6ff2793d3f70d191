"""What a plan is predicted to come to, as a part of the plan."""

import json
from dataclasses import replace
from typing import Any

import pytest

import faaslab as fl
from faaslab.errors import ConfigError, PlanError
from faaslab.model.estimates import DEFAULT_EXEC_S
from faaslab.model.sla import Sla
from faaslab.plan import Assignment, Distribution, Plan, Predicted
from faaslab.planners import PlanContext, plan_dag
from faaslab.simulate import simulate_plan
from tests.plan.dags import CHAIN, DIAMOND, FakeDag
from tests.simulate.scene import Known, platform

MEASURED = FakeDag(DIAMOND.wiring, expected_s={0: 1.0, 1: 20.0, 3: 1.0}, output_bytes={0: 2_000_000})


def predicted(dag: FakeDag = MEASURED, planner: Any = "per_task", **settings: Any) -> tuple[Plan, Predicted]:
    """Return a plan with its prediction."""
    plan = plan_dag(dag, planner, predict=True, **settings)
    assert plan.predicted is not None
    return plan, plan.predicted


def test_a_prediction_says_what_it_rests_on() -> None:
    """Makespan and cost are those at the SLA; the median run, its critical path and the bases come along."""
    plan, found = predicted(sla="p90")
    assert found.makespan_s == found.makespan.quantile(0.9)
    assert found.cost_usd == found.cost.quantile(0.9)
    assert len(found.makespan.draws) == 1000
    median = plan_dag(MEASURED, "per_task")
    assert median == replace(plan, predicted=None, settings=median.settings)
    assert found.trace.metrics["makespan_s"] < found.makespan_s
    assert found.critical_path == (0, 1, 3)
    assert found.basis_of == ("declared", "declared", "unknown", "declared")
    assert found.bases == {"measured": 0, "extrapolated": 0, "declared": 3, "unknown": 1}
    assert (found.history, found.calibration, found.calibrated_on) == ("", 1.0, 0)
    assert found.promise is not None
    assert found.promise.quantiles_s[6] == found.makespan_s


def test_dag_plan_predicts_and_can_do_without() -> None:
    """``dag.plan`` predicts, also for a planner of one's own; running without a plan of one's own does not."""

    class Mine:
        name = "mine"

        def plan(self, dag: Any, ctx: PlanContext, /) -> Plan:
            assert ctx.predict(dag, ctx.plan(dag, "other", [Assignment("w", 512)] * len(dag)), draws=3)
            return ctx.plan(dag, self.name, [Assignment("w", 512)] * len(dag))

    @fl.task
    def one() -> int:
        return 1

    dag = fl.DAG(one())
    plan = dag.plan(Mine(), sizes=[512], draws=5)
    assert len(plan.predicted.makespan.draws) == 5
    assert plan.predicted.bases["unknown"] == 1
    assert dag.plan(Mine(), sizes=[512], predict=False).predicted is None
    with fl.Lab("inline", config=fl.Config(runs_dir="")) as lab:
        with_prediction = lab.submit(dag, plan=plan).trace.manifest
        without = lab.submit(dag, planner="per_task").trace.manifest
    assert with_prediction.settings["predicted"]["mean_s"] == pytest.approx(plan.predicted.makespan.mean)
    assert "predicted" not in without.settings


def test_predictions_are_deterministic() -> None:
    """The same seed gives the same prediction, another one another."""
    assert predicted() == predicted()
    assert predicted()[1].makespan != predicted(seed=1)[1].makespan


def test_a_higher_percentile_never_promises_less() -> None:
    """From one plan's prediction, every higher SLA is at least as long and as dear."""
    _, found = predicted()
    slas = [Sla.named(f"p{percent}") for percent in range(1, 100)]
    for column in (found.makespan, found.cost):
        values = [column.at(sla) for sla in slas]
        assert values == sorted(values)


def test_json_round_trip() -> None:
    """A plan with a prediction is equal to what is read from its JSON, down to the trace."""
    plan, found = predicted()
    again = Plan.from_json(plan.to_json())
    assert again == plan
    assert again.predicted is not None
    assert again.predicted.trace.metrics == found.trace.metrics
    assert not plan.diff(replace(plan, predicted=None))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sla": "p100"}, "unknown SLA 'p100'"),
        ({"makespan_s": []}, "a distribution needs values"),
        ({"makespan_s": [2.0, 1.0]}, "in rising order"),
        ({"critical_path": [0, 9]}, "critical path"),
        ({"why": ["cold"]}, "1 entries in 'why', the plan 4 tasks"),
        ({"basis_of": ["measured"] * 5}, "5 entries in 'basis_of'"),
        (
            {"promise": {"platform": "lambda", "degrees": 0.0, "quantiles_s": [1.0], "mean_s": 1.0}},
            "10 quantiles above 0",
        ),
        ({"events": [{"type": "Surprise"}]}, "not a plan"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_bad_json_of_a_prediction(change: dict[str, Any], message: str) -> None:
    """A prediction that is none is refused by what is wrong with it."""
    data = json.loads(predicted(draws=4)[0].to_json())
    data["predicted"] |= change
    with pytest.raises(PlanError, match=message):
        Plan.from_json(json.dumps(data))


def test_explain_with_a_prediction() -> None:
    """When a task is to run, how sure that is, what it waits for, and whether it decides the makespan."""
    plan, _ = predicted(platform=platform())
    lines = plan.explain("f#3").splitlines()
    assert "predicted: begins at 22 s, done at 23 s in a median run; executes 1 s (declared)" in lines
    assert "begins no earlier because of: f#1 on another worker" in lines
    assert "critical path: it is on it" in lines
    assert lines[-1] == "alternative: on w1 it would have the output of f#1 in memory (1 MB)"
    lines = plan.explain("f#2").splitlines()
    assert f"executes {DEFAULT_EXEC_S:.4g} s (unknown)" in lines[-4]
    assert lines[-2] == "critical path: not on it; the 3 tasks there decide"
    together = predicted(planner="single_worker", platform=platform())[0].explain("f#1")
    assert "begins no earlier because of: an input that its own worker made" in together
    assert "alternative" not in together


def test_html_with_a_prediction() -> None:
    """A notebook shows both at the SLA, quantiles, what times rest on, and the critical path."""
    html = predicted(sla="p90")[0]._repr_html_()
    _, found = predicted(sla="p90")
    assert f"predicted (p90): <b>{found.makespan_s:.4g} s</b>" in html
    assert "3 declared, 1 unknown" in html
    assert "critical path: f#0 → f#1 → f#3" in html
    assert "<th style='text-align:right'>p99</th>" in html
    assert "calibrated" not in html


def test_limits_are_checked_at_the_sla() -> None:
    """A deadline that the median keeps and the percentile does not is an error with SLA, both numbers and bound."""
    _, found = predicted(CHAIN, "single_worker", platform="none")
    deadline_s = found.makespan.quantile(0.7)
    assert plan_dag(CHAIN, "single_worker", platform="none", sla="p60", deadline_s=deadline_s).predicted is not None
    said = rf"within {deadline_s:g} s.*predicted makespan of {found.makespan.quantile(0.9):.4g} s \(p90\).*below 3 s"
    with pytest.raises(PlanError, match=said):
        plan_dag(CHAIN, "single_worker", platform="none", sla="p90", deadline_s=deadline_s)
    cap_usd = found.cost.quantile(0.7)
    with pytest.raises(PlanError, match=r"USD.*predicted cost of .*\(p95\)"):
        plan_dag(CHAIN, "single_worker", platform="none", sla="p95", cost_cap_usd=cap_usd)


def test_planners_leave_a_margin_to_the_sla() -> None:
    """The cheapest plan that keeps a deadline on the median would miss it at p90, so it is planned again."""
    wide = FakeDag(tuple(() for _ in range(6)), expected_s=dict.fromkeys(range(6), 10.0))
    fastest = predicted(wide, "els", sla="p90")[1].makespan_s
    deadline_s = 1.1 * fastest
    plan, found = predicted(wide, "els", sla="p90", objective="cost", deadline_s=deadline_s, sizes=[1769])
    assert found.makespan_s <= deadline_s
    unlimited = predicted(wide, "els", objective="cost")[0]
    assert len(unlimited.orders) == 1
    assert len(plan.orders) > 1


def test_quantiles_decide_where_medians_mislead() -> None:
    """At p90 the plan is chosen that rarely takes long, at the median that which is faster as a rule."""

    class Wobbly(Known):
        """Fast but wobbly on the smaller size."""

        def spread(self, task: int, size_mib: int) -> Any:
            return replace(self.scatter, task=1.0 if size_mib == 1024 else 0.01)

    known = Wobbly([1.0] * 2, by_size={(0, 2048): 1.1, (1, 2048): 1.1})
    dag = FakeDag(((), (0,)))
    settings = {"sizes": [1024, 2048], "estimates": known, "platform": platform()}
    assert plan_dag(dag, "uniform", **settings).sizes_mib == (1024,)
    assert plan_dag(dag, "uniform", sla="p90", **settings).sizes_mib == (2048,)
    # Where the budget does not allow it, medians decide at any SLA.
    assert plan_dag(dag, "uniform", sla="p90", budget=100, **settings).sizes_mib == (1024,)


def test_the_median_run_is_the_simulated_one() -> None:
    """The trace in a prediction is that of the simulation without luck."""
    known = Known([1.0, 2.0, 3.0])
    plan, found = predicted(CHAIN, "per_task", estimates=known, platform=platform())
    assert found.trace.events == simulate_plan(CHAIN, plan, known, platform()).trace().events
    assert found.makespan.draws == (found.makespan_s,) * 1000  # nothing scatters


@pytest.mark.parametrize("draws", [0, -3])
def test_draws_that_are_none(draws: int) -> None:
    """A prediction needs a simulated run."""
    with pytest.raises(ConfigError, match=f"draws is {draws}"):
        predicted(draws=draws)


def test_distributions() -> None:
    """Quantiles are interpolated and never fall; what is no distribution is refused."""
    one = Distribution((1.0, 2.0, 4.0))
    assert [one.quantile(part) for part in (0, 0.25, 0.5, 0.75, 1)] == [1.0, 1.5, 2.0, 3.0, 4.0]
    assert one.mean == pytest.approx(7 / 3)
    assert one.at(Sla()) == one.mean
    assert [one.rank(value) for value in (0.5, 1.0, 3.0, 4.0)] == [0, 1 / 3, 2 / 3, 1]
    assert set(one.percentiles) == {"p10", "p50", "p90", "p99", "mean"}
    with pytest.raises(PlanError, match="from 0 to 1"):
        one.quantile(1.5)
    with pytest.raises(PlanError, match="finite"):
        Distribution((1.0, float("inf")))
