"""Docker containers as workers: sizes are real, cold means a new container, warm an idle one.

::

    create ─► attach ─► start ─► boot ─► import ─► ready ──► CPU quota applied ─► go ─► registers, serves, idles, leaves
    └──────── this module ────┘  └──── supervisor ────┘      └── this module ──┘       └── supervisor and its child ──┘

A container has a read-only root, no capabilities, no user to be but nobody (or the one who runs the client), no engine
socket, and, where the store is reached by a socket that is mounted into it, no network.
"""

import contextlib
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import msgspec

from faaslab.errors import ConfigError, LauncherError, PlanError
from faaslab.launchers.settings import THREAD_VARIABLES, EmulatingLauncher, threads_of
from faaslab.launchers.supervisor import GO, LEFT, READY, Launch
from faaslab.model.sizes import MAX_SIZE_MIB, MIB_PER_VCPU, check_sizes, vcpus
from faaslab.protocol.launcher import Gateway, LabContext
from faaslab.protocol.messages import size_of_pool
from faaslab.worker.actions import ContainerSettings

if TYPE_CHECKING:
    import docker

    from faaslab.launchers.engine import Channel

PERIOD_US = 20_000
"""Period of the CPU quota; the kernel's default of 100 ms would let a task of 50 ms run unthrottled at half a vCPU."""
LEAST_QUOTA_US, LONGEST_PERIOD_US = 1_000, 1_000_000
"""What the kernel accepts (Documentation/scheduler/sched-bwc.rst)."""
RESERVED_CORES = 1
"""Left to store, lab host and client, so that workers don't wait for them, nor they for workers."""
RESERVED_MIB = 512
READY_S = 60.0
"""A container that has not booted after this long is given up."""
REGION_CONCURRENCY = 1000
"""Containers at a time unless a limit is given: a region's default (AWS Lambda quotas, "Concurrent executions")."""
STORE_FOLDER = "/run/faaslab"
ENTRYPOINT = ["python3", "-P", "-m", "faaslab.launchers.supervisor"]
TMP = "rw,exec,nosuid,nodev,size=512m,mode=1777"
"""Writable space of a container, counted as its memory; 512 MB as on AWS Lambda."""
NOBODY = 65534
MAX_PROCESSES = 512


