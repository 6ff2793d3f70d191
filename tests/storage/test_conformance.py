"""Every store keeps the same promises."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from faaslab.protocol.storage import Storage
from faaslab.storage.embedded import EmbeddedServer
from faaslab.storage.memory import MemoryStorage
from faaslab.storage.redis import RedisStorage
from tests.storage.conformance import StorageConformance
from tests.storage.scene import BackDoor, MakeStore, MemoryDoor, RedisDoor


class TestMemoryStorage(StorageConformance):
    """The store of inline and virtual runs, the model of the others."""

    @pytest.fixture
    def make_store(self) -> MakeStore:
        labs: dict[str, Storage] = {}
        return lambda lab: labs.setdefault(lab, MemoryStorage())

    @pytest.fixture
    def door(self, store: Storage) -> BackDoor:
        assert isinstance(store, MemoryStorage)
        return MemoryDoor(store)


class RedisConformance(StorageConformance):
    """The store on a server; a subclass says on which."""

    @pytest.fixture
    def server(self) -> EmbeddedServer:
        raise NotImplementedError

    @pytest.fixture
    def make_store(self, server: EmbeddedServer) -> Iterator[MakeStore]:
        with ExitStack() as stack:

            def make(lab: str) -> Storage:
                store = RedisStorage(server.url, lab, timeout_s=10.0)
                stack.callback(store.close)
                stack.callback(store.delete_lab)
                return store

            yield make

    @pytest.fixture
    def door(self, store: Storage) -> Iterator[BackDoor]:
        assert isinstance(store, RedisStorage)
        door = RedisDoor(store)
        yield door
        door.close()


class TestOnEmbeddedValkey(RedisConformance):
    """The server that users get."""

    @pytest.fixture
    def server(self, valkey: EmbeddedServer) -> EmbeddedServer:
        return valkey


@pytest.mark.redis
class TestOnDebianRedis(RedisConformance):
    """A server of another kind and age."""

    @pytest.fixture
    def server(self, debian_redis: EmbeddedServer) -> EmbeddedServer:
        return debian_redis
