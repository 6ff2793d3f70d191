"""How containers reach the store: by a mounted Unix socket without any network, or by TCP."""

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import faaslab as fl
from faaslab.graph.generators import fan
from faaslab.launchers.docker import DockerLauncher, reach_store
from tests.client.scene import Scene, quick, until
from tests.client.scene import scene as set_scene


@pytest.fixture
def scene() -> Iterator[Scene]:
    with set_scene() as made:
        yield made


@pytest.fixture
def tcp_store(scene: Scene, redis_server_path: Path) -> Iterator[str]:
    """A server with a password on a TCP port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [redis_server_path, "--port", str(port), "--requirepass", "secret", "--save", "", "--bind", "127.0.0.1"],
        cwd=scene.folder,
        stdout=subprocess.DEVNULL,
    )
    try:
        until(lambda: _listens(port), 10, "the server listens")
        yield f"redis://:secret@127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_store_by_tcp(scene: Scene, tcp_store: str) -> None:
    """Containers on the host's network reach a server by TCP with its password."""
    launcher = DockerLauncher(limit=2, allow_contention=True, network="host")
    with fl.Lab(launcher, tcp_store, quick(scene.folder)) as lab:
        assert lab.compute(fan(20), timeout_s=60) == 40


def test_store_out_of_reach(scene: Scene, tcp_store: str) -> None:
    """A server on the client's loopback is refused, with what to do, before any container is started."""
    refused = pytest.raises(fl.LauncherError, match=r"out of reach.*network='host'")
    with fl.Lab(DockerLauncher(), tcp_store, quick(scene.folder)) as lab, refused:
        lab.compute(fan(2), timeout_s=60)


def test_where_the_store_is() -> None:
    """A socket is mounted with its folder and needs no network; a server elsewhere does; other machines mount none."""
    inside, network, mounts = reach_store("unix://:pw@/tmp/lab/socket/store.sock", "", local=True)
    assert (inside, network) == ("unix://:pw@/run/faaslab/store.sock", "none")
    assert mounts == ["/tmp/lab/socket:/run/faaslab:ro"]
    assert reach_store("redis://server:6379", "", local=True) == ("redis://server:6379", "bridge", [])
    with pytest.raises(fl.LauncherError, match="another machine"):
        reach_store("unix:///tmp/store.sock", "", local=False)
