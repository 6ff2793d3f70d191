"""The store on a server: connections that break, servers that hang or restart, secrets, threads, forks."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from faaslab.errors import StorageError, StoreUnavailable
from faaslab.protocol.messages import Start
from faaslab.storage.connection import Address
from faaslab.storage.embedded import EmbeddedServer
from faaslab.storage.redis import LUA_FOLDER, RedisStorage
from tests.storage.conftest import OpenStore
from tests.storage.scene import LARGE, LONG_S, SMALL, RedisDoor, Scene, spec, successor


@pytest.fixture
def store(valkey: EmbeddedServer, open_store: OpenStore) -> Iterator[RedisStorage]:
    store = open_store(valkey.url, "redis tests [*]")
    yield store
    store.delete_lab()


def hang_up(store: RedisStorage) -> None:
    """Break the connections that a store keeps."""
    for connection in store._unused:
        connection._socket.shutdown(2)


class TestAddress:
    """Reading URLs."""

    @pytest.mark.parametrize(
        ("url", "address"),
        [
            ("redis://host", Address("host")),
            ("redis://:p%40ss@host:1/2", Address("host", 1, database=2, password="p@ss")),
            ("rediss://user:pass@host", Address("host", username="user", password="pass", tls=True)),
            ("redis://[::1]:7/?db=3", Address("::1", 7, database=3)),
            ("unix:///a/b%20c?db=4", Address(path="/a/b c", database=4)),
            ("unix://:pass@/a", Address(path="/a", password="pass")),
        ],
    )
    def test_urls(self, url: str, address: Address) -> None:
        """Host or socket, database, user and password."""
        assert Address.parse(url) == address
        assert "pass" not in address.place
        assert "p@ss" not in address.place

    @pytest.mark.parametrize(
        "url",
        ["", "host:6379", "http://secret@host", "redis://:secret@host:port", "redis://:secret@h/one", "unix://secret", "redis://:secret@h?x=secret"],
    )  # fmt: skip
    def test_what_can_not_be_read(self, url: str) -> None:
        """Says how it must look, and repeats nothing of it."""
        with pytest.raises(StoreUnavailable, match="must look like") as caught:
            RedisStorage(url, "lab")
        assert "secret" not in str(caught.value)
        assert caught.value.__suppress_context__


class TestTrouble:
    """Connections that break and servers that hang."""

    def test_a_broken_connection_is_replaced(self, store: RedisStorage) -> None:
        """The call is sent again; nobody notices."""
        Scene(store).start()
        hang_up(store)
        assert Scene(store).status() == "running"

    def test_a_repeated_creation_is_no_other_run(self, store: RedisStorage) -> None:
        """The answer may get lost together with the connection."""
        scene = Scene(store)
        scene.start()
        hang_up(store)
        scene.start()
        assert store.demand().pending == {SMALL: 1}

    def test_a_dead_store_is_reported_in_time(self, open_store: OpenStore, tmp_path: Path) -> None:
        """After the time that it was given to come back, and not much later."""
        store = open_store(f"unix:///{tmp_path}/none", reconnect_s=0.2)
        started_s = time.monotonic()
        with pytest.raises(StoreUnavailable, match=f"no store answers at unix://.*{tmp_path.name}/none"):
            store.demand()
        assert 0.05 < time.monotonic() - started_s < 2.0

    def test_a_store_that_dies_during_a_wait_is_reported(self, open_store: OpenStore, tmp_path: Path) -> None:
        """A blocked wait ends with the server."""
        with EmbeddedServer(tmp_path) as server:
            store = open_store(server.url, reconnect_s=0.1)
            store.ping()
            killer = threading.Timer(0.1, os.kill, (server.pid, signal.SIGKILL))
            killer.start()
            with pytest.raises(StoreUnavailable):
                store.listen("c", "0", 30.0)
            killer.join()

    def test_a_hanging_store_is_reported(self, open_store: OpenStore, tmp_path: Path) -> None:
        """After the time limit; when it wakes up, old answers are not taken for new ones."""
        with EmbeddedServer(tmp_path) as server:
            store = open_store(server.url, timeout_s=0.2)
            Scene(store).start()
            os.kill(server.pid, signal.SIGSTOP)
            try:
                with pytest.raises(StorageError, match=r"did not answer EVALSHA within 0\.2 s"):
                    store.run_status("run")
                with pytest.raises(StorageError):
                    store.clients()
            finally:
                os.kill(server.pid, signal.SIGCONT)
            assert set(store.clients()) == {"client"}
            assert Scene(store).status() == "running"

    def test_a_restarted_store_is_another_one(self, open_store: OpenStore, tmp_path: Path) -> None:
        """Calls go on, scripts are learnt again, and the run id tells."""
        with EmbeddedServer(tmp_path) as server:
            store = open_store(server.url)
            first = store.ping()
            Scene(store).start()
        with EmbeddedServer(tmp_path):
            assert Scene(store).status() == "unknown"
            assert store.ping() != first
            Scene(store).start()
            store.put_blob("run", "k", [b"x"])
            assert store.get_blob("run", "k", 1) == [b"x"]

    def test_a_store_that_may_drop_keys_is_refused(self, open_store: OpenStore, tmp_path: Path) -> None:
        """Only the ``noeviction`` policy is accepted."""
        with EmbeddedServer(tmp_path) as server:
            store = open_store(server.url)
            store._command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
            with pytest.raises(StorageError, match=r"'allkeys-lru'.*noeviction"):
                store.ping()

    def test_refusals_of_the_server_are_errors(self, store: RedisStorage) -> None:
        """They say what the server said; the connection goes on."""
        store._command("SET", store._key("run", "meta"), "not a hash")
        with pytest.raises(StorageError, match="WRONGTYPE"):
            store.run_status("run")
        store._command("DEL", store._key("run", "meta"))
        assert store.run_status("run") is None

    def test_a_wait_may_be_longer_than_the_time_limit(self, open_store: OpenStore, valkey: EmbeddedServer) -> None:
        """The limit is for the answer, not for what it waits for."""
        store = open_store(valkey.url, timeout_s=0.4)
        assert store.wait_demand("0", 0.6) == "0"


class TestSharing:
    """Threads and processes that use one store object."""

    def test_threads(self, store: RedisStorage) -> None:
        """Each call has a connection of its own, so a waiting thread holds up nobody."""
        scene = Scene(store)
        scene.start()
        heard: list[object] = []

        def wait() -> None:
            heard.append(store.listen("c", "0", 30.0)[1])

        def ask() -> None:
            for task in range(200):
                assert store.fetch("run", [task]) == {}
                assert store.run_status("run") is not None

        waiting = threading.Thread(target=wait)
        waiting.start()
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        store.register("c", LARGE, LONG_S)
        assert store.next("c") is None
        scene.start(spec("large", [Start("start", LARGE, (0,))]))
        waiting.join()
        assert heard[0] is not None

    def test_a_fork_talks_on_connections_of_its_own(self, store: RedisStorage) -> None:
        """Neither process reads the other's answers."""
        store.ping()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = 0 if all(store.fetch(f"child {i}", [1]) == {} for i in range(200)) else 2
            finally:
                os._exit(code)
        for _ in range(200):
            assert store.now_s() > 0
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_databases_are_apart(open_store: OpenStore, valkey: EmbeddedServer) -> None:
    """The database of the URL is the one that is used."""
    one = open_store(valkey.url + "?db=1")
    Scene(one).start()
    assert Scene(open_store(valkey.url)).status() == "unknown"
    door = RedisDoor(one)
    assert door.pending(SMALL) == [("run", "start", 1)]
    door.close()
    one.delete_lab()


