import copy
import json
import pickle
from dataclasses import replace

import pytest

from faaslab.errors import PlanError
from faaslab.plan import Assignment, Plan
from tests.plan.dags import CHAIN, DIAMOND, FakeDag


def two_workers() -> Plan:
    """Return a plan of the diamond with two assigned workers."""
    assignments = [Assignment("a", 512), Assignment("a", 512), Assignment("b", 1024), Assignment("a", 512)]
    return Plan.for_dag(
        DIAMOND,
        "mine",
        assignments,
        settings={"seed": 3, "sizes_mib": [512, 1024]},
        reasons=["first", "with its input", "it is large", "joins <its> larger input"],
    )


def test_orders_default_to_the_topological_order() -> None:
    """A planner that gives no orders gets the task order of the DAG on each worker."""
    assert dict(two_workers().orders) == {"a": (0, 1, 3), "b": (2,)}


def test_json_round_trip() -> None:
    """A plan read from its own JSON is equal to it, copies and pickles included."""
    plan = two_workers()
    assert Plan.from_json(plan.to_json()) == plan
    assert pickle.loads(pickle.dumps(plan)) == plan
    assert copy.deepcopy(plan) == plan


def test_plans_are_values() -> None:
    """Neither orders nor settings of a plan can be changed."""
    plan = two_workers()
    with pytest.raises(TypeError):
        plan.orders["a"] = ()  # type: ignore[index]
    with pytest.raises(TypeError):
        plan.settings["seed"] = 4  # type: ignore[index]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 99}, "schema 99.* reads 3"),
        ({"planner": 5}, r"\$\.planner"),
        ({"assignments": [{"worker": "a", "size_mib": "big"}]}, r"\$\.assignments\[0\]\.size_mib"),
        ({"assignments": [{"worker": "a", "size_mib": 512, "wait": "go"}]}, r"\$\.assignments\[0\]\.wait"),
        ({"orders": {"a": ["x"]}}, r"\$\.orders"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_bad_json_names_the_field(change: dict[str, object], message: str) -> None:
    """A plan file with a wrong field is refused by that field's name."""
    data = json.loads(two_workers().to_json()) | change
    with pytest.raises(PlanError, match=message):
        Plan.from_json(json.dumps(data))


def test_json_that_is_no_plan() -> None:
    """Text that is not JSON, or not an object, is a typed error."""
    for text in ("", "{", "[1]", "{}"):
        with pytest.raises(PlanError, match="not a plan"):
            Plan.from_json(text)


def test_settings_that_are_not_json() -> None:
    """Settings that can't be written name the planner."""
    plan = Plan.for_dag(CHAIN, "mine", [Assignment(None, 512)] * 3, settings={"x": object()})
    with pytest.raises(PlanError, match="'mine'"):
        plan.to_json()


def test_explain_says_where_why_and_what_it_waits_for() -> None:
    """The explanation of a fan-in task names its worker, turn, reason and where each input comes from."""
    assert two_workers().explain("f#3").splitlines() == [
        "f#3 runs on worker a, 512 MiB (0.29 vCPU), planned by mine",
        "why: joins <its> larger input",
        "turn: 3 of 3 on a, after f#1",
        "waits for: f#1 on a (the same worker: its output is in memory)",
        "waits for: f#2 on b (another worker: its output travels)",
    ]


def test_explain_dynamic_root() -> None:
    """A task without worker and upstreams is explained, too."""
    plan = Plan.for_dag(CHAIN, "wukong", [Assignment(None, 1769)] * 3)
    assert plan.explain("f#0").splitlines() == [
        "f#0 runs on a worker decided at run time, 1769 MiB (1.00 vCPU), planned by wukong",
        "waits for: nothing; it is ready when the run starts",
    ]


def test_explain_of_a_wide_fan_in_is_short() -> None:
    """A task with a thousand inputs lists the first few and counts the rest."""
    wide = FakeDag((*[()] * 1000, tuple(range(1000))))
    plan = Plan.for_dag(wide, "mine", [Assignment(f"w{task % 2}", 512) for task in range(1001)])
    lines = plan.explain("f#1000").splitlines()
    assert len(lines) < 20
    assert lines[-1] == "… 1000 tasks in all, 500 of them on the same worker"


def test_explain_unknown_task() -> None:
    """An unknown id is refused with ids that exist."""
    with pytest.raises(PlanError, match=r"no task 'g#0'.*f#0, f#1"):
        two_workers().explain("g#0")


def test_diff_ignores_worker_names() -> None:
    """Plans that differ in names of workers only have no differences."""
    plan = two_workers()
    renamed = Plan.for_dag(
        DIAMOND, "mine", [Assignment({"a": "x", "b": "y"}[a.worker or ""], a.size_mib) for a in plan.assignments]
    )
    difference = plan.diff(renamed)
    assert not difference
    assert str(difference) == "mine → mine: no differences"


def test_diff_lists_changes() -> None:
    """Moved and resized tasks, reordered workers and optimizations are listed by id."""
    after = Plan.for_dag(
        DIAMOND,
        "other",
        [Assignment("a", 512), Assignment("a", 512), Assignment("b", 2048), Assignment(None, 512)],
        orders={"a": (1, 0), "b": (2,)},
        optimizations=["skip_storage", "preload"],
    )
    difference = two_workers().diff(after)
    assert difference.moved == (("f#3", "a", None),)
    assert difference.resized == (("f#2", 1024, 2048),)
    assert difference.reordered == ("a",)
    assert difference.optimizations_added == {"preload"}
    assert difference.optimizations_removed == {"inline_inputs"}
    assert str(difference).splitlines() == [
        "mine → other: 1 tasks moved, 1 tasks resized, 1 workers reordered",
        "  f#3: a → run time",
        "  f#2: 1024 MiB → 2048 MiB",
        "  a: another task order",
        "  + preload",
        "  - inline_inputs",
    ]


def test_waiting_is_part_of_a_plan() -> None:
    """What a worker does while it waits is written, compared, explained and shown."""
    plan = two_workers()
    after = replace(plan, assignments=(*plan.assignments[:3], replace(plan.assignments[3], wait="leave")))
    assert Plan.from_json(after.to_json()) == after != plan
    assert plan.diff(after).rewaited == (("f#3", "stay", "leave"),)
    assert str(plan.diff(after)).splitlines() == [
        "mine → mine: 1 tasks waited for otherwise",
        "  f#3: stay → leave while it waits",
    ]
    assert after.explain("f#3").splitlines()[-1] == (
        "if they are not there: a ends, unbilled, and is invoked again when they are"
    )
    assert "leaves before 1 of its tasks" in after._repr_html_()
    assert "leaves" not in plan._repr_html_()


def test_plans_of_before_are_read() -> None:
    """Workers of a plan that says nothing about waiting stay."""
    data = json.loads(two_workers().to_json())
    for assignment in data["assignments"]:
        del assignment["wait"]
    assert Plan.from_json(json.dumps(data)) == two_workers()


def test_diff_of_different_dags() -> None:
    """Plans for different DAGs can't be compared."""
    other = Plan.for_dag(FakeDag(((),), structure_hash="hash-2"), "mine", [Assignment(None, 512)])
    with pytest.raises(PlanError, match=r"hash-1.*hash-2"):
        two_workers().diff(other)


def test_html_is_escaped_and_short() -> None:
    """The notebook table escapes names and cuts long plans."""
    wide = FakeDag(tuple(() for _ in range(50)), name="<b>wide</b>")
    html = Plan.for_dag(wide, "mine", [Assignment(f"<w{task}>", 512) for task in range(50)])._repr_html_()
    assert "<b>wide</b></b>" not in html
    assert "&lt;w0&gt;" in html
    assert "… 38 more" in html
    assert html.count("<tr>") == 14
    assert "decided at run time" in Plan.for_dag(CHAIN, "w", [Assignment(None, 512)] * 3)._repr_html_()


def test_repr() -> None:
    """A plan's repr is one line that says what it is."""
    assert repr(two_workers()) == "Plan('mine' for 'fake': 4 tasks, 2 assigned workers, sizes [512, 1024] MiB)"
