"""What every store promises about outputs that workers hold: who may run what needs them, and who has to store."""

import random
from typing import Any

import pytest

from faaslab.errors import Fenced
from faaslab.protocol.messages import Claim, News, Reply, Start, Successor
from faaslab.trace.events import OutputStored
from tests.storage.conformance_tasks import TaskConformance, starts
from tests.storage.scene import LARGE, SMALL, BackDoor, Scene, spec, successor


def hold(scene: Scene, claim: Claim, task: int, *successors: Successor, nbytes: int = 10, **how: Any) -> Reply:
    """Tell of a task whose output is not stored yet; by default of a worker that has other things to run."""
    how = {"hold": "run", "remaining": (task, 50 + task)} | how
    return scene.done(claim, task, *successors, output=None, held_bytes=nbytes, **how)


def news(scene: Scene, container: str) -> int:
    """Return how often a container was told that there is something for it."""
    return sum(isinstance(message, News) for message in scene.inbox(container))


class HeldConformance(TaskConformance):
    """Holding, elections, hand-over, and what becomes of it when workers end."""

    def test_what_is_ready_is_taken_and_the_rest_is_held(self, scene: Scene, door: BackDoor) -> None:
        """Nothing is stored, nobody else hears of it; what is held for is told."""
        scene.start(spec(starts=starts(2)))
        claim = scene.worker("c")
        reply = hold(scene, claim, 0, successor(5), successor(6), successor(7, 2), take=9)
        assert reply == Reply(taken=(5, 6), held=(7,))
        assert door.outputs("run") == {}
        assert door.arrived("run", 7) == set()
        assert door.pending(SMALL) == [("run", "i1", 1)]

    def test_a_ready_one_too_many_is_somebody_elses(self, scene: Scene) -> None:
        """The output has to be stored for it, so that it is held for none; storing it brings it a worker."""
        scene.start()
        claim = scene.worker("c")
        assert hold(scene, claim, 0, successor(5), successor(6), successor(7, 2), take=1) == Reply(taken=(5,), due=(0,))
        reply = scene.done(claim, 0, successor(6), successor(7, 2), must_store=True, remaining=(5,))
        assert reply == Reply(stored=True)
        again = scene.container("d")
        assert again is not None
        assert (again.tasks, again.inputs) == ((6,), {0: b"output 0"})

    @pytest.mark.parametrize("other", [successor(6, 2, worker="p"), successor(6, 2, pool=LARGE)])
    def test_nothing_is_held_from_a_planned_worker_or_another_size(self, scene: Scene, other: Successor) -> None:
        """They can't come to where it is."""
        scene.start(spec(starts=starts(2)))
        claim = scene.worker("c")
        assert hold(scene, claim, 0, successor(5), other, successor(7, 2), take=9) == Reply(taken=(5,), due=(0,))

    @pytest.mark.parametrize("how", [{"hold": "check"}, {"remaining": (0,), "ends": True}])
    def test_without_anything_to_run_or_to_wait_for_it_is_stored(self, scene: Scene, how: dict[str, Any]) -> None:
        """Whoever only asks, or has nothing else to do, stores it in the next call."""
        scene.start(spec(starts=starts(2)))
        claim = scene.worker("c")
        assert hold(scene, claim, 0, successor(5, 2), take=9, **how) == Reply(due=(0,))
        reply = scene.done(claim, 0, successor(5, 2), must_store=True, take=9, ends=True)
        assert (reply.stored, reply.ended) == (True, True)

    @pytest.mark.parametrize("width", [2, 3, 70])
    def test_the_last_holder_is_given_the_task(self, scene: Scene, door: BackDoor, width: int) -> None:
        """When all others have arrived it is told, and its next answer has the task; its record then has it, too."""
        scene.start(spec(starts=starts(width)))
        claims = [scene.worker(f"c{i}") for i in range(width)]
        fan_in = successor(500, width)
        assert hold(scene, claims[0], 0, successor(400), fan_in, take=9).held == (500,)
        for task, claim in enumerate(claims[1:], 1):
            assert scene.done(claim, task, fan_in, take=9, ends=True).stored
        assert news(scene, "c0") == 1
        assert door.arrived("run", 500) == set()
        again = scene.done(claims[0], 400, remaining=(0,), number=3)
        assert again == scene.done(claims[0], 400, remaining=(0,), number=3) == Reply(taken=(500,))
        assert scene.done(claims[0], 500, sink=False, remaining=(501,)) == Reply()
        assert scene.store.owned(claims[0]) == {0, 400, 500}

    def test_the_largest_holder_is_elected(self, scene: Scene) -> None:
        """The others are told to store, once; when they have, the task is its."""
        scene.start(spec(starts=starts(3)))
        claims = [scene.worker(f"c{i}") for i in range(3)]
        fan_in = successor(5, 3)
        for task, nbytes in enumerate((10, 30, 20)):
            hold(scene, claims[task], task, fan_in, nbytes=nbytes)
        assert [news(scene, f"c{i}") for i in range(3)] == [1, 0, 0]
        # The last one hears it in its answer; whoever missed the message, in its next one.
        assert scene.done(claims[0], -1, output=None, remaining=(0,)).due == (0,)
        assert scene.done(claims[2], -1, output=None, remaining=(2,)).due == (2,)
        assert scene.done(claims[1], -1, output=None, remaining=(1,)) == Reply()
        assert scene.done(claims[2], 2, fan_in, must_store=True, remaining=(9,), take=9) == Reply(stored=True)
        assert news(scene, "c1") == 0
        assert scene.done(claims[0], 0, fan_in, must_store=True, remaining=(9,), take=9) == Reply(stored=True)
        assert news(scene, "c1") == 1
        assert scene.done(claims[1], -1, output=None, remaining=(1,)).taken == (5,)

    def test_the_last_to_hold_hears_at_once_that_it_has_to_store(self, scene: Scene) -> None:
        """Its own answer says so."""
        scene.start(spec(starts=starts(2)))
        first, second = scene.worker("c"), scene.worker("d")
        hold(scene, first, 0, successor(5, 2), nbytes=9)
        assert hold(scene, second, 1, successor(5, 2), nbytes=8) == Reply(held=(5,), due=(1,))
        assert (news(scene, "c"), news(scene, "d")) == (0, 0)

    def test_of_equals_the_first_is_elected(self, scene: Scene) -> None:
        """Both stores agree on it: the one that made the first of the tasks, whoever came first."""
        scene.start(spec(starts=starts(2)))
        first, second = scene.worker("c"), scene.worker("d")
        hold(scene, second, 1, successor(5, 2))
        assert hold(scene, first, 0, successor(5, 2)).due == ()
        assert scene.done(second, -1, output=None, remaining=(1,)).due == (1,)

    def test_all_that_a_worker_holds_counts(self, scene: Scene) -> None:
        """Two small ones together are more than one that is larger than each."""
        scene.start(spec(starts=[Start("i0", SMALL, (0, 1)), Start("i2", SMALL, (2,))]))
        both, one = scene.worker("c"), scene.worker("d")
        hold(scene, both, 0, successor(5, 3), nbytes=10)
        hold(scene, both, 1, successor(5, 3), nbytes=10)
        assert hold(scene, one, 2, successor(5, 3), nbytes=15).due == (2,)
        scene.done(one, 2, successor(5, 3), must_store=True, ends=True)
        assert scene.done(both, -1, output=None, remaining=(0, 1)).taken == (5,)

    def test_one_worker_that_holds_all_takes_it(self, scene: Scene) -> None:
        """With its last output it is ready for it, as far as it takes any."""
        scene.start(spec(starts=[Start("i0", SMALL, (0, 1))]))
        claim = scene.worker("c")
        hold(scene, claim, 0, successor(5, 2))
        assert hold(scene, claim, 1, successor(5, 2), take=1) == Reply(taken=(5,))

    def test_an_elected_holder_that_stores_all_the_same(self, scene: Scene) -> None:
        """It had nothing left to run; the other one is left with the task, or invokes a worker, as always."""
        scene.start(spec(starts=starts(2)))
        first, second = scene.worker("c"), scene.worker("d")
        hold(scene, first, 0, successor(5, 2), nbytes=9)
        hold(scene, second, 1, successor(5, 2), nbytes=8)
        assert scene.done(first, 0, successor(5, 2), must_store=True, ends=True, take=9).ended
        reply = scene.done(second, 1, successor(5, 2), must_store=True, remaining=(), take=0)
        assert reply.taken == (5,)

    def test_an_order_ends_with_what_it_was_for(self, scene: Scene) -> None:
        """What is held for nobody any more need not be stored."""
        scene.start(spec(starts=starts(2)))
        first, second = scene.worker("c"), scene.worker("d")
        hold(scene, first, 0, successor(5, 2), nbytes=9)
        assert hold(scene, second, 1, successor(5, 2), nbytes=8).due == (1,)
        scene.done(first, 0, successor(5, 2), must_store=True, ends=True)
        assert scene.done(second, -1, output=None, remaining=(1,)) == Reply(taken=(5,))

    # -- ends -----------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("dies", ["elected", "other"])
    def test_what_a_dead_holder_held_is_missing_again(self, scene: Scene, dies: str) -> None:
        """Its next attempt runs it again and tells of it again; the other one is not given the task before."""
        scene.start(spec(starts=starts(2)))
        first, second = scene.worker("c"), scene.worker("d")
        hold(scene, first, 0, successor(5, 2), nbytes=9, remaining=(0,))
        hold(scene, second, 1, successor(5, 2), nbytes=8, remaining=(1,))
        dead, claim, task, alive = ("c", second, 1, "d") if dies == "elected" else ("d", first, 0, "c")
        scene.store.remove(dead, "killed")
        assert scene.done(claim, -1, output=None, remaining=(task,)).taken == ()
        message = scene.container("e")
        assert message is not None
        assert (message.attempt, message.tasks) == (2, (1 - task,))
        reply = hold(scene, message.claim("e"), 1 - task, successor(5, 2), nbytes=100)
        assert reply == Reply(held=(5,))
        assert scene.done(claim, -1, output=None, remaining=(task,)).due == (task,)
        assert news(scene, alive) == (1 if dies == "other" else 0)

    @pytest.mark.parametrize("heard", [False, True])
    def test_what_a_dead_holder_was_given_is_not_lost(self, scene: Scene, heard: bool) -> None:
        """Its next attempt runs it, with what it held, whether it had heard of it or not."""
        scene.start(spec(starts=starts(2)))
        first, second = scene.worker("c"), scene.worker("d")
        hold(scene, first, 0, successor(5, 2), successor(6, 2), remaining=(0,))
        scene.done(second, 1, successor(5, 2), ends=True, take=9)
        if heard:
            assert scene.done(first, -1, output=None, remaining=(0,)).taken == (5,)
        scene.store.remove("c", "killed")
        message = scene.store.next("d")
        assert message is not None
        assert (message.invocation, message.attempt, message.tasks) == ("i0", 2, (0, 5))
        claim = message.claim("d")
        assert scene.store.owned(claim) == {0, 5}
        # 5 is its own already: it is neither taken twice nor held for.
        assert hold(scene, claim, 0, successor(5, 2), successor(6, 2), take=9) == Reply(held=(6,))

    def test_a_failed_holder_starts_from_what_it_was_given(self, scene: Scene, door: BackDoor) -> None:
        """Also where its supervisor reports for it, which knows nothing of that."""
        scene.start(spec(starts=starts(2)))
        first, second = scene.worker("c"), scene.worker("d")
        hold(scene, first, 0, successor(5, 2), remaining=(0,))
        scene.done(second, 1, successor(5, 2), ends=True, take=9)
        assert scene.fails(first, 0, retries=1, leaves=True).will_retry
        scene.store.sweep(1.0)
        message = scene.store.next("d")
        assert message is not None
        assert message.tasks == (0, 5)
        assert door.arrived("run", 5) == set()

    def test_fenced_workers_hold_nothing(self, scene: Scene) -> None:
        """Nor are they told what they own."""
        scene.start()
        claim = scene.worker("c")
        scene.store.remove("c", "killed")
        with pytest.raises(Fenced):
            hold(scene, claim, 0, successor(5, 2))
        with pytest.raises(Fenced):
            scene.store.owned(claim)

    def test_nothing_is_left(self, scene: Scene) -> None:
        """Of held outputs and wide fan-ins neither."""
        scene.start(spec(starts=starts(2)))
        first, second = scene.worker("c"), scene.worker("d")
        hold(scene, first, 0, successor(5, 2), successor(500, 70), successor(6, 3))
        hold(scene, second, 1, successor(500, 70), successor(6, 3))
        scene.done(second, 1, successor(500, 70), must_store=True, remaining=(2,))
        scene.store.delete_run("run")
        assert scene.store.leftovers() == []

    # -- repeated calls -------------------------------------------------------------------------------------------

    def test_a_repeated_call_gets_the_same_answer(self, scene: Scene) -> None:
        """What was taken, what is held, and what has to be stored; what it was given since comes later."""
        scene.start(spec(starts=starts(2)))
        first, second = scene.worker("c"), scene.worker("d")
        told: dict[str, Any] = {"take": 9, "remaining": (0,), "number": 1}
        answer = hold(scene, first, 0, successor(5), successor(6, 2), **told)
        assert answer == Reply(taken=(5,), held=(6,))
        assert hold(scene, first, 0, successor(5), successor(6, 2), **told) == answer
        scene.done(second, 1, successor(6, 2), ends=True, take=9)
        assert hold(scene, first, 0, successor(5), successor(6, 2), **told) == answer
        assert scene.done(first, 5, remaining=(0,), number=2) == Reply(taken=(6,))
        check: dict[str, Any] = {"hold": "check", "number": 3, "remaining": (7, 6), "take": 0}
        assert hold(scene, first, 7, successor(8), **check) == hold(scene, first, 7, successor(8), **check)

    # -- at random ------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("seed", range(12))
    def test_no_two_wait_for_each_other(self, scene: Scene, seed: int) -> None:
        """Workers that hold as long as they may, and die now and then: each task is run, by one that has its inputs.

        Whoever has not been told to store goes on only when nobody else can.
        """
        rng = random.Random(seed)
        makers, fan_ins = 6, range(100, 104)
        inputs = {s: sorted(rng.sample(range(makers), rng.randint(2, 4))) for s in fan_ins}
        after = {m: [successor(s, len(inputs[s])) for s in fan_ins if m in inputs[s]] for m in range(makers)}
        scene.start(spec(starts=starts(makers), max_lapses=99))
        size = {m: rng.choice((1, 5, 5, 9)) for m in range(makers)}
        open_: dict[str, tuple[Claim, dict[int, list[Successor]], list[int]]] = {}
        ran: dict[int, str] = {}
        count, crashes = 0, 4

        def heed(name: str, reply: Reply) -> None:
            _, held, todo = open_[name]
            todo.extend(reply.taken)
            for task in reply.taken:
                for m in [m for m in held if m in inputs.get(task, ())]:
                    held[m] = [s for s in held[m] if s.task != task]
            for m in [m for m in held if not held[m] and m not in reply.due]:
                del held[m]
            for m in reply.due:
                if m in held:
                    release(name, m)

        def release(name: str, m: int) -> None:
            claim, held, todo = open_[name]
            left = held.pop(m)
            done = not todo and not held
            reply = scene.done(claim, m, *left, must_store=True, take=9, remaining=(*todo, *held), ends=done)
            if reply.ended:
                del open_[name]
                begin(name, reply.next)
            else:
                heed(name, reply)

        def begin(name: str, invocation: Any) -> None:
            if invocation is not None:
                open_[name] = (invocation.claim(name), {}, list(invocation.tasks))

        for number in range(3):
            begin(f"c{number}", scene.container(f"c{number}"))
            count += 1
        for _ in range(400):
            if len(ran) == makers + len(fan_ins):
                break
            if not open_:
                for name in scene.store.demand().containers:
                    begin(name, scene.store.next(name))
            busy = [name for name in sorted(open_) if open_[name][2]]
            name = rng.choice(busy or sorted(open_))
            claim, held, todo = open_[name]
            if crashes and rng.random() < 0.05:
                crashes -= 1
                scene.store.remove(name, "killed")
                del open_[name]
                begin(f"c{count}", scene.container(f"c{count}"))
                count += 1
            elif not todo:
                for m in list(held):
                    if name in open_ and m in open_[name][1]:
                        release(name, m)
            else:
                task = todo.pop()
                ran[task] = name
                if after.get(task):
                    reply = hold(
                        scene, claim, task, *after[task], nbytes=size[task], take=9, remaining=(task, *todo, *held)
                    )
                    held[task] = [s for s in after[task] if s.task in reply.held or task in reply.due]
                    heed(name, reply)
                else:
                    reply = scene.done(claim, task, remaining=(*todo, *held), ends=not todo and not held, output=None)
                    if reply.ended:
                        del open_[name]
                        begin(name, reply.next)
                    else:
                        heed(name, reply)
        assert sorted(ran) == [*range(makers), *fan_ins]
        written = [event.task for event in scene.said(OutputStored)]
        assert len(written) == len(set(written))
