"""Luck: how far simulated runs are from their medians.

Plans are compared on common random numbers: what befalls a task depends on the seed, the number of the run and the
task's index alone, so another plan meets the same luck. A run draws from normal numbers, row by row::

    run | task 0: task  worker  fetch  put  invocation  cold  cold | task 1: …

The time of a task is its median times ``exp`` of the sum of what its run, its worker and itself have drawn, each as
much as ``Spread`` says. A worker's luck is that of its first task; one that is decided at run time is known as far as
its tasks follow each other under any luck, else each task counts as on a worker of its own. Starts of containers, in
their order, take two numbers each task, as there are at most two containers for each; those that only empty invocations
make possible take theirs from the end. Transfers and invocations
scatter as the platform says; how they are split into latency and bytes does not matter for that. What only the course
of a run makes necessary, such as fetching again after a slot was given up, takes its median.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from faaslab.errors import ConfigError
from faaslab.simulate.flat import listed
from faaslab.simulate.placement import Placement

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FARTHEST = 4.0
"""Normal numbers are cut off here, which meets one of 16,000: Student's t with few degrees would multiply times by
thousands there, and means of them have no limit."""
CHUNK = 1_000_000
"""About how many random numbers are held at a time."""

_TASK, _WORKER, _FETCH, _PUT, _INVOCATION, _COLD, _END = 0, 1, 2, 3, 4, 5, 7


@dataclass(frozen=True, slots=True)
class Draws:
    """One simulated run's luck.

    Attributes:
        seed: Of a series of runs.
        number: Which run of the series.

    Raises:
        ConfigError: One of them is negative or no whole number.
    """

    seed: int
    number: int = 0

    def __post_init__(self) -> None:
        for name in ("seed", "number"):
            value: object = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ConfigError(f"Draws.{name} is {value!r}, must be a whole number of 0 or more")

    def normal(self, count: int) -> "Floats":
        """Return the first ``count`` normal numbers of this run."""
        import numpy as np

        return np.random.default_rng([self.seed, self.number]).standard_normal(count)


@dataclass(frozen=True, slots=True)
class Drawn:
    """Times of one run, as columns for the event loop; by task, but for those that say otherwise.

    Attributes:
        exec_s: Executions.
        cold_s: Cold starts, by container.
        invocation_s: Latency of the invocation that begins with the task.
        carry_s: Inputs that ride along.
        fetch_s: Inputs that are fetched.
        blob_s: Storing of a large output.
        frame_s: Storing of a small one.
        take_carry_s: As ``carry_s``, by edge.
        take_fetch_s: As ``fetch_s``, by edge.
    """

    exec_s: Any
    cold_s: Any
    invocation_s: Any
    carry_s: Any
    fetch_s: Any
    blob_s: Any
    frame_s: Any
    take_carry_s: Any
    take_fetch_s: Any


def medians(placement: Placement, filled: Callable[[int, Any], Any]) -> Drawn:
    """Return the times of the run in which everything takes its median."""
    profile, arrays, changing = placement.platform.profile, placement.arrays, placement.changing
    return Drawn(
        exec_s=placement.exec_s,
        cold_s=filled(placement.capacity, profile.cold_start_s),
        invocation_s=filled(len(placement.exec_s), profile.invocation_latency_s),
        carry_s=changing[2],
        fetch_s=changing[3],
        blob_s=arrays[11],
        frame_s=arrays[12],
        take_carry_s=arrays[15],
        take_fetch_s=arrays[16],
    )


def drawn_runs(
    placement: Placement,
    runs: Sequence[Draws],
    column: Callable[[Any], Any],
    filled: Callable[[int, Any], Any],
) -> Iterator[Drawn]:
    """Yield the times of each run.

    Args:
        placement: What is run.
        runs: The luck of each.
        column: Makes a column for the event loop of an array.
        filled: Makes a column of equal values.
    """
    import numpy as np

    middle, profile, count = medians(placement, filled), placement.platform.profile, len(placement.exec_s)
    sizes_mib = [placement.sizes_mib[pool] for pool in listed(placement.arrays[1])]
    spreads = placement.flat.spreads(sizes_mib)
    scales = [(spread.run, spread.worker, spread.task, spread.degrees) for spread in spreads]
    of_run, of_worker, of_task, degrees = np.array(scales, dtype=float).reshape(-1, 4).T
    head = np.array(_heads(placement))
    consumer = np.asarray(placement.arrays[14], dtype=int)
    base = {name: np.asarray(getattr(middle, name), dtype=float) for name in Drawn.__slots__}
    more = placement.capacity - (_END - _COLD) * count
    at_once = max(1, CHUNK // (1 + _END * count))
    for first in range(0, len(runs), at_once):
        numbers = np.stack([draws.normal(1 + _END * count + more) for draws in runs[first : first + at_once]])
        np.clip(numbers, -FARTHEST, FARTHEST, out=numbers)
        luck = numbers[:, 1 : 1 + _END * count].reshape(len(numbers), count, _END)
        logs = of_run * student_t(numbers[:, :1], degrees)
        if of_worker.any():
            logs += of_worker * student_t(luck[:, head, _WORKER], degrees)
        logs += of_task * student_t(luck[:, :, _TASK], degrees)
        factors: dict[str, Any] = {"exec_s": np.exp(logs)}
        if profile.cold_start_sigma:
            starts = np.hstack([luck[:, :, _COLD:].reshape(len(numbers), -1), numbers[:, 1 + _END * count :]])
            factors["cold_s"] = np.exp(profile.cold_start_sigma * starts)
        if profile.invocation_sigma:
            factors["invocation_s"] = np.exp(profile.invocation_sigma * luck[:, :, _INVOCATION])
        if profile.store_sigma:
            fetch, put = (np.exp(profile.store_sigma * luck[:, :, which]) for which in (_FETCH, _PUT))
            factors |= {"carry_s": fetch, "fetch_s": fetch, "blob_s": put, "frame_s": put}
            factors |= {"take_carry_s": fetch[:, consumer], "take_fetch_s": fetch[:, consumer]}
        for run in range(len(numbers)):
            yield Drawn(
                **{
                    name: column(base[name] * factors[name][run]) if name in factors else getattr(middle, name)
                    for name in Drawn.__slots__
                }
            )


def student_t(normal: "Floats", degrees: "Floats") -> "Floats":
    """Return numbers that follow Student's t if ``normal`` are normal: the same luck whatever the degrees.

    The inverse of the normal approximation by Wallace (Bounds on Normal Approximations to Student's and the Chi-Square
    Distributions, Annals of Mathematical Statistics 1959). With 3 degrees it is within 1.5 % up to two standard
    deviations and 6 % too far at three; with 10, within 0.3 % there.

    Args:
        normal: Numbers, of any shape that goes with ``degrees``.
        degrees: Degrees of freedom; infinite: the numbers stay what they are.
    """
    import numpy as np

    few = np.isfinite(degrees)
    if not few.any():
        return np.broadcast_to(normal, np.broadcast_shapes(normal.shape, degrees.shape)).copy()
    finite = np.where(few, degrees, 1.0)
    stretched = normal * ((8 * finite + 3) / (8 * finite + 1))
    return np.where(few, np.sign(normal) * np.sqrt(finite * np.expm1(np.square(stretched) / finite)), normal)


def _heads(placement: Placement) -> list[int]:
    """Return for each task the first one of those that are known to be on its worker."""
    worker_of, position, quiet = map(listed, (placement.worker_of, placement.arrays[5], placement.arrays[8]))
    head = list(range(len(worker_of)))
    first = {worker: task for task, worker in enumerate(worker_of) if worker >= 0 and position[task] == 0}
    for task, worker in enumerate(worker_of):
        if worker >= 0:
            head[task] = first[worker]
        elif quiet[task] >= 0:
            head[quiet[task]] = head[task]
    return head
