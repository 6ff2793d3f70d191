"""Workflows that studies run, one file each; every one says what its result must be."""

from experiments.workflows import broadcast, matrix_multiply, tree_reduction, word_count
from experiments.workflows.workflow import Workflow, WrongResult

__all__ = ["Workflow", "WrongResult", "broadcast", "matrix_multiply", "tree_reduction", "word_count"]
