"""Synthetic workflows of tiny tasks with results known beforehand, for tests and benchmarks.

Each returns one lazy task; its value is given in the docstring.
"""

import random
from typing import Any

from faaslab.graph.tasks import Task, task


@task
def one() -> int:
    """Return 1."""
    return 1


@task
def identity(x: int) -> int:
    """Return ``x``."""
    return x


@task
def increment(x: int) -> int:
    """Return ``x + 1``."""
    return x + 1


@task
def add(x: int, y: int) -> int:
    """Return ``x + y``."""
    return x + y


@task
def difference(x: int, y: int) -> int:
    """Return ``x - y``."""
    return x - y


@task
def multiply(x: int, y: int) -> int:
    """Return ``x * y``."""
    return x * y


@task
def total(values: list[int]) -> int:
    """Return the sum of ``values``."""
    return sum(values)


@task
def weighted(seed: int, values: list[int]) -> int:
    """Return a number below 2**31 that depends on every value and its position."""
    result = seed
    for value in values:
        result = (result * 31 + value + 1) % 2147483647
    return result


def chain(n: int) -> Task[int]:
    """Return a chain of ``n`` tasks; its value is ``n``."""
    last = one()
    for _ in range(_at_least_one(n) - 1):
        last = increment(last)
    return last


def fan(n: int) -> Task[int]:
    """Return one task, ``n`` tasks that take it and one that takes them all (n + 2 tasks); its value is ``2 * n``."""
    first = one()
    return total([increment(first) for _ in range(_at_least_one(n))])


def tree(leaves: int) -> Task[int]:
    """Return a reduction of leaves 0 … n-1 by pairs (2n - 1 tasks); its value is ``leaves * (leaves - 1) // 2``."""
    level = [identity(number) for number in range(_at_least_one(leaves))]
    while len(level) > 1:
        odd = level[-1:] if len(level) % 2 else []
        level = [add(left, right) for left, right in zip(level[::2], level[1::2], strict=False)] + odd
    return level[0]


def diamond() -> Task[int]:
    """Return a → (b, c) → d (4 tasks); its value is 4."""
    first = one()
    return add(increment(first), increment(first))


def fork_join(k: int, w: int) -> Task[int]:
    """Return ``k`` stages of ``w`` parallel tasks and a join; its value is v(k), v(0) = 1, v(i) = w (v(i-1) + 1)."""
    last = one()
    for _ in range(_at_least_one(k)):
        last = total([increment(last) for _ in range(_at_least_one(w))])
    return last


def map_reduce(maps: int, reduces: int) -> Task[int]:
    """Return m tasks, r that each take them all, and one that takes these (m + r + 1 tasks); its value is ``m * r``."""
    mapped = [identity(1) for _ in range(_at_least_one(maps))]
    reduce = total.with_options(name="reduce")
    return total([reduce(mapped) for _ in range(_at_least_one(reduces))])


def blocked_product(blocks: int) -> Task[int]:
    """Return the sum of a product of two matrices of ones in b by b blocks (b³ + 3 b² + 1 tasks); its value is b³.

    A task makes each block of a factor, one multiplies each pair of blocks, one sums up each block of the product.
    """
    side = range(_at_least_one(blocks))
    left, right = ([[identity(1) for _ in side] for _ in side] for _ in range(2))
    sums = total.with_options(name="block")
    return total([sums([multiply(left[i][k], right[k][j]) for k in side]) for i in side for j in side])


def mosaic(images: int) -> Task[int]:
    """Return a workflow in the shape of Montage, which joins images of the sky (3 n + 6 tasks); its value is ``2 * n``.

    ::

        n project ─► n difference ─► concat ─► model ─► n background ─► table ─► add ─► shrink ─► picture

    A difference takes two neighbours, a background its projected image and the model, ``add`` all backgrounds.

    Source: G. Juve et al., "Characterizing and profiling scientific workflows", FGCS 29(3), 2013. An image
    of the sky overlaps with several others; here with two, as in a ring.
    """
    project, model, shrink = (identity.with_options(name=name) for name in ("project", "model", "shrink"))
    concat, table, whole = (total.with_options(name=name) for name in ("concat", "table", "add"))
    background = add.with_options(name="background")
    images_made = [project(1) for _ in range(_at_least_one(images))]
    neighbours = zip(images_made, images_made[1:] + images_made[:1], strict=True)
    fitted = model(concat([difference(one, other) for one, other in neighbours]))
    corrected = [background(image, fitted) for image in images_made]
    return identity.with_options(name="picture")(shrink(whole([table(corrected), *corrected])))


def layered(seed: int, layers: int = 5, width: int = 6) -> Task[int]:
    """Return layers of tasks that each take one to three of the layer before; its value is ``layered_value``."""
    return _layered(seed, layers, width, weighted)  # type: ignore[no-any-return]


def layered_value(seed: int, layers: int = 5, width: int = 6) -> int:
    """Return the value of ``layered``, computed without tasks."""
    return _layered(seed, layers, width, weighted.fn)  # type: ignore[no-any-return]


def random_dag(seed: int, n: int) -> Task[int]:
    """Return ``n`` tasks that take up to three earlier ones, joined at the end; its value is ``random_dag_value``."""
    return _random_dag(seed, n, weighted)  # type: ignore[no-any-return]


def random_dag_value(seed: int, n: int) -> int:
    """Return the value of ``random_dag``, computed without tasks."""
    return _random_dag(seed, n, weighted.fn)  # type: ignore[no-any-return]


def _layered(seed: int, layers: int, width: int, apply: Any) -> Any:
    rng = random.Random(seed)
    previous = [apply(number, []) for number in range(_at_least_one(width))]
    for layer in range(1, _at_least_one(layers)):
        previous = [
            apply(layer * width + place, [previous[rng.randrange(width)] for _ in range(rng.randint(1, 3))])
            for place in range(width)
        ]
    return apply(0, previous)


def _random_dag(seed: int, n: int, apply: Any) -> Any:
    rng = random.Random(seed)
    made: list[Any] = []
    taken: set[int] = set()
    for number in range(_at_least_one(n) - 1):
        chosen = rng.sample(range(number), rng.randint(0, min(3, number)))
        taken.update(chosen)
        made.append(apply(number, [made[upstream] for upstream in chosen]))
    return apply(n, [value for number, value in enumerate(made) if number not in taken])


def _at_least_one(count: int) -> int:
    if count < 1:
        raise ValueError(f"a synthetic workflow needs at least 1, not {count}")
    return count
