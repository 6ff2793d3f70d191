"""The workflows compute what they say, and notice when a result is wrong."""

from collections import Counter

import numpy as np
import pytest

import faaslab as fl
from experiments.workflows import WrongResult, matrix_multiply, tree_reduction, word_count


@pytest.mark.parametrize("planner", ["per_task", "single_worker", "wukong"])
def test_word_count_is_right(planner: str) -> None:
    """Whoever plans it, the count is that of ``Counter`` over the whole corpus."""
    workflow = word_count.build(word_count.SMOKE)
    workflow.verify(workflow.dag.compute(launcher="inline", planner=planner))


@pytest.mark.parametrize(("chunks", "tasks"), [(1, 1), (2, 3), (4, 5), (5, 7), (16, 21), (17, 23)])
def test_word_count_merges_in_a_tree(chunks: int, tasks: int) -> None:
    """There is a count for each chunk and a merge for each group of more than one."""
    assert len(word_count.build(word_count.Params(100_000, chunks)).dag) == tasks


def test_wrong_count_is_noticed() -> None:
    """One occurrence too many is a wrong result, and the error names the word."""
    workflow = word_count.build(word_count.SMOKE)
    result = workflow.dag.compute(launcher="inline")
    result["zebra"] += 1
    with pytest.raises(WrongResult, match="'zebra' was counted"):
        workflow.verify(result)


def test_corpus_is_large_and_always_the_same() -> None:
    """There are at least 5 MB on this machine, read alike every time; a smaller corpus is the beginning of a larger."""
    corpus = word_count.read_corpus(5_000_000)
    assert len(corpus.encode()) >= 5_000_000
    assert word_count.read_corpus(5_000_000) == corpus
    assert corpus.startswith(word_count.read_corpus(100_000))


def test_corpus_that_is_not_there() -> None:
    """More than the standard library has is refused with both sizes."""
    with pytest.raises(fl.ConfigError, match=r"corpus_bytes is 1000000000, the sources .* have \d+"):
        word_count.read_corpus(1_000_000_000)


@pytest.mark.parametrize("text", ["", "\n", "no line end", "a\nb\nc\n", "a\n" * 100 + "a long last line"])
@pytest.mark.parametrize("chunks", [1, 2, 7])
def test_chunks_make_up_the_text(text: str, chunks: int) -> None:
    """Chunks are as many as asked for, lose nothing and end at line ends."""
    pieces = word_count.cut(text, chunks)
    assert len(pieces) == chunks
    assert "".join(pieces) == text
    assert all(piece.endswith("\n") for piece in pieces[:-1] if piece)


@pytest.mark.parametrize("planner", ["per_task", "single_worker", "wukong"])
def test_product_is_right(planner: str) -> None:
    """Whoever plans it, the product is numpy's."""
    workflow = matrix_multiply.build(matrix_multiply.SMOKE)
    workflow.verify(workflow.dag.compute(launcher="inline", planner=planner))


def test_product_of_one_block() -> None:
    """A single block is multiplied like any other."""
    workflow = matrix_multiply.build(matrix_multiply.Params(rows=8, blocks=1))
    assert Counter(task_id.partition("#")[0] for task_id in workflow.dag.ids) == {
        "random_block": 2,
        "multiply": 1,
        "add": 1,
    }
    workflow.verify(workflow.dag.compute(launcher="inline"))


def test_wrong_product_is_noticed() -> None:
    """A block that is a little off is a wrong result."""
    workflow = matrix_multiply.build(matrix_multiply.SMOKE)
    result = workflow.dag.compute(launcher="inline")
    result[1][0] = result[1][0] + np.full_like(result[1][0], 1e-6)
    with pytest.raises(WrongResult, match="differs from numpy's by up to 1e-06"):
        workflow.verify(result)


@pytest.mark.parametrize("planner", ["per_task", "single_worker", "wukong"])
def test_sum_is_right(planner: str) -> None:
    """Whoever plans it, the reduction is numpy's; there are as many additions as leaves, less one."""
    workflow = tree_reduction.build(tree_reduction.SMOKE)
    assert len(workflow.dag) == 2 * tree_reduction.SMOKE.leaves - 1
    workflow.verify(workflow.dag.compute(launcher="inline", planner=planner))


def test_wrong_sum_is_noticed() -> None:
    """A number that is a little off is a wrong result."""
    workflow = tree_reduction.build(tree_reduction.SMOKE)
    result = workflow.dag.compute(launcher="inline").copy()
    result[0] += 1e-6
    with pytest.raises(WrongResult, match="differs from numpy's by up to 1e-06"):
        workflow.verify(result)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: word_count.Params(0, 1), "corpus_bytes is 0, must be at least 1"),
        (lambda: word_count.Params(1, 0), "chunks is 0"),
        (lambda: word_count.Params(1, 1, merge_width=1), "merge_width is 1, must be at least 2"),
        (lambda: matrix_multiply.Params(10, 3), "10 rows can't be cut into 3 blocks"),
        (lambda: matrix_multiply.Params(0, 1), "0 rows"),
        (lambda: matrix_multiply.Params(4, 2, seed=-1), "seed is -1"),
        (lambda: tree_reduction.Params(6, 1, 1), "leaves is 6, must be a power of two"),
        (lambda: tree_reduction.Params(4, 0, 1), "elements is 0, must be at least 1"),
        (lambda: tree_reduction.Params(4, 1, 0), "rounds is 0"),
        (lambda: tree_reduction.Params(4, 1, 1, seed=-1), "seed is -1"),
    ],
)
def test_impossible_parameters(make: object, message: str) -> None:
    """Parameters that can't be run are refused when they are made."""
    assert callable(make)
    with pytest.raises(fl.ConfigError, match=message):
        make()
