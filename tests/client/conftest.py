"""Labs for the client's tests."""

from collections.abc import Iterator

import pytest

from faaslab.client import Lab
from tests.client.scene import Scene, process_lab
from tests.client.scene import scene as set_scene


@pytest.fixture
def scene() -> Iterator[Scene]:
    """A scene of the test's own, checked for leaks after it."""
    with set_scene() as made:
        yield made


@pytest.fixture(scope="module")
def _warm() -> Iterator[tuple[Scene, Lab]]:
    with set_scene() as made, process_lab(made) as lab:
        yield made, lab


@pytest.fixture
def lab(_warm: tuple[Scene, Lab]) -> Iterator[Lab]:
    """A warm lab that the tests of a module share; a test must not leave any key of a run."""
    _, lab = _warm
    yield lab
    storage = lab._storage
    assert storage is None or storage.leftovers() == []


@pytest.fixture
def warm_scene(_warm: tuple[Scene, Lab]) -> Scene:
    """Where the shared lab lives."""
    return _warm[0]
