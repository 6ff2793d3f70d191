"""Named platforms to emulate, with where their numbers come from.

A profile says how long a platform's machinery takes; how long tasks take is up to them. Tasks on different workers
exchange outputs through the store only, and the engine has no shared-memory shortcut even where workers share a
machine, so under a profile every byte between two workers pays for its way up to the store and down again.
"""

import math
import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import msgspec

from faaslab.errors import ConfigError

THIS_MACHINE = "this machine"
PROFILE_DIR_VARIABLE = "FAASLAB_PROFILE_DIR"
CALIBRATE = "faaslab doctor --calibrate"
DEFAULT_KEEP_ALIVE_S = 60.0
"""How long idle containers stay where no platform is emulated: long enough to run the next cell of a notebook."""


DELAYS = (
    "cold_start_s",
    "invocation_latency_s",
    "store_latency_s",
    "upload_bytes_per_s",
    "download_bytes_per_s",
)
"""What a launcher can emulate of a profile."""


@dataclass(frozen=True, slots=True)
class PlatformProfile:
    """How slow a platform is around the tasks; zeros: no slower than the machine that runs them.

    Attributes:
        name: What to call it by.
        source: Where each number comes from, in words; what is assumed says so.
        cold_start_s: Median time from the decision to start a container until it is ready.
        cold_start_sigma: Standard deviation of the logarithm of cold starts (lognormal).
        invocation_latency_s: Median time from a request until it reaches a warm container.
        invocation_sigma: Standard deviation of its logarithm.
        keep_alive_s: How long an idle container stays.
        upload_bytes_per_s: What one worker can send to the store; 0: not limited.
        download_bytes_per_s: What one worker can receive from the store; 0: not limited.
        store_latency_s: Median round trip between a worker and the store.
        store_sigma: Standard deviation of its logarithm.
        store_s: What storing an output takes beside round trips and bandwidth.
        task_s: What the engine needs around a task, beside transfers.
        task_bytes_per_s: How fast a worker serializes outputs that it keeps, and copies inputs that it has; 0: at once.
        submit_s: From a run's submission until its first invocations are asked for.
        submit_bytes_per_s: How fast code and constants go to the store before; 0: at once.

    Raises:
        ConfigError: The name or the source is empty, or a number is negative or not finite.
    """

    name: str
    source: str
    cold_start_s: float = 0.0
    cold_start_sigma: float = 0.0
    invocation_latency_s: float = 0.0
    invocation_sigma: float = 0.0
    keep_alive_s: float = DEFAULT_KEEP_ALIVE_S
    upload_bytes_per_s: float = 0.0
    download_bytes_per_s: float = 0.0
    store_latency_s: float = 0.0
    store_sigma: float = 0.0
    store_s: float = 0.0
    task_s: float = 0.0
    task_bytes_per_s: float = 0.0
    submit_s: float = 0.0
    submit_bytes_per_s: float = 0.0

    def __post_init__(self) -> None:
        for about in fields(self):
            value = getattr(self, about.name)
            if about.type is str:
                if not value:
                    raise ConfigError(f"PlatformProfile.{about.name} is empty, must say something")
            elif not 0 <= value < math.inf:
                raise ConfigError(f"PlatformProfile.{about.name} is {value}, must be a finite number of 0 or more")


_NONE = PlatformProfile("none", "No platform: what this machine does by itself, with idle containers kept for 60 s.")

_LAMBDA = PlatformProfile(
    "lambda",
    "AWS Lambda. Cold start: median and spread of 151 cold starts of Python functions with scientific packages, 1,024 "
    "to 8,960 MB, seen from the client, in the stage profiles of Jolteon's artifact (Zhang et al., NSDI 2024; 8 "
    "stages, first of 3 rounds, above 0.8 s); medians by memory size fall from 3.0 s at 1,792 MB to 2.1 s at 8,960 MB, "
    "which is not modelled. "
    "Invocation: median warm start of 25 ms (Wang et al., Peeking Behind the Curtains of Serverless Platforms, USENIX "
    "ATC 2018); spread of 86 warm single invocations in Jolteon's artifact. "
    "Keep-alive: AWS promises none; idle instances were seen to live for 5 to 7 minutes (Shilkov, Cold Starts in AWS "
    "Lambda, 2021), the middle is taken. "
    "Bandwidth: about 600 Mbit/s for one function (Klimovic et al., Understanding Ephemeral Storage for Serverless "
    "Analytics, USENIX ATC 2018), taken for either direction; bursts, which are faster, are not modelled. "
    "Store: 0.23 ms to a Redis server in the same zone (Klimovic et al.); its spread is assumed.",
    cold_start_s=2.26,
    cold_start_sigma=0.38,
    invocation_latency_s=0.025,
    invocation_sigma=0.17,
    keep_alive_s=360.0,
    upload_bytes_per_s=75e6,
    download_bytes_per_s=75e6,
    store_latency_s=0.00023,
    store_sigma=0.2,
)

