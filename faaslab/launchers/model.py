"""The platform of a virtual run: how long things take there. The numbers are a model, the decisions are the engine."""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from faaslab.errors import ConfigError
from faaslab.model.sizes import vcpus


@dataclass(frozen=True, slots=True)
class VirtualModel:
    """How long everything takes on the virtual platform.

    Attributes:
        store_latency_s: Round trip of a store call without payload.
        bandwidth_bytes_per_s: Speed at which payloads travel between a container and the store.
        jitter: Share by which a latency may be longer or shorter, drawn uniformly; below 1.
        cold_start_s: Time from the decision to start a container until its first store call.
        invocation_latency_s: Time from a request until an invocation begins in a container that is ready for it.
        keep_alive_s: How long an idle container stays.
        task_s: Median execution time of a task on one vCPU.
        task_sigma: Standard deviation of the logarithm of execution times (lognormal, drawn once for each task).
        durations_s: Execution times on one vCPU of single tasks, by id, or of all of a name, by name.
        notice_s: Time until the launcher knows that a container's process has died.
        deadline_s: A run that has not ended after so much virtual time is given up as a hang.

    Raises:
        ConfigError: A field is outside its range.
    """

    store_latency_s: float = 0.0005
    bandwidth_bytes_per_s: float = 100e6
    jitter: float = 0.5
    cold_start_s: float = 0.4
    invocation_latency_s: float = 0.0
    keep_alive_s: float = 60.0
    task_s: float = 0.1
    task_sigma: float = 0.5
    durations_s: Mapping[str, float] = field(default_factory=dict)
    notice_s: float = 0.05
    deadline_s: float = 3600.0

    def __post_init__(self) -> None:
        for name in ("store_latency_s", "cold_start_s", "invocation_latency_s", "keep_alive_s", "task_s", "task_sigma"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"VirtualModel.{name} is {getattr(self, name)}, must be 0 or more and finite")
        if not self.bandwidth_bytes_per_s > 0:
            raise ConfigError(f"VirtualModel.bandwidth_bytes_per_s is {self.bandwidth_bytes_per_s}, must be above 0")
        if not 0 <= self.jitter < 1:
            raise ConfigError(f"VirtualModel.jitter is {self.jitter}, must be 0 or more and below 1")

    def task_duration_s(self, seed: int, task_id: str, size_mib: int) -> float:
        """Return how long a task executes in a container; the same seed gives the same, whatever else happens.

        More than one vCPU does not help: a task is taken to have one thread.
        """
        median_s = self.durations_s.get(task_id, self.durations_s.get(task_id.rpartition("#")[0], math.nan))
        if math.isnan(median_s):
            draw = random.Random(f"{seed}/task/{task_id}").gauss(0.0, self.task_sigma)
            median_s = self.task_s * math.exp(draw)
        return median_s / min(1.0, vcpus(size_mib))
