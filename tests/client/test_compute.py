"""Results on local worker processes: values in order, data of every size, asyncio, threads, several labs."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import faaslab as fl
from faaslab.client import Lab
from faaslab.graph import DAG, generators
from faaslab.graph.generators import add, increment, one, total
from faaslab.plan import Plan
from faaslab.planners import plan_dag
from faaslab.planners.wukong import Wukong
from faaslab.storage.embedded import EmbeddedServer
from faaslab.storage.redis import RedisStorage
from faaslab.trace.events import InputFetched, OutputStored, TaskExecuted, WorkerStarted
from tests.client.scene import Scene, process_lab

PLANNERS = ("wukong", "per_task", "single_worker")


@pytest.mark.parametrize("planner", PLANNERS)
def test_results(lab: Lab, planner: str) -> None:
    """Every planner gives the values of plain Python."""
    assert lab.compute(generators.chain(50), planner=planner) == 50
    assert lab.compute(generators.fan(40), planner=planner) == 80
    assert lab.compute(generators.tree(64), planner=planner) == 64 * 63 // 2
    assert lab.compute(generators.random_dag(3, 60), planner=planner) == generators.random_dag_value(3, 60)
    assert lab.compute(generators.fork_join(3, 5), planner=planner) == 280


def test_several_outputs(lab: Lab) -> None:
    """Outputs come in the order asked, also a task asked for twice; shared ancestors run once."""
    base = one()
    left, right = increment(base), add(base, 5)
    run = lab.submit([right, left, right])
    assert run.result(20) == [6, 2, 6]
    assert len([event for event in run.trace.events if isinstance(event, TaskExecuted)]) == 3
    assert lab.compute(right, left) == (6, 2)
    assert lab.compute(left, left) == (2, 2)


def test_values_that_are_no_tasks(lab: Lab) -> None:
    """Plain values pass through, beside tasks and inside containers."""
    assert lab.compute(5, increment(1), [increment(2), 7]) == (5, 2, [3, 7])
    assert lab.compute({"a": (increment(1), {"b": increment(2)})}) == {"a": (2, {"b": 3})}


def test_an_empty_request_starts_nothing(scene: Scene) -> None:
    """Nothing to run is answered at once, without a lab host."""
    with process_lab(scene) as lab:
        assert lab.compute() == ()
        assert lab.compute([]) == []
        assert lab.compute(7) == 7
        assert lab.host_pid is None
        assert scene.hosts() == []


def test_two_planners_one_dag(lab: Lab) -> None:
    """A DAG object runs again with another planner and gives the same result."""
    dag = DAG(generators.layered(5))
    expected = generators.layered_value(5)
    assert [lab.compute(dag, planner=planner) for planner in PLANNERS] == [expected] * 3


def test_a_given_plan(lab: Lab) -> None:
    """A plan that was made before is followed; one for another DAG is refused before anything starts."""
    dag = DAG(generators.chain(4))
    assert lab.compute(dag, plan=plan_dag(dag, "single_worker")) == 4
    other: Plan = plan_dag(DAG(generators.chain(5)), "single_worker")
    with pytest.raises(fl.PlanError):
        lab.submit(dag, plan=other)


def test_names_are_checked(scene: Scene) -> None:
    """Unknown planners and launchers are refused with what is known, and nothing is started."""
    with pytest.raises(fl.LauncherError, match=r"'dockr'.*'process'"):
        Lab("dockr")
    with process_lab(scene) as lab:
        with pytest.raises(fl.FaaSLabError, match=r"'wukon'.*wukong"):
            lab.submit(one(), planner="wukon")
        # Not all processes: runs of the tests' common lab may still be asking git for the commit they are saved with.
        assert scene.hosts() == scene.supervisors() == scene.labs() == []


def test_in_a_running_event_loop(lab: Lab) -> None:
    """In a running loop, as Jupyter has one, both blocking and awaiting work."""

    async def cell() -> tuple[int, int, list[int]]:
        blocking = lab.compute(generators.chain(3))
        awaited = await lab.submit(generators.chain(4))
        both = await asyncio.gather(lab.submit(generators.chain(5)), lab.submit(generators.chain(6)))
        return blocking, awaited, both

    assert asyncio.run(cell()) == (3, 4, [5, 6])


def test_the_loop_goes_on_while_a_run_is_awaited(lab: Lab) -> None:
    """Awaiting does not block the loop."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.01)

    async def cell() -> int:
        ticking = asyncio.create_task(tick())
        result: int = await lab.submit(_slow(0.3))
        ticking.cancel()
        return result

    assert asyncio.run(cell()) == 1
    assert ticks > 5


