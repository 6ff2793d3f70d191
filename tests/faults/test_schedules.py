"""Thousands of seeded fault schedules: every run ends, right or with an error that its schedule explains."""

from collections import Counter
from collections.abc import Callable

import pytest

from tests.faults.replay import command, show
from tests.faults.shapes import PLANNERS, SHAPES, make_case
from tests.faults.trial import draw, try_out

pytestmark = pytest.mark.faults

SEEDS = 120
"""Schedules of each shape; 22 shapes make 2,640 runs."""


@pytest.mark.parametrize("shape", SHAPES)
def test_schedules(shape: str, record_property: Callable[[str, object], None]) -> None:
    """Whatever goes wrong: an end in time, the right value or an explicable error, one write a task, nothing left."""
    case = make_case(shape)
    outcomes: Counter[str] = Counter()
    for seed in range(SEEDS):
        planner = PLANNERS[seed % len(PLANNERS)]
        result = try_out(case, draw(case, planner, seed))
        outcomes[result.outcome] += 1
        assert not result.wrong, f"{'; '.join(result.wrong)}\nreplay: {command(shape, planner, seed)}\n{show(result)}"
    record_property("fault_outcomes", dict(outcomes))
