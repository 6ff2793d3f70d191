from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faaslab.trace import Trace
from faaslab.trace.dilation import UNITS, dilation_of, to_virtual
from faaslab.trace.events import AnyEvent, TaskExecuted, WorkerStarted
from tests.trace.runs import T0, manifest, synthetic, two_workers
from tests.trace.test_trace import ANY_EVENT


def test_every_field_in_seconds_has_its_unit() -> None:
    """A new field of an event must say whether dilation changes it."""
    fields = {name for kind in get_args(AnyEvent) for name in kind.__struct_fields__ if name.endswith("_s")}
    assert fields == set(UNITS)


def test_instants_durations_and_cpu_seconds() -> None:
    """Instants move towards the origin, durations shrink, CPU seconds and bytes stay."""
    event = TaskExecuted(T0 + 40, 3, "i-0", 8.0, 2.0, 100, 200, 4.0, 2.0, 1.0)
    assert to_virtual(event, T0, 4.0) == TaskExecuted(T0 + 10, 3, "i-0", 2.0, 2.0, 100, 200, 1.0, 0.5, 0.25)
    started = WorkerStarted(T0 + 8, "i-0", 1, "c-0", 1024, True, T0 + 4, 700, 5, {"launch": 3.0, "boot": 1.0})
    assert to_virtual(started, T0, 2.0) == WorkerStarted(
        T0 + 4, "i-0", 1, "c-0", 1024, True, T0 + 2, 700, 5, {"launch": 1.5, "boot": 0.5}
    )


def test_a_moment_that_is_not_known_stays_so() -> None:
    """Zero stands for "not known", not for 1970."""
    started = WorkerStarted(T0 + 8, "i-0", 1, "c-0", 1024, False)
    virtual = to_virtual(started, T0, 2.0)
    assert isinstance(virtual, WorkerStarted)
    assert virtual.requested_s == 0.0


@given(ANY_EVENT, st.sampled_from([1.0, 2.0, 3.5]))
def test_nothing_else_changes(event: AnyEvent, dilation: float) -> None:
    """For any event: the same kind, all fields that are not in seconds as they were, and back again by ``1/d``."""
    virtual = to_virtual(event, T0, dilation)
    for name in event.__struct_fields__:
        if UNITS.get(name) is None or dilation == 1.0:
            assert getattr(virtual, name) == getattr(event, name)
    back = msgspec.structs.asdict(to_virtual(virtual, T0, 1 / dilation))
    assert back == approximately(msgspec.structs.asdict(event))


def approximately(value: object) -> object:
    """Return what is equal to all that is nearly the same as ``value``."""
    if isinstance(value, dict):
        return {key: approximately(part) for key, part in value.items()}
    return pytest.approx(value, rel=1e-12) if isinstance(value, float) else value


@pytest.mark.parametrize("real", [Trace.from_events(two_workers(), manifest()), synthetic(40, 5)], ids=["known", "any"])
def test_a_virtual_trace_is_consistent(real: Trace) -> None:
    """Tables, breakdown and metrics are those of the platform: times divided, bytes and CPU seconds as they were."""
    d = 4.0
    settings = {"launcher": {"name": "docker", "dilation": d}}
    about = msgspec.structs.replace(real.manifest, settings=settings)
    virtual = Trace.from_events([to_virtual(event, T0, d) for event in real.events], about)
    for name in ("start_s", "end_s", "exec_s", "fetch_s", "store_s"):
        assert virtual.tasks[name].tolist() == pytest.approx((real.tasks[name] / d).tolist(), abs=1e-6)
    assert virtual.tasks["cpu_s"].tolist() == real.tasks["cpu_s"].tolist()
    before, after = real.metrics, virtual.metrics
    assert set(before) == set(after)
    for name in set(after) - {"overhead_real_s", "cost_usd", "gb_seconds"}:
        expected = before[name] / d if name.endswith("_s") else before[name]
        assert after[name] == pytest.approx(expected, abs=1e-5), name
    assert after["gb_seconds"] == pytest.approx(before["gb_seconds"] / d, rel=0.01)  # milliseconds are billed
    assert after["overhead_real_s"] == pytest.approx(before["overhead_real_s"], abs=1e-4)
    assert before["overhead_real_s"] == before["overhead_s"] > 0


def test_dilation_of_a_run() -> None:
    """It is a setting of the launcher; others have none."""
    assert dilation_of({"launcher": {"dilation": 3}}) == 3.0
    assert dilation_of({"launcher": {"name": "process"}}) == dilation_of({}) == 1.0
