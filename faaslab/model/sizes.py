"""Worker sizes: memory in MiB, from which vCPUs follow as on AWS Lambda.

Source: AWS Lambda Developer Guide, "Configure Lambda function memory": 128 MB to 10,240 MB in steps of 1 MB; at
1,769 MB a function has the equivalent of one vCPU; at most 6 vCPUs.
"""

from collections.abc import Iterable

from faaslab.errors import ConfigError

MIB_PER_VCPU = 1769
MAX_VCPUS = 6.0
MIN_SIZE_MIB = 128
MAX_SIZE_MIB = 10_240

DEFAULT_SIZE_MIB = MIB_PER_VCPU
"""One full vCPU: the smallest size at which single-threaded Python is not throttled. A smaller one costs the same per
CPU-second and is slower; a larger one buys a second vCPU that most tasks can't use."""


def vcpus(size_mib: int) -> float:
    """Return the vCPUs that a worker of ``size_mib`` has: 1 per 1,769 MiB, at most 6."""
    return min(MAX_VCPUS, size_mib / MIB_PER_VCPU)


def check_size(size_mib: object) -> int:
    """Return ``size_mib`` if a worker can have it.

    Raises:
        ConfigError: It is not a whole number from 128 to 10,240.
    """
    if isinstance(size_mib, bool) or not isinstance(size_mib, int):
        raise ConfigError(f"worker size is {size_mib!r}, must be a whole number of MiB")
    if not MIN_SIZE_MIB <= size_mib <= MAX_SIZE_MIB:
        raise ConfigError(f"worker size is {size_mib} MiB, must be from {MIN_SIZE_MIB} to {MAX_SIZE_MIB} MiB")
    return size_mib


def check_sizes(sizes: Iterable[int]) -> tuple[int, ...]:
    """Return distinct sizes in rising order.

    Raises:
        ConfigError: There is none, or one that no worker can have.
    """
    checked = tuple(sorted({check_size(size) for size in sizes}))
    if not checked:
        raise ConfigError(f"the list of worker sizes is empty; give at least one, for instance [{DEFAULT_SIZE_MIB}]")
    return checked
