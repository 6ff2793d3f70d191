"""Policies of run time: what they may choose, how plans carry them, what workers do with them."""

import json
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from faaslab.errors import PlanError, TaskFailed
from faaslab.graph import DAG, generators
from faaslab.launchers.inline import InlineLauncher
from faaslab.plan import Assignment, Plan, check_plan
from faaslab.planners import plan_dag
from faaslab.planners.wukong import Wukong
from faaslab.policy.run_time import Candidate, Choice, FanOutClustering, decide
from faaslab.simulate import simulate_plan
from tests.simulate.scene import Known, platform
from tests.worker.runs import run_on
from tests.worker.steps import Bench, before_task

CANDIDATES = (Candidate("a", 1, 512), Candidate("b", 2, 512), Candidate("c", 1, 512))


@dataclass(frozen=True)
class Fixed:
    """Chooses what it was made with."""

    choice: Any
    name = "fixed"

    def choose(self, task: str, output_bytes: int, candidates: Sequence[Candidate]) -> Any:
        """Return it."""
        return self.choice


class Raising:
    """Has a bug."""

    name = "raising"

    def choose(self, task: str, output_bytes: int, candidates: Sequence[Candidate]) -> Choice:
        """Fail."""
        raise KeyError("what")


def test_a_choice_puts_some_first() -> None:
    """Preferred candidates come first, in their order."""
    assert decide(Fixed(Choice()), "t", 5, CANDIDATES) == (1, [])
    assert decide(Fixed(Choice(2, [CANDIDATES[2], CANDIDATES[0]])), "t", 5, CANDIDATES) == (2, [2, 0])


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (None, "policy 'fixed' chose None after task 't'; it must return a Choice"),
        (Choice(-1), "take=-1"),
        (Choice(1.5), "take=1.5"),  # type: ignore[arg-type]
        (Choice(1, [CANDIDATES[0], CANDIDATES[0]]), "candidates, each once"),
        (Choice(1, [Candidate("x", 1, 512)]), "candidates, each once"),
        (Choice(1, [3]), "candidates, each once"),  # type: ignore[list-item]
    ],
)
def test_impossible_choices_are_refused(choice: Any, message: str) -> None:
    """What is no choice among the candidates is named with policy and task."""
    with pytest.raises(PlanError, match=message):
        decide(Fixed(choice), "t", 5, CANDIDATES)


@pytest.mark.parametrize(("output_bytes", "take"), [(0, 1), (99, 1), (100, 3), (10**9, 3)])
def test_fan_out_clustering(output_bytes: int, take: int) -> None:
    """From the threshold on all stay, below it one."""
    assert FanOutClustering(100).choose("t", output_bytes, CANDIDATES) == Choice(take)


def test_thresholds_of_wukong() -> None:
    """Off, or above an output, its consumers get workers of their own; below it, they run where the output is."""
    dag = DAG(generators.fan(6))
    known = Known([1.0] * len(dag), {0: 20_000_000})
    runs = {}
    for threshold_bytes in (None, 5e6, 200e6):
        plan = plan_dag(dag, Wukong(threshold_bytes))
        runs[plan.planner] = simulate_plan(dag, plan, known, platform())
    assert {name: run.invocations for name, run in runs.items()} == {"wukong": 6, "wukong 5 MB": 1, "wukong 200 MB": 6}
    assert {name: run.stored_bytes > 1e6 for name, run in runs.items()} == {
        "wukong": True,
        "wukong 5 MB": False,
        "wukong 200 MB": True,
    }
    assert runs["wukong 5 MB"].workers[0].tasks == tuple(range(8))


@pytest.mark.parametrize("threshold", [-1, float("nan")])
def test_thresholds_are_checked(threshold: float) -> None:
    """A threshold that no size can be compared with is refused."""
    with pytest.raises(PlanError, match="threshold_bytes"):
        Wukong(threshold)


def test_plans_carry_policies() -> None:
    """A shipped policy is written by its name and settings, compared, shown and explained."""
    dag = DAG(generators.diamond())
    plain, clustered = plan_dag(dag, "wukong"), plan_dag(dag, Wukong(5e6))
    assert plain.policy is None
    assert clustered.policy == FanOutClustering(5e6)
    again = Plan.from_json(clustered.to_json())
    assert again == clustered != plain
    assert json.loads(clustered.to_json())["policy"] == {
        "name": "fan_out_clustering",
        "settings": {"threshold_bytes": 5e6},
    }
    assert plain.diff(clustered).policies == (
        "become one, invoke the rest",
        "fan_out_clustering(threshold_bytes=5000000.0)",
    )
    assert "fan_out_clustering(threshold_bytes=5000000.0)" in clustered._repr_html_()
    assert "by policy fan_out_clustering" in clustered.explain("one#0")
    assert not plain.diff(Plan.from_json(plain.to_json()))


