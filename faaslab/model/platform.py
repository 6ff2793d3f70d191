"""What a plan is predicted for: a platform's delays, prices and limits."""

import math
import os
from dataclasses import dataclass, field

from faaslab.errors import ConfigError
from faaslab.model.prices import Prices
from faaslab.model.profiles import PROFILES, PlatformProfile, profile_named

REGION_CONCURRENCY = 1000
"""Workers at a time: default of a region (AWS Lambda Developer Guide, "Lambda quotas", Concurrent executions)."""


@dataclass(frozen=True, slots=True)
class Platform:
    """Delays, prices and limits.

    Attributes:
        profile: How long the machinery takes, with its sources.
        prices: What running costs. Platforms without prices of their own have those of AWS Lambda, as traces of local
            runs have, so that plans can be compared.
        concurrency: How many containers may exist at a time.
        vcpus: How many vCPUs all containers together may have; infinite: no limit.
        memory_mib: How much memory their sizes together may be.
        cores: CPUs that all containers share; infinite: each has its own, as in a cloud.
        sizes_enforced: Whether workers have the CPU of their size; without, each uses a whole core whatever its size.
        client_invokes_per_s: How fast the first invocations of a run follow each other; infinite: they come together,
            as from our client, which hands them to the store in one call.

    Raises:
        ConfigError: A limit is not above 0, or not a number.
    """

    profile: PlatformProfile
    prices: Prices = field(default_factory=Prices)
    concurrency: int = REGION_CONCURRENCY
    vcpus: float = math.inf
    memory_mib: float = math.inf
    cores: float = math.inf
    sizes_enforced: bool = True
    client_invokes_per_s: float = math.inf

    def __post_init__(self) -> None:
        limit: object = self.concurrency
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise ConfigError(f"Platform.concurrency is {limit!r}, must be a whole number of 1 or more")
        for name in ("vcpus", "memory_mib", "cores", "client_invokes_per_s"):
            value = getattr(self, name)
            if not value > 0:
                raise ConfigError(f"Platform.{name} is {value}, must be above 0 (math.inf: no limit)")

    @property
    def name(self) -> str:
        """The profile's name."""
        return self.profile.name


def platform_named(name: str) -> Platform:
    """Return a platform by the name of its profile.

    ``"this machine"`` has its usable cores less one, which client, store and supervisors take. All others are clouds:
    each container has its own CPU. ``"none"`` delays nothing: what a plan could come to at best.

    Raises:
        ConfigError: There is no such platform, or this machine has not been measured.
    """
    profile = profile_named(name)
    if name in PROFILES:
        return Platform(profile)
    return Platform(profile, cores=float(max(1, usable_cores() - 1)))


def usable_cores() -> int:
    """Return how many cores of this machine this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows have no affinity
        return os.cpu_count() or 1
