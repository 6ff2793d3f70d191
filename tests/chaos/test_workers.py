"""Workers are killed or frozen while they work: the run finishes elsewhere with the right result."""

import random
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest

import faaslab as fl
from faaslab.trace.events import ContainerExited, OutputStored
from tests.chaos.server import Server
from tests.chaos.workflows import announced, mesh, mesh_value, pids
from tests.client.scene import Scene, process_lab, until

PLANNERS = ("wukong", "single_worker", "per_task")


def first_pid(path: Path) -> int:
    """Wait until the task has begun; returns where."""
    return int(until(lambda: pids(path), 20, "the task has begun")[0])


@pytest.mark.parametrize("planner", PLANNERS)
@pytest.mark.parametrize("victim", ["child", "supervisor"])
def test_kill_a_worker(scene: Scene, victim: str, planner: str) -> None:
    """A worker that is killed in the middle of a task is replaced at once; the task has one visible output."""
    marks = scene.folder / "marks"
    with process_lab(scene) as lab:
        run = lab.submit(announced(str(marks), 60.0), planner=planner)
        child = psutil.Process(first_pid(marks))
        (child if victim == "child" else child.parent() or child).kill()
        killed_s = time.monotonic()
        assert run.result(30) == 2
        assert time.monotonic() - killed_s < 5
        exits = [event.reason for event in run.trace.events if isinstance(event, ContainerExited)]
        assert exits == ["killed"]
        assert len([event for event in run.trace.events if isinstance(event, OutputStored)]) == 1
        child.wait(2)


def test_a_worker_that_is_killed_again_and_again(scene: Scene) -> None:
    """An invocation that dies more often than allowed ends the run, naming the task."""

    @fl.task
    def suicidal() -> None:
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)

    with process_lab(scene, max_lapses=2) as lab:
        with pytest.raises(fl.WorkerLost, match=r"'suicidal#0' died 3 times"):
            lab.compute(suicidal(), timeout_s=30)
        assert lab.compute(mesh(2, 2, 0.0)) == mesh_value(2, 2)


@pytest.mark.parametrize("planner", PLANNERS)
def test_a_frozen_worker(scene: Scene, planner: str) -> None:
    """A frozen worker's lease lapses and its task runs elsewhere; thawed, it finds itself fenced and exits."""
    marks = scene.folder / "marks"
    with process_lab(scene) as lab:
        run = lab.submit(announced(str(marks), 0.5), planner=planner)
        child = psutil.Process(first_pid(marks))
        supervisor = child.parent()
        assert supervisor is not None
        supervisor.suspend()
        child.suspend()
        assert run.result(30) == 2
        supervisor.resume()
        child.resume()
        child.wait(5)
        supervisor.wait(5)
        assert run.result(0) == 2
        assert lab.compute(mesh(2, 3, 0.0)) == mesh_value(2, 3)


def test_a_frozen_worker_that_thaws_while_its_run_goes_on(scene: Scene) -> None:
    """The late output of a worker whose lease had lapsed is not seen: the second attempt's is."""
    marks = scene.folder / "marks"

    @fl.task
    def after(value: int) -> int:
        import time

        time.sleep(1.5)
        return value

    with process_lab(scene) as lab:
        run = lab.submit(after(announced(str(marks), 0.1)), planner="per_task")
        child = psutil.Process(first_pid(marks))
        supervisor = child.parent()
        assert supervisor is not None
        supervisor.suspend()
        child.suspend()
        until(lambda: len(pids(marks)) == 2, 20, "the task runs again")
        supervisor.resume()
        child.resume()
        child.wait(5)
        assert run.result(30) == 2


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(24))
def test_random_kills(scene: Scene, server: Server, seed: int) -> None:
    """Whatever is killed whenever: the run ends right or with a typed error, in time, and leaves nothing."""
    rng = random.Random(seed)
    planner = PLANNERS[seed % 3]
    with process_lab(scene, server.url, max_lapses=6) as lab:
        run = lab.submit(mesh(5, 5, 0.02), planner=planner)
        stop = threading.Event()

        def shoot() -> None:
            for _ in range(rng.randint(1, 4)):
                if stop.wait(rng.uniform(0.0, 0.6)):
                    return
                targets = scene.workers() + scene.supervisors()
                if rng.random() < 0.15:
                    targets = scene.hosts()
                if targets:
                    try:
                        rng.choice(targets).send_signal(signal.SIGKILL)
                    except psutil.NoSuchProcess:
                        continue

        shooter = threading.Thread(target=shoot)
        shooter.start()
        try:
            assert run.result(60) == mesh_value(5, 5)
        except (fl.WorkerLost, fl.StateLost):
            assert run.status == "failed"
        finally:
            stop.set()
            shooter.join()
        assert lab.compute(mesh(2, 2, 0.0), timeout_s=30) == mesh_value(2, 2)
    assert server.keys() == []
