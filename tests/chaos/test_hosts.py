"""Lab hosts, servers and clients are killed: runs end cleanly or go on, and nothing is left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

import faaslab as fl
from faaslab.client import Run
from tests.chaos.server import Server
from tests.chaos.workflows import announced, mesh, mesh_value, pids, step
from tests.client.scene import Scene, process_lab, until

ROOT = Path(__file__).parents[2]


def ends_lost(run: Run, within_s: float) -> None:
    """Expect the run to end with ``StateLost`` in time."""
    began_s = time.monotonic()
    with pytest.raises(fl.StateLost):
        run.result(within_s + 10)
    assert time.monotonic() - began_s < within_s
    assert run.status == "failed"


def test_kill_the_lab_host_with_its_store(scene: Scene) -> None:
    """With the embedded store the run is lost, which its client hears soon; the next run has a new host and store."""
    marks = scene.folder / "marks"
    with process_lab(scene) as lab:
        run = lab.submit(announced(str(marks), 60.0))
        until(lambda: pids(marks), 20, "the task has begun")
        (host,) = scene.hosts()
        host.kill()
        ends_lost(run, 5)
        assert lab.compute(mesh(2, 2, 0.0)) == mesh_value(2, 2)
        assert [process.pid for process in scene.hosts()] != [host.pid]


def test_the_next_run_after_the_host_was_killed_between_runs(scene: Scene) -> None:
    """A lab host that died while nothing ran is replaced by the next run."""
    with process_lab(scene) as lab:
        assert lab.compute(mesh(2, 2, 0.0)) == mesh_value(2, 2)
        (host,) = scene.hosts()
        host.kill()
        host.wait(5)
        assert lab.compute(mesh(2, 2, 0.0)) == mesh_value(2, 2)


def test_kill_the_lab_host_beside_its_store(scene: Scene, server: Server) -> None:
    """A store of its own outlives the lab host: another host takes over and the run finishes."""
    with process_lab(scene, server.url) as lab:
        run = lab.submit(mesh(6, 4, 0.05))
        until(lambda: run.done_tasks > 3, 20, "the run is on its way")
        (host,) = scene.hosts()
        host.kill()
        assert run.result(30) == mesh_value(6, 4)
    assert server.keys() == []


def test_kill_the_embedded_server(scene: Scene) -> None:
    """The run is lost, which its client hears soon; the next one gets a new server."""
    with process_lab(scene) as lab:
        run = lab.submit(step(60.0, 1))
        until(lambda: scene.workers(), 20, "a worker is there")
        (host,) = scene.hosts()
        (server,) = [child for child in host.children() if child.cwd().startswith(str(scene.folder))]
        server.kill()
        ends_lost(run, 10)
        assert lab.compute(mesh(2, 2, 0.0)) == mesh_value(2, 2)


def test_the_server_comes_back_empty(scene: Scene, server: Server) -> None:
    """A store that was restarted without its data has lost the run, which its client hears soon."""
    with process_lab(scene, server.url) as lab:
        run = lab.submit(mesh(8, 4, 0.2))
        until(lambda: run.done_tasks > 3, 20, "the run is on its way")
        server.kill()
        server.start()
        ends_lost(run, 10)
        assert lab.compute(mesh(2, 2, 0.0), timeout_s=30) == mesh_value(2, 2)


def test_the_server_stays_away(scene: Scene, server: Server) -> None:
    """A store that does not come back ends the run; the next one says that there is no store."""
    with process_lab(scene, server.url) as lab:
        run = lab.submit(mesh(8, 4, 0.2))
        until(lambda: run.done_tasks > 3, 20, "the run is on its way")
        server.kill()
        ends_lost(run, 20)
        with pytest.raises(fl.StoreUnavailable):
            lab.compute(mesh(2, 2, 0.0))
        server.start()


@pytest.mark.parametrize("planner", ["wukong", "single_worker", "per_task"])
def test_the_server_comes_back_with_its_data(scene: Scene, planner: str) -> None:
    """A durable store that is restarted at once costs the run nothing but time."""
    server = Server(scene.folder / "durable", durable=True)
    with process_lab(scene, server.url) as lab:
        run = lab.submit(mesh(6, 4, 0.05), planner=planner)
        until(lambda: run.done_tasks > 3 or run.status != "running", 20, "the run is on its way")
        server.kill()
        server.start()
        assert run.result(30) == mesh_value(6, 4)
    assert server.keys() == []
    server.kill()


def test_a_frozen_server(scene: Scene, server: Server) -> None:
    """A store that pauses for a second is waited for."""
    with process_lab(scene, server.url) as lab:
        run = lab.submit(mesh(6, 4, 0.02))
        until(lambda: run.done_tasks > 3, 20, "the run is on its way")
        process = psutil.Process(server.pid)
        process.suspend()
        thaw = threading.Timer(1.5, process.resume)
        thaw.start()
        assert run.result(30) == mesh_value(6, 4)
        thaw.join()
    assert server.keys() == []


CLIENT = """
import signal
import sys
import faaslab as fl
from tests.chaos.workflows import announced, mesh
from tests.client.scene import quick
from pathlib import Path

