"""What every store promises: one class, run against each of them.

A subclass gives the fixtures ``make_store`` and ``door``. No test waits for time to pass: leases and pauses of no
length have ended at the next sweep.
"""

import pytest

from faaslab.errors import Fenced
from faaslab.protocol.messages import Start
from faaslab.trace.events import ContainerExited, InvocationRequested, WorkerExited
from tests.storage.conformance_flow import FlowConformance
from tests.storage.conformance_held import HeldConformance
from tests.storage.conformance_looks import LookConformance
from tests.storage.conformance_prewarm import PrewarmConformance
from tests.storage.scene import CLIENT, LONG_S, SMALL, BackDoor, Scene, spec, successor


class StorageConformance(HeldConformance, FlowConformance, PrewarmConformance, LookConformance):
    """All promises; here those about leases, clients and leftovers."""

    # -- leases of containers -------------------------------------------------------------------------------------

    def test_a_lapsed_invocation_is_dispatched_again(self, scene: Scene, door: BackDoor) -> None:
        """Its container is forgotten, the next attempt starts from what was recorded, the old one is fenced."""
        scene.start()
        claim = scene.worker("c", lease_s=0.0)
        scene.done(claim, 0, successor(5), successor(6), take=2)
        assert scene.store.sweep(LONG_S) == ("c",)
        assert door.pending(SMALL) == [("run", "start", 2)]
        assert scene.store.demand().containers == {}
        with pytest.raises(Fenced):
            scene.done(claim, 5)
        with pytest.raises(Fenced):
            scene.store.next("c")
        message = scene.container("d")
        assert message is not None
        assert (message.attempt, message.tasks) == (2, (5, 6))
        kinds = [(type(event), getattr(event, "reason", "")) for event in scene.events()[-3:-1]]
        assert kinds == [(ContainerExited, "lost"), (WorkerExited, "lost")]
        assert scene.said(InvocationRequested)[-1].by == "lapse"

    def test_a_renewed_lease_does_not_lapse(self, scene: Scene) -> None:
        """A heartbeat is as good as a registration."""
        scene.start()
        claim = scene.worker("c", lease_s=0.0)
        scene.store.renew("c", LONG_S)
        assert scene.store.sweep(LONG_S) == ()
        assert scene.finish(claim).ended

    def test_a_removed_container_lapses_at_once(self, scene: Scene) -> None:
        """Its launcher saw it die and need not wait for the lease."""
        scene.start()
        scene.worker("c")
        scene.container("idle")
        scene.store.remove("c", "killed")
        (message,) = scene.inbox("idle")
        assert (message.invocation, message.attempt) == ("start", 2)
        assert scene.said(ContainerExited)[0].reason == "killed"

    def test_an_invocation_that_dies_too_often_fails_the_run(self, scene: Scene) -> None:
        """The reason names invocation, container and count."""
        scene.start(spec(max_lapses=2))
        for attempt in (1, 2, 3):
            assert scene.status() == "running"
            claim = scene.worker(f"c{attempt}")
            assert claim.attempt == attempt
            scene.store.remove(claim.container, "killed")
        assert scene.status() == "failed lost|start|c3|3"
        assert scene.store.demand().pending == {}

    def test_a_lapsed_planned_worker_starts_anew(self, scene: Scene) -> None:
        """It hears which outputs are stored and waits again where it has to."""
        scene.start(spec(starts=[Start("p", SMALL), Start("q", SMALL)]))
        p, q = scene.worker("c"), scene.worker("d")
        scene.done(p, 0, successor(5, worker="q"))
        scene.store.wait_ready(q, 6, [])
        scene.store.remove("d", "killed")
        assert scene.store.demand().waiting == ()
        again = scene.worker("e")
        assert (again.invocation, again.attempt) == ("q", 2)
        assert scene.store.stored(again) == {0}
        assert scene.store.wait_ready(again, 5, [0])[0]
        scene.done(p, 1, successor(6, worker="q"))
        assert scene.inbox("e") == []
        assert scene.store.wait_ready(again, 6, [1])[0]

    def test_a_lapsed_fan_in_is_still_elected_once(self, scene: Scene, door: BackDoor) -> None:
        """The next attempt of the worker that had taken it takes it again; nobody else does."""
        scene.start(spec(starts=[Start("a", SMALL, (0,)), Start("b", SMALL, (1,))]))
        a, b = scene.worker("c"), scene.worker("d")
        scene.done(a, 0, successor(5, 2), take=1, ends=True)
        assert scene.done(b, 1, successor(5, 2), take=1).taken == (5,)
        scene.store.remove("d", "killed")
        (message,) = scene.inbox("c")
        assert message.tasks == (5,)
        later = message.claim("c")
        assert scene.done(later, 1, successor(5, 2), take=1, output=b"again").taken == (5,)
        assert door.outputs("run") == {0: b"output 0"}

    def test_an_idle_container_lapses_silently(self, scene: Scene, door: BackDoor) -> None:
        """No run is told."""
        scene.start()
        scene.finish(scene.worker("c", lease_s=0.0))
        count = len(scene.events())
        assert scene.store.sweep(LONG_S) == ("c",)
        assert door.idle(SMALL) == []
        assert len(scene.events()) == count

    # -- clients --------------------------------------------------------------------------------------------------

    def test_clients_hold_leases(self, scene: Scene) -> None:
        """They are listed with the time they have left, until they say goodbye."""
        scene.store.renew_client("one", 50.0)
        scene.store.renew_client("two", 500.0)
        scene.store.renew_client("one", 100.0)
        clients = scene.store.clients()
        assert set(clients) == {"one", "two"}
        assert 40 < clients["one"] <= 100 < 440 < clients["two"] <= 500
        scene.store.remove_client("one")
        scene.store.remove_client("nobody")
        assert set(scene.store.clients()) == {"two"}

    def test_runs_of_a_lost_client_are_cancelled_then_deleted(self, scene: Scene, door: BackDoor) -> None:
        """First cancelled, then readable for the grace time, then gone; other clients' runs stay."""
        scene.start()
        scene.start(spec("other", client="other"))
        scene.store.renew_client(CLIENT, -1.0)
        scene.store.sweep(LONG_S)
        assert scene.status() == "running"  # within the grace time it may come back
        scene.store.sweep(0.0)
        assert scene.status() == "cancelled its client is gone"
        assert door.pending(SMALL) == [("other", "start", 1)]
        scene.store.sweep(LONG_S)
        scene.store.sweep(LONG_S)
        assert scene.status() == "cancelled its client is gone"
        scene.store.sweep(0.0)
        assert scene.status() == "unknown"
        assert scene.status("other") == "running"
        scene.store.delete_run("other")
        assert scene.store.leftovers() == []

    def test_a_client_that_comes_back_finds_its_run(self, scene: Scene) -> None:
        """The grace time begins anew when it goes again."""
        scene.start()
        scene.finish(scene.worker("c"))
        scene.store.remove_client(CLIENT)
        scene.store.sweep(LONG_S)
        scene.store.renew_client(CLIENT, LONG_S)
        scene.store.sweep(0.0)
        scene.store.remove_client(CLIENT)
        scene.store.sweep(0.0)
        assert scene.status() == "finished"
        scene.store.sweep(0.0)
        assert scene.status() == "unknown"

    def test_a_run_without_a_client_does_not_live(self, scene: Scene) -> None:
        """Whoever submits must hold a lease."""
        scene.store.create_run(spec())
        scene.store.sweep(0.0)
        assert scene.status() == "cancelled its client is gone"

    # -- leftovers ------------------------------------------------------------------------------------------------

    def test_a_deleted_run_leaves_nothing(self, scene: Scene) -> None:
        """Not its queued, due and half-finished things, not its blobs, not its events; its workers are fenced."""
        starts = [Start(f"i{task}", SMALL, (task,)) for task in range(5)]
        scene.start(spec(starts=starts))
        claims = [scene.worker(f"c{i}") for i in range(4)]
        scene.done(claims[0], 0, successor(50, 3), successor(51, 100), successor(52), must_store=True)
        scene.done(claims[1], 1, successor(50, 3), successor(51, 100), remaining=(7,))
        scene.fails(claims[2], 2, retries=1, backoff_s=100.0, backoff_cap_s=100.0, outputs={30: b"kept"})
        scene.store.begin(claims[3], 3)
        scene.store.wait_ready(claims[3], 60, [])
        scene.store.put_blob("run", "0-1", [b"a", b"b"])
        assert scene.store.leftovers() != []
        scene.store.delete_run("run")
        assert scene.store.leftovers() == []
        assert scene.store.demand().pending == {}
        with pytest.raises(Fenced):
            scene.done(claims[3], 3, must_store=True)
        scene.store.remove("c0", "killed")
        for name in ("c1", "c3"):
            assert scene.store.next(name) is None
        assert scene.store.leftovers() == []

    def test_a_failed_runs_report_goes_with_it(self, scene: Scene) -> None:
        """Nothing of a failed run outlives its deletion."""
        scene.start()
        scene.fails(scene.worker("c"), 0)
        scene.store.delete_run("run")
        assert scene.store.leftovers() == []

    def test_a_deleted_runs_id_may_be_used_again(self, scene: Scene) -> None:
        """The new run knows nothing of the old one; workers of the old one are fenced."""
        scene.start()
        old = scene.worker("c")
        scene.done(old, 0, successor(5, 2), successor(6, 70))
        scene.store.delete_run("run")
        scene.start(spec(sinks=(8,)))
        with pytest.raises(Fenced):
            scene.done(old, 0)
        new = scene.worker("d")
        assert scene.store.stored(new) == frozenset()
        assert scene.done(new, 1, successor(5, 2), take=1).taken == ()
