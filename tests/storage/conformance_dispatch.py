"""What every store promises about runs, containers, queues and messages."""

import pytest

from faaslab.errors import Fenced, StorageError
from faaslab.protocol.messages import Demand, Invocation, Orders, Retire, RunStatus, Start, YieldRequest
from faaslab.protocol.storage import Storage
from faaslab.trace.events import InvocationRequested, TaskStarted, WorkerExited, encode_events
from tests.storage.scene import LARGE, LONG_S, SMALL, BackDoor, MakeStore, Scene, spec, successor


class DispatchConformance:
    """Runs, containers, queues and messages."""

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

    # -- handing out work -----------------------------------------------------------------------------------------

    def test_a_first_invocation_waits_in_its_pools_queue(self, scene: Scene, door: BackDoor) -> None:
        """Without an idle container, an invocation is queued for its pool, and demand says so."""
        scene.start(spec(starts=[Start("a", SMALL, (0,)), Start("b", LARGE), Start("c", SMALL, (1, 2))]))
        assert door.pending(SMALL) == [("run", "a", 1), ("run", "c", 1)]
        assert door.pending(LARGE) == [("run", "b", 1)]
        assert scene.store.demand() == Demand({SMALL: 2, LARGE: 1}, {}, {}, (), frozenset())

    def test_an_idle_container_gets_an_invocation_into_its_inbox(self, scene: Scene, door: BackDoor) -> None:
        """With an idle container, nothing is queued; the whole message is in the inbox."""
        assert scene.container("c") is None
        scene.start()
        (message,) = scene.inbox("c")
        assert door.pending(SMALL) == []
        assert isinstance(message, Invocation)
        assert (message.run, message.invocation, message.attempt, message.tasks) == ("run", "start", 1, (0,))
        assert (message.pool, message.structure) == (SMALL, "structure")
        assert message.parts == {"structure": b"the DAG", "code": b"a function"}
        assert message.inputs == {}
        assert abs(message.requested_s - scene.store.now_s()) < 60
        assert scene.store.demand() == Demand({}, {}, {"c": SMALL}, (), frozenset({"c"}))

    def test_the_container_that_became_idle_last_is_taken_first(self, scene: Scene, door: BackDoor) -> None:
        """Idle containers are taken last in, first out, so that the others can time out."""
        for name in "abc":
            scene.container(name)
        assert door.idle(SMALL) == ["a", "b", "c"]
        scene.start(spec(starts=[Start("x", SMALL, (0,)), Start("y", SMALL, (1,))]))
        assert [m.invocation for m in scene.inbox("c")] == ["x"]
        assert [m.invocation for m in scene.inbox("b")] == ["y"]
        assert door.idle(SMALL) == ["a"]

    def test_a_container_serves_only_its_own_pool(self, scene: Scene) -> None:
        """Neither queue nor inbox mixes pools."""
        assert scene.container("large", LARGE) is None
        scene.start()
        assert scene.inbox("large") == []
        assert scene.store.next("large") is None
        assert scene.worker("small").invocation == "start"

    def test_the_oldest_pending_invocation_is_next(self, scene: Scene) -> None:
        """Queues are first in, first out."""
        scene.start(spec(starts=[Start(name, SMALL, (i,)) for i, name in enumerate("abc")]))
        assert [scene.worker(f"c-{i}").invocation for i in range(3)] == ["a", "b", "c"]
        assert scene.container("late") is None

    def test_next_redelivers_what_is_assigned(self, scene: Scene) -> None:
        """A container that asks again gets the same invocation, with the parts that may have got lost."""
        scene.start()
        first = scene.container("c")
        assert first is not None
        assert scene.store.next("c") == first
        assert first.parts == {"structure": b"the DAG", "code": b"a function"}

    def test_asking_twice_does_not_make_a_container_idle_twice(self, scene: Scene, door: BackDoor) -> None:
        """One container is never handed two invocations."""
        scene.container("c")
        assert scene.store.next("c") is None
        assert door.idle(SMALL) == ["c"]
        scene.start(spec(starts=[Start("a", SMALL, (0,)), Start("b", SMALL, (1,))]))
        assert [m.invocation for m in scene.inbox("c")] == ["a"]
        assert door.pending(SMALL) == [("run", "b", 1)]

    def test_an_unknown_container_is_fenced(self, scene: Scene) -> None:
        """The store gives no work to a container that it does not know."""
        with pytest.raises(Fenced):
            scene.store.next("nobody")

    def test_registering_again_keeps_the_work(self, scene: Scene) -> None:
        """A registration whose answer got lost may be repeated."""
        scene.start()
        claim = scene.worker("c")
        scene.store.register("c", SMALL, LONG_S)
        assert scene.finish(claim).ended

    def test_parts_travel_once_per_container(self, scene: Scene, door: BackDoor) -> None:
        """Structure and code ride along with the first invocation of a run in a container only."""
        scene.start(spec(starts=[Start("a", SMALL, (0,)), Start("b", SMALL, (1,))], sinks=(8, 9)))
        first = scene.container("c")
        assert first is not None
        assert set(first.parts) == {"structure", "code"}
        assert door.known("c") == {"structure", "code"}
        second = scene.done(first.claim("c"), 0, ends=True).next
        assert second is not None
        assert (second.invocation, second.parts) == ("b", {})

    def test_parts_of_an_earlier_run_are_not_sent_again(self, scene: Scene) -> None:
        """Another run with the same code sends its structure only."""
        scene.start()
        scene.finish(scene.worker("c"))
        scene.start(spec("other", parts={"structure": b"2", "code": b"a function", "more": b"m"}))
        (_, message) = [*[None], *scene.inbox("c")]
        assert message is not None
        assert message.parts == {"more": b"m"}

    def test_parts_that_do_not_ride_are_fetched(self, scene: Scene, door: BackDoor) -> None:
        """Large parts are asked for by digest; unknown ones are left out; the store remembers who has what."""
        scene.start(spec(parts={"structure": b"s", "big": b"B" * 1000}, ride=("structure",)))
        invocation = scene.container("c")
        assert invocation is not None
        assert invocation.parts == {"structure": b"s"}
        assert scene.store.parts("run", "c", ["big", "nothing"]) == {"big": b"B" * 1000}
        assert door.known("c") == {"structure", "big"}
        assert scene.store.parts("no run", "c", ["big"]) == {}

    def test_the_part_of_a_large_dag_that_is_in_reach(self, scene: Scene, door: BackDoor) -> None:
        """An invocation with a cut is sent that and nothing else, every time; others are told of the whole."""
        scene.start(
            spec(
                parts={"structure": b"whole", "piece": b"in reach"},
                ride=(),
                cuts={"a": "piece"},
                starts=[Start("a", SMALL, (0,)), Start("b", SMALL, (1,))],
            )
        )
        first = scene.container("c")
        assert first is not None
        assert (first.invocation, first.structure, first.parts) == ("a", "piece", {"piece": b"in reach"})
        again = scene.store.next("c")
        assert again is not None
        assert (again.invocation, again.structure, again.parts) == ("a", "piece", {"piece": b"in reach"})
        second = scene.container("d")
        assert second is not None
        assert (second.invocation, second.structure, second.parts) == ("b", "structure", {})
        scene.store.delete_run("run")
        assert scene.store.leftovers() == []

    def test_many_parts(self, scene: Scene) -> None:
        """A DAG of thousands of different functions can be sent; what does not ride can be fetched."""
        parts = {f"digest-{i}": b"code %d" % i for i in range(5000)}
        scene.container("c")
        scene.start(spec(parts=parts))
        (message,) = scene.inbox("c")
        missing = [digest for digest in parts if digest not in message.parts]
        assert {**message.parts, **scene.store.parts("run", "c", missing)} == parts

    # -- leaving --------------------------------------------------------------------------------------------------

    def test_an_idle_container_may_leave(self, scene: Scene, door: BackDoor) -> None:
        """It is forgotten and gets no more work."""
        scene.container("c")
        assert scene.store.leave("c")
        assert door.idle(SMALL) == []
        assert scene.store.demand().containers == {}
        scene.start()
        assert door.pending(SMALL) == [("run", "start", 1)]
        assert scene.store.leave("c")

    def test_a_container_with_work_may_not_leave(self, scene: Scene) -> None:
        """Work that came at the last moment is in the inbox."""
        scene.container("c")
        scene.start()
        assert not scene.store.leave("c")
        assert len(scene.inbox("c")) == 1

    def test_retiring_takes_the_longest_idle_container(self, scene: Scene, door: BackDoor) -> None:
        """It hears so in its inbox and is handed nothing any more."""
        for name in "ab":
            scene.container(name)
        assert scene.store.retire_idle(SMALL) == "a"
        assert scene.inbox("a") == [Retire()]
        assert door.idle(SMALL) == ["b"]
        assert scene.store.retire_idle(LARGE) is None
        assert scene.store.leave("a")

    def test_removing_an_idle_container_changes_nothing_else(self, scene: Scene, door: BackDoor) -> None:
        """No run hears of it; removing it again, or one never known, is nothing."""
        scene.container("c")
        for _ in range(2):
            scene.store.remove("c", "killed")
        assert door.idle(SMALL) == []
        assert scene.store.renew("c", LONG_S) == Orders(known=False, stop=True)

    def test_heartbeats_say_whether_the_work_is_wanted(self, scene: Scene) -> None:
        """Idle or working: go on; its run cancelled or gone: stop; forgotten: leave."""
        scene.container("c")
        assert scene.store.renew("c", LONG_S) == Orders(known=True, stop=False)
        scene.start()
        assert scene.store.renew("c", LONG_S) == Orders(known=True, stop=False)
        scene.store.cancel_run("run", "cancelled", "by its user")
        assert scene.store.renew("c", LONG_S) == Orders(known=True, stop=True)
        scene.store.delete_run("run")
        assert scene.store.renew("c", LONG_S) == Orders(known=True, stop=True)
        assert scene.store.next("c") is None
        assert scene.store.renew("c", LONG_S) == Orders(known=True, stop=False)

    # -- waiting --------------------------------------------------------------------------------------------------

    def test_an_inbox_is_read_by_cursor(self, scene: Scene) -> None:
        """A message stays until it has been read past; reading again from the same place gives it again."""
        scene.container("c")
        scene.store.retire_idle(SMALL)
        cursor, first = scene.store.listen("c", "0", 1.0)
        assert scene.store.listen("c", "0", 0.0) == (cursor, first)
        assert scene.store.listen("c", cursor, 0.001) == (cursor, None)

    def test_going_idle_empties_the_inbox(self, scene: Scene) -> None:
        """What a container did not need is not kept for it; messages sent later arrive at the old cursor."""
        scene.container("c")
        scene.start()
        cursor, message = scene.store.listen("c", "0", 1.0)
        assert isinstance(message, Invocation)
        scene.finish(message.claim("c"))
        assert scene.inbox("c") == []
        scene.start(spec("second"))
        assert [m.run for m in scene.inbox("c", cursor)] == ["second"]

    def test_the_gateway_hears_of_demand(self, scene: Scene) -> None:
        """The cursor moves whenever an invocation found no idle container, and not when one was served."""
        scene.start()
        cursor = scene.store.wait_demand("0", 1.0)
        assert cursor != "0"
        assert scene.store.wait_demand(cursor, 0.001) == cursor
        scene.finish(scene.worker("c"))
        scene.start(spec("served"))
        assert scene.store.wait_demand(cursor, 0.001) == cursor
        scene.start(spec("unserved"))
        assert scene.store.wait_demand(cursor, 1.0) != cursor

    def test_the_gateway_hears_of_workers_that_could_make_room(self, scene: Scene) -> None:
        """A worker that begins to wait moves the cursor while something is pending, once, and not otherwise."""
        scene.start(spec(starts=[Start("p", SMALL), Start("q", SMALL)]))
        p = scene.worker("c-p")
        cursor = scene.store.wait_demand("0", 1.0)
        assert scene.store.wait_ready(p, 4, []) == (False, {})
        after = scene.store.wait_demand(cursor, 1.0)
        assert after != cursor
        assert scene.store.wait_ready(p, 4, []) == (False, {})
        assert scene.store.wait_demand(after, 0.001) == after
        q = scene.worker("c-q")
        assert scene.store.wait_ready(q, 5, []) == (False, {})
        assert scene.store.wait_demand(after, 0.001) == after

    def test_a_waiting_worker_can_be_asked_to_yield(self, scene: Scene) -> None:
        """Once per registration, longest waiting first; not when it does not wait."""
        scene.start(spec(starts=[Start("p", SMALL), Start("q", SMALL)]))
        p, q = scene.worker("c-p"), scene.worker("c-q")
        assert scene.store.wait_ready(q, 5, []) == (False, {})
        assert scene.store.wait_ready(p, 4, []) == (False, {})
        assert scene.store.demand().waiting == ("c-q", "c-p")
        assert scene.store.ask_yield("c-q")
        assert scene.inbox("c-q") == [YieldRequest("run", "q")]
        assert scene.store.demand().waiting == ("c-p",)
        assert not scene.store.ask_yield("c-q")
        assert not scene.store.ask_yield("nobody")

    # -- runs, as the client sees them ----------------------------------------------------------------------------

    def test_an_unknown_run_is_unknown(self, scene: Scene) -> None:
        """Nothing about it raises."""
        assert scene.store.run_status("run") is None
        assert scene.store.fetch("run", [1, 2]) == {}
        assert scene.store.read_events("run", "0", 0.0) == ("0", [])
        assert not scene.store.cancel_run("run", "cancelled", "")
        scene.store.delete_run("run")

    def test_a_run_goes_from_running_to_finished(self, scene: Scene) -> None:
        """It is over when the last sink is stored, and its output stays readable."""
        scene.start(spec(sinks=(8, 9)))
        claim = scene.worker("c")
        assert scene.store.run_status("run") == RunStatus("running", "", b"", 1)
        scene.done(claim, 8, sink=True, remaining=(9,))
        assert scene.status() == "running"
        assert scene.finish(claim).ended
        assert scene.store.run_status("run") == RunStatus("finished", "", b"", 0)
        assert scene.store.fetch("run", [8, 9, 10]) == {8: b"output 8", 9: b"output 9"}
        assert scene.store.fetch("run", []) == {}

    def test_creating_a_run_again(self, scene: Scene, door: BackDoor) -> None:
        """The same call once more changes nothing; another run of that id is refused."""
        scene.start()
        scene.start()
        assert door.pending(SMALL) == [("run", "start", 1)]
        with pytest.raises(StorageError, match="'run'"):
            scene.start(spec(sinks=(8,)))
        with pytest.raises(StorageError, match="'run'"):
            scene.start(spec(client="somebody else"))

    def test_cancelling_ends_a_run_once(self, scene: Scene, door: BackDoor) -> None:
        """What it still had queued is gone, its workers are fenced, and the first reason stays."""
        scene.start(spec(starts=[Start("a", SMALL, (0,)), Start("b", SMALL, (1,))]))
        claim = scene.worker("c")
        assert scene.store.cancel_run("run", "cancelled", "by its user", b"why")
        assert not scene.store.cancel_run("run", "failed", "too late")
        state = scene.store.run_status("run")
        assert state is not None
        assert (state.status, state.reason, state.error) == ("cancelled", "by its user", b"why")
        assert door.pending(SMALL) == []
        with pytest.raises(Fenced):
            scene.finish(claim)
        assert scene.store.next("c") is None

    def test_events_of_workers_and_store_are_one_stream(self, scene: Scene) -> None:
        """Batches of both can be decoded, in order, and read on from a cursor."""
        submitted = TaskStarted(1.0, 7, "none", "none", 1)
        scene.start(spec(starts=[Start("a", LARGE, (0, 3))], events=encode_events([submitted])))
        claim = scene.worker("c", LARGE)
        cursor, batches = scene.store.read_events("run", "0", 1.0)
        assert len(batches) == 2
        started = TaskStarted(2.0, 0, "a", "c", 1)
        scene.done(claim, 0, successor(5), remaining=(3,), events=encode_events([started]))
        later, more = scene.store.read_events("run", cursor, 1.0)
        assert len(more) == 2
        assert scene.store.read_events("run", later, 0.001) == (later, [])
        events = scene.events()
        assert events[0] == submitted
        assert events[2] == started
        (first, second) = scene.said(InvocationRequested)
        assert (first.invocation, first.attempt, first.tasks, first.size_mib, first.by) == ("a", 1, (0, 3), 1024, "")
        assert (second.invocation, second.tasks, second.size_mib, second.by) == ("~5", (5,), 512, "a")

    def test_the_end_of_a_run_is_its_last_event(self, scene: Scene) -> None:
        """After the exit of the worker that brought the last sink."""
        scene.start()
        scene.finish(scene.worker("c"))
        kinds = [type(event).__name__ for event in scene.events()]
        assert kinds == ["InvocationRequested", "OutputStored", "WorkerExited", "RunEnded"]
        (exited,) = scene.said(WorkerExited)
        assert (exited.invocation, exited.attempt, exited.container, exited.reason) == ("start", 1, "c", "ended")

    def test_two_runs_never_see_each_other(self, scene: Scene, door: BackDoor) -> None:
        """Equal tasks, invocations and digests of two runs in one container stay apart."""
        scene.start(spec("one"))
        scene.start(spec("two"))
        first = scene.worker("c")
        scene.done(first, 0, successor(5, 2), must_store=True, output=b"of one", ends=True)
        second = scene.store.next("c")
        assert second is not None
        assert (second.run, second.invocation) == ("two", "start")
        scene.done(second.claim("c"), 1, successor(5, 2), must_store=True, output=b"of two")
        assert door.outputs("one") == {0: b"of one"}
        assert door.outputs("two") == {1: b"of two"}
        assert door.arrived("one", 5) == {0}
        assert door.arrived("two", 5) == {1}
        assert (scene.status("one"), scene.status("two")) == ("failed stalled", "running")

    def test_two_labs_never_see_each_other(self, scene: Scene, make_store: MakeStore) -> None:
        """The same ids in another lab on the same server are other things."""
        other = Scene(make_store("other lab"))
        scene.start()
        scene.container("c", LARGE)
        assert other.status() == "unknown"
        assert other.store.clients() == {}
        assert other.store.demand() == Demand({}, {}, {}, (), frozenset())
        assert other.container("c") is None
        other.start()
        other.store.delete_run("run")
        assert other.store.leftovers() == []
        assert scene.status() == "running"

    def test_two_views_of_a_lab_see_the_same(self, scene: Scene, make_store: MakeStore) -> None:
        """What one process writes, another reads."""
        scene.start()
        other = Scene(make_store("lab"))
        assert other.finish(other.worker("c")).ended
        assert scene.status() == "finished"

    def test_names_may_hold_any_sign(self, scene: Scene) -> None:
        """Planned workers are named by their planners."""
        name = "w|1:2 =~,*ü\n"
        scene.start(spec(starts=[Start(name, SMALL)]))
        claim = scene.worker("c|1")
        assert claim.invocation == name
        assert scene.store.renew("c|1", LONG_S) == Orders(known=True, stop=False)
        scene.store.remove("c|1", "killed")
        assert scene.worker("c|2").invocation == name
        assert {event.invocation for event in scene.said(InvocationRequested)} == {name}
