"""What turns invocations into containers: settings that a user writes, and the running thing in the lab host."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from faaslab.config import Config


@dataclass(frozen=True, slots=True)
class LabContext:
    """What a launcher needs to know of its lab.

    Attributes:
        store_url: Where containers reach the store.
        lab: Id of the lab.
        secret: The lab's secret, handed to containers outside the store.
        search_path: Folders in which containers find modules of the notebook.
    """

    store_url: str
    lab: str
    secret: bytes
    config: Config
    search_path: tuple[str, ...] = ()


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
        """Return the containers that have ended since the last call, with why as far as it is known."""

    @abstractmethod
    def close(self) -> None:
        """End all containers and wait for them."""


@dataclass(frozen=True, slots=True)
class RemoteLauncher(ABC):
    """Settings of a launcher whose containers work for a lab host; subclasses are frozen values of JSON types.

    Attributes:
        limit: How many containers may exist at a time (the platform's concurrency limit); None: one per usable core.
        keep_alive_s: How long an idle container stays.
    """

    name: ClassVar[str]

    limit: int | None = None
    keep_alive_s: float = 60.0

    @property
    @abstractmethod
    def image(self) -> str:
        """What containers of the same pool have in common beside their size."""

    @property
    @abstractmethod
    def concurrency(self) -> int:
        """The limit in force."""

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
