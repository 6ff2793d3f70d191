"""Planners compared at equal cost and at equal makespan.

A planner that is asked for different things (faster, cheaper) gives points of cost against makespan; those that no
other one of its own beats in both are its front, a staircase::

    makespan
       │ ○┐
       │  └──○┐         at a cost, a planner has the makespan of its fastest point that costs no more
       │      └────○──
       └─────────────── cost
"""

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
    """Return for each point of the others' front: own makespan at no more cost, over its makespan."""
    return _ratios(own, front(others))


def cost_ratios(own: Sequence[Point], others: Sequence[Point]) -> list[float]:
    """Return for each point of the others' front: own cost at no more makespan, over its cost."""
    turned = [(makespan, cost) for cost, makespan in own]
    return _ratios(turned, [(makespan, cost) for cost, makespan in front(others)])


def _ratios(own: Sequence[Point], reference: Sequence[Point]) -> list[float]:
    return [
        min(UNREACHED, min((y for x, y in own if x <= at), default=float("inf")) / value) for at, value in reference
    ]
