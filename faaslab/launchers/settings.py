"""What launchers of real containers have in common: requirements, and a platform that they emulate."""

import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from faaslab.errors import ConfigError
from faaslab.launchers.requirements import read_requirements
from faaslab.model.profiles import DELAYS, THIS_MACHINE, PlatformProfile, profile_named
from faaslab.model.sizes import vcpus
from faaslab.protocol.emulation import Emulation
from faaslab.protocol.launcher import RemoteLauncher

PRIMED_KEEP_ALIVE_S = 30.0
InitialPool = Literal["empty", "primed", "steady"]
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""How many threads numeric libraries use: as many as the size has vCPUs. Otherwise every one of a dozen containers
would start as many as the machine has cores, and they would wait for each other."""


def threads_of(size_mib: int) -> int:
    """Return how many threads a numeric library should use in a container of a size."""
    return math.ceil(vcpus(size_mib))


@dataclass(frozen=True, slots=True)
class EmulatingLauncher(RemoteLauncher):
    """Settings of a launcher whose containers run on this machine and emulate a platform.

    What is None is as the profile says.

    Attributes:
        requirements: What tasks import beside the standard library: lines as in a requirements file, or the path of
            one.
        profile: Name of a platform to emulate (``"lambda"``, ``"openwhisk"``, ``"this machine"``; ``"none"``: only
            what this machine does by itself), or a profile of one's own.
        keep_alive_s: How long an idle container stays.
        cold_start_s: Emulated median cold start; a container is not ready before.
        invocation_latency_s: Emulated median latency of an invocation.
        sigma: Spread of both (standard deviation of the logarithm); None: that of the profile for each.
        store_latency_s: Emulated median round trip between a worker and the store, in addition to the real one.
        upload_bytes_per_s: Emulated bandwidth of one worker to the store; 0: not limited.
        download_bytes_per_s: Emulated bandwidth of one worker from the store; 0: not limited.
        seed: The same seed gives the same delays.
        initial_pool: What a run finds: ``"empty"``: no container; ``"primed"``: idle ones of the sizes in its plan
            that have served nothing; ``"steady"``: what earlier runs have left.

    Raises:
        ConfigError: A setting is outside its range.
    """

    keep_alive_s: float | None = None
    requirements: Sequence[str] | str = ()
    profile: PlatformProfile | str = "none"
    cold_start_s: float | None = None
    invocation_latency_s: float | None = None
    sigma: float | None = None
    store_latency_s: float | None = None
    upload_bytes_per_s: float | None = None
    download_bytes_per_s: float | None = None
    seed: int = 0
    initial_pool: InitialPool = "steady"

    def __post_init__(self) -> None:
        kind = type(self).__name__
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"{kind}.limit is {self.limit}, must be at least 1 container")
        for name in (*DELAYS, "keep_alive_s", "sigma"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ConfigError(f"{kind}.{name} is {value}, must be 0 or more")
        if self.initial_pool not in ("empty", "primed", "steady"):
            raise ConfigError(f"{kind}.initial_pool is {self.initial_pool!r}, must be 'empty', 'primed' or 'steady'")
        # An unknown name of a profile is an error, too.
        if self.initial_pool == "primed" and self.keep_alive_in_force_s < PRIMED_KEEP_ALIVE_S:
            raise ConfigError(
                f"{kind}.keep_alive_s is {self.keep_alive_in_force_s:g}, must be at least {PRIMED_KEEP_ALIVE_S:g} for "
                "initial_pool='primed': the first containers must still be there when the last one is ready"
            )
        requirements = self.requirements
        if requirements or not isinstance(requirements, tuple):
            named = isinstance(requirements, (str, os.PathLike))
            object.__setattr__(self, "requirements", read_requirements(requirements) if named or requirements else ())

    @property
    def platform(self) -> PlatformProfile:
        """The profile that is emulated."""
        return self.profile if isinstance(self.profile, PlatformProfile) else profile_named(self.profile)

    @property
    def emulation(self) -> Emulation:
        """The delays in force: those given, else the profile's."""
        platform = self.platform
        return Emulation(
            **{name: self._in_force(name) for name in DELAYS},
            cold_start_sigma=platform.cold_start_sigma if self.sigma is None else self.sigma,
            invocation_sigma=platform.invocation_sigma if self.sigma is None else self.sigma,
            store_sigma=platform.store_sigma,
            seed=self.seed,
        )

    @property
    def slowest_start_s(self) -> float:
        """See ``RemoteLauncher``: four standard deviations."""
        emulation = self.emulation
        return emulation.cold_start_s * math.exp(4 * emulation.cold_start_sigma) * self.time_dilation

    @property
    def keep_alive_in_force_s(self) -> float:
        """How long an idle container stays: as given, else as the profile says."""
        return self._in_force("keep_alive_s")

    def _in_force(self, name: str) -> float:
        given: float | None = getattr(self, name)
        if given is None and name in DELAYS and self.enforces_sizes and self.platform.name == THIS_MACHINE:
            return 0.0  # it was measured on these very containers, which are as slow as that by themselves
        return float(getattr(self.platform, name)) if given is None else given

    def settings(self) -> dict[str, Any]:
        """Return what a trace records of this launcher: the values in force."""
        in_force = {**asdict(self.emulation), "keep_alive_s": self._in_force("keep_alive_s")}
        told = {**asdict(self), **in_force, "profile": self.platform.name, "requirements": list(self.requirements)}
        return {"name": self.name, **told, "concurrency": self.concurrency}
