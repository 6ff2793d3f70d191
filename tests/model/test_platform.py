"""Platforms: names, limits, refused nonsense."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from faaslab.errors import ConfigError
from faaslab.model.platform import Platform, platform_named
from faaslab.model.prices import Prices
from faaslab.model.profiles import Calibration, Machine, PlatformProfile, profile_named, save_calibration


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where this machine's calibration is looked for."""
    monkeypatch.setenv("FAASLAB_PROFILE_DIR", str(tmp_path))


@pytest.mark.parametrize("name", ["lambda", "openwhisk", "none"])
def test_clouds_have_a_profile_and_no_shared_cores(name: str) -> None:
    """A platform is its profile with prices and limits, and clouds give each container a CPU of its own."""
    platform = platform_named(name)
    assert platform.name == name
    assert platform.profile is profile_named(name)
    assert platform.prices == Prices()
    assert math.isinf(platform.cores)


def test_this_machine_keeps_a_core_for_itself() -> None:
    """This machine is what was measured of it, with one core fewer than are usable, and needs to be measured."""
    with pytest.raises(ConfigError, match="has not been measured"):
        platform_named("this machine")
    profile = PlatformProfile("this machine", "measured", cold_start_s=0.2)
    save_calibration(Calibration(profile, Machine.here(), "20.10", "2026-01-01T00:00:00+00:00"))
    platform = platform_named("this machine")
    assert platform.profile == profile
    assert 1 <= platform.cores <= max(1, Machine.here().cores - 1)


def test_unknown_name() -> None:
    """An unknown platform is refused with the names that are known."""
    with pytest.raises(ConfigError, match="unknown platform profile 'lamda'; known: 'none', 'lambda'"):
        platform_named("lamda")


@pytest.mark.parametrize("limit", [0, -1, 1.5, math.nan, math.inf, True])
def test_refused_concurrency(limit: float) -> None:
    """Concurrency is a whole number of at least 1."""
    with pytest.raises(ConfigError, match="concurrency is"):
        replace(platform_named("none"), concurrency=limit)  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["cores", "client_invokes_per_s"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan])
def test_refused_rates(field: str, value: float) -> None:
    """Cores and rates are above 0."""
    with pytest.raises(ConfigError, match=f"{field} is {value}"):
        replace(platform_named("none"), **{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
@pytest.mark.parametrize("field", ["upload_bytes_per_s", "download_bytes_per_s", "cold_start_s", "keep_alive_s"])
def test_refused_profiles(field: str, value: float) -> None:
    """Negative, infinite and undefined numbers of a profile are refused; a bandwidth of 0 means no limit."""
    with pytest.raises(ConfigError, match=field):
        Platform(PlatformProfile("mine", "none", **{field: value}))  # type: ignore[arg-type]
    assert Platform(PlatformProfile("mine", "none", upload_bytes_per_s=0.0)).profile.upload_bytes_per_s == 0.0
