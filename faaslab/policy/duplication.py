"""Whether a worker that waits for an input should compute it itself: when that is predicted to be clearly sooner."""

LEAD = 0.9
"""Part of what is left to wait that the own computation may take: predictions are not more exact than that, and what
comes about as soon by itself costs nothing."""


def is_sooner(own_s: float, expected_s: float, elapsed_s: float) -> bool:
    """Return whether computing a task takes clearly less than waiting for its output.

    Args:
        own_s: Predicted time of computing it; this and the next as in ``plan.Duplicate``.
        expected_s: Predicted time from when its inputs were stored until its output is there without that.
        elapsed_s: How long ago its inputs were stored.
    """
    return own_s < LEAD * (expected_s - elapsed_s)