def test_a_deleted_lab_leaves_no_key(open_store: OpenStore, store: RedisStorage) -> None:
    """Also when its name looks like a pattern; other labs stay."""
    other = open_store(store.url, "redis tests x")
    for lab in (store, other):
        Scene(lab).start()
        Scene(lab).worker("c")
    store.delete_lab()
    assert store._keys(store._prefix) == []
    assert other._keys(other._prefix) != []
    other.delete_lab()


def test_labs_whose_lease_has_lapsed_are_removed(open_store: OpenStore, store: RedisStorage) -> None:
    """Whoever comes later removes what a dead lab left on a shared server, and leaves living labs alone."""
    dead = open_store(store.url, "dead lab")
    for lab, lease_s in ((store, LONG_S), (dead, -1.0)):
        Scene(lab).start()
        lab.renew_lab(lease_s)
    assert store.delete_lapsed_labs() == ("dead lab",)
    assert dead._keys(dead._prefix) == []
    assert Scene(store).status() == "running"
    assert store.delete_lapsed_labs() == ()


def test_the_shared_line_is_one_for_all_processes(open_store: OpenStore, store: RedisStorage) -> None:
    """Reservations of one store object hold for another."""
    other = open_store(store.url, store.lab)
    waits = [store.reserve_link(5.0), other.reserve_link(5.0), store.reserve_link(1.0)]
    assert waits == [pytest.approx(5.0, abs=1.0), pytest.approx(10.0, abs=1.0), pytest.approx(11.0, abs=1.0)]


def test_a_worker_does_not_import_the_heavy_client() -> None:
    """The import time of the store is cold-start time."""
    code = "import sys, faaslab.storage.redis; print([m for m in ('redis', 'ssl', 'asyncio') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_scripts_say_what_they_do() -> None:
    """Each begins with a comment; the shared part has the schema of all keys."""
    for path in LUA_FOLDER.glob("*.lua"):
        assert path.read_text().startswith("-- "), path.name


def test_an_empty_lab_holds_next_to_nothing(store: RedisStorage) -> None:
    """When runs, containers and clients have gone, only the names of pools and the gateway's last wake-ups remain."""
    scene = Scene(store)
    scene.start()
    claim = scene.worker("c")
    scene.container("idle")
    scene.done(claim, 0, successor(5, 2), successor(6))
    store.wait_ready(claim, 7, [])
    store.parts("run", "gone", ["code"])
    store.renew("gone", LONG_S)
    store.delete_run("run")
    assert store.leave("idle")
    store.remove("c", "killed")
    store.remove_client("client")
    prefix = len(store._prefix)
    assert {key[prefix:] for key in store._keys(store._prefix)} == {b"pools", b"gateway"}
