"""What a calibration concludes from its samples."""

import math
from dataclasses import replace

import pytest

from faaslab.cli.calibrate import (
    QUICK,
    ColdStarts,
    Measurements,
    RoundTrips,
    Spread,
    StoreAccess,
    Throttled,
    lines_of,
    shortest_faithful_s,
)


def burn(cpu_s: float, error: float) -> Throttled:
    """A task on half a CPU that took so much longer than it should."""
    return Throttled(cpu_s, 2 * cpu_s, 2 * cpu_s * (1 + error), 5)


def test_spread_of_lognormal_samples() -> None:
    """Median and sigma of evenly spread logarithms are those of the distribution, hiccups or not."""
    quantiles = [-0.6745, 0.0, 0.6745]  # of the normal distribution, at 25, 50 and 75 %
    samples = [0.2 * math.exp(0.3 * z) for z in (-3.0, *quantiles, 3.0)]
    assert Spread.of(samples).median == pytest.approx(0.2)
    assert Spread.of(samples).sigma == pytest.approx(0.3, rel=1e-3)
    assert Spread.of([*samples[:-1], 1000.0]) == Spread.of(samples)


def test_spread_of_what_no_clock_resolves() -> None:
    """Samples of zero are possible: clocks of containers are only known so well."""
    assert Spread.of([0.0, 0.0]) == Spread(2, 0.0, 0.0)


def test_shortest_faithful_task() -> None:
    """Counted is the shortest task from which on all are within 5 %, not one that is so by chance."""
    burns = [burn(0.01, -0.5), burn(0.02, 0.01), burn(0.04, -0.2), burn(0.08, -0.049), burn(0.16, 0.049)]
    assert shortest_faithful_s(burns) == 0.08
    assert shortest_faithful_s(burns[:3]) is None
    assert shortest_faithful_s([]) is None


def test_progress_ends_at_its_end() -> None:
    """The number of runs that is announced counts three sizes, warm-ups and small values."""
    assert QUICK.runs == 3 * (2 + 3 + 1) + 2 * 5 + 2 * 1 + 2


def test_lines_for_people() -> None:
    """The table shows milliseconds with phases and spreads, what is faithful, and what is largest."""
    measured = Measurements(
        cold_starts=(ColdStarts(512, Spread(5, 0.3, 0.125), {"create": 0.05, "boot": 0.25}),),
        round_trips=(RoundTrips(512, Spread(30, 0.008, 0.1), Spread(30, 0.0004, 0.1)),),
        store=StoreAccess(Spread(20, 0.00006, 0.2), Spread(5, 150e6, 0.1), Spread(5, 900e6, 0.1)),
        throttled_size_mib=884,
        throttled=(burn(0.1, -0.02),),
        shortest_faithful_s=0.1,
        largest_size_mib=1769,
        cores=1,
    )
    lines = list(lines_of(measured))
    assert [" ".join(line.split()) for line in lines] == [
        "cold start 512 MiB 300.00 ms sigma 0.12 n 5 (create 50, boot 250)",
        "warm run 512 MiB 8.00 ms sigma 0.10 n 30 (invocation 0.4)",
        "store 1769 MiB 0.06 ms sigma 0.20 n 20 (up 150 MB/s down 900 MB/s)",
        "throttled 884 MiB 100.00 ms of CPU take 196 ms, expected 200 ms (-2.0%, n 5)",
        "throttled tasks are faithful within 5% from 100 ms of CPU on",
        "largest size 1769 MiB; cores for containers: 1",
    ]
    assert "measure again" in list(lines_of(replace(measured, shortest_faithful_s=None)))[-2]
