"""What all tests share."""

import os
import shutil
from functools import cache
from pathlib import Path

import hypothesis
import pytest

from faaslab.errors import LauncherError
from faaslab.launchers import engine

# How long an example takes depends on what else the machine does; pytest-timeout ends what hangs.
hypothesis.settings.register_profile("faaslab", deadline=None)
hypothesis.settings.load_profile("faaslab")

os.environ["FAASLAB_HISTORY_DIR"] = ""
"""Tests neither learn from earlier runs nor leave any behind, unless they say where."""


@pytest.fixture(scope="session")
def redis_server_path() -> Path:
    """Return the path of a ``redis-server`` program; without one, skip at home and fail in CI."""
    found = shutil.which("redis-server")
    if found is None:
        reason = "no redis-server on PATH (Debian: apt-get install redis-server)"
        if os.environ.get("FAASLAB_CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return Path(found)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that needs a Docker engine where none answers; in CI that is a failure."""
    if item.get_closest_marker("docker") is None:
        return
    reason = missing_engine()
    if reason and os.environ.get("FAASLAB_CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


@cache
def missing_engine() -> str:
    """Return why there is no Docker engine; empty if there is one."""
    try:
        engine.connect().close()
    except LauncherError as error:
        return str(error)
    return ""
