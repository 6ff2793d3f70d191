"""Tree reduction: arrays are made, added two by two until one is left, checked against numpy.

::

    leaf 0  leaf 1  leaf 2  leaf 3        make: seeded, on the workers
        \\   /          \\   /
         add            add               add: the sum, kept between -1 and 1 by ``rounds`` of sines
            \\          /
                add

Every level halves what can run in parallel while what moves stays as large: the middle between word count, which
computes, and matrix multiplication, which moves.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import faaslab as fl
from experiments.workflows.workflow import Workflow, WrongResult

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Params:
    """What is reduced.

    Attributes:
        leaves: Number of arrays; a power of two.
        elements: Numbers in each, 8 bytes a number.
        rounds: How many sines of each number an addition takes.
        seed: Of the arrays.

    Raises:
        fl.ConfigError: A number is out of its range.
    """

    leaves: int
    elements: int
    rounds: int
    seed: int = 0

    def __post_init__(self) -> None:
        if self.leaves < 2 or self.leaves & (self.leaves - 1):
            raise fl.ConfigError(f"tree_reduction: leaves is {self.leaves}, must be a power of two from 2 on")
        for name, least in (("elements", 1), ("rounds", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise fl.ConfigError(f"tree_reduction: {name} is {getattr(self, name)}, must be at least {least}")


SMOKE = Params(leaves=4, elements=10_000, rounds=1)
PAPER = Params(leaves=16, elements=250_000, rounds=8)


@fl.task
def make(elements: int, rounds: int, seed: tuple[int, ...]) -> Numbers:
    """Return numbers between -1 and 1."""
    return waves(np.random.default_rng(seed).random(elements), rounds)


@fl.task
def add(left: Numbers, right: Numbers, rounds: int) -> Numbers:
    """Return sines of the sums."""
    return waves(left + right, rounds)


def waves(numbers: Numbers, rounds: int) -> Numbers:
    """Return the sine of the sine … of numbers."""
    for _ in range(rounds):
        numbers = np.sin(numbers)
    return numbers


def build(params: Params) -> Workflow:
    """Return the workflow."""
    seeds = [(params.seed, leaf) for leaf in range(params.leaves)]
    level = [make(params.elements, params.rounds, seed) for seed in seeds]
    known = [make.fn(params.elements, params.rounds, seed) for seed in seeds]
    while len(level) > 1:
        pairs = range(0, len(level), 2)
        level = [add(level[pair], level[pair + 1], params.rounds) for pair in pairs]
        known = [add.fn(known[pair], known[pair + 1], params.rounds) for pair in pairs]
    expected = known[0]

    def verify(result: Numbers) -> None:
        # Another processor's sine may differ in its last digit.
        if not np.allclose(result, expected, rtol=1e-9, atol=1e-12):
            worst = float(np.max(np.abs(result - expected)))
            raise WrongResult(f"tree_reduction: the sum differs from numpy's by up to {worst:.3g}")

    return Workflow(fl.DAG(level[0], name="tree_reduction"), verify)
