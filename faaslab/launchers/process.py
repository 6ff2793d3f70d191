"""Local worker processes: a supervisor and its child play the container. No limit enforces sizes here."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from faaslab.errors import ConfigError, LauncherError
from faaslab.launchers.supervisor import Launch
from faaslab.model.sizes import vcpus
from faaslab.protocol.emulation import Emulation
from faaslab.protocol.launcher import Gateway, LabContext, RemoteLauncher
from faaslab.protocol.messages import size_of_pool
from faaslab.worker.actions import ContainerSettings

_STOP_S = 5.0
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""How many threads numeric libraries use: as many as the size has vCPUs, unless the user has set them. Otherwise every
one of a dozen containers would start as many as the machine has cores, and they would wait for each other."""


@dataclass(frozen=True, slots=True)
class ProcessLauncher(RemoteLauncher):
    """Containers as local processes, cold when new and warm when idle.

    Attributes:
        cold_start_s: Emulated median cold start; a container is not ready before. 0: as fast as this machine.
        invocation_latency_s: Emulated median latency of an invocation.
        sigma: Spread of both (standard deviation of the logarithm).
        seed: The same seed gives the same delays.

    Raises:
        ConfigError: A setting is outside its range.
    """

    name: ClassVar[str] = "process"

    cold_start_s: float = 0.0
    invocation_latency_s: float = 0.0
    sigma: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"ProcessLauncher.limit is {self.limit}, must be at least 1 container")
        for name in ("keep_alive_s", "cold_start_s", "invocation_latency_s", "sigma"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"ProcessLauncher.{name} is {getattr(self, name)}, must be 0 or more")

    @property
    def image(self) -> str:
        """The running Python: it is both sides' interpreter."""
        return f"python{sys.version_info.major}.{sys.version_info.minor}"

    @property
    def concurrency(self) -> int:
        """The limit in force: what was asked for, or the usable cores."""
        if self.limit is not None:
            return self.limit
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    def open(self, context: LabContext) -> Gateway:
        """Return the launcher at work."""
        return _Processes(self, context)


class _Processes(Gateway):
    """The supervisors that a lab host has started."""

    def __init__(self, settings: ProcessLauncher, context: LabContext) -> None:
        self._settings = settings
        self._context = context
        self._emulation = Emulation(settings.cold_start_s, settings.invocation_latency_s, settings.sigma, settings.seed)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, container: str, pool: str, launched_s: float, clock_offset_s: float) -> None:
        """See ``Gateway``."""
        config = self._context.config
        cold_s = self._emulation.cold_s(container)
        launch = Launch(
            ContainerSettings(
                container=container,
                pool=pool,
                secret=self._context.secret,
                keep_alive_s=self._settings.keep_alive_s,
                lease_s=config.lease_s,
                wait_slice_s=config.wait_slice_s,
                retry_backoff_s=config.retry_backoff_s,
                retry_backoff_cap_s=config.retry_backoff_cap_s,
                inline_output_bytes=config.inline_output_bytes,
                blob_chunk_bytes=config.blob_chunk_bytes,
                launched_s=launched_s,
                clock_offset_s=clock_offset_s,
                ready_s=launched_s + cold_s if cold_s else 0.0,
                invocation_latency_s=self._settings.invocation_latency_s,
                sigma=self._settings.sigma,
                seed=self._settings.seed,
            ),
            store_url=self._context.store_url,
            lab=self._context.lab,
            storage_timeout_s=config.storage_timeout_s,
            heartbeat_s=config.heartbeat_s,
            log_bytes=config.log_bytes,
            parent=os.getpid(),
            search_path=self._context.search_path,
        )
        threads = str(max(1, int(vcpus(size_of_pool(pool)))))
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "faaslab.launchers.supervisor"],
                stdin=subprocess.PIPE,
                env=dict.fromkeys(_THREAD_VARIABLES, threads) | os.environ,
                start_new_session=True,
            )
            assert process.stdin is not None
            process.stdin.write(msgspec.json.encode(launch))
            process.stdin.close()
        except OSError as error:
            raise LauncherError(f"container {container} can't be started as a process: {error}") from error
        self._running[container] = process

    def exited(self) -> Mapping[str, str]:
        """See ``Gateway``."""
        ended = {name: process.returncode for name, process in self._running.items() if process.poll() is not None}
        for name in ended:
            del self._running[name]
        return {name: "left" if code == 0 else "killed" for name, code in ended.items()}

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