@dataclass(frozen=True, slots=True)
class DockerLauncher(EmulatingLauncher):
    """Containers with the memory and the CPU of their size; see ``EmulatingLauncher`` for the settings not listed here.

    What ``requirements`` name is baked into the image; a name without version means the version that the client has.

    Attributes:
        image: Image to use instead of building one; it must hold FaaSLab for the client's Python and the requirements.
        base: Image to build on; empty: ``$FAASLAB_BASE_IMAGE``, else one made by ``worker_image/make_base``, else
            ``python:3.x-slim``.
        network: Docker network of containers; empty: none if the store is reached by a Unix socket, else ``bridge``.
        cores: Cores that containers may use together; None: all but the one left to store and client. What does not
            fit into them queues.
        allow_contention: Let containers have more vCPUs together than there are cores; times then depend on what else
            runs, and tasks that had to wait for a core are marked.
        boot_unthrottled: Apply the CPU quota when a container has booted, as FaaS platforms do, and not before.
        dilation: How many times slower everything is made: CPU quotas are divided, emulated delays, timeouts and
            keep-alive multiplied by it, and all times are reported in virtual seconds, so that ``dilation`` times as
            many vCPUs fit on the machine. Memory bandwidth, the store and clocks that tasks read are not dilated.
        memory_escalation: Sizes in MiB; a task that ran out of memory is tried again at the next larger one, unless it
            is not pure and has no ``retries``. It counts as a try.
        host_memory_mib: Memory of the engine's machine; None: as the engine says.
        memory_overcommit: How many times that memory the sizes of all containers together may be. Above 1 tasks that
            really use their memory may make the machine itself run out of it.

    Cores and memory are those of one lab: two labs on one engine at the same time contend.

    Raises:
        ConfigError: A setting is outside its range.
    """

    name: ClassVar[str] = "docker"
    enforces_sizes: ClassVar[bool] = True
    in_containers: ClassVar[bool] = True

    image: str = ""
    base: str = ""
    network: str = ""
    cores: float | None = None
    allow_contention: bool = False
    boot_unthrottled: bool = True
    dilation: float = 1.0
    memory_escalation: Sequence[int] = ()
    host_memory_mib: int | None = None
    memory_overcommit: float = 1.0

    def __post_init__(self) -> None:
        EmulatingLauncher.__post_init__(self)
        if not 1 <= self.dilation < math.inf:
            raise ConfigError(f"DockerLauncher.dilation is {self.dilation}, must be 1 or more")
        if self.cores is not None and not 0 < self.cores < math.inf:
            raise ConfigError(f"DockerLauncher.cores is {self.cores}, must be above 0")
        if not 1 <= self.memory_overcommit < math.inf:
            raise ConfigError(f"DockerLauncher.memory_overcommit is {self.memory_overcommit}, must be 1 or more")
        sizes = check_sizes(self.memory_escalation) if self.memory_escalation else ()
        object.__setattr__(self, "memory_escalation", sizes)

    @property
    def pool_image(self) -> str:
        """Name of the image; known once it has been prepared."""
        return self.image

    @property
    def concurrency(self) -> int:
        """The limit in force; the cores usually allow fewer containers."""
        return REGION_CONCURRENCY if self.limit is None else self.limit

    @property
    def vcpu_budget(self) -> float:
        """How many vCPUs all containers together may have."""
        return math.inf if self.allow_contention or self.cores is None else self.cores * self.dilation

    @property
    def memory_budget_mib(self) -> float:
        """How much memory the sizes of all containers together may be."""
        if self.host_memory_mib is None:
            return math.inf
        return (self.host_memory_mib - RESERVED_MIB) * self.memory_overcommit

    @property
    def time_dilation(self) -> float:
        """See ``RemoteLauncher``."""
        return self.dilation

    def prepare(self, report: Callable[[str], object]) -> Self:
        """Find the engine, build or find the image, and take note of what the machine has."""
        from faaslab.launchers.engine import capacity, check_network, connect
        from faaslab.launchers.image import check_image, ensure_image, inspect_image
        from faaslab.launchers.requirements import check_packages

        with contextlib.closing(connect()) as client:
            has = capacity(client)
            if has.lacks:
                raise LauncherError(
                    f"this Docker engine has no {' and no '.join(has.lacks)}, so sizes would not be real (rootless on "
                    "cgroup version 1?); use an engine with cgroup version 2, or one that runs as root"
                )
            if self.network and not self.network.startswith("container:"):
                check_network(client, self.network)
            requirements = tuple(self.requirements)
            if self.image:
                image = inspect_image(client, self.image)
                check_packages(requirements, image.packages, f"image {self.image}")
            else:
                image = ensure_image(client, requirements, base=self.base, report=report)
            check_image(image)
        cores = self.cores
        if cores is None:
            cores = has.cores if self.allow_contention else max(1, has.cores - RESERVED_CORES)
        elif cores > has.cores:
            raise ConfigError(f"DockerLauncher.cores is {cores:g}, but the engine's machine has {has.cores}")
        return replace(self, image=image.tag, cores=cores, host_memory_mib=self.host_memory_mib or has.memory_mib)

    @property
    def largest_size_mib(self) -> int:
        """Largest size that a container can have, once prepared: by cores, by memory, by the platform."""
        assert self.cores is not None
        assert self.host_memory_mib is not None
        by_cores = math.floor(self.cores * self.dilation * MIB_PER_VCPU)
        # From six vCPUs on, a size has no more of them.
        by_cores = MAX_SIZE_MIB if vcpus(MAX_SIZE_MIB) <= self.cores * self.dilation else by_cores
        return min(MAX_SIZE_MIB, by_cores, self.host_memory_mib - RESERVED_MIB)

    def check_sizes(self, sizes: Iterable[int]) -> None:
        """See ``RemoteLauncher``."""
        asked = [*sizes, *self.memory_escalation]
        too_large = max(asked, default=0)
        if too_large > self.largest_size_mib:
            raise PlanError(self._why_too_large(too_large))
        smallest = min(asked, default=MAX_SIZE_MIB)
        if vcpus(smallest) / self.dilation < LEAST_QUOTA_US / LONGEST_PERIOD_US:
            raise PlanError(
                f"a container of {smallest} MiB has {vcpus(smallest) / self.dilation:.4f} of a core at dilation "
                f"{self.dilation:g}; the kernel can't give less than {LEAST_QUOTA_US / LONGEST_PERIOD_US:g}"
            )

    def _why_too_large(self, size_mib: int) -> str:
        assert self.cores is not None
        assert self.host_memory_mib is not None
        where = "memory_escalation asks for " if size_mib in self.memory_escalation else ""
        told = f"{where}a container of {size_mib} MiB: the largest valid size here is {self.largest_size_mib} MiB. "
        if size_mib > self.host_memory_mib - RESERVED_MIB:
            return (
                f"{told}The engine's machine has {self.host_memory_mib} MiB, of which {RESERVED_MIB} are left to itself"
            )
        ways = [f"dilation={math.ceil(vcpus(size_mib) / self.cores):g}"]
        if not self.allow_contention:
            ways.append("allow_contention=True")
        return (
            f"{told}It would have {vcpus(size_mib):.2f} vCPUs, and containers may use {self.cores:g} cores at dilation "
            f"{self.dilation:g}; use {' or '.join(ways)} for more"
        )

    def open(self, context: LabContext) -> Gateway:
        """Return the launcher at work."""
        return _Containers(self, context)


