"""What turns invocations into containers: settings that a user writes, and the running thing in the lab host."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from faaslab.config import Config

IN_WORKER = "FAASLAB_IN_WORKER"
"""Set in the environment of user code: a task can't start runs of its own."""


@dataclass(frozen=True, slots=True)
class LabContext:
    """What a launcher needs to know of its lab.

    Attributes:
        store_url: Where containers reach the store.
        lab: Id of the lab.
        secret: The lab's secret, handed to containers outside the store.
        search_path: Folders in which containers find modules of the notebook.
        lock: File on this machine that the lab host keeps locked while it lives.
    """

    store_url: str
    lab: str
    secret: bytes
    config: Config
    search_path: tuple[str, ...] = ()
    lock: str = ""


class Gateway(ABC):
    """A launcher at work, inside the lab host."""

    @abstractmethod
    def start(self, container: str, pool: str, launched_s: float, clock_offset_s: float) -> None:
        """Start a container; returns before it is ready.

        Raises:
            LauncherError: It can't be started.
        """

    @abstractmethod
    def exited(self) -> Mapping[str, str]:
        """Return the containers that have ended since the last call: ``left``, ``killed``, or how they failed."""

    @abstractmethod
    def close(self) -> None:
        """End all containers and wait for them."""


@dataclass(frozen=True, slots=True)
class RemoteLauncher(ABC):
    """Settings of a launcher whose containers work for a lab host; subclasses are frozen values of JSON types.

    Attributes:
        limit: How many containers may exist at a time (the platform's concurrency limit); None: the launcher's default.
    """

    name: ClassVar[str]
    enforces_sizes: ClassVar[bool] = False
    """Whether containers really have the memory and the vCPUs of their size."""
    in_containers: ClassVar[bool] = False
    """Whether workers see other files and users than the lab host: a store's socket has to be opened to them."""

    limit: int | None = None

    @property
    @abstractmethod
    def pool_image(self) -> str:
        """What containers of the same pool have in common beside their size."""

    @property
    @abstractmethod
    def concurrency(self) -> int:
        """The limit in force."""

    @property
    def vcpu_budget(self) -> float:
        """How many vCPUs all containers together may have."""
        return math.inf

    @property
    def memory_budget_mib(self) -> float:
        """How much memory the sizes of all containers together may be."""
        return math.inf

    @property
    def slowest_start_s(self) -> float:
        """How many real seconds of emulated delay a start may take, hardly ever more."""
        return 0.0

    @property
    def time_dilation(self) -> float:
        """How many real seconds one reported second takes."""
        return 1.0

    def prepare(self, report: Callable[[str], object]) -> Self:
        """Make ready what a lab needs before its first run, in the client; returns the settings as they then are.

        Args:
            report: Told what goes on, a line at a time: an image may have to be built.

        Raises:
            LauncherError: The platform is not there or lacks something that was asked for.
        """
        return self

    def check_sizes(self, sizes: Iterable[int]) -> None:  # noqa: B027  by default any size will do
        """Refuse sizes in MiB that no container can have; called before a run starts.

        Raises:
            PlanError: One is too large; names the largest that is possible.
        """

    @abstractmethod
    def open(self, context: LabContext) -> Gateway:
        """Return the launcher at work.

        Raises:
            LauncherError: The platform is not there.
        """

    def settings(self) -> dict[str, Any]:
        """Return what a trace records of this launcher."""
        from dataclasses import asdict

        return {"name": self.name, **asdict(self), "concurrency": self.concurrency}
