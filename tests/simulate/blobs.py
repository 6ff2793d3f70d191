"""Tasks whose outputs are too large to ride along, or of any size."""

import random
from typing import Any

from faaslab.graph import DAG, task


@task
def heavy(_: Any) -> bytes:
    """Return 200 KB."""
    return bytes(200_000)


@task
def made(nbytes: int, *inputs: bytes) -> bytes:
    """Return so many bytes."""
    return bytes(nbytes)


def random_sizes(seed: int) -> DAG:
    """Return a random DAG with up to four inputs a task, whose outputs ride along, are fetched, or are blobs."""
    rng = random.Random(seed)
    tasks: list[Any] = []
    for number in range(rng.randint(5, 25)):
        least = 1 if number > 2 else 0
        near = tasks[-8:]
        inputs = rng.sample(near, min(len(near), max(least, rng.randint(0, rng.choice((1, 2, 4))))))
        tasks.append(made(rng.choice((10, 10, 30_000, 120_000, 500_000)), *inputs))
    return DAG(tasks, name="sizes")
