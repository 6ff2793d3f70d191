"""What a user may say about a task besides its function and arguments."""

import math
from dataclasses import dataclass, fields
from typing import Any

from faaslab.errors import GraphError

NAME_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """Options of a task, validated.

    Raises:
        GraphError: An option is outside its range.
    """

    memory_mib: int | None = None
    """Minimum memory that a planner must give the task."""
    retries: int = 0
    """How often the task runs again after a failure; above 0 also allows an impure task to run again after a lapse."""
    timeout_s: float | None = None
    """The task's process is killed after this long."""
    pure: bool = True
    """Deterministic and without side effects: may be run twice."""
    outputs: int = 1
    """Number of elements of the returned tuple that are tasks' inputs of their own."""
    name: str | None = None
    """Name shown instead of the function's."""
    expected_s: float | None = None
    """The user's own estimate of the execution time at 1 vCPU, for planning without history."""
    output_bytes: int | None = None
    """The user's own estimate of the output's size, for planning without history."""

    def __post_init__(self) -> None:
        self._check_integer("memory_mib", self.memory_mib, least=1, optional=True)
        self._check_integer("retries", self.retries, least=0)
        self._check_integer("outputs", self.outputs, least=1)
        self._check_integer("output_bytes", self.output_bytes, least=0, optional=True)
        self._check_seconds("timeout_s", self.timeout_s, zero=False)
        self._check_seconds("expected_s", self.expected_s, zero=True)
        if not isinstance(self.pure, bool):
            raise GraphError(f"task option pure is {self.pure!r}, must be True or False")
        if self.name is not None:
            check_name(self.name)

    @staticmethod
    def _check_integer(name: str, value: Any, *, least: int, optional: bool = False) -> None:
        if optional and value is None:
            return
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise GraphError(f"task option {name} is {value!r}, must be an integer of {least} or more")

    @staticmethod
    def _check_seconds(name: str, value: Any, *, zero: bool) -> None:
        if value is None:
            return
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if not number or not (value >= 0 if zero else value > 0):
            raise GraphError(
                f"task option {name} is {value!r}, must be a number {'of 0 or more' if zero else 'above 0'}"
            )


OPTION_NAMES = tuple(field.name for field in fields(TaskOptions))
PLANNING_OPTIONS = ("expected_s", "output_bytes")
"""Options that no worker needs: they do not travel, and what has run is the same without them."""


def check_name(name: Any) -> str:
    """Return ``name`` if it can be the name of a task.

    Raises:
        GraphError: It is not a string of 1 to 200 printable characters.
    """
    if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARACTERS or not name.isprintable():
        shown = repr(name) if len(repr(name)) <= 60 else f"{repr(name)[:60]}…"
        raise GraphError(
            f"a task can't be named {shown}: a name has 1 to {NAME_CHARACTERS} printable characters; "
            "pass another one as @fl.task(name=...)"
        )
    return name
