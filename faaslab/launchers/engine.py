"""What the Docker launcher asks of an engine: whether it is there, what it has, containers to talk with, tidying up.

::

    lab host ── attach (hijacked HTTP connection) ──► standard input and output of a container's supervisor

The connection is all a container needs to live: its input ends when whoever attached dies, however that happens, and
``auto_remove`` then leaves nothing of it. The janitor removes what a crash between two calls, or of the engine, left.
"""

import contextlib
import fcntl
import hashlib
import os
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import getnode

import docker
import requests
from docker.errors import APIError, DockerException, NotFound

from faaslab.errors import LauncherError

LAB, MACHINE, LOCK = "faaslab.lab", "faaslab.machine", "faaslab.lock"
"""Labels of a container: its lab, the machine that the lab is on, and the file that its lab host keeps locked."""
CALL_S = 60.0
"""A call that the engine does not answer within this time has failed."""
REMOVE_S = 10.0
USUAL_SOCKET = "unix:///var/run/docker.sock"
_FRAME = struct.Struct(">BxxxL")
_POLL_S = 0.02
_LIMITS = {
    "MemoryLimit": "memory limits",
    "CpuCfsQuota": "CPU quotas",
    "CpuCfsPeriod": "CPU periods",
}
"""What an engine says of itself, and what it means if it does not."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What an engine's machine has.

    Attributes:
        cores: CPUs that containers can use.
        memory_mib: Physical memory.
        version: Of the engine.
        local: Whether it runs on this machine itself, so that a socket in a folder can be mounted into containers.
        cgroup_version: 1 or 2.
        lacks: Limits that it can't put on containers, in words.
    """

    cores: int
    memory_mib: int
    version: str
    local: bool
    cgroup_version: int
    lacks: tuple[str, ...]


def engine_url() -> str:
    """Return where the engine is: as ``DOCKER_HOST`` says, else the usual socket."""
    return os.environ.get("DOCKER_HOST") or USUAL_SOCKET


def connect() -> docker.DockerClient:
    """Return a client of the engine that ``DOCKER_HOST`` names, or of the usual socket.

    Raises:
        LauncherError: None answers.
    """
    try:
        _knock(engine_url())
        # The client asks the engine which version of the interface to speak: engines refuse what is too old for them.
        return docker.from_env(timeout=int(CALL_S), version="auto")
    except (DockerException, OSError) as error:
        raise LauncherError(
            f"no Docker engine answers ({error}); start one, or name it in DOCKER_HOST, and see that this user may use "
            "its socket; `faaslab doctor` checks it. Without Docker: launcher='process'"
        ) from error


def _knock(url: str) -> None:
    """Connect to a Unix socket once: the SDK leaves its socket open where nobody listens.

    Raises:
        OSError: Nobody listens.
    """
    if url.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as knocking:
            knocking.connect(url.removeprefix("unix://"))


def capacity(client: docker.DockerClient) -> Capacity:
    """Return what the engine's machine has.

    Raises:
        LauncherError: The engine does not answer any more.
    """
    with talking():
        info: dict[str, Any] = client.info()
    here = engine_url().startswith("unix://")
    return Capacity(
        cores=int(info["NCPU"]),
        memory_mib=int(info["MemTotal"]) // 2**20,
        version=str(info["ServerVersion"]),
        # Docker Desktop runs its engine in a virtual machine: sockets of this one can't be connected to from there.
        local=here and info.get("OperatingSystem") != "Docker Desktop",
        cgroup_version=int(info.get("CgroupVersion", 1)),
        lacks=tuple(words for key, words in _LIMITS.items() if not info.get(key)),
    )


def check_network(client: docker.DockerClient, network: str) -> None:
    """Check that an engine has a network.

    Raises:
        LauncherError: It has not; names those that it has.
    """
    with talking():
        known = sorted(found["Name"] for found in client.api.networks())
    if network not in known:
        raise LauncherError(f"the engine has no network {network!r}; it has {', '.join(known)}")


@contextlib.contextmanager
def talking() -> Iterator[None]:
    """Turn errors of the engine and of the way to it into ours.

    Raises:
        LauncherError: In place of the SDK's and of its HTTP library's errors.
    """
    try:
        yield
    except (DockerException, requests.RequestException) as error:
        raise LauncherError(f"the Docker engine failed: {words(error)}; `faaslab doctor` checks it") from error


def words(error: BaseException) -> str:
    """Return what an error says, without the address of the call."""
    explanation = getattr(error, "explanation", None)
    return str(explanation or error)


