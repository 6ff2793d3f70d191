"""What the edge cases run on: every launcher, every planner; adding an engine is one line in ``ENGINES``."""

import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from faaslab.client import Lab, Run
from faaslab.config import Config
from faaslab.launchers.docker import DockerLauncher
from faaslab.launchers.inline import InlineLauncher
from faaslab.launchers.process import ProcessLauncher
from faaslab.launchers.virtual import VirtualLauncher
from faaslab.planners import Planner
from faaslab.trace.events import TaskExecuted
from tests.faults.shapes import OWN

PLANNERS: tuple[str | Planner, ...] = ("wukong", "per_task", "single_worker", *OWN.values())


def _inline() -> Lab:
    return Lab(InlineLauncher(2), config=Config(runs_dir=""))


def _virtual() -> Lab:
    return Lab(VirtualLauncher(limit=8), config=Config(runs_dir=""))


def _process() -> Lab:
    return Lab(ProcessLauncher(limit=2), config=Config(runs_dir=""))


def _docker() -> Lab:
    launcher = DockerLauncher(limit=2, allow_contention=True, requirements=("numpy", "pandas", "pyarrow"))
    return Lab(launcher, config=Config(runs_dir=""))


ENGINES: dict[str, Callable[[], Lab]] = {
    "inline": _inline,
    "virtual": _virtual,
    "process": _process,
    "docker": _docker,
}
"""Each makes a lab, which is closed after the tests of a module."""

IN_PROCESS = frozenset(("inline", "virtual"))
"""Engines whose tasks run in the test's own process: what would end that is not for them."""


class Engine:
    """A lab and the planner that one test uses on it.

    Attributes:
        in_process: User code runs in this process.
    """

    def __init__(self, name: str, lab: Lab, planner: str | Planner) -> None:
        self.name = name
        self.lab = lab
        self.planner = planner
        self.in_process = name in IN_PROCESS

    def run(self, *outputs: Any) -> Any:
        """Return the values of outputs, as ``compute`` does."""
        return self.lab.compute(*outputs, planner=self.planner, timeout_s=60.0, progress=False)

    def submit(self, outputs: Any) -> Run:
        """Return a run, ended or not."""
        return self.lab.submit(outputs, planner=self.planner)

    def executions(self, outputs: Any) -> tuple[Any, Counter[str]]:
        """Return the value and how often each task was executed, by id."""
        run = self.submit(outputs)
        value = run.result(60.0)
        ids = run.trace.ids
        return value, Counter(ids[event.task] for event in run.trace.events if isinstance(event, TaskExecuted))


def pairs() -> list[Any]:
    """Return what tests are repeated for: cheap engines with every planner, others with one that differs by test."""
    return [
        pytest.param((name, number), id=_label(name, number), marks=_marks(name))
        for name in ENGINES
        for number in (range(len(PLANNERS)) if name in IN_PROCESS else (-1,))
    ]


def singles() -> list[Any]:
    """Return the engines."""
    return [pytest.param(name, id=name, marks=_marks(name)) for name in ENGINES]


def _marks(name: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.docker] if name == "docker" else []


def _label(name: str, number: int) -> str:
    planner = PLANNERS[number]
    return name if number < 0 else f"{name}-{planner if isinstance(planner, str) else planner.name}"


def planner_for(number: int, test: str) -> str | Planner:
    """Return the planner of a test; -1: one that its name draws, so that all planners come up in a module."""
    return PLANNERS[number if number >= 0 else zlib.crc32(test.encode()) % len(PLANNERS)]


@contextmanager
def labs() -> Iterator[Callable[[str], Lab]]:
    """Make labs when they are first asked for, close them together."""
    made: dict[str, Lab] = {}

    def lab(name: str) -> Lab:
        if name not in made:
            made[name] = ENGINES[name]()
        return made[name]

    try:
        yield lab
    finally:
        for each in made.values():
            each.close()
