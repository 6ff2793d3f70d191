"""Optimizations of one's own: planned, executed by workers, simulated."""

import zlib
from dataclasses import replace
from typing import Any

import pytest

import faaslab as fl
from faaslab.launchers.model import VirtualModel
from faaslab.model.profiles import profile_named
from faaslab.planners.registry import plan_context, plan_with
from faaslab.simulate import Draws, FlatDag, place, run_placement
from tests.plan.dags import FakeDag
from tests.simulate.scene import Known, platform, simulated

THRESHOLD_BYTES = 10_000


class Compression(fl.Optimization):
    """Compresses large outputs on their way through the store."""

    name = "compression"

    def outgoing(self, task: str, frame: bytes, /) -> bytes | None:
        return zlib.compress(frame, 1) if len(frame) > THRESHOLD_BYTES else None

    def incoming(self, task: str, data: bytes, /) -> bytes:
        return zlib.decompress(data)

    def effect(self, task: str, output_bytes: float, /) -> fl.Effect | None:
        return fl.Effect(output_bytes / 100, 0.001, 0.002) if output_bytes > THRESHOLD_BYTES else None


@fl.task(output_bytes=400_000, expected_s=0.01)
def text(seed: int) -> str:
    return f"word{seed} " * 50_000


@fl.task(output_bytes=20, expected_s=0.01)
def length(*texts: str) -> int:
    return sum(map(len, texts))


def workflow(width: int = 3) -> fl.DAG:
    return fl.DAG(length(*(text(seed) for seed in range(width))), name="texts")


@pytest.mark.parametrize("planner", ["per_task", "wukong", "heft"])
def test_workers_and_the_simulator_agree_on_what_is_stored(planner: str) -> None:
    """A virtual run stores less, gives the same result, and the simulation expects as much."""
    dag = workflow()
    plain = fl.compute(dag, launcher=fl.VirtualLauncher(), planner=planner)
    plan = dag.plan(planner, optimizations=[Compression()], keep_harmful=True, platform="none")
    assert [one.name for one in plan.instructions.own] == ["compression"]
    run = fl.submit(dag, plan=plan, launcher=fl.VirtualLauncher())
    assert run.result(60) == plain
    stored = run.trace.metrics["stored_bytes"]
    assert 0 < stored < 0.05 * 3 * 400_000
    assert fl.simulate(dag, plan, platform="none").metrics["stored_bytes"] < 0.05 * 3 * 400_000


def test_real_workers_use_it() -> None:
    """Process workers compress and decompress; what the client asked for is stored as it is."""
    dag = workflow()
    with fl.Lab(fl.ProcessLauncher()) as lab:
        plan = dag.plan("per_task", optimizations=[Compression()], platform="none", keep_harmful=True)
        run = lab.submit(dag, plan=plan)
        assert run.result(60) == 3 * len(text.fn(0))
        assert 0 < run.trace.metrics["stored_bytes"] < 0.05 * 3 * 400_000


class Broken(Compression):
    """Raises where it is asked."""

    name = "broken"

    def __init__(self, part: str) -> None:
        self.part = part

    def outgoing(self, task: str, frame: bytes, /) -> bytes | None:
        if self.part == "outgoing":
            raise ZeroDivisionError("no")
        return super().outgoing(task, frame)

    def incoming(self, task: str, data: bytes, /) -> bytes:
        raise ZeroDivisionError("no")


@pytest.mark.parametrize(
    ("part", "task", "words"), [("outgoing", "text#", "broken"), ("incoming", "length#0", "loaded")]
)
def test_one_that_raises_fails_the_task(part: str, task: str, words: str) -> None:
    """The error names the task and the optimization, and the run ends."""
    dag = workflow()
    plan = dag.plan("per_task", optimizations=[Broken(part)], keep_harmful=True, platform="none")
    with pytest.raises(fl.TaskFailed, match=words) as caught:
        fl.compute(dag, plan=plan, launcher=fl.VirtualLauncher())
    assert task in str(caught.value)


def test_one_that_only_plans() -> None:
    """A plan part alone may use the shipped instructions."""

    class Ready(fl.Optimization):
        name = "ready"

        def plan(self, dag: Any, plan: Any, ctx: Any, /) -> Any:
            told = replace(plan.instructions, stream=frozenset(range(3)))
            return replace(plan, instructions=told)

    plan = workflow().plan("per_task", optimizations=[Ready()], keep_harmful=True, platform="none")
    assert plan.instructions.stream == {0, 1, 2}
    assert [one.name for one in plan.instructions.own] == ["ready"]
    assert [saving.optimization for saving in plan.instructions.savings] == ["ready"]