@fl.task
def _slow(seconds: float) -> int:
    import time

    time.sleep(seconds)
    return 1


def test_cancelling_the_awaiting_task_cancels_the_run(lab: Lab) -> None:
    """asyncio's own cancellation reaches the run."""

    async def cell() -> str:
        run = lab.submit(_slow(30))
        waiting = asyncio.ensure_future(run._result_async())
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return run.status

    assert asyncio.run(cell()) == "cancelled"


def test_compute_in_threads(lab: Lab) -> None:
    """Threads share a lab, each gets its own results."""
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda n: lab.compute(generators.chain(n)), range(1, 21)))
    assert results == list(range(1, 21))


def test_two_labs_on_one_server(scene: Scene) -> None:
    """Two labs run the same workflow at the same time on one server, fifty times, and never see each other."""
    with EmbeddedServer(scene.folder / "server") as server:
        with process_lab(scene, server.url, limit=1) as first, process_lab(scene, server.url, limit=1) as second:
            wrong = []

            def repeat(lab: Lab, offset: int) -> None:
                for number in range(50):
                    values = [generators.identity(offset + number), generators.identity(offset + number + 1)]
                    got = lab.compute(total(values), name="same")
                    if got != 2 * (offset + number) + 1:
                        wrong.append((offset, number, got))

            threads = [threading.Thread(target=repeat, args=pair) for pair in ((first, 0), (second, 10_000))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert wrong == []
        store = RedisStorage(server.url, "any")
        assert store._command("KEYS", "*") == []
        store.close()


def test_large_results(lab: Lab) -> None:
    """A result of 64 MB comes back whole, also through another task."""
    import hashlib

    @fl.task
    def made(size: int) -> bytes:
        return bytes(range(256)) * (size // 256)

    @fl.task
    def digest(data: bytes) -> str:
        import hashlib

        return hashlib.sha256(data).hexdigest()

    data = made(64 * 1024 * 1024)
    got, hashed = lab.compute(data, digest(data))
    assert len(got) == 64 * 1024 * 1024
    assert hashlib.sha256(got).hexdigest() == hashed


def test_a_large_constant_is_stored_once(lab: Lab) -> None:
    """200 tasks that share a constant of 20 MB take less than 100 MB of the store."""
    import os

    shared = os.urandom(20 * 1024 * 1024)

    @fl.task
    def at(data: bytes, index: int) -> int:
        return data[index]

    @fl.task
    def memory(url: str, after: list[int]) -> int:
        from faaslab.storage.redis import RedisStorage

        store = RedisStorage(url, "any")
        try:
            info = store._command("INFO", "memory").decode()
        finally:
            store.close()
        return next(int(line.split(":")[1]) for line in info.splitlines() if line.startswith("used_memory_peak:"))

    lab.compute(one())
    assert isinstance(lab._storage, RedisStorage)
    values = [at(shared, index) for index in range(200)]
    with process_lab_of(lab) as fresh:
        fresh.compute(one())
        assert isinstance(fresh._storage, RedisStorage)
        got, peak = fresh.compute(values, memory(fresh._storage.url, values), planner="per_task")
    assert got == list(shared[:200])
    assert peak < 100 * 1024 * 1024


def process_lab_of(lab: Lab) -> Lab:
    """Return another lab with the same settings and a server of its own."""
    return Lab(lab.launcher, None, lab.config)


def test_a_warm_container_is_sent_no_code_twice(lab: Lab) -> None:
    """The second run of a workflow carries no part of the DAG to containers that have it."""
    dag = DAG(generators.chain(20))
    lab.compute(dag, planner="single_worker")
    sizes = set()
    for _ in range(4):
        run = lab.submit(dag, planner="single_worker")
        run.result(20)
        sizes |= {event.dag_bytes for event in run.trace.events if isinstance(event, WorkerStarted)}
    assert 0 in sizes


def test_a_large_fan_out_stores_only_its_sink(lab: Lab) -> None:
    """A blob that 20 tasks take stays where it was made, and what they make is held for the task that takes it all."""

    @fl.task
    def block(size: int) -> bytes:
        return bytes(size)

    @fl.task
    def length(data: bytes, number: int) -> int:
        return len(data) + number

    made = block(1_000_000)
    dag = DAG(total([length(made, number) for number in range(20)]))
    stored = {}
    for planner in (Wukong(), Wukong(threshold_bytes=0)):
        run = lab.submit(dag, planner=planner)
        assert run.result(30) == 20 * 1_000_000 + 190
        metrics = run.trace.metrics
        stored[planner.name] = {event.task for event in run.trace.events if isinstance(event, OutputStored)}
        assert (metrics["fetched_bytes"] > 0) == (metrics["workers"] > 1)
    assert stored["wukong 0 MB"] == {21}
    assert {0, 21} < stored["wukong"]


def test_a_chain_on_one_worker_stores_only_its_sink(lab: Lab) -> None:
    """Outputs that only their own worker reads never reach the store."""
    run = lab.submit(generators.chain(100), planner="single_worker")
    assert run.result(20) == 100
    metrics = run.trace.metrics
    fetched = [event.source for event in run.trace.events if isinstance(event, InputFetched)]
    assert set(fetched) == {"local"}
    assert 0 < metrics["stored_bytes"] < 100


def test_deep_and_wide(lab: Lab) -> None:
    """A chain and a fan of 5,000 tasks work on processes."""
    assert lab.compute(generators.chain(5000)) == 5000
    assert lab.compute(generators.fan(5000)) == 10_000


def test_traces_are_saved(lab: Lab) -> None:
    """A run's trace is on disk after it and opens by the run's id."""
    run = lab.submit(generators.fan(3), name="three")
    assert run.result(20) == 6
    folder = run.saved()
    assert folder is not None
    trace = fl.open_run(run.id, folder.parent)
    assert trace.status == "finished"
    assert trace.manifest.dag_name == "three"
    assert trace.metrics == run.trace.metrics
    with pytest.raises(fl.ConfigError, match="no run 'nothing'"):
        fl.open_run("nothing", folder.parent)


def test_traces_that_are_not_wanted(scene: Scene) -> None:
    """Without a folder for runs nothing is written."""
    with process_lab(scene, runs_dir="") as lab:
        run = lab.submit(one())
        assert run.result(20) == 1
        assert run.saved() is None


def test_a_full_disk_does_not_take_the_result(scene: Scene) -> None:
    """A trace that can't be written is told by ``saved``; the result is there."""
    (scene.folder / "file").write_text("in the way")
    with process_lab(scene, runs_dir=str(scene.folder / "file" / "runs")) as lab:
        run = lab.submit(one())
        assert run.result(20) == 1
        with pytest.raises(OSError, match="file"):
            run.saved()


def test_progress(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    """A bar counts the tasks of a run that takes its time."""
    from faaslab.client import progress

    assert not progress.wanted()
    base = _slow(0.7)
    assert lab.compute(total([increment(base) for _ in range(3)]), progress=True) == 6
    assert "/5" in capsys.readouterr().err


def test_the_default_lab(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``task.compute()`` and ``fl.compute`` share one warm lab until ``fl.close``; the next run makes another."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAASLAB_GRACE_S", "1")
    try:
        assert increment(1).compute() == 2
        hosts = [process.pid for process in scene.hosts()]
        assert fl.compute(increment(2), 3) == (3, 3)
        assert fl.submit(increment(3)).result(20) == 4
        assert [process.pid for process in scene.hosts()] == hosts
        fl.close()
        assert scene.processes() == []
        assert increment(4).compute() == 5
    finally:
        fl.close()


def test_inline_and_process_agree(lab: Lab) -> None:
    """The launcher makes no difference to a result."""
    dag = DAG(generators.random_dag(8, 40))
    try:
        assert fl.compute(dag, launcher="inline") == lab.compute(dag) == generators.random_dag_value(8, 40)
    finally:
        fl.close()
