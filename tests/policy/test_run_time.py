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
from faaslab.plan import Plan, check_plan
from faaslab.planners import plan_dag
from faaslab.planners.parts import clustering
from faaslab.planners.parts.clustering import THRESHOLD_S, bytes_of
from faaslab.planners.registry import plan_context
from faaslab.planners.wukong import Wukong
from faaslab.policy.run_time import Candidate, Choice, Clustering, Decision, decide
from faaslab.simulate import simulate_plan
from tests.simulate.scene import Known, platform
from tests.worker.runs import run_on
from tests.worker.steps import Bench

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
    assert decide(Fixed(Choice()), "t", 5, CANDIDATES) == Decision()
    assert decide(Fixed(Choice(2, [CANDIDATES[2], CANDIDATES[0]])), "t", 5, CANDIDATES) == Decision(2, (2, 0), late=2)


def test_a_choice_holds_an_output() -> None:
    """How long, and what is taken in the end, comes along."""
    choice = Choice(2, hold="run", wait_s=3, late=0)
    assert decide(Fixed(choice), "t", 5, CANDIDATES) == Decision(2, (), "run", 3.0, 0)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (None, "policy 'fixed' chose None after task 't'; it must return a Choice"),
        (Choice(-1), "take=-1"),
        (Choice(1.5), "take=1.5"),  # type: ignore[arg-type]
        (Choice(1, [CANDIDATES[0], CANDIDATES[0]]), "candidates, each once"),
        (Choice(1, [Candidate("x", 1, 512)]), "candidates, each once"),
        (Choice(1, [3]), "candidates, each once"),  # type: ignore[list-item]
        (Choice(hold="later"), "hold='later'"),  # type: ignore[arg-type]
        (Choice(late=-1), "late=-1"),
        (Choice(wait_s=-1.0), "wait_s=-1.0"),
        (Choice(wait_s=float("inf")), "wait_s=inf"),
        (Choice(wait_s="long"), "wait_s='long'"),  # type: ignore[arg-type]
    ],
)
def test_impossible_choices_are_refused(choice: Any, message: str) -> None:
    """What is no choice among the candidates is named with policy and task."""
    with pytest.raises(PlanError, match=message):
        decide(Fixed(choice), "t", 5, CANDIDATES)


NARROW, WIDE = [CANDIDATES[0], CANDIDATES[2]], [CANDIDATES[1]]


@pytest.mark.parametrize(
    ("switches", "large"),
    [
        ({}, Choice(3, hold="run", late=3)),
        ({"delay": False}, Choice(3, hold="check", late=3)),
        ({"fan_in": False}, Choice(2, NARROW, hold="run", late=1)),
        ({"fan_in": False, "delay": False}, Choice(2, NARROW, hold="check", late=1)),
        ({"fan_out": False}, Choice(1, WIDE, hold="run", late=3)),
        ({"fan_out": False, "fan_in": False}, Choice(1, [], hold="run", late=1)),
        ({"fan_out": False, "fan_in": False, "delay": False}, Choice()),
        ({"wait_s": 2.0}, Choice(3, hold="run", wait_s=2.0, late=3)),
        ({"wait_s": 2.0, "delay": False}, Choice(3, hold="check", late=3)),
    ],
)
def test_clustering(switches: dict[str, Any], large: Choice) -> None:
    """From the threshold on a worker takes what it is told to and stores later; below it, it becomes one."""
    policy = Clustering(100, **switches)
    for output_bytes in (100, 10**9):
        choice = policy.choose("t", output_bytes, CANDIDATES)
        assert replace(choice, first=list(choice.first)) == replace(large, first=list(large.first))
    for output_bytes in (0, 99):
        assert policy.choose("t", output_bytes, CANDIDATES) == Choice()


def test_something_is_always_taken() -> None:
    """Where a large output's only successors are not those that are clustered, its worker becomes one all the same."""
    assert Clustering(0, fan_out=False).choose("t", 5, NARROW).take == 1
    assert Clustering(0, fan_in=False).choose("t", 5, WIDE).take == 1


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


@pytest.mark.parametrize("threshold", [-1, float("nan"), True, "5"])
def test_thresholds_are_checked(threshold: Any) -> None:
    """A threshold that no size can be compared with is refused."""
    with pytest.raises(PlanError, match="threshold_bytes"):
        Wukong(threshold)
    with pytest.raises(PlanError, match="wait_s"):
        Wukong(0, wait_s=threshold)


def test_thresholds_in_seconds() -> None:
    """They are what an output takes into the store and out again; where nothing does, nothing is large."""
    dag = DAG(generators.fan(6))
    assert plan_dag(dag, Wukong(threshold_s=0.5), platform=platform()).policy is None
    where = platform(store_latency_s=0.1, upload_bytes_per_s=1e6, download_bytes_per_s=3e6)
    plan = plan_dag(dag, Wukong(threshold_s=0.6, delay=False), platform=where)
    assert isinstance(plan.policy, Clustering)
    assert replace(plan.policy, threshold_bytes=0.0) == Clustering(0.0, delay=False)
    assert plan.policy.threshold_bytes == pytest.approx(300_000)
    assert plan.planner == "wukong 0.6 s"
    assert plan_dag(dag, Wukong(threshold_s=0.1), platform=where).policy == Clustering(0.0)
    with pytest.raises(PlanError, match="give one of them"):
        Wukong(5.0, 5.0)


