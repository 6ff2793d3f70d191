"""Tasks whose outputs are too large to ride along, or of any size."""

import random
import zlib
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


@task
def telling(nbytes: int, *inputs: bytearray) -> bytearray:
    """Return so many bytes that tell which ones went in, and spoil those."""
    digest = zlib.crc32(b"".join(inputs))
    for one in inputs:
        one[:1] = b"x"
    return bytearray(digest.to_bytes(4) * (nbytes // 4))


def telling_sizes(seed: int) -> DAG:
    """Return a random DAG with up to four inputs a task; who is taken by nobody is asked for."""
    rng = random.Random(seed)
    tasks: list[Any] = []
    used: set[int] = set()
    for number in range(rng.randint(5, 25)):
        near = range(max(0, number - 8), number)
        inputs = rng.sample(near, min(len(near), max(number > 2, rng.randint(0, rng.choice((1, 2, 4))))))
        used.update(inputs)
        tasks.append(telling(rng.choice((12, 12, 30_000, 120_000)), *[tasks[i] for i in inputs]))
    return DAG([one for number, one in enumerate(tasks) if number not in used], name="sizes")
