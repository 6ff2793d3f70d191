"""A store under fire: a real server beside the lab that tests kill and start again, with or without its data."""

import subprocess
from pathlib import Path

from faaslab.errors import StorageError
from faaslab.storage.embedded import find_server
from faaslab.storage.redis import RedisStorage
from tests.client.scene import until

START_S = 10.0


class Server:
    """A Redis-compatible server on a Unix socket.

    Args:
        folder: Where socket and data are.
        durable: Whether it keeps its data on disk (append-only file).
    """

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._durable = durable
        self.url = f"unix://{folder}/store.sock"
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(
            [
                *(str(find_server().path), "--port", "0", "--unixsocket", f"{self._folder}/store.sock"),
                *("--dir", str(self._folder), "--save", "", "--appendonly", "yes" if self._durable else "no"),
            ],
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        until(self._answers, START_S, "the server answers")

    def _answers(self) -> bool:
        store = RedisStorage(self.url, "probe", reconnect_s=0.0)
        try:
            store.ping()
        except StorageError:
            return False
        finally:
            store.close()
        return True

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def kill(self) -> None:
        """Kill it: nothing is tidied up."""
        self._process.kill()
        self._process.wait()

    def keys(self) -> list[bytes]:
        """Return all keys."""
        store = RedisStorage(self.url, "probe")
        try:
            return list(store._command("KEYS", "*"))
        finally:
            store.close()