@pytest.mark.parametrize(
    ("optimizations", "words"),
    [
        ([Compression], "class Compression"),
        ([3], "3 is no optimization"),
        ([fl.Optimization()], "named ''"),
        ([Compression(), Compression()], "named 'compression'"),
        (["compresion"], "unknown optimization 'compresion'"),
        ("preload", "must be 'all' or a list"),
    ],
)
def test_what_is_no_optimization_is_refused(optimizations: Any, words: str) -> None:
    """Before anything is planned."""
    with pytest.raises(fl.PlanError, match=words):
        workflow().plan("per_task", optimizations=optimizations)


def test_harmful_ones_are_left_out_and_it_says_so() -> None:
    """Compressing takes longer than it saves where nothing limits transfers."""
    plan = workflow().plan("per_task", optimizations=[Compression()], platform="none")
    (saving,) = plan.instructions.savings
    assert plan.instructions.own == ()
    assert saving.tasks == 0
    assert saving.makespan_s < 0
    assert "harm" in saving.why


def test_pays_where_the_network_is_slow() -> None:
    """With little bandwidth it is predicted to pay, kept for that reason, and pays in a virtual run."""
    dag = workflow()
    slow = fl.Platform(replace(profile_named("none"), upload_bytes_per_s=1e6, download_bytes_per_s=1e6))
    plan = dag.plan("per_task", optimizations=[Compression()], platform=slow)
    (saving,) = plan.instructions.savings
    assert saving.tasks == 3
    assert saving.makespan_s > 0.5  # 0.4 s up, 3 * 0.4 s down
    model = VirtualModel(bandwidth_bytes_per_s=1e6, task_s=0.01, task_sigma=0.0)
    before = fl.submit(dag, planner="per_task", launcher=fl.VirtualLauncher(model=model))
    after = fl.submit(dag, plan=plan, launcher=fl.VirtualLauncher(model=model))
    assert before.result(60) == after.result(60)
    assert after.trace.metrics["makespan_s"] < 0.7 * before.trace.metrics["makespan_s"]


class Tenth(fl.Optimization):
    """Takes a second to make a tenth of each output, two to undo that."""

    name = "tenth"

    def effect(self, task: str, output_bytes: float, /) -> fl.Effect | None:
        return fl.Effect(output_bytes / 10, 1.0, 2.0) if output_bytes else None


@pytest.mark.parametrize("second", ["b", "a", None])
def test_the_simulator_accounts_for_it(second: str | None) -> None:
    """A chain over two workers: make, upload a tenth, download it, undo; nothing of that on one worker."""
    simulation = simulated(
        [(), (0,), (1,)],
        ["a" if second else None, second, second],
        [4.0, 4.0, 4.0],
        nbytes={0: 1e6},
        plan={"instructions": fl.Instructions(own=(Tenth(),)), "optimizations": ["skip_storage", "tenth"]},
        upload_bytes_per_s=1e5,
        download_bytes_per_s=5e4,
    )
    cold_s, exec_s = 1.0, 12.0
    if second == "b":
        assert simulation.makespan_s == pytest.approx(cold_s + exec_s + 1.0 + 1.0 + 2.0 + 2.0)
        assert simulation.stored_bytes == 1e5
    else:
        assert simulation.makespan_s == pytest.approx(cold_s + exec_s)
        assert simulation.stored_bytes == 0


@pytest.mark.timeout(300)  # compiling takes a while on a busy machine
@pytest.mark.parametrize("planner", ["wukong", "per_task", "uniform"])
def test_the_compiled_simulator_accounts_for_it_equally(planner: str) -> None:
    """The same numbers, whatever runs the loop."""
    pytest.importorskip("numba")
    from faaslab.simulate.compiled import compiled_dag, place_compiled, run_compiled

    dag = FakeDag(((), (), (0,), (0, 1), (1, 2), (3, 4)))
    plan = plan_with(planner, dag, plan_context(dag, optimizations=[Tenth()], keep_harmful=True, history=False))
    where = platform(upload_bytes_per_s=1e5, download_bytes_per_s=5e4, store_latency_s=0.01)
    flat = FlatDag.of(dag, Known([1.0] * 6, dict.fromkeys(range(6), 1e6)))
    plain = run_placement(place(flat, plan, where), Draws(1))
    fast = run_compiled(place_compiled(compiled_dag(flat), plan, where), Draws(1))
    assert fast.makespan_s == plain.makespan_s
    assert list(fast.start_s) == list(plain.start_s)
