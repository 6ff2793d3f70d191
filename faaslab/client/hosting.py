"""The client's end of its lab host: start it, notice that it died, end it."""

import contextlib
import os
import select
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from uuid import uuid4

import msgspec

from faaslab import errors
from faaslab.client.handshake import ERROR_FILE, Hello, HostConfig, PoolReady, PoolWish, lab_folder
from faaslab.config import Config
from faaslab.errors import FaaSLabError, LauncherError
from faaslab.protocol.launcher import RemoteLauncher

START_S = 30.0
POOL_S = 120.0
STOP_S = 10.0


class Host:
    """A running lab host.

    Raises:
        StoreUnavailable: No server to embed, or none answers at ``config.redis_url``.
        LauncherError: The launcher's platform is not there, or the host does not start.
    """

    def __init__(self, launcher: RemoteLauncher, config: Config, *, lab: str, secret: bytes, client: str) -> None:
        self.folder = lab_folder(lab)
        self._restarts = 0
        self._said = b""
        self._wishes = 0
        kind = type(launcher)
        self._config = HostConfig(
            lab=lab,
            secret=secret,
            client=client,
            folder=str(self.folder),
            launcher=(f"{kind.__module__}:{kind.__qualname__}", asdict(launcher)),
            config=config,
            search_path=(os.getcwd(),),
        )
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "faaslab.client.host"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # the Stop button interrupts the kernel's whole process group
        )
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(msgspec.json.encode(self._config) + b"\n")
            self._process.stdin.flush()
            hello = msgspec.json.decode(self._answer(START_S, "did not start"), type=Hello)
        except BaseException:
            self.close()
            raise
        if hello.error:
            self.close()
            kind = getattr(errors, hello.error_type, LauncherError)
            raise (kind if issubclass(kind, FaaSLabError) else LauncherError)(hello.error)
        self.url = hello.url
        self.server = hello.server
        self.embedded = hello.embedded

    def _answer(self, within_s: float, otherwise: str) -> bytes:
        """Return the next line that the host says."""
        assert self._process.stdout is not None
        until_s = time.monotonic() + within_s
        while b"\n" not in self._said:
            if not select.select([self._process.stdout], [], [], max(0.0, until_s - time.monotonic()))[0]:
                raise LauncherError(
                    f"the lab host {otherwise} within {within_s:g} s; `faaslab doctor` checks this machine"
                )
            data = os.read(self._process.stdout.fileno(), 65536)
            if not data:
                kind, why = self.death()
                raise LauncherError(why if kind else f"the lab host ended with status {self._process.wait()}")
            self._said += data
        line, _, self._said = self._said.partition(b"\n")
        return line

    def renew_pool(self, idle: dict[str, int], within_s: float = POOL_S) -> None:
        """Have all containers leave, then start new ones and wait until they are idle; no run may be under way.

        One call at a time.

        Args:
            idle: How many there are to be, by pool.
            within_s: How long they may take.

        Raises:
            LauncherError: They did not come, or the host died.
        """
        self._wishes += 1
        self._wish(PoolWish(self._wishes, idle))
        try:
            ready = 0
            while ready != self._wishes:  # an earlier call may have been interrupted before its answer came
                line = self._answer(within_s, "did not have its containers ready")
                ready = msgspec.json.decode(line, type=PoolReady).number
        except BaseException:
            with contextlib.suppress(LauncherError):
                self._wish(PoolWish(0))
            raise

    def _wish(self, wish: PoolWish) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(msgspec.json.encode(wish) + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise LauncherError(f"the lab host is gone: {error}") from error

    @property
    def pid(self) -> int:
        """Process id of the lab host."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def death(self) -> tuple[str, str]:
        """Return the type of the error that ended it and why, as far as it could say."""
        with contextlib.suppress(OSError):
            kind, _, why = (self.folder / ERROR_FILE).read_text().partition(": ")
            return kind, why
        return "", f"it ended with status {self._process.poll()}"

    def restart(self) -> None:
        """Start it again after it died, for the same lab (only useful where the store is not its own)."""
        self._close_pipes()
        self._said = b""
        self._restarts += 1
        self._config = msgspec.structs.replace(self._config, prefix=f"r{self._restarts}c")
        self._start()

    def close(self) -> None:
        """End it and wait until everything it owns is gone."""
        if self._process.poll() is None:
            self._process.terminate()
        self._close_pipes()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _close_pipes(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def new_id() -> str:
    """Return a fresh random id."""
    return uuid4().hex[:16]
