"""When a worker that waits for an output computes it itself (task duplication)."""

MARGIN_S = 0.02
"""A copy has to be predicted to be sooner by more than this: a few store calls, which the times leave out."""


def pays(own_s: float, expected_s: float, since_s: float) -> bool:
    """Return whether a worker that has nothing else to do should compute an output that it waits for.

    Args:
        own_s: Predicted time to fetch the inputs and execute the task here.
        expected_s: Predicted time from when its inputs are all stored until the output, made elsewhere, is here.
        since_s: How long the inputs have all been stored.
    """
    return own_s + MARGIN_S < expected_s - since_s
