"""What is expected of tasks before they run: the one interface that simulator and planners ask.

Every answer says what it rests on. Before anything has run, users' own numbers serve (``@task(expected_s=,
output_bytes=)``), and where there are none, defaults that say so.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from faaslab.errors import ConfigError
from faaslab.model.sizes import vcpus
from faaslab.model.variation import DECLARED_SIGMA, UNKNOWN_SIGMA, Spread

Basis = Literal["measured", "extrapolated", "declared", "unknown"]
"""What an estimate rests on: runs of this function at this size, its runs at other sizes or with other inputs, what
its user declared, or nothing."""

DEFAULT_EXEC_S = 1.0
"""Execution time at one vCPU of a task of which nothing is known: an assumption, so that a plan can be made at all."""
DEFAULT_OUTPUT_BYTES = 1e6
"""Output size of a task of which nothing is known: an assumption, too large to ride inside an invocation."""

_ELASTICITY_BELOW = 0.9
_ELASTICITY_ABOVE = 0.4


def prior_scale(size_mib: int, reference_vcpus: float = 1.0) -> float:
    """Return how many times as long a task is taken to run at ``size_mib`` as with ``reference_vcpus``.

    Time falls with the 0.9th power of the vCPUs below one, where workers are throttled, and with the 0.4th above,
    where only some of the work is parallel. Exponents: fitted to stage profiles on AWS Lambda in the artifact of
    Jolteon (Zhang et al., NSDI 2024).
    """
    return _prior(vcpus(size_mib)) / _prior(reference_vcpus)


def _prior(cpus: float) -> float:
    return math.pow(cpus, -(_ELASTICITY_BELOW if cpus <= 1 else _ELASTICITY_ABOVE))


class Estimates(Protocol):
    """Expectations for the tasks of one DAG, by task index; all are finite and not negative."""

    def exec_s(self, task: int, size_mib: int) -> float:
        """Return the median seconds of execution of ``task`` on a worker of ``size_mib``."""
        ...

    def output_bytes(self, task: int) -> float:
        """Return the size of the output of ``task``."""
        ...

    def basis(self, task: int, size_mib: int) -> Basis:
        """Return what ``exec_s`` of the same arguments rests on."""
        ...

    def spread(self, task: int, size_mib: int) -> Spread:
        """Return how execution times scatter around ``exec_s`` of the same arguments."""
        ...


class DeclaredOptions(Protocol):
    """What a user may have declared of a task."""

    @property
    def expected_s(self) -> float | None:
        """Seconds of execution at one vCPU."""
        ...

    @property
    def output_bytes(self) -> int | None:
        """Size of the output."""
        ...


class TasksWithOptions(Protocol):
    """What is needed of a DAG to read off what its users declared."""

    def __len__(self) -> int: ...

    def options(self, task: int, /) -> DeclaredOptions:
        """Return a task's options."""
        ...


@dataclass(frozen=True, slots=True)
class DeclaredEstimates:
    """Estimates from ``@task(expected_s=, output_bytes=)`` alone.

    Args:
        dag: The DAG.
        default_exec_s: Seconds at one vCPU of tasks without ``expected_s``; they are marked ``unknown``.
        default_output_bytes: Output size of tasks without ``output_bytes``.

    Raises:
        ConfigError: A default is not a finite number above 0.
    """

    dag: TasksWithOptions
    default_exec_s: float = DEFAULT_EXEC_S
    default_output_bytes: float = DEFAULT_OUTPUT_BYTES
    _declared_s: Sequence[float | None] = field(init=False, repr=False)
    _output_bytes: Sequence[float] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("default_exec_s", "default_output_bytes"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ConfigError(f"DeclaredEstimates.{name} is {value}, must be a finite number above 0")
        options = [self.dag.options(task) for task in range(len(self.dag))]
        sizes = [self.default_output_bytes if o.output_bytes is None else float(o.output_bytes) for o in options]
        object.__setattr__(self, "_declared_s", [option.expected_s for option in options])
        object.__setattr__(self, "_output_bytes", sizes)

    def exec_s(self, task: int, size_mib: int) -> float:
        """Return the declared seconds, or the default, scaled from one vCPU to ``size_mib`` by ``prior_scale``."""
        declared_s = self._declared_s[task]
        return (self.default_exec_s if declared_s is None else declared_s) * prior_scale(size_mib)

    def output_bytes(self, task: int) -> float:
        """Return the declared size of the output, or the default."""
        return self._output_bytes[task]

    def basis(self, task: int, size_mib: int) -> Basis:
        """Return ``declared`` or ``unknown``."""
        return "unknown" if self._declared_s[task] is None else "declared"

    def spread(self, task: int, size_mib: int) -> Spread:
        """Return an assumed spread: users know their tasks within a factor of two, of others nothing is known."""
        return Spread(0.0, 0.0, UNKNOWN_SIGMA if self._declared_s[task] is None else DECLARED_SIGMA)
