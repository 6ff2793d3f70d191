"""What planners are told of tasks, and what is true but hidden from them: that, times lognormal noise.

::

    log(true / told) = run + function + task        times
                             function + task        sizes of outputs

What a run has in common (a slow hour) moves all times, a function's part (a wrong estimate) those of all its tasks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

import faaslab as fl
from faaslab.model.estimates import Basis, DeclaredEstimates, prior_scale
from faaslab.model.sizes import MIB_PER_VCPU
from faaslab.model.variation import Spread

RUN_SHARE, FUNCTION_SHARE = 0.25, 0.25
"""Parts of the variance; the rest is each task's own. An assumption: enough is common not to average out."""
TOLD_SIGMA = 0.45
"""Spread that planners are told: between those of the truths that studies hide from them."""


@dataclass(frozen=True, slots=True)
class TaskTable:
    """Estimates by task: seconds at one vCPU, other sizes by ``prior_scale``, and sizes of outputs.

    Attributes:
        one_vcpu_s: Seconds of execution at one vCPU, by task index.
        sizes_bytes: Sizes of outputs, by task index.
        sigma: Spread of times that planners are told; 0: they are certain.
    """

    one_vcpu_s: Sequence[float]
    sizes_bytes: Sequence[float]
    sigma: float = TOLD_SIGMA

    @classmethod
    def declared(cls, dag: fl.DAG) -> Self:
        """Return what a DAG's tasks declare."""
        known, tasks = DeclaredEstimates(dag), range(len(dag))
        return cls(
            tuple(known.exec_s(task, MIB_PER_VCPU) for task in tasks), tuple(known.output_bytes(task) for task in tasks)
        )

    def exec_s(self, task: int, size_mib: int) -> float:
        """Return the seconds of execution of ``task`` on a worker of ``size_mib``."""
        return self.one_vcpu_s[task] * prior_scale(size_mib)

    def output_bytes(self, task: int) -> float:
        """Return the size of the output of ``task``."""
        return self.sizes_bytes[task]

    def basis(self, task: int, size_mib: int) -> Basis:
        """Return ``declared``."""
        return "declared"

    def spread(self, task: int, size_mib: int) -> Spread:
        """Return the spread, of which a run's part is known, a function's is not."""
        return Spread(math.sqrt(RUN_SHARE) * self.sigma, 0.0, math.sqrt(1 - RUN_SHARE) * self.sigma)

    def scaled(self, time_scale: float) -> "TaskTable":
        """Return the same with all times multiplied."""
        return replace(self, one_vcpu_s=tuple(seconds * time_scale for seconds in self.one_vcpu_s))


def function_of(dag: fl.DAG) -> list[str]:
    """Return the name of each task's function."""
    return [name.rpartition("#")[0] for name in dag.ids]


def hidden_truth(dag: fl.DAG, told: TaskTable, sigma: float, seed: Sequence[int]) -> TaskTable:
    """Return what is true where planners are told ``told``; medians stay what they are.

    Args:
        dag: The DAG; tasks of one name are of one function.
        told: What planners know.
        sigma: Standard deviation of the logarithm of true over told times; 0: all is as told.
        seed: The same gives the same truth.
    """
    functions, codes = np.unique(function_of(dag), return_inverse=True)
    rng = np.random.default_rng(list(seed))
    whole = sigma * rng.standard_normal()
    by_function = sigma * rng.standard_normal((2, len(functions)))[:, codes]
    by_task = sigma * rng.standard_normal((2, len(dag)))
    rest = np.sqrt(1 - RUN_SHARE - FUNCTION_SHARE)
    common = np.sqrt(FUNCTION_SHARE) * by_function + rest * by_task
    times = np.exp(np.sqrt(RUN_SHARE) * whole + common[0]) * np.asarray(told.one_vcpu_s)
    sizes = np.exp(common[1]) * np.asarray(told.sizes_bytes)
    return TaskTable(tuple(times.tolist()), tuple(sizes.tolist()), sigma=0.0)
