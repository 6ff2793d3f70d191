"""Slack downgrade: smaller workers where time is to spare.

A task's slack is by how much it may end later without delaying the end of the run. A worker whose tasks would take less
than that longer at the next smaller size gets it; many at once, since each try costs a simulation.
"""

import math
from typing import TYPE_CHECKING

from faaslab.planners.candidates import Bench, Candidate, Evaluated

if TYPE_CHECKING:
    from faaslab.planners.candidates import Floats

PARTS = (1.0, 0.5, 0.25)
"""Parts of their slack that workers may use up, one after the other: slack is shared along a path."""


def slack_s(bench: Bench, evaluated: Evaluated) -> "Floats":
    """Return how much later each task could end without the run ending later, by task index.

    Between tasks, slack is the time from when an input is there until the last one is, on workers the time a task waits
    after the one before. With a deadline and the cost as objective, the run may last until the deadline.
    """
    import numpy as np

    objective, layout = bench.objective, evaluated.layout
    turn_s, begin_s, _, finish_s, visible_s = (np.asarray(column) for column in evaluated.simulation.tasks[:5])
    end_s = evaluated.makespan_s
    if objective.makespan_weight == 0:
        last_s = math.inf if objective.deadline_s is None else objective.deadline_s / bench.ctx.margins[0]
        end_s = max(end_s, last_s)
    slack = np.where(bench.is_sink, end_s - finish_s, np.inf)
    there_s = np.where(np.isfinite(visible_s), visible_s, finish_s)
    rows = np.repeat(bench.all_tasks, np.diff(bench.up_from))
    remote = evaluated.candidate.worker[rows] != evaluated.candidate.worker[bench.up_task]
    remote |= evaluated.candidate.worker[rows] < 0
    # What the last input of each task from elsewhere lets it begin; a wait on the worker ends then.
    there_all_s = np.zeros(len(slack))
    np.maximum.at(there_all_s, rows[remote], there_s[bench.up_task[remote]])
    first = np.asarray(layout.position) == 0
    wait_s = np.where(first, 0.0, begin_s - turn_s)
    room_s = np.maximum(there_all_s, np.where(first, 0.0, turn_s))[rows] - there_s[bench.up_task]
    slack_of, room, wait = slack.tolist(), room_s.tolist(), wait_s.tolist()
    up_from, up_task = bench.up_from.tolist(), bench.up_task.tolist()
    following = list(map(int, layout.following))
    before = [-1] * len(following)
    for task, after in enumerate(following):
        if after >= 0:
            before[after] = task
    is_remote = remote.tolist()
    for task in evaluated.candidate.order[::-1].tolist():
        own = slack_of[task]
        for edge in range(up_from[task], up_from[task + 1]):
            if is_remote[edge]:
                upstream = up_task[edge]
                slack_of[upstream] = min(slack_of[upstream], own + max(0.0, room[edge]))
        if before[task] >= 0:
            slack_of[before[task]] = min(slack_of[before[task]], own + max(0.0, wait[task]))
    return np.array(slack_of)


def downgraded(bench: Bench, evaluated: Evaluated, part: float) -> Candidate | None:
    """Return a candidate with one size less wherever a worker's tasks have the slack; None: nowhere.

    Args:
        bench: What evaluates.
        evaluated: What to start from.
        part: Part of its slack that a worker may use up.
    """
    import numpy as np

    candidate = evaluated.candidate
    count = len(candidate.tier)
    may = candidate.tier > bench.least_tier
    lower = np.where(may, candidate.tier - 1, candidate.tier)
    added_s = bench.exec_s[lower, bench.all_tasks] - bench.exec_s[candidate.tier, bench.all_tasks]
    slack = slack_s(bench, evaluated)
    # Tasks without a planned worker count one by one, behind the numbers of workers.
    owner = np.where(candidate.worker < 0, count + bench.all_tasks, candidate.worker)
    can = np.ones(2 * count, dtype=bool)
    np.logical_and.at(can, owner, may)
    total_s = np.zeros(2 * count)
    np.add.at(total_s, owner, added_s)
    least_s = np.full(2 * count, np.inf)
    np.minimum.at(least_s, owner, slack)
    chosen = (can & (total_s <= part * least_s))[owner]
    if not chosen.any():
        return None
    return candidate.changed(
        np.flatnonzero(chosen),
        "a smaller size: its worker has time to spare",
        tier=np.where(chosen, lower, candidate.tier),
    )
