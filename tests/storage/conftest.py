"""Servers and stores for the storage tests."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from faaslab.storage.embedded import EmbeddedServer, ServerBinary
from faaslab.storage.redis import RedisStorage


class OpenStore(Protocol):
    """Opens a store that the test need not close."""

    def __call__(self, url: str, lab: str = "lab", **how: Any) -> RedisStorage: ...


@pytest.fixture
def open_store() -> Iterator[OpenStore]:
    with ExitStack() as stack:

        def opened(url: str, lab: str = "lab", **how: Any) -> RedisStorage:
            store = RedisStorage(url, lab, **how)
            stack.callback(store.close)
            return store

        yield opened


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