@pytest.mark.parametrize(
    ("optimizations", "policy"),
    [
        (["fan_out_clustering", "fan_in_clustering", "delayed_io"], (True, True, True)),
        (["delayed_io"], (False, False, True)),
        (["fan_out_clustering"], (True, False, False)),
        (["prewarm"], None),
    ],
)
def test_planned_by_name(optimizations: list[str], policy: Any) -> None:
    """Optimizations that are asked for by name become a policy with the default threshold."""
    dag = DAG(generators.fan(6))
    plan = plan_dag(dag, "wukong", platform="lambda")
    ctx = plan_context(dag, optimizations=optimizations, platform="lambda")
    expected = None if policy is None else Clustering(bytes_of(THRESHOLD_S, ctx.platform), *policy)
    assert clustering.apply(dag, plan, ctx).policy == expected
    assert 15e6 < bytes_of(THRESHOLD_S, ctx.platform) < 25e6


def test_what_has_no_use_for_clustering_stays() -> None:
    """Plans without tasks of run time, with a policy of their own, or for platforms on which nothing takes time."""
    dag = DAG(generators.fan(6))
    ctx = plan_context(dag, optimizations=["delayed_io"], platform="lambda")
    nowhere = plan_context(dag, optimizations=["delayed_io"], platform=platform())
    for plan, told in (
        (plan_dag(dag, "per_task"), ctx),
        (plan_dag(dag, Wukong(5.0)), ctx),
        (plan_dag(dag, "wukong"), nowhere),
    ):
        assert clustering.apply(dag, plan, told) is plan


def test_asked_for_by_name() -> None:
    """A large output that many take stays with one worker if that is asked for, since it pays."""
    known = Known([0.1] * 8, {0: 200_000_000})
    names = ["fan_out_clustering", "fan_in_clustering", "delayed_io"]
    dag = DAG(generators.fan(6))
    plan = plan_dag(dag, "wukong", optimizations=names, platform="lambda", estimates=known)
    assert isinstance(plan.policy, Clustering)
    assert plan.policy.fan_out
    assert "fan_out_clustering" in plan.optimizations
    assert simulate_plan(dag, plan, known, plan_context(dag).platform).stored_bytes < 200_000_000
    assert Plan.from_json(plan.to_json()) == plan


def test_plans_carry_policies() -> None:
    """A shipped policy is written by its name and settings, compared, shown and explained."""
    dag = DAG(generators.diamond())
    plain, clustered = plan_dag(dag, "wukong"), plan_dag(dag, Wukong(5e6))
    assert plain.policy is None
    assert clustered.policy == Clustering(5e6)
    again = Plan.from_json(clustered.to_json())
    assert again == clustered != plain
    assert json.loads(clustered.to_json())["policy"] == {
        "name": "clustering",
        "settings": {"threshold_bytes": 5e6, "fan_out": True, "fan_in": True, "delay": True, "wait_s": 0.0},
    }
    before, after = plain.diff(clustered).policies or ("", "")
    assert before == "become one, invoke the rest"
    assert after.startswith("fan_out_clustering + fan_in_clustering + delayed_io(threshold_bytes=5000000.0, ")
    assert "delayed_io(threshold_bytes=5000000.0, " in clustered._repr_html_()
    assert "by policy fan_out_clustering + fan_in_clustering + delayed_io" in clustered.explain("one#0")
    assert not plain.diff(Plan.from_json(plain.to_json()))


def test_json_can_not_hold_code() -> None:
    """A policy of one's own is no JSON, but a plan with it is pickled; unknown names and settings are refused."""
    plan = replace(plan_dag(DAG(generators.one()), "wukong"), policy=Fixed(Choice()))
    with pytest.raises(PlanError, match=r"'fixed' is code of your own.*clustering"):
        plan.to_json()
    assert pickle.loads(pickle.dumps(plan)) == plan
    shipped = json.loads(replace(plan, policy=Clustering(5)).to_json())
    for policy, message in (
        ({"name": "nobody", "settings": {}}, "unknown policy 'nobody'; known: clustering"),
        ({"name": "clustering", "settings": {"size": 5}}, "can't have the settings"),
        ({"name": "clustering", "settings": {"threshold_bytes": "5"}}, "threshold_bytes is '5'"),
    ):
        with pytest.raises(PlanError, match=message):
            Plan.from_json(json.dumps(shipped | {"policy": policy}))


@pytest.mark.parametrize(("policy", "message"), [(Fixed, "class Fixed"), (object(), "is no policy")])
def test_no_policy(policy: Any, message: str) -> None:
    """What can't be asked is refused before anything runs."""
    dag = DAG(generators.one())
    with pytest.raises(PlanError, match=message):
        check_plan(dag, replace(plan_dag(dag, "wukong"), policy=policy))


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
