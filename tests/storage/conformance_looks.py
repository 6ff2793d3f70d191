"""What every store promises about tasks that a worker may compute in place of another one."""

from dataclasses import replace

import pytest

from faaslab.errors import Fenced
from faaslab.protocol.messages import Look, Start
from tests.storage.conformance_tasks import TaskConformance, starts
from tests.storage.scene import SMALL, Scene, spec, successor


class LookConformance(TaskConformance):
    """Looks at a task, and whether its output is still needed."""

    def test_a_look_says_what_is_stored(self, scene: Scene) -> None:
        """The output, all inputs, and since when: what is stored again is as old as before."""
        scene.start(replace(spec(starts=starts(3)), dated=True))
        looker, maker = scene.worker("w"), scene.worker("m")
        assert scene.store.look(looker, 7, [1, 2]) == Look(False, False)
        scene.done(maker, 1, must_store=True, remaining=(2,))
        assert scene.store.look(looker, 7, [1, 2]) == Look(False, False)
        scene.done(maker, 2, must_store=True, remaining=(7,))
        first = scene.store.look(looker, 7, [1, 2])
        assert (first.stored, first.ready) == (False, True)
        scene.done(maker, 1, must_store=True, remaining=(7,))
        assert scene.store.look(looker, 7, [1, 2]).since_s > first.since_s >= 0.0
        scene.done(maker, 7, must_store=True, remaining=(3,))
        assert scene.store.look(looker, 7, [1, 2]).stored

    def test_a_root_is_as_old_as_its_run(self, scene: Scene) -> None:
        """It has no inputs to wait for."""
        scene.start(replace(spec(starts=starts(2)), dated=True))
        began_s = scene.store.now_s()
        looker = scene.worker("w")
        passed_s = scene.store.now_s() - began_s
        found = scene.store.look(looker, 1, [])
        assert (found.stored, found.ready) == (False, True)
        assert 0.0 < passed_s <= found.since_s < 60.0

    def test_outputs_that_leaving_workers_stored_have_dates(self, scene: Scene) -> None:
        """Those of a failure count like others."""
        scene.start(replace(spec(starts=starts(2)), dated=True))
        looker = scene.worker("w")
        scene.fails(scene.worker("m"), 1, retries=1, outputs={4: b"kept"})
        assert scene.store.look(looker, 7, [4]).ready

    def test_an_output_is_needed_until_it_arrived(self, scene: Scene) -> None:
        """By narrow and wide fan-ins, planned or not; a copy that stores nothing arrives as well."""
        scene.start(spec(starts=[Start("p", SMALL), Start("q", SMALL)]))
        p, q = scene.worker("c"), scene.worker("d")
        after = (successor(5, 2, worker="q"), successor(6, worker="q"), successor(7, 70, worker="q"))
        assert scene.store.needed(p, 1, [5, 6, 7])
        scene.done(q, 1, *after[:2], output=None)
        assert scene.store.needed(p, 1, [5, 6, 7])
        assert not scene.store.needed(p, 1, [5, 6])
        scene.done(q, 1, *after, output=None)
        assert not scene.store.needed(p, 1, [5, 6, 7])
        assert not scene.store.needed(p, 1, [])
        assert scene.store.needed(p, 2, [5])
        assert scene.store.needed(p, 2, [7])
        assert scene.store.stored(p) == frozenset()
        scene.done(p, 2, successor(5, 2, worker="q"))
        assert scene.store.wait_ready(q, 5, [1, 2]) == (True, {2: b"output 2"})

    def test_only_owners_may_look(self, scene: Scene) -> None:
        """As with all calls of workers."""
        scene.start()
        claim = scene.worker("c")
        scene.store.remove("c", "killed")
        with pytest.raises(Fenced):
            scene.store.look(claim, 0, [])
        with pytest.raises(Fenced):
            scene.store.needed(claim, 0, [5])
