"""Local worker processes: a supervisor and its child play the container. No limit enforces sizes here."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import msgspec

from faaslab.errors import LauncherError
from faaslab.launchers.requirements import check_installed
from faaslab.launchers.settings import THREAD_VARIABLES, EmulatingLauncher, threads_of
from faaslab.launchers.supervisor import Launch
from faaslab.protocol.launcher import Gateway, LabContext
from faaslab.protocol.messages import size_of_pool
from faaslab.worker.actions import ContainerSettings

_STOP_S = 5.0


@dataclass(frozen=True, slots=True)
class ProcessLauncher(EmulatingLauncher):
    """Containers as local processes, cold when new and warm when idle; see ``EmulatingLauncher`` for the settings.

    Tasks import what is installed here: ``requirements`` that are not are refused.
    """

    name: ClassVar[str] = "process"

    @property
    def pool_image(self) -> str:
        """The running Python: it is both sides' interpreter."""
        return f"python{sys.version_info.major}.{sys.version_info.minor}"

    @property
    def concurrency(self) -> int:
        """The limit in force: what was asked for, or the usable cores."""
        if self.limit is not None:
            return self.limit
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    def prepare(self, report: Callable[[str], object]) -> Self:
        """See ``RemoteLauncher``."""
        check_installed(self.requirements, self.name)
        return self

    def open(self, context: LabContext) -> Gateway:
        """Return the launcher at work."""
        return _Processes(self, context)


class _Processes(Gateway):
    """The supervisors that a lab host has started."""

    def __init__(self, settings: ProcessLauncher, context: LabContext) -> None:
        self._settings = settings
        self._context = context
        self._emulation = settings.emulation
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, container: str, pool: str, launched_s: float, clock_offset_s: float) -> None:
        """See ``Gateway``."""
        config = self._context.config
        cold_s = self._emulation.cold_s(container)
        launch = Launch(
            ContainerSettings.for_config(
                config,
                container=container,
                pool=pool,
                secret=self._context.secret,
                keep_alive_s=self._settings.keep_alive_in_force_s,
                launched_s=launched_s,
                clock_offset_s=clock_offset_s,
                ready_s=launched_s + cold_s if cold_s else 0.0,
                emulation=self._emulation,
            ),
            store_url=self._context.store_url,
            lab=self._context.lab,
            storage_timeout_s=config.storage_timeout_s,
            heartbeat_s=config.heartbeat_s,
            log_bytes=config.log_bytes,
            parent=os.getpid(),
            search_path=self._context.search_path,
        )
        threads = str(threads_of(size_of_pool(pool)))
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "faaslab.launchers.supervisor"],
                stdin=subprocess.PIPE,
                env=dict.fromkeys(THREAD_VARIABLES, threads) | os.environ,
                start_new_session=True,
            )
            assert process.stdin is not None
            process.stdin.write(msgspec.json.encode(launch) + b"\n")
            process.stdin.close()
        except OSError as error:
            raise LauncherError(f"container {container} can't be started as a process: {error}") from error
        self._running[container] = process

    def exited(self) -> Mapping[str, str]:
        """See ``Gateway``."""
        ended = {name: process.returncode for name, process in self._running.items() if process.poll() is not None}
        for name in ended:
            del self._running[name]
        return {
            name: "left" if code == 0 else "killed" if code < 0 else f"failed with status {code}"
            for name, code in ended.items()
        }

    def close(self) -> None:
        """See ``Gateway``."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()
