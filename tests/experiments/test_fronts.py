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
    """At a point's cost or makespan its own counts, between two points their mix, before the first ``UNREACHED``."""
    others = [(1.0, 8.0), (2.0, 4.0), (3.0, 2.0), (3.5, 3.0), (5.0, 1.0)]
    own = [(2.0, 2.0), (4.0, 1.0)]
    assert makespan_ratios(own, others) == [UNREACHED, 2 / 4, 1.5 / 2, 1 / 1]
    # By rising makespan: at 1 s, at 2 s, and at more what 2 s cost.
    assert cost_ratios(own, others) == [4 / 5, 2 / 3, 2 / 2, 2 / 1]
    assert cost_ratios([(2.0, 2.0), (4.0, 1.0)], [(6.0, 1.5)]) == [3 / 6]
    assert makespan_ratios([(2.0, 400.0)], others) == [UNREACHED] * 4
    assert makespan_ratios([], others) == [UNREACHED] * 4
    assert makespan_ratios(own, []) == []


@given(points, points)
def test_front_is_not_beaten(own: list[Point], others: list[Point]) -> None:
    """No point of a front is beaten, and who has also what the others have is nowhere worse."""
    edge = front(own)
    assert all(
        not (c <= cost and m <= makespan and (c, m) != (cost, makespan)) for cost, makespan in edge for c, m in own
    )
    for ratios in (makespan_ratios, cost_ratios):
        assert max(ratios(own + others, others)) <= 1.0 + 1e-9
        assert ratios(own, own) == pytest.approx([1.0] * len(edge))
