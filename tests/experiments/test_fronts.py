"""Points of cost against makespan, compared by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.fronts import UNREACHED, Point, cost_ratios, front, makespan_ratios

points = st.lists(st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)), min_size=1, max_size=8)


def test_front_by_hand() -> None:
    """What costs more has to be faster; of equals one stays."""
    assert front([(3.0, 1.0), (1.0, 3.0), (2.0, 3.0), (2.0, 2.0), (2.0, 2.0), (4.0, 1.0)]) == [
        (1.0, 3.0),
        (2.0, 2.0),
        (3.0, 1.0),
    ]
    assert front([]) == []


def test_ratios_by_hand() -> None:
    """At a cost, the fastest point that costs no more counts; where there is none, ``UNREACHED`` does."""
    others = [(1.0, 8.0), (2.0, 4.0), (3.0, 5.0)]
    own = [(2.0, 2.0), (4.0, 1.0)]
    assert makespan_ratios(own, others) == [UNREACHED, 0.5]
    assert cost_ratios(own, others) == [2.0, 1.0]
    assert makespan_ratios([(2.0, 400.0)], others) == [UNREACHED, UNREACHED]
    assert makespan_ratios([], others) == [UNREACHED, UNREACHED]
    assert makespan_ratios(own, []) == []


@given(points, points)
def test_front_is_not_beaten(own: list[Point], others: list[Point]) -> None:
    """No point of a front is beaten, and who has also what the others have is nowhere worse."""
    edge = front(own)
    assert all(
        not (c <= cost and m <= makespan and (c, m) != (cost, makespan)) for cost, makespan in edge for c, m in own
    )
    for ratios in (makespan_ratios, cost_ratios):
        assert max(ratios(own + others, others)) <= 1.0
        assert ratios(own, own) == pytest.approx([1.0] * len(edge))
