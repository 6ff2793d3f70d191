"""What every store promises about finished and failed tasks, fan-in and fencing."""

from itertools import permutations

import pytest

from faaslab.errors import Fenced, StorageError
from faaslab.protocol.messages import Claim, Completion, Failure, Ready, Reply, Start, Suspension
from faaslab.trace.events import InvocationRequested, OutputStored, RunEnded, TaskFailed, WorkerExited
from tests.storage.conformance_dispatch import DispatchConformance
from tests.storage.scene import LARGE, LONG_S, SMALL, BackDoor, Scene, spec, successor


def starts(count: int) -> list[Start]:
    """Return invocations that begin with task 0, 1, …"""
    return [Start(f"i{task}", SMALL, (task,)) for task in range(count)]


class TaskConformance(DispatchConformance):
    """Completing, failing, fan-in and fencing."""

    # -- successors -----------------------------------------------------------------------------------------------

    def test_a_ready_successor_is_taken_by_its_worker(self, scene: Scene, door: BackDoor) -> None:
        """Its input needs no storing when nobody else wants it."""
        scene.start()
        claim = scene.worker("c")
        assert scene.done(claim, 0, successor(5), take=1) == Reply(taken=(5,), stored=False)
        assert door.outputs("run") == {}
        again = scene.store.next("c")
        assert again is not None
        assert again.tasks == (5,)

    def test_more_successors_than_wanted_are_invoked(self, scene: Scene, door: BackDoor) -> None:
        """The first ones are taken, the others become invocations of their own, with the output stored for them."""
        scene.start()
        reply = scene.done(scene.worker("c"), 0, successor(5), successor(6), successor(7), take=2)
        assert reply == Reply(taken=(5, 6), stored=True)
        assert door.outputs("run") == {0: b"output 0"}
        assert door.pending(SMALL) == [("run", "~7", 1)]
        message = scene.container("d")
        assert message is not None
        assert (message.tasks, message.inputs) == ((7,), {0: b"output 0"})

    def test_a_successor_for_another_pool_is_not_taken(self, scene: Scene, door: BackDoor) -> None:
        """A worker runs only tasks of its own size."""
        scene.start()
        reply = scene.done(scene.worker("c"), 0, successor(5, pool=LARGE), successor(6), take=2)
        assert reply == Reply(taken=(6,), stored=True)
        assert door.pending(LARGE) == [("run", "~5", 1)]

    def test_an_output_is_stored_for_a_successor_that_is_not_ready(self, scene: Scene, door: BackDoor) -> None:
        """It is written before the arrival can be seen."""
        scene.start(spec(starts=starts(2)))
        assert scene.done(scene.worker("c"), 0, successor(5, 2), take=9).stored
        assert door.outputs("run") == {0: b"output 0"}
        assert door.arrived("run", 5) == {0}

    def test_must_store(self, scene: Scene, door: BackDoor) -> None:
        """Outputs of impure tasks are stored even when all successors are taken."""
        scene.start()
        assert scene.done(scene.worker("c"), 0, successor(5), take=1, must_store=True) == Reply(taken=(5,), stored=True)
        assert door.outputs("run") == {0: b"output 0"}

    def test_kept_outputs_are_not_stored(self, scene: Scene, door: BackDoor) -> None:
        """A completion without output, or one for which nobody waits, writes nothing."""
        scene.start()
        claim = scene.worker("c")
        assert not scene.done(claim, 0, output=None, remaining=(1,)).stored
        assert not scene.done(claim, 1, remaining=(2,)).stored
        assert door.outputs("run") == {}

    def test_outputs_are_written_once(self, scene: Scene, door: BackDoor) -> None:
        """The first writer wins; there is one event, with the size and time of the output."""
        scene.start()
        claim = scene.worker("c")
        started_s = scene.store.now_s() - 5.0
        for output in (b"first", b"second"):
            reply = scene.done(claim, 0, must_store=True, output=output, remaining=(1,), started_s=started_s)
            assert reply.stored
        assert door.outputs("run") == {0: b"first"}
        (event,) = scene.said(OutputStored)
        assert (event.task, event.invocation, event.bytes) == (0, "start", 5)
        assert 4.0 < event.duration_s < 60.0

    def test_empty_outputs_are_outputs(self, scene: Scene) -> None:
        """No byte is not the same as no output."""
        scene.start()
        scene.store.complete(Completion(scene.worker("c"), 9, b"", sink=True, ends=True))
        assert scene.status() == "finished"
        assert scene.store.fetch("run", [9]) == {9: b""}

    def test_a_sink_counts_once(self, scene: Scene) -> None:
        """A repeated completion of one sink does not stand for another one."""
        scene.start(spec(sinks=(8, 9)))
        claim = scene.worker("c")
        for _ in range(3):
            scene.done(claim, 8, sink=True, remaining=(9,))
        assert scene.status() == "running"

    # -- fan-in ---------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("width", [2, 3, 64, 65, 200])
    def test_the_last_arrival_takes_a_fan_in(self, scene: Scene, door: BackDoor, width: int) -> None:
        """Narrow or wide: nobody before the last one, and it gets the small inputs that it lacks."""
        scene.start(spec(starts=starts(width), inline_input_bytes=10**6))
        claims = [scene.worker(f"c{i}") for i in range(width)]
        for task, claim in enumerate(claims[:-1]):
            assert scene.done(claim, task, successor(500, width), take=1, remaining=(task,)).taken == ()
        assert door.arrived("run", 500) == set(range(width - 1))
        reply = scene.done(claims[-1], width - 1, successor(500, width), take=1)
        assert reply.taken == (500,)
        assert reply.inputs == ({t: f"output {t}".encode() for t in range(width - 1)} if width <= 64 else {})
        assert door.arrived("run", 500) == set()

    @pytest.mark.parametrize("width", [3, 70])
    def test_arrivals_count_once(self, scene: Scene, door: BackDoor, width: int) -> None:
        """The same upstream task may arrive any number of times."""
        scene.start(spec(starts=starts(2)))
        first, second = scene.worker("c"), scene.worker("d")
        for _ in range(width + 1):
            assert scene.done(first, 0, successor(5, width), take=1, remaining=(0,)).taken == ()
            assert scene.done(second, 1, successor(5, width), take=1, remaining=(1,)).taken == ()
        assert door.arrived("run", 5) == {0, 1}
        assert door.pending(SMALL) == []

    def test_task_numbers_that_contain_each_other(self, scene: Scene, door: BackDoor) -> None:
        """Arrivals of 1, 11 and 111 are three."""
        tasks = (111, 11, 1)
        scene.start(spec(starts=[Start(f"i{task}", SMALL, (task,)) for task in tasks]))
        claims = [scene.worker(f"c{task}") for task in tasks]
        replies = [
            scene.done(claim, task, successor(500, 3), take=1, remaining=(task,))
            for claim, task in zip(claims, tasks, strict=True)
        ]
        assert [reply.taken for reply in replies] == [(), (), (500,)]

    @pytest.mark.parametrize("order", list(permutations(range(3))))
    def test_one_worker_is_elected_whatever_the_order(self, scene: Scene, order: tuple[int, ...]) -> None:
        """The last of any order takes the fan-in; repeated calls of all change nothing."""
        scene.start(spec(starts=starts(3)))
        claims = [scene.worker(f"c{i}") for i in range(3)]
        for _ in range(2):
            taken = [scene.done(claims[i], i, successor(5, 3), take=1).taken for i in order]
            assert taken == [(), (), (5,)]
        assert len(scene.said(InvocationRequested)) == 3

    def test_a_repeated_completion_gets_the_same_answer(self, scene: Scene, door: BackDoor) -> None:
        """After a lost answer, a worker hears again what it has taken, and nothing is invoked twice."""
        scene.start()
        claim = scene.worker("c")
        successors = [successor(5), successor(6), successor(7, 2)]
        first = scene.done(claim, 0, *successors, take=1, number=1)
        assert scene.done(claim, 0, *successors, take=1, number=1) == first == Reply(taken=(5,), stored=True)
        assert door.pending(SMALL) == [("run", "~6", 1)]
        assert len(scene.said(OutputStored)) == 1

    def test_a_repeated_end_is_fenced_and_next_tells(self, scene: Scene) -> None:
        """The end of an invocation was applied; its container hears what follows by asking."""
        scene.start(spec(starts=starts(2)))
        claim = scene.worker("c")
        reply = scene.done(claim, 0, ends=True)
        assert reply.next is not None
        with pytest.raises(Fenced):
            scene.done(claim, 0, ends=True)
        again = scene.store.next("c")
        assert again is not None
        assert (again.invocation, again.tasks) == (reply.next.invocation, reply.next.tasks) == ("i1", (1,))

    def test_an_overtaken_call_is_refused(self, scene: Scene) -> None:
        """A copy of an earlier call that arrives late must not put back the record of what is to be done."""
        scene.start()
        claim = scene.worker("c")
        scene.done(claim, 0, successor(5), take=1, number=1)
        scene.done(claim, 5, successor(6), successor(7), take=2, number=2)
        with pytest.raises(Fenced):
            scene.done(claim, 0, successor(5), take=1, number=1, ends=True)
        again = scene.store.next("c")
        assert again is not None
        assert again.tasks == (6, 7)
        with pytest.raises(Fenced):
            scene.done(claim, 0, successor(5), take=1, number=1, ends=True)
        assert scene.done(claim, 6, take=1, number=3, remaining=(7,)) == Reply()

    def test_inputs_ride_along_within_the_limit(self, scene: Scene) -> None:
        """In order while they fit; a large one does not keep a later small one from riding."""
        scene.start(spec(starts=starts(4), inline_input_bytes=10))
        claims = [scene.worker(f"c{i}") for i in range(4)]
        for task, size in enumerate((6, 20, 4)):
            scene.done(claims[task], task, successor(5, 4), output=b"x" * size)
        reply = scene.done(claims[3], 3, successor(5, 4), take=1)
        assert reply.inputs == {0: b"xxxxxx", 2: b"xxxx"}

    def test_inputs_of_an_invoked_task_ride_along(self, scene: Scene) -> None:
        """The message of a new invocation carries them too, also through the queue."""
        scene.start(spec(starts=starts(2), inline_input_bytes=8))
        first, second = scene.worker("c"), scene.worker("d")
        scene.done(first, 0, successor(5, 2))
        scene.done(second, 1, successor(5, 2), output=b"too long for it")
        message = scene.container("e")
        assert message is not None
        assert (message.tasks, message.inputs) == ((5,), {0: b"output 0"})

    # -- planned workers ------------------------------------------------------------------------------------------

    def test_a_planned_worker_is_invoked_when_its_first_task_is_ready(self, scene: Scene, door: BackDoor) -> None:
        """Only then; it gets no tasks, its order is in the DAG."""
        scene.start(spec(starts=[Start("p", SMALL), Start("q", SMALL)]))
        p, q = scene.worker("c"), scene.worker("d")
        gate = successor(5, 2, worker="r", gate=True, pool=LARGE)
        assert scene.done(p, 0, gate, take=1) == Reply(stored=True)
        assert door.pending(LARGE) == []
        scene.done(q, 1, gate, take=1)
        message = scene.container("e", LARGE)
        assert message is not None
        assert (message.invocation, message.tasks, message.inputs) == ("r", (), {})

    def test_a_later_task_of_a_planned_worker_invokes_nobody(self, scene: Scene, door: BackDoor) -> None:
        """Its worker finds it ready when it gets there."""
        scene.start(spec(starts=[Start("p", SMALL)]))
        p = scene.worker("c")
        scene.done(p, 0, successor(6, worker="r"), successor(5, worker="r", gate=True), remaining=(1,))
        assert door.pending(SMALL) == [("run", "r", 1)]
        r = scene.worker("d")
        assert scene.store.wait_ready(r, 6, [0]) == (True, {0: b"output 0"})

    def test_a_waiting_worker_hears_that_its_task_is_ready(self, scene: Scene) -> None:
        """Registered by asking; a wake-up comes for that task only, and it no longer counts as waiting."""
        scene.start(spec(starts=[Start("p", SMALL), Start("q", SMALL)]))
        p, q = scene.worker("c"), scene.worker("d")
        assert scene.store.wait_ready(q, 5, [0]) == (False, {})
        assert scene.store.demand().waiting == ("d",)
        scene.done(p, 1, successor(6, worker="q"))
        assert scene.inbox("d") == []
        scene.done(p, 0, successor(5, worker="q"))
        assert scene.inbox("d") == [Ready("run", "q", 5)]
        assert scene.store.demand().waiting == ()
        assert scene.store.wait_ready(q, 5, [0, 3]) == (True, {0: b"output 0"})

    def test_waiting_again_keeps_the_place(self, scene: Scene) -> None:
        """Who waits longest is asked to yield first, however often it asked since."""
        scene.start(spec(starts=[Start("p", SMALL), Start("q", SMALL)]))
        p, q = scene.worker("c-p"), scene.worker("c-q")
        for claim in (p, q, p):
            scene.store.wait_ready(claim, 5, [])
        assert scene.store.demand().waiting == ("c-p", "c-q")

    def test_yielding_gives_up_the_slot_until_the_gate_is_ready(self, scene: Scene, door: BackDoor) -> None:
        """Kept outputs are stored, another invocation gets the container, and a new attempt follows."""
        scene.start(spec(starts=[Start("p", SMALL), Start("q", SMALL)]))
        q = scene.worker("d") if scene.worker("c").invocation == "p" else None
        assert q is not None
        scene.store.wait_ready(q, 5, [])
        reply = scene.store.suspend(Suspension(q, 5, {3: b"kept"}))
        assert reply == Reply(ended=True)
        assert door.outputs("run") == {3: b"kept"}
        assert door.idle(SMALL) == ["d"]
        assert scene.store.demand().waiting == ()
        with pytest.raises(Fenced):
            scene.store.wait_ready(q, 5, [])
        state = scene.store.run_status("run")
        assert state is not None
        assert state.live == 1
        scene.done(Claim("run", "p", 1, "c"), 0, successor(5, worker="q"))
        (message,) = scene.inbox("d")
        assert (message.invocation, message.attempt, message.tasks) == ("q", 2, ())
        assert scene.said(InvocationRequested)[-1].by == "p"
        assert scene.said(WorkerExited)[0].reason == "yielded"

    def test_yielding_when_the_gate_has_just_become_ready(self, scene: Scene, door: BackDoor) -> None:
        """The invocation is dispatched again at once."""
        scene.start(spec(starts=[Start("p", SMALL), Start("q", LARGE)]))
        p, q = scene.worker("c"), scene.worker("d", LARGE)
        scene.store.wait_ready(q, 5, [])
        scene.done(p, 0, successor(5, worker="q"))
        reply = scene.store.suspend(Suspension(q, 5))
        assert reply.next is not None
        assert (reply.next.invocation, reply.next.attempt) == ("q", 2)
        assert door.pending(LARGE) == []

    def test_a_run_in_which_all_wait_for_each_other_is_stalled(self, scene: Scene) -> None:
        """Nothing runs, nothing is pending: the run fails rather than hang."""
        scene.start(spec(starts=[Start("p", SMALL), Start("q", SMALL)]))
        p, q = scene.worker("c"), scene.worker("d")
        scene.store.suspend(Suspension(p, 5))
        assert scene.status() == "running"
        scene.store.suspend(Suspension(q, 6))
        assert scene.status() == "failed stalled"

    def test_a_run_whose_last_worker_ends_without_result_is_stalled(self, scene: Scene) -> None:
        """A half-finished fan-in with nobody left is the end."""
        scene.start()
        scene.done(scene.worker("c"), 0, successor(5, 2), ends=True)
        assert scene.status() == "failed stalled"
        (event,) = scene.said(RunEnded)
        assert (event.status, event.reason) == ("failed", "stalled")

    # -- fencing --------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        "claim",
        [
            Claim("run", "start", 2, "c"),
            Claim("run", "start", 0, "c"),
            Claim("run", "start", 1, "d"),
            Claim("run", "other", 1, "c"),
            Claim("unknown", "start", 1, "c"),
        ],
        ids=["later attempt", "earlier attempt", "other container", "other invocation", "unknown run"],
    )
    def test_a_wrong_claim_is_fenced_everywhere(self, scene: Scene, door: BackDoor, claim: Claim) -> None:
        """No call of such a worker changes anything."""
        scene.start()
        scene.worker("c")
        scene.container("d")
        before = scene.events()
        calls = [
            lambda: scene.done(claim, 0, successor(5), must_store=True),
            lambda: scene.fails(claim, 0),
            lambda: scene.store.suspend(Suspension(claim, 5, {0: b"kept"})),
            lambda: scene.store.wait_ready(claim, 5, []),
            lambda: scene.store.begin(claim, 0),
            lambda: scene.store.stored(claim),
        ]
        for call in calls:
            with pytest.raises(Fenced):
                call()
        assert door.outputs("run") == {}
        assert scene.events() == before
        assert scene.status() == "running"
        assert scene.store.demand().assigned == {"c"}

    def test_a_worker_of_an_ended_run_is_fenced(self, scene: Scene) -> None:
        """It writes nothing any more; its container goes on to other work."""
        scene.start(spec(starts=starts(2)))
        first, second = scene.worker("c"), scene.worker("d")
        scene.finish(first)
        assert scene.status() == "finished"
        with pytest.raises(Fenced, match="finished"):
            scene.done(second, 1, must_store=True)
        assert scene.store.next("d") is None

    # -- failures -------------------------------------------------------------------------------------------------

    def test_a_failure_without_retries_ends_the_run(self, scene: Scene) -> None:
        """The report is durable and the container free."""
        scene.start(spec(starts=starts(2)))
        claim = scene.worker("c")
        reply = scene.fails(claim, 0, message="ValueError: bad")
        assert (reply.ended, reply.will_retry, reply.attempt, reply.next) == (True, False, 1, None)
        state = scene.store.run_status("run")
        assert state is not None
        assert (state.status, state.reason, state.error) == ("failed", "task failed|1", b"report")
        (event,) = scene.said(TaskFailed)
        assert (event.task, event.invocation, event.container, event.attempt) == (0, "i0", "c", 1)
        assert (event.error, event.will_retry) == ("ValueError: bad", False)
        assert scene.store.demand().pending == {}

    @pytest.mark.parametrize(("attempt", "pause_s"), [(1, 100.0), (2, 200.0), (3, 250.0)])
    def test_a_retry_waits_for_its_moment(self, scene: Scene, door: BackDoor, attempt: int, pause_s: float) -> None:
        """Pauses double up to their cap, on no worker; no sweep dispatches what is not due."""
        scene.start()
        claim = scene.worker("c")
        for _ in range(attempt - 1):
            scene.fails(claim, 0, retries=3)
            scene.store.sweep(LONG_S)
            claim = scene.inbox("c")[-1].claim("c")
        reply = scene.fails(claim, 0, retries=3, backoff_s=100.0, backoff_cap_s=250.0)
        assert (reply.ended, reply.will_retry, reply.attempt, reply.next) == (True, True, attempt, None)
        ((entry, left_s),) = door.due_in_s().items()
        assert entry == ("run", "start", attempt + 1)
        assert pause_s - 60 < left_s <= pause_s
        scene.store.sweep(LONG_S)
        assert scene.inbox("c") == []
        state = scene.store.run_status("run")
        assert state is not None
        assert (state.status, state.live) == ("running", 1)

    def test_a_retry_restarts_from_what_is_left(self, scene: Scene, door: BackDoor) -> None:
        """Kept outputs that it needs are stored first; the failed attempt is fenced."""
        scene.start()
        claim = scene.worker("c")
        scene.fails(claim, 5, retries=1, outputs={0: b"kept", 3: b"kept too"}, remaining=(5, 6))
        assert door.outputs("run") == {0: b"kept", 3: b"kept too"}
        with pytest.raises(Fenced):
            scene.done(claim, 6)
        scene.store.sweep(LONG_S)
        (message,) = scene.inbox("c")
        assert (message.attempt, message.tasks) == (2, (5, 6))
        assert scene.said(InvocationRequested)[-1].by == "retry"
        assert scene.store.stored(message.claim("c")) == {0, 3}
        reply = scene.fails(message.claim("c"), 5, retries=1)
        assert (reply.will_retry, reply.attempt) == (False, 2)

    def test_a_failure_of_a_dead_worker_restarts_as_recorded(self, scene: Scene) -> None:
        """A supervisor does not know what is left; the store does."""
        scene.start()
        claim = scene.worker("c")
        scene.done(claim, 0, successor(5), successor(6), take=2)
        scene.fails(claim, 5, retries=1)
        scene.store.sweep(LONG_S)
        (message,) = scene.inbox("c")
        assert message.tasks == (5, 6)

    def test_tries_are_counted_per_task(self, scene: Scene) -> None:
        """One task's failures do not use up another one's retries."""
        scene.start()
        claim = scene.worker("c")
        for task in (0, 1, 0):
            reply = scene.fails(claim, task, retries=2)
            assert reply.will_retry
            scene.store.sweep(LONG_S)
            claim = scene.inbox("c")[-1].claim("c")
        assert scene.fails(claim, 1, retries=2).attempt == 2

    def test_an_impure_task_begins_once(self, scene: Scene) -> None:
        """The same attempt may ask again; a later one hears that it had begun."""
        scene.start()
        claim = scene.worker("c")
        assert scene.store.begin(claim, 0)
        assert scene.store.begin(claim, 0)
        scene.store.remove("c", "killed")
        later = scene.worker("d")
        assert not scene.store.begin(later, 0)
        assert scene.store.begin(later, 1)

    def test_a_container_that_ends_with_a_failure_is_handed_nothing(self, scene: Scene, door: BackDoor) -> None:
        """What waits would die with it; its end costs no other invocation anything."""
        scene.start(spec(starts=starts(2)))
        claim = scene.worker("c")
        reply = scene.store.fail(Failure(claim, 0, "timeout", b"report", 5, leaves=True))
        assert (reply.ended, reply.next, reply.will_retry) == (True, None, True)
        assert door.pending(SMALL) == [("run", "i1", 1)]
        assert scene.store.demand().assigned == frozenset()
        scene.store.remove("c", "killed")
        assert door.pending(SMALL) == [("run", "i1", 1)]

    @pytest.mark.parametrize("leaves", [False, True])
    def test_a_failure_may_move_the_invocation(self, scene: Scene, door: BackDoor, leaves: bool) -> None:
        """Without any retries another attempt is due, after the pause, in the pool that was named, and stays there."""
        scene.start(spec(starts=starts(2)))
        claim = scene.worker("small")
        scene.container("large", LARGE)
        reply = scene.fails(claim, 0, leaves=leaves, pool=LARGE, backoff_s=100.0, backoff_cap_s=250.0)
        assert (reply.ended, reply.will_retry, reply.attempt) == (True, True, 1)
        if leaves:
            assert reply.next is None
            assert door.pending(SMALL) == [("run", "i1", 1)]
        else:
            assert reply.next is not None
            assert (reply.next.invocation, reply.next.pool) == ("i1", SMALL)
        ((entry, left_s),) = door.due_in_s().items()
        assert entry == ("run", "i0", 2)
        assert 40 < left_s <= 100
        (event,) = scene.said(TaskFailed)
        assert (event.will_retry, event.attempt) == (True, 1)
        assert scene.inbox("large") == []

    def test_a_moved_invocation_stays_where_it_is(self, scene: Scene, door: BackDoor) -> None:
        """Its next attempts, after a lapse or another failure, run in containers of the same pool."""
        scene.start()
        scene.fails(scene.worker("small"), 0, pool=LARGE)
        assert scene.store.next("small") is None
        scene.store.sweep(LONG_S)
        assert scene.inbox("small") == []
        assert door.pending(LARGE) == [("run", "start", 2)]
        assert scene.said(InvocationRequested)[-1].size_mib == 1024
        scene.worker("large", LARGE)
        scene.store.remove("large", "killed")
        claim = scene.worker("other", LARGE)
        assert (claim.attempt, scene.said(InvocationRequested)[-1].size_mib) == (3, 1024)
        assert scene.fails(claim, 0, retries=2).attempt == 2
        scene.store.sweep(LONG_S)
        (message,) = scene.inbox("other")
        assert (message.attempt, message.pool) == (4, LARGE)
        assert not scene.fails(message.claim("other"), 0, retries=2).will_retry

    def test_a_repeated_failure_is_fenced(self, scene: Scene) -> None:
        """It counts once."""
        scene.start()
        claim = scene.worker("c")
        scene.fails(claim, 0, retries=5)
        with pytest.raises(Fenced):
            scene.store.fail(Failure(claim, 0, "boom", b"report", 5))
        assert len(scene.said(TaskFailed)) == 1

    # -- blobs ----------------------------------------------------------------------------------------------------

    def test_blobs_come_in_chunks(self, scene: Scene, door: BackDoor) -> None:
        """Chunks of any kind of buffer, also a megabyte and an empty one, come back as they were."""
        scene.start()
        chunks = [b"a" * 2**20, memoryview(b"xyz")[1:], b"", bytes(range(256))]
        scene.store.put_blob("run", "0-1", iter(chunks))
        assert scene.store.get_blob("run", "0-1", 4) == [bytes(chunk) for chunk in chunks]
        assert door.blob_bytes("run") == 2**20 + 2 + 256

    def test_a_missing_chunk_is_an_error(self, scene: Scene) -> None:
        """It names the blob and both numbers."""
        scene.start()
        scene.store.put_blob("run", "0-1", [b"a"])
        for key, chunks, has in (("0-1", 2, 1), ("1-1", 1, 0)):
            with pytest.raises(StorageError, match=f"'{key}'.* {has} of {chunks} chunks"):
                scene.store.get_blob("run", key, chunks)

    def test_a_blob_of_a_deleted_run_is_not_kept(self, scene: Scene) -> None:
        """A late writer leaves nothing behind."""
        scene.start()
        scene.store.delete_run("run")
        scene.store.put_blob("run", "0-1", [b"a", b"b"])
        assert scene.store.leftovers() == []
        with pytest.raises(StorageError):
            scene.store.get_blob("run", "0-1", 2)
