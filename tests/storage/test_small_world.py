"""All courses that a small run can take, whatever goes wrong on the way; and a sample of them on a server."""

import random
from collections.abc import Iterator

import pytest

from faaslab.storage.embedded import EmbeddedServer
from faaslab.storage.memory import MemoryStorage
from faaslab.storage.redis import RedisStorage
from tests.storage.conftest import OpenStore
from tests.storage.small_world import SHAPES, Shape, Step, World


class StillClock:
    """A clock at which no time passes, so that equal states are equal."""

    def now_s(self) -> float:
        return 1000.0


def explore(shape: Shape, faults: int) -> tuple[int, int]:
    """Try every course; returns the numbers of states and of ends."""
    first = World(MemoryStorage(StillClock()), shape, faults)
    first.begin()
    seen = {first.key()}
    waiting: list[tuple[World, tuple[Step, ...]]] = [(first, ())]
    ends = 0
    while waiting:
        world, steps = waiting.pop()
        try:
            world.check()
            progress = world.progress()
            for step in [*progress, *world.trouble()]:
                following = world.clone()
                steps_then = (*steps, step)
                following.apply(step)
                key = following.key()
                if key not in seen:
                    seen.add(key)
                    waiting.append((following, steps_then))
            if not progress:
                ends += 1
                world.check_end()
        except AssertionError as error:
            error.add_note(f"after {steps}")
            raise
    return len(seen), ends


@pytest.mark.parametrize("name", SHAPES)
def test_all_courses_with_one_fault(name: str) -> None:
    """Whatever call is repeated, lost or late, whoever dies or is taken for dead, whenever: the run finishes.

    No output is written twice, no task has two owners, nothing is left over, and no run is taken for stalled.
    """
    states, ends = explore(SHAPES[name], 1)
    assert states > 100
    assert ends > 3


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", SHAPES)
def test_all_courses_with_two_faults(name: str) -> None:
    """The same for any two of them."""
    explore(SHAPES[name], 2)


class TestOnServer:
    """A sample of the same courses, step by step beside the model."""

    @pytest.fixture
    def store(self, valkey: EmbeddedServer, open_store: OpenStore) -> Iterator[RedisStorage]:
        store = open_store(valkey.url, "small world")
        yield store
        store.delete_lab()

    @pytest.mark.parametrize("seed", range(5))
    @pytest.mark.parametrize("name", SHAPES)
    def test_a_random_course(self, store: RedisStorage, name: str, seed: int) -> None:
        """With up to three faults; the server's workers stand where the model's do after every step."""
        draw = random.Random(f"{name}/{seed}")
        model, real = World(MemoryStorage(), SHAPES[name], 3), World(store, SHAPES[name], 3)
        model.begin()
        real.begin()
        steps: list[Step] = []
        while progress := real.progress():
            assert model.progress() == progress, steps
            trouble = real.trouble()
            steps.append(draw.choice(trouble) if trouble and draw.random() < 0.3 else draw.choice(progress))
            for world in (model, real):
                world.apply(steps[-1])
                world.check()
            for ours, theirs in zip(model.workers, real.workers, strict=True):
                assert (ours.phase, ours.claim, ours.todo) == (theirs.phase, theirs.claim, theirs.todo), steps
        real.check_end()
        model.check_end()
