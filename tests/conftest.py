"""What all tests share."""

import os
import shutil
from pathlib import Path

import pytest


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