def cpu_quota(size_mib: int, dilation: float = 1.0) -> tuple[int, int]:
    """Return quota and period in microseconds that give a container the vCPUs of its size."""
    share = vcpus(size_mib) / dilation
    period_us = max(PERIOD_US, math.ceil(LEAST_QUOTA_US / share))
    return max(LEAST_QUOTA_US, round(share * period_us)), period_us


def reach_store(url: str, network: str, *, local: bool) -> tuple[str, str, list[str]]:
    """Return what a container needs to reach the store: its URL there, the container's network, folders to mount.

    Raises:
        LauncherError: A container can't reach it.
    """
    parts = urlsplit(url)
    if parts.scheme == "unix":
        if not local:
            raise LauncherError(
                "the engine runs on another machine or in a virtual one (Docker Desktop), where nobody can connect to "
                "the store's Unix socket; use a store that it can reach: fl.Lab(launcher, "
                "storage='redis://:password@host:6379')"
            )
        folder, name = os.path.split(unquote(parts.path))
        from faaslab.launchers.engine import engine_url

        engine_socket = engine_url().removeprefix("unix://")
        if os.path.realpath(folder) == os.path.dirname(os.path.realpath(engine_socket)):
            raise LauncherError(
                f"the store's socket is in {folder}, where the Docker engine's is, which containers must not see; have "
                "the server listen in a folder of its own"
            )
        inside = urlunsplit(("unix", parts.netloc, quote(f"{STORE_FOLDER}/{name}"), parts.query, ""))
        # A socket can be connected to on a read-only mount; nothing else can be done with the folder.
        return inside, network or "none", [f"{folder}:{STORE_FOLDER}:ro"]
    if parts.hostname in ("localhost", "127.0.0.1", "::1") and network != "host":
        raise LauncherError(
            f"the store at {parts.hostname} is out of reach from a container, where that is the container "
            "itself; use network='host', or the address of this machine, or no store of your own"
        )
    return url, network or "bridge", []