_OPENWHISK = PlatformProfile(
    "openwhisk",
    "Apache OpenWhisk on a small cluster. Keep-alive: default of idle-container in the invoker's application.conf. "
    "Cold start: an assumption between the over 10 times of a function's about 55 ms that Shahrad et al. measured "
    "(Architectural Implications of Function-as-a-Service Computing, MICRO 2019) and the up to 2 s that Ristov et al. "
    "saw on IBM Cloud Functions, which is OpenWhisk (WoSC 2021); the spread is such that 97 % of starts take less than "
    "these 2 s. Invocation: an assumption for the way through controller, Kafka and invoker. A container is paused "
    "after 50 ms without work (pause-grace) and resumed for the next, which is not modelled. Network and store: an "
    "assumption, 1 Gbit/s Ethernet with a Redis server in the same rack.",
    cold_start_s=1.0,
    cold_start_sigma=0.37,
    invocation_latency_s=0.02,
    invocation_sigma=0.3,
    keep_alive_s=600.0,
    upload_bytes_per_s=125e6,
    download_bytes_per_s=125e6,
    store_latency_s=0.0005,
    store_sigma=0.2,
)

PROFILES = {profile.name: profile for profile in (_NONE, _LAMBDA, _OPENWHISK)}
"""The profiles that come with FaaSLab."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What tells one machine from another, as far as measured times are concerned.

    Attributes:
        cores: CPUs.
        memory_mib: Physical memory.
        kernel: Its release.
    """

    cores: int
    memory_mib: int
    kernel: str

    @classmethod
    def here(cls) -> "Machine":
        """Return what this machine is."""
        memory_mib = 0
        if hasattr(os, "sysconf"):
            memory_mib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
        kernel = os.uname().release if hasattr(os, "uname") else ""
        return cls(os.cpu_count() or 1, memory_mib, kernel)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What ``faaslab doctor --calibrate`` measured.

    Attributes:
        profile: The machine as a platform.
        machine: Where that was.
        engine: Version of its Docker engine.
        date: When, in UTC.
        measured: All that was measured, by name.
    """

    profile: PlatformProfile
    machine: Machine
    engine: str
    date: str
    measured: dict[str, Any] = field(default_factory=dict)


def calibration_path() -> Path:
    """Return the file of this machine's calibration.

    It is in ``$FAASLAB_PROFILE_DIR``, else in ``faaslab/`` of ``$XDG_CONFIG_HOME``, else in ``~/.config/faaslab``.
    """
    if folder := os.environ.get(PROFILE_DIR_VARIABLE):
        return Path(folder) / "this_machine.json"
    config = os.environ.get("XDG_CONFIG_HOME")
    return (Path(config) if config else Path.home() / ".config") / "faaslab" / "this_machine.json"


def save_calibration(calibration: Calibration) -> Path:
    """Write the file that ``profile_named("this machine")`` reads; returns its path.

    Raises:
        ConfigError: It can't be written.
    """
    path = calibration_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(calibration)) + b"\n")
        fresh.replace(path)
    except OSError as error:
        raise ConfigError(f"the calibration can't be saved: {error}; set {PROFILE_DIR_VARIABLE} to a folder") from error
    return path


def load_calibration() -> Calibration:
    """Return what was measured on this machine.

    Raises:
        ConfigError: Nothing was, or on another machine, or the file is damaged.
    """
    path = calibration_path()
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Calibration)
    except FileNotFoundError:
        raise ConfigError(f"this machine has not been measured ({path} does not exist): run `{CALIBRATE}`") from None
    except (OSError, msgspec.MsgspecError, ConfigError) as error:
        raise ConfigError(f"{path} can't be read: {error}; run `{CALIBRATE}` again") from error
    here = Machine.here()
    if (found.machine.cores, found.machine.memory_mib) != (here.cores, here.memory_mib):
        raise ConfigError(
            f"{path} was measured with {found.machine.cores} cores and {found.machine.memory_mib} MiB, but this "
            f"machine has {here.cores} and {here.memory_mib} MiB: run `{CALIBRATE}` again"
        )
    return found


def profile_named(name: str) -> PlatformProfile:
    """Return a profile by its name; ``"this machine"`` is what was measured here.

    Raises:
        ConfigError: There is no such profile, or this machine has not been measured.
    """
    if name in (THIS_MACHINE, "this_machine"):
        return load_calibration().profile
    if name not in PROFILES:
        known = ", ".join(repr(known) for known in (*PROFILES, THIS_MACHINE))
        raise ConfigError(f"unknown platform profile {name!r}; known: {known}")
    return PROFILES[name]
