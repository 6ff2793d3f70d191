"""One large array that many tasks take: a model that scores parts of a data set, checked against numpy.

::

            model                       make_model: seeded, large
      /   /   |   \\   \\
   score score … score score            score: of one part each; a small result
      \\   \\   |   /   /
            gather

The model travels to every scorer unless they run where it is: what clustering on fan-outs is for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import faaslab as fl
from experiments.workflows.workflow import Workflow, WrongResult

Model = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Params:
    """How large and how wide.

    Attributes:
        elements: Numbers in the model, 8 bytes a number.
        scorers: Number of tasks that take it.
        rounds: How often each scorer goes over the model.
        seed: Of the model.

    Raises:
        fl.ConfigError: A number is out of its range.
    """

    elements: int
    scorers: int
    rounds: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("elements", 1), ("scorers", 1), ("rounds", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise fl.ConfigError(f"broadcast: {name} is {getattr(self, name)}, must be at least {least}")


SMOKE = Params(elements=50_000, scorers=4)
PAPER = Params(elements=524_288, scorers=64)
"""A model of 4 MiB."""


@fl.task
def make_model(elements: int, seed: int) -> Model:
    """Return random numbers between 0 and 1."""
    return np.random.default_rng(seed).random(elements)


@fl.task
def score(model: Model, part: int, rounds: int) -> float:
    """Return how a part of the data fits the model."""
    total = 0.0
    for _ in range(rounds):
        total += float(np.cos(model + part).mean())
    return total / rounds


@fl.task
def gather(scores: Sequence[float]) -> list[float]:
    """Return all scores."""
    return list(scores)


def build(params: Params) -> Workflow:
    """Return the workflow."""
    model = make_model(params.elements, params.seed)
    result = gather([score(model, part, params.rounds) for part in range(params.scorers)])
    known = make_model.fn(params.elements, params.seed)
    expected = [float(np.cos(known + part).mean()) for part in range(params.scorers)]

    def verify(scores: list[float]) -> None:
        if not np.allclose(scores, expected, rtol=1e-9, atol=1e-12):
            worst = float(np.max(np.abs(np.array(scores) - expected)))
            raise WrongResult(f"broadcast: the scores differ from numpy's by up to {worst:.3g}")

    return Workflow(fl.DAG(result, name="broadcast"), verify)
