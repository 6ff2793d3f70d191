"""A connection to a Redis-compatible server: hiredis's parser on a blocking socket, nothing more.

Why not the ``redis`` package: importing it takes as long as starting a worker, and its pool, retries and response
callbacks cost more per call than the server does. What is left out: clusters, sentinels, RESP3.
"""

import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import hiredis

from faaslab.errors import StoreUnavailable

CONNECT_TIMEOUT_S = 3.0
"""A machine that does not exist is noticed after this long."""
BUFFER_BYTES = 256 * 1024
"""Bytes read by one system call: as much as the kernel holds for a Unix socket."""

Word = str | bytes | memoryview | int | float


class NoAnswer(Exception):
    """The server took the call and did not answer in time."""


class Unwelcome(Exception):
    """The server is there but does not let us in (password, database)."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is.

    Attributes:
        path: Unix socket; empty: ``host`` and ``port``.
        tls: Whether to encrypt; the server's certificate is verified.
    """

    host: str = "127.0.0.1"
    port: int = 6379
    path: str = ""
    database: int = 0
    username: str = ""
    password: str = ""
    tls: bool = False

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Read ``redis://``, ``rediss://`` or ``unix://``, with ``user:password@`` before the place or not.

        Raises:
            StoreUnavailable: It is none of these.
        """
        try:
            parts = urlsplit(url)
            username, password = unquote(parts.username or ""), unquote(parts.password or "")
            query = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
            database = int(query.pop("db", "0"))
            if query:
                raise ValueError("unknown option")
            if parts.scheme == "unix" and parts.path:
                return cls(path=unquote(parts.path), database=database, username=username, password=password)
            if parts.scheme in ("redis", "rediss") and parts.hostname:
                database = int(parts.path.strip("/") or database)
                tls = parts.scheme == "rediss"
                return cls(parts.hostname, parts.port or 6379, "", database, username, password, tls)
            raise ValueError("no scheme or no place")
        except ValueError:
            # The URL may hold a password: nothing of it is repeated, not even by chaining the error.
            raise StoreUnavailable(
                "the store's URL can't be read; it must look like redis://host:6379/0, rediss://host:6379/0 (TLS) or "
                "unix:///path/to/socket?db=0, with user:password@ before host or path where there is one"
            ) from None

    @property
    def place(self) -> str:
        """The address without user and password, for messages."""
        if self.path:
            return f"unix://{self.path}"
        return f"redis{'s' if self.tls else ''}://{self.host}:{self.port}/{self.database}"


class Connection:
    """One connection; used by one thread at a time.

    Args:
        timeout_s: A call without an answer for this long fails.

    Raises:
        OSError: Nobody listens there.
        Unwelcome: The server refuses user, password or database.
    """

    def __init__(self, address: Address, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._reader = hiredis.Reader()
        self._buffer = bytearray(BUFFER_BYTES)
        self._tls = address.tls
        self._socket = self._connect(address)
        try:
            self._set_timeout(timeout_s)
            if address.password:
                self._greet("AUTH", *([address.username] if address.username else []), address.password)
            if address.database:
                self._greet("SELECT", address.database)
            elif not address.password:
                self._greet("PING")
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _connect(address: Address) -> socket.socket:
        if address.path:
            link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            link.settimeout(CONNECT_TIMEOUT_S)
            try:
                link.connect(address.path)
            except BaseException:
                link.close()
                raise
            return link
        link = socket.create_connection((address.host, address.port), CONNECT_TIMEOUT_S)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if not address.tls:
            return link
        import ssl  # a third of what this module costs to import, and seldom needed

        try:
            return ssl.create_default_context().wrap_socket(link, server_hostname=address.host)
        except BaseException:
            link.close()
            raise

    def _set_timeout(self, timeout_s: float) -> None:
        if self._tls:
            self._socket.settimeout(timeout_s)
            return
        # The kernel's own time limit saves the poll() that Python would do before each system call.
        self._socket.settimeout(None)
        limit = struct.pack("ll", int(timeout_s), int(timeout_s % 1 * 1e6))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)

    def _greet(self, *words: Word) -> None:
        (answer,) = self.call((words,))
        if isinstance(answer, hiredis.ReplyError):
            if str(answer).startswith("LOADING"):
                raise ConnectionError(str(answer))
            raise Unwelcome(str(answer))

    def call(self, commands: Sequence[tuple[Any, ...]], wait_s: float = 0.0) -> list[Any]:
        """Send commands at once and return their answers; errors of the server are returned, not raised.

        Args:
            commands: Each a tuple of text, bytes and numbers.
            wait_s: How long they may block on the server.

        Raises:
            NoAnswer: Nothing came within the time limit; the connection can't be used any more.
            OSError: The connection is broken.
        """
        if wait_s:
            self._set_timeout(self._timeout_s + wait_s)
        reader, buffer, link = self._reader, self._buffer, self._socket
        answers: list[Any] = []
        try:
            link.sendall(b"".join([hiredis.pack_command(words) for words in commands]))
            while True:
                answer = reader.gets()
                if answer is not False:
                    answers.append(answer)
                    if len(answers) == len(commands):
                        break
                    continue
                size = link.recv_into(buffer)
                if size == 0:
                    raise ConnectionError("the server closed the connection")
                reader.feed(buffer, 0, size)  # type: ignore[arg-type]  # it takes any buffer
        except (BlockingIOError, TimeoutError):
            raise NoAnswer from None
        if wait_s:
            self._set_timeout(self._timeout_s)
        return answers

    def close(self) -> None:
        """Hang up."""
        self._socket.close()
