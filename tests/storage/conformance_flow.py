"""What every store promises about outputs that are streamed to workers that watch them."""

import pytest

from faaslab.errors import Fenced, PayloadError, StorageError
from faaslab.protocol.messages import Claim, Completion, FlowState, Offer, Reply, Seen, Start, Suspension
from faaslab.trace.events import TaskStarted, encode_events
from tests.storage.conformance_watch import RANG, SILENT, Ear, WatchConformance
from tests.storage.scene import SMALL, BackDoor, Scene, spec, successor

KEY, NBYTES, CHUNKS = "3-p-1", 12, 3


class FlowConformance(WatchConformance):
    """Streams: offers, chunks, acknowledgements."""

    def watched(self, scene: Scene, *workers: str) -> tuple[Claim, list[Claim]]:
        """Return a producer and workers that watch task 3, each in a container of its name."""
        scene.start(spec(starts=[Start(name, SMALL) for name in ("p", *workers)]))
        claims = [scene.worker(name) for name in ("p", *workers)]
        for claim in claims[1:]:
            scene.store.watch(claim, [3])
        return claims[0], claims[1:]

    def offered(self, scene: Scene, producer: Claim, *workers: str, only: bool = True) -> FlowState:
        """Offer task 3."""
        return scene.store.offer(producer, Offer(3, KEY, NBYTES, CHUNKS, workers, only))

    def put(self, scene: Scene, producer: Claim, index: int) -> FlowState:
        """Write a chunk; the last one brings the digest."""
        digest = b"digest\x00" if index == CHUNKS - 1 else b""
        return scene.store.put_chunk(producer, 3, KEY, index, memoryview(b"chk%d" % index), digest)

    def test_a_sole_consumer_receives_it_and_nothing_is_stored(self, scene: Scene, door: BackDoor) -> None:
        """Bells ring both ways; what has been received is gone; the whole is told with its digest."""
        producer, (consumer,) = self.watched(scene, "c")
        theirs, ours = Ear(scene.store, "c"), Ear(scene.store, "p")
        assert self.offered(scene, producer, "c") == FlowState(1, True, 0, 0)
        assert theirs.rang() is RANG
        assert scene.store.watch(consumer, [3, 4]) == {3: Seen(NBYTES, KEY, CHUNKS, 0, False)}
        assert self.put(scene, producer, 0) == self.put(scene, producer, 1) == FlowState(1, True, 0, 0)
        assert (theirs.rang(), theirs.rang(), ours.rang()) == (RANG, SILENT, SILENT)
        assert scene.store.watch(consumer, [3]) == {3: Seen(NBYTES, KEY, CHUNKS, 2, False)}
        assert scene.store.get_blob("run", KEY, 2) == [b"chk0", b"chk1"]
        assert scene.store.get_blob("run", KEY, 2, 1) == [b"chk1"]
        scene.store.watch(consumer, [3], {3: (KEY, 1)})
        assert ours.rang() is RANG
        assert door.blob_bytes("run") == 4
        assert scene.store.flow(producer, 3, KEY) == FlowState(1, True, 1, 1)
        with pytest.raises(PayloadError):
            scene.store.get_blob("run", KEY, 1)
        assert self.put(scene, producer, 2) == FlowState(1, True, 1, 1)
        assert scene.store.watch(consumer, [3]) == {3: Seen(NBYTES, KEY, CHUNKS, 3, False, b"digest\x00")}
        assert scene.store.watch(consumer, [], {3: (KEY, 3)}) == {}
        assert scene.store.flow(producer, 3, KEY) == FlowState(1, True, 3, 3)
        assert door.blob_bytes("run") == 0
        assert door.outputs("run") == {}

    def test_nobody_watches(self, scene: Scene) -> None:
        """Without a consumer there is no stream; who watches but is not meant is no consumer."""
        producer, _ = self.watched(scene, "c")
        assert self.offered(scene, producer, "d") == FlowState(0, False, 0, 0)
        with pytest.raises(StorageError, match="offer it first"):
            self.put(scene, producer, 0)
        with pytest.raises(StorageError, match="offer it first"):
            scene.store.flow(producer, 3, KEY)

    @pytest.mark.parametrize(("workers", "only"), [(("c", "d"), True), (("c",), False)])
    def test_others_need_it_too(self, scene: Scene, door: BackDoor, workers: tuple[str, ...], only: bool) -> None:
        """Chunks stay, and are a blob in the end."""
        producer, (consumer,) = self.watched(scene, "c")
        assert self.offered(scene, producer, *workers, only=only) == FlowState(1, False, 0, 0)
        for index in range(CHUNKS):
            self.put(scene, producer, index)
            scene.store.watch(consumer, [3], {3: (KEY, index + 1)})
        assert scene.store.flow(producer, 3, KEY) == FlowState(1, False, 3, 0)
        assert scene.store.get_blob("run", KEY, 3) == [b"chk0", b"chk1", b"chk2"]
        assert door.blob_bytes("run") == NBYTES

    def test_the_slowest_of_two_counts(self, scene: Scene, door: BackDoor) -> None:
        """Chunks go when both have them."""
        producer, (one, other) = self.watched(scene, "c", "d")
        assert self.offered(scene, producer, "c", "d") == FlowState(2, True, 0, 0)
        self.put(scene, producer, 0)
        self.put(scene, producer, 1)
        scene.store.watch(one, [3], {3: (KEY, 2)})
        assert scene.store.flow(producer, 3, KEY) == FlowState(2, True, 0, 0)
        scene.store.watch(other, [3], {3: (KEY, 1)})
        scene.store.watch(one, [3], {3: (KEY, 1)})
        assert scene.store.flow(producer, 3, KEY) == FlowState(2, True, 1, 1)
        assert door.blob_bytes("run") == 4

    def test_who_has_it_is_not_offered_it_again(self, scene: Scene) -> None:
        """Another attempt of the producer finds nobody who waits; but what was streamed in part is offered again."""
        producer, (whole, part) = self.watched(scene, "c", "d")
        self.offered(scene, producer, "c", "d")
        for index in range(CHUNKS):
            self.put(scene, producer, index)
        scene.store.watch(whole, [], {3: (KEY, 3)})
        scene.store.watch(part, [3], {3: (KEY, 2)})
        scene.store.remove("p", "killed")
        again = scene.worker("q")
        assert scene.store.offer(again, Offer(3, "3-p-2", 8, 2, ("c", "d"), True)) == FlowState(1, False, 0, 0)
        assert scene.store.watch(part, [3]) == {3: Seen(8, "3-p-2", 2, 0, False)}

    @pytest.mark.parametrize("told", [False, True])
    @pytest.mark.parametrize("how", ["suspends", "fails"])
    def test_what_a_consumer_stores_has_arrived(self, scene: Scene, door: BackDoor, how: str, told: bool) -> None:
        """A consumer that leaves stores what was streamed to it only if its producer has told of it."""
        producer, (consumer,) = self.watched(scene, "c")
        self.offered(scene, producer, "c")
        for index in range(CHUNKS):
            self.put(scene, producer, index)
        scene.store.watch(consumer, [], {3: (KEY, 3)})
        if told:
            scene.store.complete(Completion(producer, 3, streamed=True, successors=(successor(8, 2),), remaining=(4,)))
        if how == "suspends":
            scene.store.suspend(Suspension(consumer, 8, {3: b"streamed", 5: b"own"}))
        else:
            scene.fails(consumer, 8, retries=1, outputs={3: b"streamed", 5: b"own"})
        assert door.outputs("run") == {5: b"own"} | ({3: b"streamed"} if told else {})
        assert not scene.store.flow(producer, 3, KEY).instead

    def test_what_was_delivered_is_known(self, scene: Scene, door: BackDoor) -> None:
        """Whoever asks hears which outputs were streamed to all who need them; the edge has arrived."""
        producer, (consumer,) = self.watched(scene, "c")
        self.offered(scene, producer, "c")
        for index in range(CHUNKS):
            self.put(scene, producer, index)
        scene.store.watch(consumer, [], {3: (KEY, 3)})
        told = Completion(producer, 3, streamed=True, successors=(successor(8, 2),), remaining=(4,))
        for _ in range(2):
            assert scene.store.complete(told) == Reply()
        assert scene.store.delivered(consumer) == {3}
        assert scene.store.stored(consumer) == frozenset()
        assert door.arrived("run", 8) == {3}
        scene.store.remove("c", "killed")
        with pytest.raises(Fenced):
            scene.store.delivered(consumer)

    @pytest.mark.parametrize("how", ["nothing", "part", "gone"])
    def test_what_was_not_received_is_refused(self, scene: Scene, door: BackDoor, how: str) -> None:
        """Nothing arrives: a consumer may have gone after it had acknowledged everything. Events are kept, once."""
        producer, (consumer,) = self.watched(scene, "c")
        if how != "nothing":
            self.offered(scene, producer, "c")
            for index in range(CHUNKS):
                self.put(scene, producer, index)
            scene.store.watch(consumer, [], {3: (KEY, 2 if how == "part" else 3)})
        if how == "gone":
            scene.store.suspend(Suspension(consumer, 8))
        events = encode_events([TaskStarted(1.0, 3, "p", "p", 1)])
        told = Completion(producer, 3, streamed=True, successors=(successor(8, 2),), ends=True, events=events, number=1)
        for _ in range(2):
            assert scene.store.complete(told) == Reply(refused=True)
        assert len(scene.said(TaskStarted)) == 1
        assert door.arrived("run", 8) == set()
        assert scene.store.delivered(producer) == frozenset()
        assert scene.done(producer, 3, successor(8, 2), remaining=(4,)).stored

    @pytest.mark.parametrize("how", ["declines", "dies", "ends", "suspends"])
    def test_a_consumer_that_will_not_have_it(self, scene: Scene, how: str) -> None:
        """It has to be stored: what is gone can be written again."""
        producer, (consumer, _) = self.watched(scene, "c", "d")
        self.offered(scene, producer, "c", only=True)
        self.put(scene, producer, 0)
        scene.store.watch(consumer, [3], {3: (KEY, 1)})
        ear = Ear(scene.store, "p")
        ear.rang()
        if how == "declines":
            scene.store.watch(consumer, [3], {3: (KEY, -1)})
            assert ear.rang() is RANG
            assert scene.store.watch(consumer, [3]) == {}
        elif how == "dies":
            scene.store.remove("c", "killed")
        elif how == "ends":
            scene.done(consumer, 8, ends=True)
        else:
            scene.fails(consumer, 8, retries=1)
        assert scene.store.flow(producer, 3, KEY) == FlowState(0, False, 0, 1)
        for index in (1, 2, 0):
            assert self.put(scene, producer, index) == FlowState(0, False, 0, 1)
        assert scene.store.get_blob("run", KEY, 3) == [b"chk0", b"chk1", b"chk2"]

    def test_a_consumer_that_had_it_all_may_end(self, scene: Scene) -> None:
        """Having received everything it needs nothing any more; another attempt of it would."""
        producer, (consumer, other) = self.watched(scene, "c", "d")
        self.offered(scene, producer, "c", "d")
        for index in range(CHUNKS):
            self.put(scene, producer, index)
        for claim in (consumer, other):
            scene.store.watch(claim, [], {3: (KEY, 3)})
        scene.done(consumer, 8, ends=True)
        assert scene.store.flow(producer, 3, KEY) == FlowState(2, True, 3, 3)
        scene.store.remove("d", "killed")
        assert scene.store.flow(producer, 3, KEY) == FlowState(1, False, 3, 3)

    def test_a_producer_may_give_up(self, scene: Scene, door: BackDoor) -> None:
        """From then on nothing goes any more."""
        producer, (consumer,) = self.watched(scene, "c")
        self.offered(scene, producer, "c")
        self.put(scene, producer, 0)
        assert scene.store.flow(producer, 3, KEY, True) == FlowState(1, False, 0, 0)
        scene.store.watch(consumer, [3], {3: (KEY, 1)})
        assert door.blob_bytes("run") == 4

    def test_another_attempt_begins_anew(self, scene: Scene, door: BackDoor) -> None:
        """The stream of the first one is gone, with what was acknowledged of it."""
        producer, (consumer,) = self.watched(scene, "c")
        self.offered(scene, producer, "c")
        self.put(scene, producer, 0)
        scene.store.remove("p", "killed")
        with pytest.raises(Fenced):
            self.put(scene, producer, 1)
        with pytest.raises(Fenced):
            scene.store.flow(producer, 3, KEY)
        with pytest.raises(Fenced):
            self.offered(scene, producer, "c")
        second = scene.worker("q")
        assert scene.store.offer(second, Offer(3, "3-p-2", 8, 2, ("c",), True)) == FlowState(1, True, 0, 0)
        assert door.blob_bytes("run") == 0
        assert scene.store.watch(consumer, [3], {3: (KEY, 3)}) == {3: Seen(8, "3-p-2", 2, 0, False)}
        assert scene.store.flow(second, 3, "3-p-2") == FlowState(1, True, 0, 0)

    def test_calls_may_come_twice(self, scene: Scene, door: BackDoor) -> None:
        """A late copy of a chunk that is gone, or of an acknowledgement, changes nothing."""
        producer, (consumer,) = self.watched(scene, "c")
        for _ in range(2):
            assert self.offered(scene, producer, "c") == FlowState(1, True, 0, 0)
        self.put(scene, producer, 0)
        self.put(scene, producer, 1)
        scene.store.watch(consumer, [3], {3: (KEY, 2)})
        scene.store.watch(consumer, [3], {3: (KEY, 1)})
        assert self.put(scene, producer, 0) == FlowState(1, True, 2, 2)
        assert door.blob_bytes("run") == 0
        assert scene.store.watch(consumer, [3]) == {3: Seen(NBYTES, KEY, CHUNKS, 2, False)}

    def test_once_stored_it_is_seen_as_that(self, scene: Scene) -> None:
        """Whatever was offered before."""
        producer, (consumer,) = self.watched(scene, "c")
        self.offered(scene, producer, "c")
        scene.done(producer, 3, must_store=True, remaining=(4,))
        assert scene.store.watch(consumer, [3]) == {3: Seen(8)}

    def test_streams_go_with_their_run(self, scene: Scene) -> None:
        """Also what a late producer writes."""
        producer, _ = self.watched(scene, "c")
        self.offered(scene, producer, "c")
        self.put(scene, producer, 0)
        scene.store.delete_run("run")
        with pytest.raises(Fenced):
            self.put(scene, producer, 1)
        assert scene.store.leftovers() == []
