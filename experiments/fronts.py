"""Planners compared at equal cost and at equal makespan.

A planner that is asked for different things (faster, cheaper) gives points of cost against makespan; those that no
other one of its own beats in both are its front::

    makespan
       │ ○
       │   `○.          at a cost between two points, a planner has what a mix of runs of both plans
       │      ` ─ ─ ○   comes to on average
       └─────────────── cost

Without the mix, a planner that has the plans of another one would be worse where its points are not the same by a hair.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

Point = tuple[float, float]
"""Cost and makespan."""

UNREACHED = 10.0
"""Ratio that counts where a planner has no point that is cheap, or fast, enough."""


def front(points: Iterable[Point]) -> list[Point]:
    """Return the points that no other one beats in both, by rising cost and so by falling makespan."""
    found: list[Point] = []
    for point in sorted(points):
        if not found or point[1] < found[-1][1]:
            found.append(point)
    return found


def makespan_ratios(own: Sequence[Point], others: Sequence[Point]) -> list[float]:
    """Return for each point of the others' front: own makespan at its cost, over its makespan."""
    return _ratios(front(own), front(others))


def cost_ratios(own: Sequence[Point], others: Sequence[Point]) -> list[float]:
    """Return for each point of the others' front: own cost at its makespan, over its cost."""
    return _ratios(*([(y, x) for x, y in reversed(front(points))] for points in (own, others)))


def _ratios(own: Sequence[Point], reference: Sequence[Point]) -> list[float]:
    return [min(UNREACHED, _at(x, own) / y) for x, y in reference]


def _at(x: float, points: Sequence[Point]) -> float:
    """Return what points, by rising x and falling y, come to at x: infinite before the first."""
    place = bisect_right(points, x, key=lambda point: point[0])
    if place == 0:
        return float("inf")
    (left_x, left_y), (right_x, right_y) = points[place - 1], points[min(place, len(points) - 1)]
    return left_y if right_x == left_x else left_y + (right_y - left_y) * (x - left_x) / (right_x - left_x)
