"""Servers and stores for the storage tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from faaslab.storage.embedded import EmbeddedServer, ServerBinary


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """The embedded server that users get."""
    with EmbeddedServer(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="session")
def debian_redis(tmp_path_factory: pytest.TempPathFactory, redis_server_path: Path) -> Iterator[EmbeddedServer]:
    """A server of another kind and age."""
    binary = ServerBinary("redis-server", redis_server_path)
    with EmbeddedServer(tmp_path_factory.mktemp("redis"), binary=binary) as server:
        yield server
