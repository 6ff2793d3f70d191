"""What every store promises for tasks that are computed twice: moments, who lacks an output, arrivals without one."""

from dataclasses import replace

import pytest

from faaslab.errors import Fenced
from faaslab.protocol.messages import Completion, FlowState, News, Offer, Ready, RunSpec, Start, Suspension
from tests.storage.conformance_tasks import TaskConformance, starts
from tests.storage.scene import LONG_S, SMALL, BackDoor, Scene, spec, successor


def timed(*names: str) -> RunSpec:
    """Return a run whose moments are remembered, of workers with these names."""
    return replace(spec(starts=[Start(name, SMALL) for name in names]), timed=True)


class TwiceConformance(TaskConformance):
    """Looking, needing, arriving."""

    def test_moments(self, scene: Scene) -> None:
        """It is told when the run began and when outputs were stored; of others nothing."""
        before_s = scene.store.now_s()
        scene.start(timed("w", "p"))
        looking, maker = scene.worker("w"), scene.worker("p")
        scene.done(maker, 1, must_store=True, remaining=(2,))
        began_s, stored_s = scene.store.look(looking, [3], [1, 2])
        assert before_s <= began_s + 1e-6
        assert began_s <= stored_s[1] <= scene.store.now_s()
        assert list(stored_s) == [1]
        scene.store.suspend(Suspension(maker, 8, {2: b"kept"}))
        assert set(scene.store.look(looking, [3], [1, 2])[1]) == {1, 2}

    def test_only_a_timed_run_remembers(self, scene: Scene) -> None:
        """Others need not pay for it."""
        scene.start(spec(starts=starts(2)))
        looking = scene.worker("w")
        scene.done(scene.worker("p"), 1, must_store=True)
        assert scene.store.look(looking, [], [1])[1] == {}

    def test_who_looks_is_told(self, scene: Scene) -> None:
        """Once for each, when it is stored; what is stored already is not told of."""
        scene.start(timed("w", "p"))
        looking, maker = scene.worker("w"), scene.worker("p")
        scene.done(maker, 1, must_store=True, remaining=(2,))
        for _ in range(2):
            scene.store.look(looking, [3], [1, 2])
        assert scene.inbox("w") == []
        scene.done(maker, 3, must_store=True, remaining=(2,))
        assert scene.inbox("w") == []
        scene.done(maker, 2, must_store=True, remaining=(3,))
        assert scene.inbox("w") == [News("run", "w")]

    @pytest.mark.parametrize("gone", ["removed", "suspended"])
    def test_who_has_gone_is_told_nothing(self, scene: Scene, gone: str) -> None:
        """Not another attempt in the same container either."""
        scene.start(timed("w", "p"))
        looking, maker = scene.worker("w"), scene.worker("p")
        scene.store.look(looking, [], [2])
        if gone == "removed":
            scene.store.remove("w", "killed")
        else:
            scene.store.suspend(Suspension(looking, 8))
        scene.done(maker, 2, must_store=True, remaining=(3,))
        assert scene.inbox("w") == []
        with pytest.raises(Fenced):
            scene.store.look(looking, [], [2])
        with pytest.raises(Fenced):
            scene.store.needed(looking, 2, [8])

    @pytest.mark.parametrize("inputs", [1, 2, 70])
    def test_whether_an_output_is_needed(self, scene: Scene, inputs: int, door: BackDoor) -> None:
        """Until it has arrived at every successor, whoever brought it there."""
        scene.start(timed("w", "p"))
        copying, maker = scene.worker("w"), scene.worker("p")
        mine, other = successor(8, inputs, worker="w"), successor(7, inputs + 1, worker="q")
        assert scene.store.needed(maker, 3, [8, 7])
        scene.store.complete(Completion(copying, 3, successors=(mine,)))
        assert not scene.store.needed(maker, 3, [8])
        assert scene.store.needed(maker, 4, [8]) is (inputs > 1)
        assert scene.store.needed(maker, 3, [8, 7])
        scene.store.complete(Completion(copying, 3, successors=(mine, other)))
        assert not scene.store.needed(maker, 3, [8, 7])
        assert not scene.store.needed(maker, 3, [])
        assert door.outputs("run") == {}

    def test_a_copy_arrives_once(self, scene: Scene, door: BackDoor) -> None:
        """With the original it counts as one input; whichever comes second changes nothing."""
        scene.start(timed("w", "p"))
        copying, maker = scene.worker("w"), scene.worker("p")
        waiting = successor(8, 2, worker="w")
        assert scene.store.wait_ready(copying, 8, [3, 4]) == (False, {})
        scene.store.complete(Completion(copying, 3, successors=(waiting,)))
        assert scene.done(maker, 3, waiting, remaining=(4,)).stored
        assert door.arrived("run", 8) == {3}
        assert scene.store.wait_ready(copying, 8, [3, 4]) == (False, {})
        scene.done(maker, 4, waiting, remaining=(5,))
        assert scene.inbox("w") == [Ready("run", "w", 8)]
        assert scene.store.wait_ready(copying, 8, [4]) == (True, {4: b"output 4"})

    def test_whoever_waits_is_ready_by_its_own_copy(self, scene: Scene) -> None:
        """It does not count as waiting any more."""
        scene.start(timed("w", "p"))
        copying = scene.worker("w")
        assert scene.store.wait_ready(copying, 8, [3]) == (False, {})
        assert scene.store.demand().waiting == ("w",)
        scene.store.complete(Completion(copying, 3, successors=(successor(8, worker="w"),)))
        assert scene.store.demand().waiting == ()
        assert scene.store.wait_ready(copying, 8, [3]) == (True, {})

    def test_who_has_a_copy_is_not_waited_for(self, scene: Scene) -> None:
        """A stream to it is declined; what is not offered yet is not offered to it."""
        scene.start(timed("w", "v", "p"))
        copying, other, maker = (scene.worker(name) for name in ("w", "v", "p"))
        for claim in (copying, other):
            scene.store.watch(claim, [3, 4])
        scene.store.offer(maker, Offer(3, "3-p-1", 8, 2, ("w", "v"), True))
        assert scene.store.put_chunk(maker, 3, "3-p-1", 0, b"half") == FlowState(2, True, 0, 0)
        for task in (3, 4):
            scene.store.complete(Completion(copying, task, successors=(successor(8, 3, worker="w"),)))
        assert not scene.store.flow(maker, 3, "3-p-1").instead
        assert scene.store.offer(maker, Offer(4, "4-p-1", 8, 2, ("w", "v"), True)) == FlowState(1, False, 0, 0)

    def test_what_was_looked_for_goes_with_the_run(self, scene: Scene) -> None:
        """Nothing is left."""
        scene.start(timed("w", "p"))
        looking, maker = scene.worker("w"), scene.worker("p")
        scene.store.look(looking, [], [2])
        scene.done(maker, 1, must_store=True, remaining=(2,))
        scene.store.delete_run("run")
        assert scene.store.leftovers() == []
        scene.store.sweep(LONG_S)