class _Containers(Gateway):
    """The containers that a lab host has started; each has a thread that talks with it."""

    def __init__(self, settings: DockerLauncher, context: LabContext) -> None:
        from faaslab.launchers import engine

        self._settings = settings
        self._context = context
        self._engine = engine
        self._emulation = settings.emulation.dilated(settings.dilation)
        self._client = engine.connect()
        has = engine.capacity(self._client)
        self._store_url, self._network, self._mounts = reach_store(context.store_url, settings.network, local=has.local)
        # With version 2 a container would see the whole machine's groups where the engine's default is the host's.
        self._cgroupns: Any = {"cgroupns": "private"} if has.cgroup_version == 2 else {}
        engine.remove_stale(self._client, context.lab)
        self._lock = threading.Lock()
        self._channels: dict[str, Channel] = {}
        self._ended: dict[str, str] = {}
        self._threads: list[threading.Thread] = []
        self._closing = False

    def start(self, container: str, pool: str, launched_s: float, clock_offset_s: float) -> None:
        """See ``Gateway``."""
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        thread = threading.Thread(
            target=self._accompany,
            args=(container, pool, launched_s, clock_offset_s),
            name=f"faaslab-{container}",
            daemon=True,
        )
        self._threads.append(thread)
        thread.start()

    def exited(self) -> Mapping[str, str]:
        """See ``Gateway``."""
        with self._lock:
            ended, self._ended = self._ended, {}
        return ended

    def close(self) -> None:
        """See ``Gateway``."""
        with self._lock:
            self._closing = True
            channels = list(self._channels.values())
        for channel in channels:
            channel.close()
        for thread in self._threads:
            thread.join(self._engine.REMOVE_S)
        self._engine.remove_all(self._client, self._context.lab)
        self._client.close()

    # -- one container, in its thread -----------------------------------------------------------------------------

    def _accompany(self, container: str, pool: str, launched_s: float, clock_offset_s: float) -> None:
        """Start a container and stay with it until it has ended."""
        reason = "killed"
        try:
            with contextlib.closing(self._engine.connect()) as client:
                reason = self._live(client, container, pool, launched_s, clock_offset_s)
        except Exception as error:  # whatever it is, the lab host has to hear that there is no container
            reason = f"failed: {self._engine.words(error)}"
        finally:
            with self._lock:
                self._channels.pop(container, None)
                self._ended[container] = reason

    def _live(
        self, client: "docker.DockerClient", container: str, pool: str, launched_s: float, clock_offset_s: float
    ) -> str:
        """Return why it ended."""
        size_mib = size_of_pool(pool)
        quota_us, period_us = cpu_quota(size_mib, self._settings.dilation)
        quota: Any = {"cpu_quota": quota_us, "cpu_period": period_us}
        held = self._settings.boot_unthrottled
        created = self._create(client, container, size_mib, {} if held else quota)
        try:
            channel = self._engine.Channel(client, created)
            with self._lock:
                self._channels[container] = channel
                closing = self._closing
            try:
                if closing:
                    return "killed"
                started_s = time.time() + clock_offset_s
                client.api.start(created)
                launch = self._launch(container, pool, launched_s, clock_offset_s, started_s - launched_s)
                channel.write(msgspec.json.encode(launch) + b"\n")
                if channel.read_line(READY_S) != READY:
                    errors = channel.errors.decode(errors="replace").strip()
                    return f"failed while it booted: {errors}" if errors else "killed"
                if held:
                    client.api.update_container(created, **quota)
                channel.write(GO)
                said = channel.read_line(None)
                errors = channel.errors.decode(errors="replace").strip()
                return "left" if said == LEFT else f"failed: {errors}" if errors else "killed"
            finally:
                channel.close()
        except TimeoutError:
            return f"was not ready within {READY_S:g} s"
        finally:
            # It has ended or does so now that nobody is attached; one that never started would stay.
            with contextlib.suppress(LauncherError), self._engine.talking():
                client.api.remove_container(created, force=True)

    def _create(self, client: "docker.DockerClient", container: str, size_mib: int, quota: Any) -> str:
        """Return the id of a new container."""
        context, api = self._context, client.api
        user = f"{os.getuid()}:{os.getgid()}" if os.getuid() else f"{NOBODY}:{NOBODY}"
        limits = api.create_host_config(
            auto_remove=True,
            binds=self._mounts,
            cap_drop=["ALL"],
            mem_limit=size_mib * 2**20,
            memswap_limit=size_mib * 2**20,  # memory and swap together: none of the latter
            network_mode=self._network,
            pids_limit=MAX_PROCESSES,
            read_only=True,
            security_opt=["no-new-privileges"],
            tmpfs={"/tmp": TMP},
            **quota,
            **self._cgroupns,
        )
        created: dict[str, Any] = api.create_container(
            self._settings.image,
            entrypoint=ENTRYPOINT,
            name=f"faaslab-{context.lab}-{container}",
            user=user,
            stdin_open=True,
            environment={"HOME": "/tmp", **dict.fromkeys(THREAD_VARIABLES, str(threads_of(size_mib)))},
            labels={
                self._engine.LAB: context.lab,
                self._engine.MACHINE: self._engine.machine(),
                self._engine.LOCK: context.lock,
            },
            host_config=limits,
        )
        return str(created["Id"])

    def _launch(self, container: str, pool: str, launched_s: float, clock_offset_s: float, create_s: float) -> Launch:
        """Return what the container's supervisor is told."""
        config, settings = self._context.config, self._settings
        cold_s = self._emulation.cold_s(container)
        return Launch(
            ContainerSettings.for_config(
                config,
                container=container,
                pool=pool,
                secret=self._context.secret,
                keep_alive_s=settings.keep_alive_in_force_s * settings.dilation,
                retry_backoff_s=config.retry_backoff_s * settings.dilation,
                retry_backoff_cap_s=config.retry_backoff_cap_s * settings.dilation,
                launched_s=launched_s,
                clock_offset_s=clock_offset_s,
                phases_s={"create": create_s},
                ready_s=launched_s + cold_s if cold_s else 0.0,
                emulation=self._emulation,
                dilation=settings.dilation,
            ),
            store_url=self._store_url,
            lab=self._context.lab,
            storage_timeout_s=config.storage_timeout_s,
            heartbeat_s=config.heartbeat_s,
            log_bytes=config.log_bytes,
            held=True,
            memory_escalation=tuple(settings.memory_escalation),
        )