# Ignored by what a shell has started in the background, and by what that starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
folder, url, end = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
lab = fl.Lab(fl.ProcessLauncher(limit=2), url or None, quick(folder))
outputs = announced(str(folder / "marks"), 60.0)
if end == "submit":
    lab.submit(outputs)
    sys.stdin.read()
try:
    lab.compute(outputs)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    print(lab.compute(mesh(2, 2, 0.0)), flush=True)
    if end == "close":
        lab.close()
"""


def client(scene: Scene, url: str, end: str) -> "subprocess.Popen[str]":
    """Start a client whose task has begun."""
    process = subprocess.Popen(
        [sys.executable, "-c", CLIENT, str(scene.folder), url, end],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    until(lambda: pids(scene.folder / "marks"), 20, "the task has begun")
    return process


@pytest.mark.parametrize("store", ["embedded", "external"])
@pytest.mark.parametrize("end", ["compute", "submit"])
def test_kill_the_client(scene: Scene, server: Server, store: str, end: str) -> None:
    """Everything that a killed client had started ends within the grace time, keys and folders included."""
    with client(scene, server.url if store == "external" else "", end) as process:
        process.kill()
        process.wait()
        alive = [other for other in scene.processes() if other.pid != server.pid]
        assert alive
        _, left = psutil.wait_procs(alive, 8)
        assert left == []
        until(lambda: not scene.labs(), 1, "folders of labs are gone")
        assert server.keys() == []


def test_kill_client_and_lab_host(scene: Scene, server: Server) -> None:
    """When nobody is left to tidy up, the next lab host removes the folder, and workers end with their host."""
    with client(scene, server.url, "compute") as process:
        (host,) = scene.hosts()
        process.kill()
        host.kill()
        process.wait()
    until(lambda: [p.pid for p in scene.processes()] == [server.pid], 5, "all processes have ended")
    assert len(scene.labs()) == 1
    with process_lab(scene, server.url) as lab:
        assert lab.compute(mesh(2, 2, 0.0)) == mesh_value(2, 2)
        assert [folder.name.endswith(lab.id) for folder in scene.labs()] == [True]


@pytest.mark.parametrize("end", ["close", "exit"])
def test_interrupt_the_client(scene: Scene, end: str) -> None:
    """Ctrl-C ends the remote work with the next heartbeats; the same process computes again, then tidies up."""
    with client(scene, "", end) as process:
        worker = psutil.Process(pids(scene.folder / "marks")[0])
        process.send_signal(signal.SIGINT)
        worker.wait(3.0)
        assert process.stdout is not None
        assert process.stdout.readline() == "interrupted\n"
        assert process.stdout.readline() == f"{mesh_value(2, 2)}\n"
        process.wait(10)
        assert process.returncode == 0


def test_interrupt_the_whole_group(scene: Scene) -> None:
    """The notebook's Stop button signals every process of the kernel's group; lab host and store are not in it."""
    with client(scene, "", "close") as process:
        hosts = {host.pid for host in scene.hosts()}
        others = {other.pid for other in scene.processes()} - {process.pid}
        assert len(others) >= 4
        assert os.getpgid(process.pid) not in {os.getpgid(pid) for pid in others}
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        process.stdout.readline()
        assert {host.pid for host in scene.hosts()} == hosts
        process.wait(10)
