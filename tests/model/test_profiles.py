"""Profiles of platforms: cited, checked, and for this machine measured."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from faaslab.errors import ConfigError
from faaslab.model.profiles import (
    PROFILES,
    Calibration,
    Machine,
    PlatformProfile,
    calibration_path,
    profile_named,
    save_calibration,
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this machine's calibration is looked for."""
    monkeypatch.setenv("FAASLAB_PROFILE_DIR", str(tmp_path))
    return tmp_path


def measured(machine: Machine) -> Calibration:
    """A calibration of a machine."""
    profile = PlatformProfile("this machine", "measured", cold_start_s=0.2, cold_start_sigma=0.1)
    return Calibration(profile, machine, "20.10", "2026-01-01T00:00:00+00:00", {"cold": [0.1, 0.2, 0.3]})


def test_platforms_are_named() -> None:
    """The shipped platforms are found by name, say where their numbers come from, and are slower than no platform."""
    for name in ("lambda", "openwhisk"):
        profile = profile_named(name)
        assert profile.name == name
        assert "measured" in profile.source or "assum" in profile.source
        assert profile.cold_start_s > profile.invocation_latency_s > profile.store_latency_s > 0


def test_lambda_numbers() -> None:
    """The numbers of the Lambda profile are those that its source names."""
    profile = PROFILES["lambda"]
    assert profile.invocation_latency_s == 0.025
    assert profile.upload_bytes_per_s * 8 == 600e6
    assert 5 * 60 <= profile.keep_alive_s <= 7 * 60


def test_openwhisk_spread() -> None:
    """97 % of OpenWhisk's cold starts take less than two seconds, as its source says."""
    profile = PROFILES["openwhisk"]
    share = 0.5 * (1 + math.erf(math.log(2.0 / profile.cold_start_s) / profile.cold_start_sigma / math.sqrt(2)))
    assert share == pytest.approx(0.97, abs=0.005)


def test_no_platform_emulates_nothing() -> None:
    """Under the profile "none" nothing is delayed or limited, and idle containers stay for a minute."""
    assert profile_named("none") == PlatformProfile("none", PROFILES["none"].source, keep_alive_s=60.0)


@pytest.mark.parametrize(
    "change",
    [
        {"cold_start_s": -1.0},
        {"cold_start_sigma": math.nan},
        {"upload_bytes_per_s": math.inf},
        {"name": ""},
        {"source": ""},
    ],
)
def test_bad_profiles(change: dict[str, object]) -> None:
    """A negative or infinite number and a profile without source are refused by the field's name."""
    with pytest.raises(ConfigError, match=next(iter(change))):
        replace(PROFILES["lambda"], **change)  # type: ignore[arg-type]


def test_unknown_name() -> None:
    """An unknown name is refused with the names that there are."""
    with pytest.raises(ConfigError, match=r"'azure'.*'lambda'.*'openwhisk'.*'this machine'"):
        profile_named("azure")


@pytest.mark.parametrize("name", ["this machine", "this_machine"])
def test_this_machine(name: str, folder: Path) -> None:
    """What was measured on this machine is saved where it is looked for, and comes back."""
    calibration = measured(Machine.here())
    assert save_calibration(calibration).parent == folder
    assert profile_named(name) == calibration.profile
    assert [path.name for path in folder.iterdir()] == ["this_machine.json"]


def test_machine_that_was_not_measured() -> None:
    """Without a calibration the error names the command that makes one."""
    with pytest.raises(ConfigError, match=r"faaslab doctor --calibrate"):
        profile_named("this machine")


def test_another_machine() -> None:
    """A calibration from a machine with other cores or memory is refused, with both numbers."""
    here = Machine.here()
    save_calibration(measured(replace(here, cores=here.cores + 2)))
    with pytest.raises(ConfigError, match=rf"{here.cores + 2} cores.*has {here.cores} .*doctor --calibrate"):
        profile_named("this machine")
    save_calibration(measured(replace(here, memory_mib=here.memory_mib + 1024)))
    with pytest.raises(ConfigError, match=rf"{here.memory_mib + 1024} MiB"):
        profile_named("this machine")


@pytest.mark.parametrize("text", ["", "{}", '{"profile": 1}'])
def test_damaged_calibration(text: str, folder: Path) -> None:
    """A file that can't be read is named, with the command that makes it anew."""
    (folder / "this_machine.json").write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=r"this_machine\.json.*doctor --calibrate"):
        profile_named("this machine")


def test_folder_that_cannot_be_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be saved the error says which variable names another folder."""
    (folder / "file").touch()
    monkeypatch.setenv("FAASLAB_PROFILE_DIR", str(folder / "file"))
    with pytest.raises(ConfigError, match="FAASLAB_PROFILE_DIR"):
        save_calibration(measured(Machine.here()))


def test_folder_of_settings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless named, the file is among the user's settings, wherever these are."""
    monkeypatch.delenv("FAASLAB_PROFILE_DIR")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    assert calibration_path() == folder / "faaslab" / "this_machine.json"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(folder))
    assert calibration_path() == folder / ".config" / "faaslab" / "this_machine.json"
