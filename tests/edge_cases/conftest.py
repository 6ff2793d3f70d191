"""The engine that each edge case runs on."""

from collections.abc import Callable, Iterator

import pytest

from faaslab.client import Lab
from tests.edge_cases.engines import Engine, labs, pairs, planner_for, singles


@pytest.fixture(scope="module")
def _labs() -> Iterator[Callable[[str], Lab]]:
    with labs() as lab_of:
        yield lab_of


@pytest.fixture(params=pairs())
def engine(request: pytest.FixtureRequest, _labs: Callable[[str], Lab]) -> Engine:
    """An engine with a planner."""
    name, number = request.param
    return Engine(name, _labs(name), planner_for(number, request.node.originalname))


@pytest.fixture(params=singles())
def one_engine(request: pytest.FixtureRequest, _labs: Callable[[str], Lab]) -> Engine:
    """An engine with one planner, for tests that take long."""
    return Engine(request.param, _labs(request.param), "wukong")
