"""The lab host: one small process beside the client that owns the embedded server, the gateway and the watchdog.

It runs in a session of its own, so that the notebook's Stop button does not reach it, and ends when its clients are
gone: the pipe from the client that started it tells it at once, leases tell of the others. Started as
``python -m faaslab.client.host`` with a ``HostConfig`` as one line of JSON on standard input; answers with one line.
"""

import contextlib
import fcntl
import importlib
import math
import os
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from faaslab.client.handshake import ERROR_FILE, LOCK_FILE, Hello, HostConfig, PoolReady, PoolWish
from faaslab.errors import FaaSLabError, LauncherError, StorageError
from faaslab.launchers.pool import Limits, PoolManager
from faaslab.protocol.launcher import Gateway, LabContext, RemoteLauncher
from faaslab.protocol.messages import Demand
from faaslab.storage.embedded import EmbeddedServer
from faaslab.storage.redis import RedisStorage

SWEEP_S = 0.25
DECIDE_S = 0.005
MAX_FAILED_STARTS = {"failed": 3, "killed": 20}
"""So many containers without one that gets ready end the lab: those that failed, those that somebody killed."""
LAB_LEASE_S = 600.0
"""A lab whose host and client both died is removed from a shared server by any later one, after this long."""


class LabHost:
    """Gateway and watchdog of one lab: a loop that sleeps in the store until something waits for a container."""

    def __init__(self, host: HostConfig, storage: RedisStorage, launcher: RemoteLauncher, gateway: Gateway) -> None:
        self._host = host
        self._storage = storage
        self._gateway = gateway
        self._pool = PoolManager(storage, Limits.of(launcher))
        self._wish: PoolWish | None = None
        self._emptying = False
        self._said = b""
        self._launched: dict[str, str] = {}
        self._started = 0
        self._failed_starts: Counter[str] = Counter()
        self._offset_s = storage.now_s() - time.time()
        self._next_due_s = math.inf
        self._owner_alive = True
        self._stopping = False

    def stop(self, *_: object) -> None:
        """Leave the loop at its next turn (signal handler)."""
        self._stopping = True

    def loop(self) -> None:
        """Serve until no client is left.

        Raises:
            LauncherError: Containers die before they are ready, again and again.
            StorageError: The store is gone.
        """
        cursor = "0"
        swept_s = renewed_s = 0.0
        lease_s = self._host.config.client_lease_s
        self._storage.renew_lab(LAB_LEASE_S)
        self._storage.delete_lapsed_labs()
        self._storage.renew_client(self._host.client, lease_s)
        while not self._stopping:
            due_s = self._next_due_s - self._offset_s - time.time()
            cursor = self._storage.wait_demand(cursor, max(0.0, min(SWEEP_S / 2, due_s)))
            now_s = time.monotonic()
            self._reap()
            if self._owner_alive:
                self._hear()
            if self._next_due_s <= time.time() + self._offset_s:
                swept_s = 0.0
            if now_s >= swept_s + SWEEP_S:
                swept_s = now_s
                self._storage.sweep(self._host.config.grace_s)
                if not self._owner_alive and not self._storage.clients():
                    return
            self._decide()
            if now_s >= renewed_s + lease_s / 4:
                renewed_s = now_s
                self._storage.renew_lab(LAB_LEASE_S)
                if self._owner_alive:
                    self._storage.renew_client(self._host.client, lease_s)
            time.sleep(DECIDE_S)

    def _reap(self) -> None:
        """Tell the store of containers that have ended."""
        ended = self._gateway.exited()
        if not ended:
            return
        self._note_ready(self._storage.demand())
        for container, reason in ended.items():
            if self._launched.pop(container, None) is None:
                self._failed_starts.clear()
            elif reason != "left":
                how = "killed" if reason == "killed" else "failed"
                self._failed_starts[how] += 1
                if self._failed_starts[how] >= MAX_FAILED_STARTS[how]:
                    raise LauncherError(
                        f"{self._failed_starts[how]} containers in a row ended before they were ready (last: "
                        f"{container}: {reason}); `faaslab doctor` checks this machine"
                    )
            self._storage.remove(container, reason)

    def _note_ready(self, demand: Demand) -> None:
        """Take note of containers that have said that they are there."""
        for container in [name for name in self._launched if name in demand.containers]:
            del self._launched[container]
            self._failed_starts.clear()

    def _decide(self) -> None:
        """Start, retire or ask to yield what the pending invocations call for."""
        demand = self._storage.demand()
        self._note_ready(demand)
        wanted = self._prepare_pool(demand) if self._wish is not None else None
        self._next_due_s = demand.next_due_s
        if demand.pending or demand.empty or wanted:
            self._pool.decide(demand, self._launched, self._start, time.monotonic(), wanted)

    def _start(self, pool: str) -> None:
        # Numbered, so that the seeded delays of the n-th container are the same in every lab.
        self._started += 1
        container = f"{self._host.prefix}{self._started}"
        self._launched[container] = pool
        self._gateway.start(container, pool, time.time() + self._offset_s, self._offset_s)

    def _hear(self) -> None:
        """Read what the client says: what it wants of the pool; nothing more if it has died."""
        while select.select([sys.stdin.fileno()], [], [], 0)[0]:
            said = os.read(sys.stdin.fileno(), 4096)
            if not said:
                # What is left of its lease is the grace time, in which its runs go on.
                self._owner_alive = False
                self._wish = None
                self._storage.renew_client(self._host.client, 0.0)
                return
            *lines, self._said = (self._said + said).split(b"\n")
            if lines:
                # The last word counts; a client that gave up waiting withdraws what it wished.
                wish = msgspec.json.decode(lines[-1], type=PoolWish)
                self._wish = wish if wish.number else None
                self._emptying = True

    def _prepare_pool(self, demand: Demand) -> dict[str, int]:
        """Work on the client's wish: first nothing is left of earlier runs, then there are new containers."""
        assert self._wish is not None
        if self._emptying:
            for pool, idle in demand.idle.items():
                for _ in range(idle):
                    self._pool.retire(pool, time.monotonic())
            if demand.containers or self._launched:
                return {}
            self._emptying = False
        if any(demand.idle.get(pool, 0) < count for pool, count in self._wish.idle.items()):
            return self._wish.idle
        sys.stdout.buffer.write(msgspec.json.encode(PoolReady(self._wish.number)) + b"\n")
        sys.stdout.buffer.flush()
        self._wish = None
        return {}