def machine() -> str:
    """Return what tells this machine, user and view of its files from others that use the same engine.

    Only then can it be told by a file's lock whether a lab is alive.
    """
    try:
        known = Path("/etc/machine-id").read_text().strip()
    except OSError:
        known = str(getnode())
    try:
        files = os.readlink("/proc/self/ns/mnt")
    except OSError:
        files = ""
    place = f"{known}/{socket.gethostname()}/{os.getuid()}/{files}"
    return hashlib.sha256(place.encode()).hexdigest()[:16]


class Channel:
    """Standard input and output of a container.

    Args:
        client: Used by this channel's thread alone.
        container: Id of a container that was created with its input open.
    """

    def __init__(self, client: docker.DockerClient, container: str) -> None:
        self._stream: Any = client.api.attach_socket(
            container, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        )
        # Over a Unix socket and plain TCP it is a wrapper that can only read.
        self._socket: socket.socket = getattr(self._stream, "_sock", self._stream)
        self._read = b""
        self._said = b""

    def write(self, data: bytes) -> None:
        """Send to its input."""
        self._socket.sendall(data)

    def read_line(self, within_s: float | None) -> bytes:
        """Return the next line of its output; empty once it has ended.

        Raises:
            TimeoutError: None came in time.
        """
        self._socket.settimeout(within_s)
        while b"\n" not in self._said:
            piece = self._socket.recv(65536)
            if not piece:
                return b""
            self._read += piece
            self._take_frames()
        line, _, self._said = self._said.partition(b"\n")
        return line + b"\n"

    def _take_frames(self) -> None:
        """Sort out what the engine wraps into frames of one stream or the other."""
        while len(self._read) >= _FRAME.size:
            stream, length = _FRAME.unpack_from(self._read)
            if len(self._read) < _FRAME.size + length:
                return
            content = self._read[_FRAME.size : _FRAME.size + length]
            self._read = self._read[_FRAME.size + length :]
            if stream == 2:
                self.errors = (self.errors + content)[-4096:]
            else:
                self._said += content

    errors: bytes = b""
    """The end of what it wrote to standard error."""

    def close(self) -> None:
        """End its input, and with it the container."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        for end in (self._stream, self._socket):
            with contextlib.suppress(OSError):
                end.close()


def remove_stale(client: docker.DockerClient, lab: str) -> int:
    """Remove containers of labs on this machine whose lab host is gone; returns how many.

    Never by label alone: the lab's lock is free, or the lab is one's own and has not started any yet.

    Raises:
        LauncherError: The engine does not answer.
    """
    with talking():
        return _remove_stale(client, lab)


def _remove_stale(client: docker.DockerClient, lab: str) -> int:
    stale = [
        container["Id"]
        for container in _labelled(client, {MACHINE: machine()})
        if container["Labels"].get(LAB) == lab or not _locked(Path(container["Labels"].get(LOCK, "")))
    ]
    for container in stale:
        _remove(client, container)
    return len(stale)


def remove_all(client: docker.DockerClient, lab: str) -> None:
    """Wait until the containers of a lab have gone, which are ending by themselves; remove what has not in time.

    Raises:
        LauncherError: The engine does not let go of them.
    """
    with talking():
        _wait_and_remove(client, lab)


def _wait_and_remove(client: docker.DockerClient, lab: str) -> None:
    gentle_s = time.monotonic() + REMOVE_S / 5
    deadline_s = time.monotonic() + REMOVE_S
    while left := _labelled(client, {LAB: lab}):
        now_s = time.monotonic()
        if now_s > deadline_s:
            raise LauncherError(f"the engine did not remove {len(left)} containers of lab {lab} within {REMOVE_S:g} s")
        if now_s > gentle_s:
            for container in left:
                _remove(client, container["Id"])
        time.sleep(_POLL_S)


def _labelled(client: docker.DockerClient, labels: Mapping[str, str]) -> list[dict[str, Any]]:
    wanted = [f"{name}={value}" for name, value in labels.items()]
    found: list[dict[str, Any]] = client.api.containers(all=True, filters={"label": wanted})
    return found


def _remove(client: docker.DockerClient, container: str) -> None:
    try:
        client.api.remove_container(container, force=True, v=True)
    except NotFound:
        pass
    except APIError as error:
        if error.status_code != 409:  # its removal is under way
            raise


def _locked(lock: Path) -> bool:
    """Whether a lab host lives that holds this lock."""
    try:
        with open(lock) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # held, or not ours to judge
