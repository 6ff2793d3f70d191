"""What the gateway decides: how many containers of which size."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faaslab.launchers.pool import Changes, Limits, PoolManager, fitting, pool_changes, pool_vcpus
from faaslab.protocol.messages import Demand
from faaslab.storage.memory import MemoryStorage

HALF, ONE, TWO = "i/884", "i/1769", "i/3538"


def demand(
    pending: dict[str, int] | None = None,
    idle: dict[str, list[str]] | None = None,
    busy: dict[str, str] | None = None,
    waiting: tuple[str, ...] = (),
    empty: dict[str, int] | None = None,
    warming: dict[str, str] | None = None,
) -> Demand:
    """Return what a store could report."""
    idle = idle or {}
    containers = {name: pool for pool, names in idle.items() for name in names} | (busy or {}) | (warming or {})
    counts = {pool: len(names) for pool, names in idle.items()}
    return Demand(
        pending or {}, counts, containers, waiting, frozenset(busy or {}), empty or {}, frozenset(warming or {})
    )


@pytest.mark.parametrize(
    ("reported", "limits", "expected"),
    [
        pytest.param(demand({ONE: 3}), Limits(2), Changes(start=(ONE, ONE)), id="up to the limit"),
        pytest.param(demand({HALF: 5}), Limits(9, 1.0), Changes(start=(HALF, HALF)), id="up to the vCPUs"),
        pytest.param(demand({ONE: 1}, idle={ONE: ["a"]}), Limits(9), Changes(), id="one is about to ask"),
        pytest.param(demand({ONE: 1}, idle={HALF: ["a"]}), Limits(1), Changes(retire=(HALF,)), id="wrong size"),
        pytest.param(
            demand({TWO: 1}, idle={HALF: ["a", "b", "c"]}),
            Limits(9, 3.0),
            Changes(retire=(HALF,)),
            id="as many as it takes",
        ),
        pytest.param(
            demand({ONE: 1}, busy={"a": ONE}, waiting=("a",)), Limits(1), Changes(ask_yield=("a",)), id="a waiting one"
        ),
        pytest.param(demand({ONE: 1}, busy={"a": ONE}), Limits(1), Changes(), id="all are busy"),
        pytest.param(
            demand({TWO: 1, HALF: 1}, busy={"a": ONE}), Limits(9, 2.0), Changes(), id="large ones are not overtaken"
        ),
        pytest.param(demand({TWO: 1, HALF: 1}), Limits(9, 2.5), Changes(start=(TWO, HALF)), id="both fit"),
        pytest.param(demand(empty={ONE: 2}), Limits(9), Changes(start=(ONE, ONE)), id="empty ones"),
        pytest.param(demand(empty={ONE: 1}, idle={ONE: ["a"]}), Limits(9), Changes(start=(ONE,)), id="idle is warm"),
        pytest.param(
            demand(empty={ONE: 2}, warming={"a": ONE}), Limits(9), Changes(start=(ONE, ONE)), id="each has its own"
        ),
        pytest.param(demand({ONE: 1}, warming={"a": ONE}), Limits(9), Changes(), id="one is about to be warm"),
        pytest.param(
            demand({ONE: 1}, empty={ONE: 1}, warming={"a": ONE}), Limits(9), Changes(start=(ONE,)), id="and another one"
        ),
        pytest.param(demand({ONE: 1}, empty={ONE: 1}), Limits(1), Changes(start=(ONE,)), id="tasks come first"),
        pytest.param(demand(empty={ONE: 1}, idle={HALF: ["a"]}), Limits(1), Changes(), id="nobody is evicted for it"),
        pytest.param(
            demand(empty={ONE: 1}, busy={"a": ONE}, waiting=("a",)), Limits(1), Changes(), id="nobody yields for it"
        ),
        pytest.param(
            demand({TWO: 1}, empty={HALF: 1}, busy={"a": ONE}), Limits(9, 2.0), Changes(), id="it is no obstacle"
        ),
    ],
)
def test_decisions(reported: Demand, limits: Limits, expected: Changes) -> None:
    """Start what fits, else evict idle ones of other sizes, else ask those that wait; larger ones first."""
    assert pool_changes(reported, {}, limits) == expected


def test_those_asked_are_counted_on() -> None:
    """A container that was asked to make room is not asked twice, nor is another one in its place."""
    reported = demand({ONE: 1}, busy={"a": ONE, "b": ONE}, waiting=("b",))
    assert pool_changes(reported, {}, Limits(2), leaving=("a",)) == Changes()
    reported = demand({ONE: 1}, idle={HALF: ["a", "b"]})
    assert pool_changes(reported, {}, Limits(2), leaving=("a",)) == Changes()


def test_those_told_to_leave_hide_no_others() -> None:
    """Of two that were idle one is leaving and no longer listed as idle: the other one can still be asked."""
    reported = Demand({TWO: 1}, {HALF: 1}, {"a": HALF, "b": HALF}, ())
    assert pool_changes(reported, {}, Limits(9, 2.0), leaving=("a",)) == Changes(retire=(HALF,))


def test_idle_ones_are_wanted() -> None:
    """A pool that is to be primed gets as many containers as are idle too few."""
    assert pool_changes(demand(idle={ONE: ["a"]}), {"b": ONE}, Limits(9), wanted_idle={ONE: 4}).start == (ONE, ONE)


@given(
    st.dictionaries(st.sampled_from([HALF, ONE, TWO]), st.integers(0, 5)),
    st.lists(st.sampled_from([HALF, ONE, TWO]), max_size=5),
    st.lists(st.sampled_from([HALF, ONE, TWO]), max_size=5),
    st.integers(1, 6),
    st.sampled_from([2.0, 2.5, 4.0, float("inf")]),
)
def test_limits_hold(
    pending: dict[str, int], idle: list[str], launched: list[str], containers: int, vcpus: float
) -> None:
    """Whatever is reported, what exists and what is started stay within the limits, and progress is possible."""
    names = {pool: [f"{pool}-{i}" for i, other in enumerate(idle) if other == pool] for pool in set(idle)}
    reported = demand(pending, idle=names)
    limits = Limits(containers, vcpus)
    starting = {f"l{i}": pool for i, pool in enumerate(launched)}
    changes = pool_changes(reported, starting, limits)
    if changes.start:
        existing = [*idle, *launched, *changes.start]
        assert len(existing) <= containers
        assert sum(map(pool_vcpus, existing)) <= vcpus + 1e-6
    needed = {pool for pool, count in pending.items() if count}
    if needed and not launched and not needed & set(idle):  # otherwise one of those goes on first
        assert changes.start or changes.retire


def test_what_fits() -> None:
    """Pools get containers in turn until the limits are reached, none more than it needs."""
    assert fitting({HALF: 4, ONE: 4}, Limits(9, 3.0)) == {HALF: 2, ONE: 2}
    assert fitting({HALF: 1, ONE: 4}, Limits(3)) == {HALF: 1, ONE: 2}
    assert fitting({}, Limits(3)) == {}


def test_an_order_that_is_not_followed_lapses() -> None:
    """A container that was told to leave and stays, since the message got lost, is told again after a while."""
    store = MemoryStorage()
    for name in ("a", "b"):
        store.register(name, HALF, 1e9)
        assert store.next(name) is None
    manager = PoolManager(store, Limits(2))
    started: list[str] = []
    settings: dict[str, Any] = {"launched": {}, "start": started.append}
    pending = demand({ONE: 1}, idle={HALF: ["a", "b"]})
    assert manager.decide(pending, now_s=0.0, **settings)
    assert store.demand().idle == {HALF: 1}
    assert not manager.decide(pending, now_s=0.5, **settings)
    assert manager.decide(pending, now_s=1.5, **settings)
    assert not any(store.demand().idle.values())
    assert started == []
