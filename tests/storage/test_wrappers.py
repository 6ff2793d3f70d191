"""Wrapped stores keep every promise, and do what they add to it."""

import inspect
from collections.abc import Callable

import pytest

from faaslab.errors import ConfigError, StoreUnavailable
from faaslab.protocol.messages import Completion
from faaslab.protocol.storage import Storage
from faaslab.storage.memory import MemoryStorage
from faaslab.storage.network import Link, NetworkProfile, NetworkStorage
from faaslab.storage.wrappers import (
    Count,
    CountingStorage,
    DelayingStorage,
    FaultyStorage,
    StorageWrapper,
    size_bytes,
)
from tests.storage.conformance import StorageConformance
from tests.storage.scene import BackDoor, MakeStore, MemoryDoor, Scene, spec, successor


class Ticks:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.at_s = 100.0
        self.slept_s: list[float] = []

    def now_s(self) -> float:
        return self.at_s

    def sleep(self, time_s: float) -> None:
        self.slept_s.append(time_s)
        self.at_s += time_s


def slow_network(inner: Storage) -> Storage:
    """Return a store behind a slow network, on a clock of its own."""
    ticks = Ticks()
    profile = NetworkProfile(0.1, 1000.0, 2000.0, 500.0, 0.5)
    shared = Link(ticks.now_s).reserve
    return NetworkStorage(inner, profile, 7, shared=shared, now_s=ticks.now_s, sleep=ticks.sleep)


@pytest.mark.parametrize(
    "wrap",
    [
        CountingStorage,
        lambda inner: DelayingStorage(inner, {"complete": 1.0}, sleep=Ticks().sleep),
        lambda inner: FaultyStorage(inner, {"complete": [0, 0]}),
        slow_network,
        lambda inner: CountingStorage(slow_network(inner)),
    ],
    ids=["counting", "delaying", "faulty", "network", "two"],
)
class TestWrapped(StorageConformance):
    """All promises through each wrapper."""

    @pytest.fixture
    def inner(self) -> MemoryStorage:
        return MemoryStorage()

    @pytest.fixture
    def make_store(self, wrap: Callable[[Storage], Storage], inner: MemoryStorage) -> MakeStore:
        labs: dict[str, Storage] = {}
        return lambda lab: labs.setdefault(lab, wrap(inner if lab == "lab" else MemoryStorage()))

    @pytest.fixture
    def door(self, inner: MemoryStorage) -> BackDoor:
        return MemoryDoor(inner)


def test_every_operation_is_passed_on() -> None:
    """A new operation of the interface can't be forgotten, and keeps its documentation."""
    for name, method in inspect.getmembers(Storage, inspect.isfunction):
        if not name.startswith("_"):
            assert name in vars(StorageWrapper), name
            assert vars(StorageWrapper)[name].__doc__, method


def test_counts_by_operation() -> None:
    """Calls and bytes each way."""
    scene = Scene(store := CountingStorage(MemoryStorage()))
    scene.start(spec(parts={"structure": b"x" * 1000}))
    claim = scene.worker("c")
    assert store.counts["next"].calls == 1
    assert store.counts["next"].received_bytes > 1000
    before = store.counts["complete"] if "complete" in store.counts else Count()
    assert before == Count()
    scene.done(claim, 0, output=b"y" * 500, must_store=True)
    with pytest.raises(TypeError):
        store.complete()  # type: ignore[call-arg]
    assert store.counts["complete"].calls == 2
    assert 500 < store.counts["complete"].sent_bytes < 1000
    store.put_blob("run", "k", iter([b"z" * 300]))
    assert store.counts["put_blob"] == Count(1, 304, 8)


def test_sizes_of_messages() -> None:
    """Bytes and text count as they are, numbers as eight bytes, at any depth."""
    assert size_bytes((b"abc", "äb", 1, {2: memoryview(b"12345")}, [None, True])) == 3 + 3 + 8 + 8 + 5 + 16


def test_delays_by_operation() -> None:
    """Only the named operations wait."""
    ticks = Ticks()
    store = DelayingStorage(MemoryStorage(), {"demand": 0.25}, sleep=ticks.sleep)
    store.demand()
    store.clients()
    assert ticks.slept_s == [0.25]


