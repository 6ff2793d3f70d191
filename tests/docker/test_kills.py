"""Containers are killed at random while runs go on: every result is right, nothing is left on the engine."""

import random
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

import faaslab as fl
from faaslab.launchers import engine
from faaslab.launchers.docker import DockerLauncher
from faaslab.storage.redis import RedisStorage
from tests.chaos.workflows import mesh, mesh_value
from tests.client.scene import quick
from tests.client.scene import scene as set_scene

PLANNERS = ("wukong", "single_worker", "per_task")


@contextmanager
def shooting(lab: str, seed: int) -> Iterator[list[str]]:
    """Kill a random container of a lab every now and then; yields the names of those that were killed."""
    rng, over, killed = random.Random(seed), threading.Event(), []

    def shoot() -> None:
        with closing(engine.connect()) as client:
            while not over.wait(rng.uniform(0.1, 1.5)):
                found = client.api.containers(filters={"label": f"{engine.LAB}={lab}"})
                if found:
                    victim = rng.choice(sorted(found, key=lambda container: container["Id"]))
                    try:
                        client.api.kill(victim["Id"])
                    except engine.APIError:
                        continue  # it has just left
                    killed.append(victim["Names"][0])

    thread = threading.Thread(target=shoot)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("runs", [15, pytest.param(100, marks=pytest.mark.slow)])
def test_random_kills(runs: int) -> None:
    """Runs during which containers die at any moment, cold starts included, give the right result."""
    with set_scene() as scene:
        launcher = DockerLauncher(limit=3, allow_contention=True)
        with fl.Lab(launcher, config=quick(scene.folder, max_lapses=1000, runs_dir="")) as lab:
            assert lab.compute(mesh(2, 2, 0.0)) == mesh_value(2, 2)
            with shooting(lab.id, runs) as killed:
                for number in range(runs):
                    layers, width = 2 + number % 2, 2 + number % 3
                    workflow = mesh(layers, width, 0.02 + 0.05 * (number % 2))
                    value = lab.compute(workflow, planner=PLANNERS[number % 3], sizes=[885], timeout_s=60)
                    assert value == mesh_value(layers, width)
            assert len(killed) > runs / 5
            assert isinstance(lab._storage, RedisStorage)
            assert lab._storage.leftovers() == []
        with closing(engine.connect()) as client:
            assert client.api.containers(all=True, filters={"label": f"{engine.LAB}={lab.id}"}) == []
