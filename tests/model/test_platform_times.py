"""Transfers and starts as they were measured."""

import numpy as np
import pytest

from faaslab.model.platform_times import StartTime, TransferTime

ONE = 1769


def test_a_transfer_is_latency_and_bandwidth() -> None:
    """2 ms and 50 MB/s are found, and hold for sizes of payload in between."""
    sizes_bytes = np.array([1e3, 1e4, 1e5, 1e6, 1e7, 5e7])
    found = TransferTime.fit(np.full(6, ONE, dtype=np.int32), sizes_bytes, 0.002 + sizes_bytes / 50e6)
    assert found.median_s(0, ONE) == pytest.approx(0.002)
    assert found.median_s(5e6, ONE) == pytest.approx(0.102)
    assert found.spread(5e6, ONE).task < found.spread(5e9, ONE).task


def test_bandwidth_depends_on_memory_where_that_was_measured() -> None:
    """Twice the vCPUs, twice the bandwidth, the same latency: told apart by three sizes; one size says nothing."""
    sizes_mib = np.repeat(np.array([ONE, 2 * ONE, 4 * ONE], dtype=np.int32), 4)
    sizes_bytes = np.tile([1e4, 1e6, 1e7, 5e7], 3)
    seconds = 0.002 + sizes_bytes / (50e6 * sizes_mib / ONE)
    found = TransferTime.fit(sizes_mib, sizes_bytes, seconds)
    assert found.median_s(2e7, 3 * ONE) == pytest.approx(0.002 + 2e7 / 150e6)
    alone = TransferTime.fit(sizes_mib[:4], sizes_bytes[:4], seconds[:4])
    assert alone.median_s(2e7, 3 * ONE) == pytest.approx(alone.median_s(2e7, ONE))


def test_starts_are_lognormal() -> None:
    """Median and spread of starts; a slight dependence on the size is mostly taken for chance."""
    rng = np.random.default_rng(5)
    sizes = rng.choice([512, 1024, 1769, 3538], 400).astype(np.int32)
    found = StartTime.fit(sizes, np.exp(rng.normal(np.log(2.0), 0.4, 400)))
    assert found.median_s(ONE) == pytest.approx(2.0, rel=0.06)
    assert found.sigma == pytest.approx(0.4, rel=0.1)
    assert abs(found.exponent) < 0.05


def test_a_start_time_that_falls_with_the_size() -> None:
    """Many starts that clearly depend on the size are believed; two are not."""
    sizes = np.tile(np.array([512, 8192], dtype=np.int32), 500)
    seconds = 2.0 * (sizes / ONE) ** -0.2 * np.tile([1.02, 1.02, 0.98, 0.98], 250)
    assert StartTime.fit(sizes, seconds).exponent == pytest.approx(-0.2, abs=0.01)
    assert abs(StartTime.fit(sizes[:2], seconds[:2]).exponent) < 0.1


def test_a_single_start() -> None:
    """One start gives a median, and a spread that is assumed and doubtful."""
    found = StartTime.fit(np.array([1024], dtype=np.int32), np.array([0.5]))
    assert found.median_s(4096) == pytest.approx(0.5)
    assert found.sigma > 0.15