def test_json_can_not_hold_code() -> None:
    """A policy of one's own is no JSON, but a plan with it is pickled; unknown names and settings are refused."""
    plan = replace(plan_dag(DAG(generators.one()), "wukong"), policy=Fixed(Choice()))
    with pytest.raises(PlanError, match=r"'fixed' is code of your own.*fan_out_clustering"):
        plan.to_json()
    assert pickle.loads(pickle.dumps(plan)) == plan
    shipped = json.loads(replace(plan, policy=FanOutClustering(5)).to_json())
    for policy, message in (
        ({"name": "nobody", "settings": {}}, "unknown policy 'nobody'; known: fan_out_clustering"),
        ({"name": "fan_out_clustering", "settings": {"size": 5}}, "can't have the settings"),
        ({"name": "fan_out_clustering", "settings": {"threshold_bytes": "5"}}, "can't have the settings"),
    ):
        with pytest.raises(PlanError, match=message):
            Plan.from_json(json.dumps(shipped | {"policy": policy}))


@pytest.mark.parametrize(("policy", "message"), [(Fixed, "class Fixed"), (object(), "is no policy")])
def test_no_policy(policy: Any, message: str) -> None:
    """What can't be asked is refused before anything runs."""
    dag = DAG(generators.one())
    with pytest.raises(PlanError, match=message):
        check_plan(dag, replace(plan_dag(dag, "wukong"), policy=policy))


def test_a_large_output_keeps_what_follows_it() -> None:
    """All that it made ready runs here in the call's order, nothing is invoked, and the output is not stored."""
    dag = DAG(generators.fan(3))
    bench = Bench(dag, plan_dag(dag, Wukong(0)))
    assert bench.container("a").go() == [
        "register",
        "next → ~0",
        "execute one#0",
        "complete 0 for 1,2,3 took 1,2,3",
        "execute increment#0",
        "complete 1 for 4 stored",
        "execute increment#1",
        "complete 2 for 4 stored",
        "execute increment#2",
        "complete 3 for 4 took 4",
        "execute total#0",
        "complete 4 stored ended",
    ]
    assert bench.status == "finished"


def test_what_a_dead_worker_had_taken_runs_again() -> None:
    """Tasks that were taken and not begun are remembered by the store; the input they share is made again."""
    dag = DAG(generators.fan(3))
    bench = Bench(dag, plan_dag(dag, Wukong(0)))
    first = bench.container("a")
    assert first.go(before_task(2))[-1] == "complete 1 for 4 stored"
    bench.store.remove("a", "killed")
    assert bench.container("b").go() == [
        "register",
        "next → ~0 attempt 2",
        "stored 1",
        "execute one#0",
        "execute increment#1",
        "complete 2 for 4 stored",
        "execute increment#2",
        "complete 3 for 4 took 4",
        "execute total#0",
        "complete 4 stored ended",
    ]
    assert bench.status == "finished"


def test_nothing_taken() -> None:
    """A policy can have everything invoked, also a sole successor."""
    dag = DAG(generators.chain(2))
    bench = Bench(dag, replace(plan_dag(dag, "wukong"), policy=Fixed(Choice(0))))
    assert bench.container("a").go()[2:4] == ["execute one#0", "complete 0 for 1 stored ended → ~1"]


def test_a_policy_with_a_bug_fails_the_run() -> None:
    """The error names the task after which it was asked, and what it raised."""
    dag = DAG(generators.chain(2))
    plan = replace(plan_dag(dag, "wukong"), policy=Raising())
    ended = run_on(InlineLauncher(1), dag, plan)
    assert isinstance(ended.error, TaskFailed)
    assert "policy can't be asked what follows it: KeyError: 'what'" in str(ended.error)
    with pytest.raises(KeyError):
        simulate_plan(dag, plan, Known([1, 1]), platform())


def test_only_those_of_its_size_are_taken() -> None:
    """A worker takes no task that is planned at another size."""
    dag = DAG(generators.fan(2))
    places = [Assignment(None, size_mib) for size_mib in (1769, 512, 1769, 1769)]
    bench = Bench(dag, Plan.for_dag(dag, "by hand", places, policy=FanOutClustering(0)))
    assert bench.container("a").go(before_task(2))[-1] == "complete 0 for 1,2 stored took 2"
