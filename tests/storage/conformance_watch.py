"""What every store promises about outputs that workers watch."""

import threading
import time

import pytest

from faaslab.errors import Fenced
from faaslab.protocol.messages import Seen, Start, Suspension
from faaslab.protocol.payload import Reference
from faaslab.protocol.storage import Storage
from tests.storage.conformance_tasks import TaskConformance, starts
from tests.storage.scene import LONG_S, SMALL, Scene, spec, successor

RANG, SILENT = True, False


class Ear:
    """Hears the bell of one container."""

    def __init__(self, store: Storage, container: str) -> None:
        self.store, self.container, self.cursor = store, container, "0"

    def rang(self, wait_s: float = 0.0) -> bool:
        """Whether it has rung since the last time."""
        cursor = self.store.wait_bell(self.container, self.cursor, wait_s)
        self.cursor = cursor or self.cursor
        return cursor is not None


class WatchConformance(TaskConformance):
    """Watching and bells."""

    def test_what_is_stored_is_seen(self, scene: Scene) -> None:
        """Small outputs with their sizes, blobs with where they are; others not at all."""
        scene.start(spec(starts=starts(3)))
        watcher = scene.worker("w")
        scene.done(scene.worker("a"), 1, must_store=True)
        scene.done(scene.worker("b"), 2, must_store=True, output=Reference("2-i2-1", 3, 5000).encode())
        assert scene.store.watch(watcher, [2, 7, 1]) == {1: Seen(8), 2: Seen(5000, "2-i2-1", 3)}
        assert scene.store.watch(watcher, []) == {}

    def test_the_bell_rings_when_an_output_is_stored(self, scene: Scene) -> None:
        """Once for each, only for who watches it, and it can be waited for."""
        scene.start(spec(starts=starts(3)))
        watcher, other, maker = scene.worker("w"), scene.worker("o"), scene.worker("m")
        ear = Ear(scene.store, "w")
        scene.store.watch(watcher, [2, 3])
        scene.store.watch(other, [4])
        assert ear.rang() is SILENT
        scene.done(maker, 5, must_store=True, remaining=(2,))
        scene.done(maker, 3, output=None, remaining=(2,))
        assert ear.rang() is SILENT
        late = threading.Timer(0.1, lambda: scene.done(maker, 2, must_store=True, remaining=(3,)))
        late.start()
        began_s = time.monotonic()
        assert ear.rang(10.0) is RANG
        assert time.monotonic() - began_s < 5.0
        late.join()
        assert ear.rang() is SILENT
        assert scene.store.watch(watcher, [2, 3]) == {2: Seen(8)}
        scene.done(maker, 3, must_store=True, remaining=(2,))
        assert ear.rang() is RANG
        assert Ear(scene.store, "o").rang() is SILENT

    def test_rings_that_nobody_heard_are_one(self, scene: Scene) -> None:
        """What rang before one listened is heard, once."""
        scene.start(spec(starts=starts(2)))
        watcher, maker = scene.worker("w"), scene.worker("m")
        scene.store.watch(watcher, [5, 6, 7])
        for task in (5, 6, 7):
            scene.done(maker, task, must_store=True, remaining=(1,))
        ear = Ear(scene.store, "w")
        assert [ear.rang(), ear.rang()] == [RANG, SILENT]

    def test_kept_outputs_ring_too(self, scene: Scene) -> None:
        """What a worker stores because it leaves is stored as well."""
        scene.start(spec(starts=[Start("w", SMALL, (0,)), Start("p", SMALL)]))
        watcher, leaving = scene.worker("w"), scene.worker("c")
        scene.store.watch(watcher, [3])
        scene.store.suspend(Suspension(leaving, 8, {3: b"kept"}))
        assert Ear(scene.store, "w").rang() is RANG
        assert scene.store.watch(watcher, [3]) == {3: Seen(4)}

    @pytest.mark.parametrize("end", ["ended", "failed", "suspended", "run"])
    def test_the_bell_rings_when_an_attempt_ends(self, scene: Scene, end: str) -> None:
        """Whoever still listens hears that it is over; what rang for it means nothing to the next attempt."""
        scene.start(spec(starts=[Start("p", SMALL), Start("q", SMALL)]))
        claim, other = scene.worker("w"), scene.worker("o")
        ear = Ear(scene.store, "w")
        scene.store.watch(claim, [3])
        if end == "ended":
            scene.done(claim, 1, ends=True)
        elif end == "failed":
            scene.fails(claim, 1, retries=1)
        elif end == "suspended":
            scene.store.suspend(Suspension(claim, 8))
        else:
            scene.finish(other)
        assert ear.rang() is RANG
        with pytest.raises(Fenced):
            scene.store.watch(claim, [3])

    def test_a_bell_is_silent_at_first(self, scene: Scene) -> None:
        """An attempt does not hear what rang for the one before it in the same container."""
        scene.start(spec(starts=starts(2)))
        first = scene.worker("w")
        scene.store.watch(first, [3])
        following = scene.done(first, 0, ends=True).next
        assert following is not None
        scene.store.watch(following.claim("w"), [3])
        assert Ear(scene.store, "w").rang() is SILENT

    def test_nothing_rings_for_who_is_gone(self, scene: Scene) -> None:
        """A watch ends with its attempt, and with its container."""
        scene.start(spec(starts=starts(3)))
        ended, removed, maker = scene.worker("e"), scene.worker("r"), scene.worker("m")
        scene.store.watch(ended, [3])
        scene.store.watch(removed, [3])
        scene.done(ended, 0, ends=True)
        ear = Ear(scene.store, "e")
        assert ear.rang() is RANG
        scene.store.remove("r", "killed")
        scene.done(maker, 3, successor(8, 2), must_store=True, remaining=(2,))
        assert ear.rang() is SILENT
        assert Ear(scene.store, "r").rang() is SILENT

    def test_watches_go_with_their_run(self, scene: Scene) -> None:
        """Nothing of them is left."""
        scene.start()
        scene.store.watch(scene.worker("w"), [3, 4])
        scene.store.delete_run("run")
        assert scene.store.leftovers() == []
        scene.store.sweep(LONG_S)
