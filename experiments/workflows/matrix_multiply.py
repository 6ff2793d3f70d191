"""Blocked matrix multiplication, checked against numpy.

::

    A[i,k]   B[k,j]        random_block, seeded: the blocks are made on the workers
        \\     /
      A[i,k] B[k,j]        multiply, one for each i, j, k
           |
    C[i,j] = sum over k    add

Every block of A and B has as many consumers as there are blocks in a row, so that it moves far more bytes than it
computes results: the opposite of word count.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import faaslab as fl
from experiments.workflows.workflow import Workflow, WrongResult

Block = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Params:
    """What is multiplied and how it is cut.

    Attributes:
        rows: Rows, and columns, of the square matrices.
        blocks: Blocks in a row and in a column; divides ``rows``.
        seed: Of the random matrices.

    Raises:
        fl.ConfigError: A number is out of its range.
    """

    rows: int
    blocks: int
    seed: int = 0

    def __post_init__(self) -> None:
        if self.blocks < 1 or self.rows < 1 or self.rows % self.blocks:
            raise fl.ConfigError(
                f"matrix_multiply: {self.rows} rows can't be cut into {self.blocks} blocks of the same size"
            )
        if self.seed < 0:
            raise fl.ConfigError(f"matrix_multiply: seed is {self.seed}, must be 0 or more")


SMOKE = Params(rows=128, blocks=2)
PAPER = Params(rows=4096, blocks=8)


@fl.task
def random_block(rows: int, seed: tuple[int, ...]) -> Block:
    """Return a square block of random numbers between 0 and 1."""
    return np.random.default_rng(seed).random((rows, rows))


@fl.task
def multiply(left: Block, right: Block) -> Block:
    """Return the product of two blocks."""
    return left @ right


@fl.task
def add(blocks: Sequence[Block]) -> Block:
    """Return the sum of blocks."""
    return np.sum(blocks, axis=0)  # type: ignore[no-any-return]


def build(params: Params) -> Workflow:
    """Return the workflow; its result is the product as a list of rows of blocks."""
    side = range(params.blocks)
    block_rows = params.rows // params.blocks
    seeds = {(matrix, i, j): (params.seed, matrix, i, j) for matrix in range(2) for i in side for j in side}
    blocks = {place: random_block(block_rows, seed) for place, seed in seeds.items()}
    product = [[add([multiply(blocks[0, i, k], blocks[1, k, j]) for k in side]) for j in side] for i in side]

    def matrix(which: int) -> Block:
        return np.block([[random_block.fn(block_rows, seeds[which, i, j]) for j in side] for i in side])

    expected = matrix(0) @ matrix(1)

    def verify(result: Any) -> None:
        # Blocks are added in another order than numpy adds: equal but for rounding.
        found = np.block(result)
        if not np.allclose(found, expected, rtol=1e-10, atol=0):
            worst = float(np.max(np.abs(found - expected)))
            raise WrongResult(f"matrix_multiply: the product differs from numpy's by up to {worst:.3g}")

    return Workflow(fl.DAG(product, name="matrix_multiply"), verify)
