"""Scenes for the tests of optimizations on real workers."""

from collections.abc import Iterator

import pytest

from tests.client.scene import Scene
from tests.client.scene import scene as set_scene


@pytest.fixture
def scene() -> Iterator[Scene]:
    """A scene of the test's own, checked for leaks after it."""
    with set_scene() as made:
        yield made
