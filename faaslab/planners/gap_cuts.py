"""Gap cuts: a worker that would wait ends instead, and a new one is invoked for the rest of its tasks.

A worker is billed while it waits for what others make. Cut at the gap, the second half is invoked once its inputs are
there, warm if a container of its size is idle; it fetches what the first half had at hand, which that one stores.

::

    w0  ▇▇▇▇ a ▇▇▇▇······waiting······▇▇▇ b ▇▇▇        w0  ▇▇▇▇ a ▇▇▇▇
                                                       w7                        ▇▇▇ b ▇▇▇
"""

from faaslab.planners.candidates import Candidate, Evaluated

THRESHOLDS_S = (0.0, 0.1, 0.5, 2.0)
"""Waits that are cut if they are longer: below the time that a start and the transfers cost, cutting doesn't pay, and
what they cost depends on platform and data, so several are tried."""


def cut_gaps(evaluated: Evaluated, threshold_s: float) -> Candidate | None:
    """Return a candidate whose workers end rather than wait longer than ``threshold_s``; None: no worker does."""
    import numpy as np

    candidate, layout = evaluated.candidate, evaluated.layout
    turn_s, begin_s = (np.asarray(column) for column in evaluated.simulation.tasks[:2])
    position = np.asarray(layout.position)
    cut = (candidate.worker >= 0) & (position > 0) & (begin_s - turn_s > threshold_s)
    if not cut.any():
        return None
    ordered = np.asarray(layout.ordered)
    planned = candidate.worker[ordered] >= 0
    # Along the order of all workers, each cut and each first task begins a worker.
    begins = (cut | (position == 0))[ordered] & planned
    worker = candidate.worker.copy()
    worker[ordered[planned]] = np.cumsum(begins)[planned] - 1
    return candidate.changed(
        np.flatnonzero(cut), f"a wait of more than {threshold_s:g} s before it was cut out of its worker", worker=worker
    )