def remove_stale_folders() -> None:
    """Remove folders of labs whose host has died without tidying up."""
    for folder in Path(tempfile.gettempdir()).glob(f"faaslab-{os.getuid()}-*"):
        try:
            with open(folder / LOCK_FILE) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # in use, being made, or somebody else's


def _load(name: str, fields: dict[str, Any]) -> RemoteLauncher:
    module, _, kind = name.partition(":")
    launcher = msgspec.convert(fields, type=getattr(importlib.import_module(module), kind))
    assert isinstance(launcher, RemoteLauncher)
    return launcher


def serve(host: HostConfig, answer: Callable[[Hello], None]) -> None:
    """Open store and launcher, say hello, and serve until no client is left; leaves nothing behind."""
    folder = Path(host.folder)
    server: EmbeddedServer | None = None
    with contextlib.ExitStack() as stack:
        launcher = _load(*host.launcher)
        if not host.config.redis_url:
            server = stack.enter_context(EmbeddedServer(folder, for_containers=launcher.in_containers))
        url = server.url if server else host.config.redis_url
        storage = RedisStorage(url, host.lab, timeout_s=host.config.storage_timeout_s)
        if server is None:
            stack.callback(_delete_lab, storage)
        identity = storage.ping()
        context = LabContext(url, host.lab, host.secret, host.config, host.search_path, str(folder / LOCK_FILE))
        gateway = launcher.open(context)
        stack.push(_Closing(gateway))
        lab = LabHost(host, storage, launcher, gateway)
        signal.signal(signal.SIGTERM, lab.stop)
        answer(Hello(url, identity, server is not None))
        lab.loop()


def _delete_lab(storage: RedisStorage) -> None:
    with contextlib.suppress(StorageError):  # it is gone, and the keys with it or not: nothing can be done here
        storage.delete_lab()


class _Closing:
    """Closes a gateway; why that failed must not hide why it was closed."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            self._gateway.close()
        except FaaSLabError as failure:
            if error is None:
                raise
            error.add_note(f"closing it: {failure}")


def main() -> int:
    """Read the configuration, serve, leave a message if that failed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Unbuffered: what follows the configuration is only ever the end of the pipe.
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(sys.stdin.fileno(), 65536)
        if not byte:
            return 1
        line += byte
    host = msgspec.json.decode(line, type=HostConfig)
    remove_stale_folders()
    folder = Path(host.folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(folder / LOCK_FILE, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return _serve_and_tell(host, folder)


def _serve_and_tell(host: HostConfig, folder: Path) -> int:
    """Serve; leave a message for the client where that failed, otherwise nothing."""
    greeted = False

    def answer(hello: Hello) -> None:
        nonlocal greeted
        greeted = True
        sys.stdout.buffer.write(msgspec.json.encode(hello) + b"\n")
        sys.stdout.buffer.flush()

    try:
        serve(host, answer)
    except Exception as error:
        if not isinstance(error, (FaaSLabError, OSError)):
            traceback.print_exc()  # a defect of ours: nobody can act on its message alone
        if greeted:
            # The client reads it, then removes the folder.
            (folder / ERROR_FILE).write_text(f"{type(error).__name__}: {error}")
            return 1
        answer(Hello(error=str(error), error_type=type(error).__name__))
        shutil.rmtree(folder, ignore_errors=True)
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
