"""What every store promises about empty invocations, which make containers warm."""

import pytest

from faaslab.errors import Fenced
from faaslab.protocol.messages import Claim, Completion, EmptyInvocations, Invocation, Start
from faaslab.protocol.storage import Storage
from faaslab.trace.events import ContainerExited, InvocationRequested, Prewarmed, WorkerExited
from tests.storage.scene import LARGE, LONG_S, SMALL, BackDoor, MakeStore, Scene, spec, successor


class PrewarmConformance:
    """Empty invocations: sent once, at their moment; for new containers; never what a run lives by."""

    @pytest.fixture
    def make_store(self) -> MakeStore:
        raise NotImplementedError

    @pytest.fixture
    def store(self, make_store: MakeStore) -> Storage:
        return make_store("lab")

    @pytest.fixture
    def door(self, store: Storage) -> BackDoor:
        raise NotImplementedError

    @pytest.fixture
    def scene(self, store: Storage) -> Scene:
        return Scene(store)

    @staticmethod
    def sent(scene: Scene, count: int = 1, pool: str = LARGE, run: str = "run") -> None:
        """Start a run with empty invocations, and let their moment come."""
        scene.start(spec(run, prewarms=[EmptyInvocations("!.0", pool, 0.0, count)]))
        scene.store.sweep(LONG_S)

    @staticmethod
    def warmed(scene: Scene, claim: Claim) -> Invocation | None:
        """End an empty invocation; returns what follows."""
        return scene.store.complete(Completion(claim, ends=True)).next

    def test_they_wait_for_their_moment(self, scene: Scene, door: BackDoor) -> None:
        """Nothing is sent before; the gateway learns when something will be, and is woken to learn it."""
        cursor = scene.store.wait_demand("0", 0.0)
        batches = [EmptyInvocations("!.0", LARGE, 500.0, 2), EmptyInvocations("!.1", SMALL, 100.0, 1)]
        scene.start(spec(starts=[], prewarms=batches))
        assert scene.store.wait_demand(cursor, 0.0) != cursor
        scene.store.sweep(LONG_S)
        demand = scene.store.demand()
        assert (demand.pending, demand.empty) == ({}, {})
        assert demand.next_due_s - scene.store.now_s() == pytest.approx(100.0, abs=5.0)
        due = door.due_in_s()
        assert {name: pytest.approx(left_s, abs=5.0) for (_, name, _), left_s in due.items()} == {
            "!.0.0": 500.0,
            "!.0.1": 500.0,
            "!.1.0": 100.0,
        }

    def test_retries_are_due_as_well(self, scene: Scene) -> None:
        """The gateway learns when a retry is due."""
        assert scene.store.demand().next_due_s == float("inf")
        scene.start()
        scene.fails(scene.worker("c"), 0, 1, backoff_s=50.0, backoff_cap_s=60.0)
        assert scene.store.demand().next_due_s - scene.store.now_s() == pytest.approx(50.0, abs=5.0)

    def test_a_task_sends_them_once(self, scene: Scene) -> None:
        """The same call again, or the task again, changes nothing."""
        scene.start()
        claim = scene.worker("c")
        batch = (EmptyInvocations("!0.0", LARGE, 0.0, 2),)
        for number in (1, 1, 2):
            scene.done(claim, 0, remaining=(3,), output=None, number=number, prewarms=batch)
            scene.store.sweep(LONG_S)
        assert scene.store.demand().empty == {LARGE: 2}
        asked = [(e.invocation, e.size_mib, e.by) for e in scene.said(InvocationRequested)][1:]
        assert asked == [("!0.0.0", 1024, "prewarm"), ("!0.0.1", 1024, "prewarm")]

    def test_a_new_container_takes_one(self, scene: Scene) -> None:
        """It counts as about to ask for work then, and is idle afterwards; its parts travel as ever."""
        self.sent(scene)
        invocation = scene.container("c", LARGE)
        assert invocation is not None
        assert (invocation.invocation, invocation.tasks, invocation.attempt) == ("!.0.0", (), 1)
        assert invocation.parts == {"structure": b"the DAG", "code": b"a function"}
        demand = scene.store.demand()
        assert (demand.empty, demand.warming, demand.assigned) == ({}, {"c"}, frozenset())
        assert self.warmed(scene, invocation.claim("c")) is None
        demand = scene.store.demand()
        assert (demand.warming, demand.idle) == (frozenset(), {LARGE: 1})
        assert [event.reason for event in scene.said(WorkerExited)] == ["ended"]

    def test_idle_containers_are_refreshed_and_new_ones_asked_for(self, scene: Scene) -> None:
        """Three at a moment with two idle containers: both serve one, and the third waits for a new container."""
        for name in "ab":
            scene.container(name, LARGE)
        self.sent(scene, 3)
        demand = scene.store.demand()
        assert (demand.empty, demand.warming, demand.idle) == ({LARGE: 1}, {"a", "b"}, {})
        (message,) = scene.inbox("b")
        assert self.warmed(scene, message.claim("b")) is None
        assert scene.store.next("b") is None
        assert scene.store.demand().empty == {LARGE: 1}
        assert scene.worker("new", LARGE).invocation == "!.0.2"

    def test_a_container_that_has_worked_takes_none(self, scene: Scene) -> None:
        """It is warm; the one that is started for it comes."""
        starts = [Start("start", SMALL, (0,)), Start("other", LARGE, (1,))]
        scene.start(spec(starts=starts, prewarms=[EmptyInvocations("!.0", SMALL, 0.0, 1)]))
        scene.store.sweep(LONG_S)
        assert scene.done(scene.worker("c"), 0, ends=True).next is None
        assert scene.store.demand().empty == {SMALL: 1}

    def test_invocations_with_tasks_come_first(self, scene: Scene) -> None:
        """A new container takes what waits to run tasks, whatever waited longer."""
        self.sent(scene, 1, SMALL)
        assert scene.worker("c").invocation == "start"

    def test_one_that_waits_is_reserved(self, scene: Scene) -> None:
        """An invocation without an idle container takes its place: no second container is asked for."""
        scene.start(spec(starts=[Start("start", SMALL, (0,))], prewarms=[EmptyInvocations("!.0", LARGE, 0.0, 2)]))
        scene.store.sweep(LONG_S)
        claim = scene.worker("c")
        scene.done(claim, 0, successor(5, pool=LARGE), remaining=(1,))
        demand = scene.store.demand()
        assert (demand.pending, demand.empty) == ({LARGE: 1}, {LARGE: 1})
        (reserved,) = scene.said(Prewarmed)
        assert (reserved.invocation, reserved.container, reserved.size_mib, reserved.how) == (
            *("!.0.0", "", 1024, "reserved"),
        )
        assert scene.worker("new", LARGE).invocation == "~5"

    def test_only_those_of_the_same_run_are_reserved(self, scene: Scene) -> None:
        """What another run sent is for that run."""
        self.sent(scene)
        scene.start(spec("other", [Start("start", LARGE, (0,))]))
        demand = scene.store.demand()
        assert (demand.pending, demand.empty) == ({SMALL: 1, LARGE: 1}, {LARGE: 1})

    def test_the_one_that_is_served_is_waited_for(self, scene: Scene) -> None:
        """Its container goes on with the invocation that came meanwhile."""
        scene.start(spec(prewarms=[EmptyInvocations("!.0", LARGE, 0.0, 1)]))
        scene.store.sweep(LONG_S)
        claim, warm = scene.worker("c"), scene.worker("w", LARGE)
        scene.done(claim, 0, successor(5, pool=LARGE), remaining=(1,))
        demand = scene.store.demand()
        assert (demand.pending, demand.warming, demand.assigned) == ({LARGE: 1}, {"w"}, {"c"})
        following = self.warmed(scene, warm)
        assert following is not None
        assert following.invocation == "~5"

    def test_no_run_lives_by_one(self, scene: Scene) -> None:
        """A run with nothing else left has stalled."""
        self.sent(scene)
        state = scene.store.run_status("run")
        assert state is not None
        assert state.live == 1
        scene.worker("w", LARGE)
        assert scene.done(scene.worker("c"), 0, ends=True).ended
        assert scene.status() == "failed stalled"

    def test_a_container_that_dies_over_one(self, scene: Scene) -> None:
        """That was it: no other attempt, no harm to the run."""
        scene.start(spec(max_lapses=0, prewarms=[EmptyInvocations("!.0", LARGE, 0.0, 1)]))
        scene.store.sweep(LONG_S)
        claim = scene.worker("w", LARGE)
        scene.store.remove("w", "killed")
        assert scene.status() == "running"
        assert [(e.invocation, e.reason) for e in scene.said(WorkerExited)] == [("!.0.0", "killed")]
        assert [e.container for e in scene.said(ContainerExited)] == ["w"]
        assert scene.store.demand().empty == {}
        assert scene.container("x", LARGE) is None
        with pytest.raises(Fenced):
            self.warmed(scene, claim)

    def test_nothing_is_left_of_them(self, scene: Scene, door: BackDoor) -> None:
        """They go with their run: those that wait, those that are due, those that are served."""
        batches = [EmptyInvocations("!.0", LARGE, 0.0, 2), EmptyInvocations("!.1", SMALL, 100.0, 1)]
        scene.start(spec(prewarms=batches))
        scene.store.sweep(LONG_S)
        served = scene.worker("w", LARGE)
        scene.finish(scene.worker("c"))
        assert scene.status() == "finished"
        assert scene.store.demand().empty == {}
        assert door.due_in_s() == {}
        assert [(e.invocation, e.reason) for e in scene.said(WorkerExited)][-1] == ("!.0.0", "finished")
        with pytest.raises(Fenced):
            self.warmed(scene, served)
        scene.store.delete_run("run")
        assert scene.store.leftovers() == []
