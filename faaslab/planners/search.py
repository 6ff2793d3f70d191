"""Search from a good candidate to a better one: first sizes and gaps in bulk, then single moves by late acceptance.

Source: late acceptance is E. K. Burke and Y. Bykov, "The late acceptance hill-climbing heuristic", European Journal of
Operational Research 258(1), 2017: a move is taken if it is no worse than where the search stands, or than where it
stood ``LATE`` moves ago.
"""

import random

from faaslab.planners.candidates import Bench, Evaluated, Found
from faaslab.planners.downgrade import PARTS, downgraded
from faaslab.planners.gap_cuts import THRESHOLDS_S, cut_gaps
from faaslab.planners.moves import Moves

LATE = 40
"""Moves after which a score is what others are compared with."""
PATIENCE = 12
"""Moves for each task, after which a search that has found nothing better ends."""
MOST_PATIENCE = 1500
"""The same for large DAGs, whatever their number of tasks."""


def improve(bench: Bench, starts: list[Found], rng: random.Random, simulations: int) -> None:
    """Polish candidates, and climb from the best that comes of it; what is found is in the bench's archive.

    Args:
        bench: What evaluates.
        starts: Where to start, the best first.
        rng: Draws the moves.
        simulations: How many candidates may be evaluated while climbing.
    """
    best = min((polished(bench, bench.evaluate(start.candidate)) for start in starts), key=lambda one: one.score)
    climb(bench, best, rng, simulations)


def polished(bench: Bench, start: Evaluated) -> Evaluated:
    """Return the best that smaller sizes and gap cuts in bulk make of a candidate, taking each as long as it helps."""
    best, improved = start, True
    while improved:
        improved = False
        for part in PARTS:
            while (lower := downgraded(bench, best, part)) is not None:
                found = bench.evaluate(lower)
                if found.score >= best.score:
                    break
                best, improved = found, True
        for threshold_s in THRESHOLDS_S:
            cut = cut_gaps(best, threshold_s)
            if cut is None:
                continue
            found = bench.evaluate(cut)
            if found.score < best.score:
                best, improved = found, True
    return best


def climb(bench: Bench, start: Evaluated, rng: random.Random, simulations: int) -> Evaluated:
    """Return the best that late acceptance finds.

    Args:
        bench: What evaluates.
        start: Where to start.
        rng: Draws the moves.
        simulations: How many candidates may be evaluated.
    """
    moves = Moves(bench, rng)
    best = current = start
    path = critical_path(bench, current)
    late = [start.score] * LATE
    patience = min(MOST_PATIENCE, LATE + PATIENCE * len(bench.dag))
    since = number = 0
    left = simulations
    # A move that changes nothing costs no simulation; where no move changes anything, this ends all the same.
    while left > 0 and since < patience:
        since += 1
        candidate = moves.draw(current, path)
        if candidate is None:
            continue
        left -= 1
        found = bench.evaluate(candidate)
        if found.score <= current.score or found.score <= late[number % LATE]:
            current = found
            path = critical_path(bench, current)
        late[number % LATE] = min(late[number % LATE], current.score)
        number += 1
        if found.score < best.score:
            best, since = found, 0
    return best


def critical_path(bench: Bench, evaluated: Evaluated) -> list[int]:
    """Return the tasks that the makespan is made of, the last one first."""
    import numpy as np

    if not len(bench.dag):
        return []
    visible_s = np.where(bench.is_sink, np.asarray(evaluated.simulation.visible_s), -1.0)
    via = evaluated.simulation.tasks[7]
    path = [int(visible_s.argmax())]
    while via[path[-1]] >= 0:
        path.append(int(via[path[-1]]))
    return path
