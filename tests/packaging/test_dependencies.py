"""The lock and the conda environment follow from pyproject.toml."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


@pytest.fixture(scope="module")
def lock() -> str:
    return (ROOT / "requirements.lock").read_text("utf-8")


def locked_versions(lock: str) -> dict[str, list[Version]]:
    """Return the locked versions by name; a name has several where they depend on the Python version."""
    versions: dict[str, list[Version]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^ \\]+)", lock, re.MULTILINE):
        versions.setdefault(canonicalize_name(name), []).append(Version(version))
    return versions


def test_lock_names_no_host(lock: str) -> None:
    """The lock holds names, versions and hashes, and no address to download from."""
    assert "://" not in lock
    assert not re.search(r"^\s*(-i|--index|--extra-index|--find-links|-f)\b", lock, re.MULTILINE)


def test_every_locked_requirement_has_hashes(lock: str) -> None:
    """Each requirement of the lock is pinned and followed by at least one hash."""
    body = "\n" + "\n".join(line for line in lock.splitlines() if not line.lstrip().startswith("#"))
    blocks = re.split(r"\n(?=\S)", body)[1:]
    assert len(blocks) > 50
    assert [block for block in blocks if not re.match(r"\S+==\S+ .*--hash=sha256:", block, re.DOTALL)] == []


def test_lock_covers_direct_dependencies(pyproject: dict[str, Any], lock: str) -> None:
    """Every dependency of pyproject.toml, extras and dev group included, is locked at a version it allows."""
    texts = [*pyproject["project"]["dependencies"], *pyproject["dependency-groups"]["dev"]]
    for extra in pyproject["project"]["optional-dependencies"].values():
        texts += extra
    requirements = [Requirement(text) for text in texts if not text.startswith("faaslab[")]
    versions = locked_versions(lock)
    for requirement in requirements:
        found = versions.get(canonicalize_name(requirement.name))
        assert found, f"{requirement.name} is not in requirements.lock; run ./run lock"
        assert all(version in requirement.specifier for version in found), f"{requirement}: locked at {found}"


def test_extra_all_names_every_other_extra(pyproject: dict[str, Any]) -> None:
    """``faaslab[all]`` installs what the other extras install."""
    extras = dict(pyproject["project"]["optional-dependencies"])
    (everything,) = (Requirement(text) for text in extras.pop("all"))
    assert everything.name == "faaslab"
    assert everything.extras == set(extras)


def test_conda_environment_agrees(pyproject: dict[str, Any]) -> None:
    """environment.yml adds nothing of its own to pyproject.toml: an allowed Python, pip, and this project."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    assert environment["channels"] == ["conda-forge"]
    python, pip, section = environment["dependencies"]
    assert pip == "pip"
    assert section == {"pip": ["-e .[all]"]}
    name, version = python.split("=")
    assert name == "python"
    assert Version(version) in SpecifierSet(pyproject["project"]["requires-python"])
