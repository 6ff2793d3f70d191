"""What a workflow module builds: a DAG, and how to tell whether a run of it was right."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import faaslab as fl


class WrongResult(Exception):
    """A run has finished with a result that differs from the reference."""


@dataclass(frozen=True, slots=True)
class Workflow:
    """A DAG and its check.

    Attributes:
        dag: What runs.
        verify: Takes the result of a run; raises ``WrongResult`` if it is not the reference's.
    """

    dag: fl.DAG
    verify: Callable[[Any], None]
