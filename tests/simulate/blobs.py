"""A task whose output is too large to ride along."""

from typing import Any

from faaslab.graph import task


@task
def heavy(_: Any) -> bytes:
    """Return 200 KB."""
    return bytes(200_000)
