"""Scenes and servers for the tests that kill."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.server import Server
from tests.client.scene import Scene
from tests.client.scene import scene as set_scene


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.chaos)


@pytest.fixture
def scene() -> Iterator[Scene]:
    """A scene of the test's own, checked for leaks after it."""
    with set_scene() as made:
        yield made


@pytest.fixture
def server(scene: Scene) -> Iterator[Server]:
    """A store that outlives the lab; must be empty after it."""
    made = Server(scene.folder / "server")
    yield made
    made.kill()