def test_faults_before_and_after() -> None:
    """A lost request changes nothing; after a lost answer the call may be repeated; later calls succeed."""
    inner = MemoryStorage()
    scene = Scene(FaultyStorage(inner, {"complete": [0, -1, 1], "renew_client": [-1]}))
    with pytest.raises(StoreUnavailable, match="request of 'renew_client'"):
        scene.start()
    scene.start()
    claim = scene.worker("c")
    door = MemoryDoor(inner)
    scene.done(claim, 0, must_store=True)
    with pytest.raises(StoreUnavailable, match="request of 'complete'"):
        scene.done(claim, 1, must_store=True)
    assert door.outputs("run") == {0: b"output 0"}
    completion = Completion(claim, 1, b"1", successors=(successor(5),), take=1, must_store=True)
    with pytest.raises(StoreUnavailable, match="answer to 'complete'"):
        scene.store.complete(completion)
    assert door.outputs("run") == {0: b"output 0", 1: b"1"}
    assert scene.store.complete(completion).taken == (5,)


class TestNetwork:
    """An emulated network, on a clock that only it moves."""

    @pytest.fixture
    def ticks(self) -> Ticks:
        return Ticks()

    def test_latency(self, ticks: Ticks) -> None:
        """Half before the call, half after it."""
        store = NetworkStorage(MemoryStorage(), NetworkProfile(0.5), now_s=ticks.now_s, sleep=ticks.sleep)
        store.demand()
        assert ticks.slept_s == [0.25, 0.25]

    def test_no_profile_no_sleep(self, ticks: Ticks) -> None:
        """An unlimited network costs nothing."""
        NetworkStorage(MemoryStorage(), NetworkProfile(), now_s=ticks.now_s, sleep=ticks.sleep).demand()
        assert ticks.slept_s == []

    def test_jitter_is_seeded(self) -> None:
        """The same seed gives the same delays, another one others."""
        runs = []
        for seed in (1, 1, 2):
            ticks = Ticks()
            profile = NetworkProfile(0.1, jitter=0.3)
            store = NetworkStorage(MemoryStorage(), profile, seed, now_s=ticks.now_s, sleep=ticks.sleep)
            for _ in range(50):
                store.demand()
            runs.append(ticks.slept_s)
        assert runs[0] == runs[1] != runs[2]
        assert len(set(runs[0])) == 50
        assert 3.5 < sum(runs[0]) < 7.5

    def test_bandwidth_each_way(self, ticks: Ticks) -> None:
        """What is sent takes the upload's time, what is received the download's."""
        inner = MemoryStorage()
        Scene(inner).start()
        profile = NetworkProfile(upload_bytes_per_s=1000.0, download_bytes_per_s=100.0)
        store = NetworkStorage(inner, profile, now_s=ticks.now_s, sleep=ticks.sleep)
        store.put_blob("run", "k", [b"x" * 4996])
        assert ticks.slept_s == [pytest.approx(5.0), pytest.approx(0.08)]
        store.get_blob("run", "k", 1)
        assert ticks.slept_s[2:] == [pytest.approx(0.012), pytest.approx(49.96)]

    def test_calls_share_a_workers_line(self, ticks: Ticks) -> None:
        """A second thread's call waits until the first one's bytes are through; idle time is not saved up."""
        link = Link(ticks.now_s)
        assert [link.reserve(2.0), link.reserve(1.0)] == [2.0, 3.0]
        ticks.sleep(10.0)
        assert link.reserve(0.5) == 0.5

    def test_workers_share_the_stores_line(self, ticks: Ticks) -> None:
        """Two fast workers are as slow as the store that they share; small calls are charged together."""
        inner = MemoryStorage()
        Scene(inner).start()
        shared = Link(ticks.now_s).reserve
        profile = NetworkProfile(store_bytes_per_s=10_000.0)
        waits: list[float] = []
        stores = [
            NetworkStorage(inner, profile, i, shared=shared, now_s=ticks.now_s, sleep=waits.append) for i in range(2)
        ]
        for store in stores:
            store.put_blob("run", "k", [b"x" * 19_996])
        assert waits == [pytest.approx(2.0), pytest.approx(4.0)]
        for _ in range(100):
            stores[0].demand()
        assert len(waits) == 2

    def test_settings_out_of_range(self) -> None:
        """They are errors that name the setting."""
        with pytest.raises(ConfigError, match="upload_bytes_per_s is 0"):
            NetworkProfile(upload_bytes_per_s=0)
        with pytest.raises(ConfigError, match="jitter is -1"):
            NetworkProfile(jitter=-1)
        with pytest.raises(ConfigError, match="shared"):
            NetworkStorage(MemoryStorage(), NetworkProfile(store_bytes_per_s=1.0))
