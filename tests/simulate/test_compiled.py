"""The compiled loop gives exactly what the plain one gives."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faaslab.model.platform import Platform
from faaslab.plan import DagView
from faaslab.simulate import Draws, FlatDag, place, run_placement
from faaslab.simulate.compiled import compiled_dag, place_compiled, run_compiled
from faaslab.trace.events import encode_events
from tests.plan.dags import FakeDag, dags
from tests.simulate.scene import platform
from tests.simulate.test_properties import PLANNERS, guessed, plan_named
from tests.simulate.test_streaming import streamed
from tests.simulate.test_task_dup import duplicated

pytest.importorskip("numba")
pytestmark = pytest.mark.timeout(300)  # compiling takes a while on a busy machine


def assert_same(
    dag: DagView,
    planner: str,
    seed: int,
    where: Platform,
    draws: Draws | None,
    told: frozenset[str] = frozenset(),
) -> None:
    """Compare every number of both."""
    flat, plan = FlatDag.of(dag, guessed(dag, seed)), plan_named(dag, planner)
    if "preload" in told:
        planned = frozenset(task for task, one in enumerate(plan.assignments) if one.worker is not None)
        plan = replace(plan, instructions=replace(plan.instructions, preload=planned))
    if "streaming" in told:
        streams = streamed(dag, plan).instructions.stream
        plan = replace(plan, instructions=replace(plan.instructions, stream=streams))
    if "task_dup" in told:
        twice = duplicated(dag, plan, seed).instructions.duplicates
        plan = replace(plan, instructions=replace(plan.instructions, duplicates=twice))
    placed, quick = place(flat, plan, where), place_compiled(compiled_dag(flat), plan, where)
    for one, other in zip((*placed.arrays, *placed.changing), (*quick.arrays, *quick.changing), strict=True):
        assert list(one) == list(other)
    plain, fast = run_placement(placed, draws), run_compiled(quick, draws)
    names = ("makespan_s", "cost_usd", "gb_seconds", "invocations", "containers")
    assert [getattr(fast, name) for name in names] == [getattr(plain, name) for name in names]
    for one, other in zip((*plain.tasks, *plain.instances), (*fast.tasks, *fast.instances), strict=True):
        assert list(one) == list(other)
    assert plain.why == fast.why
    assert plain.critical_path() == fast.critical_path()
    assert plain.workers == fast.workers
    # As bytes, since numpy's numbers are equal to plain ones, but can't be written.
    assert encode_events(plain.trace().events) == encode_events(fast.trace().events)


@given(
    dags(),
    st.sampled_from(PLANNERS),
    st.integers(0, 3),
    st.sampled_from((1, 3, 1000)),
    st.sampled_from((6.0, 1e9)),
    st.sampled_from((1.5, 1e9)),
    st.frozensets(st.sampled_from(("preload", "streaming", "task_dup"))),
)
@settings(max_examples=150, deadline=None)
def test_equal_to_plain_python(
    dag: FakeDag,
    planner: str,
    seed: int,
    limit: int,
    vcpus: float,
    cores: float,
    told: frozenset[str],
) -> None:
    """Every number of a compiled run is that of the plain one, bit by bit."""
    where = platform(
        concurrency=limit,
        vcpus=vcpus,
        cores=float("inf") if cores > 1e6 else cores,
        store_latency_s=0.01,
        upload_bytes_per_s=1e6,
        download_bytes_per_s=2e6,
        cold_start_sigma=0.3,
        store_sigma=0.2,
        invocation_latency_s=0.02,
        invocation_sigma=0.2,
        keep_alive_s=1.0,
    )
    assert_same(dag, planner, seed, where, None if seed == 0 else Draws(seed), told)


@pytest.mark.parametrize("planner", ["per_task", "wukong"])
def test_equal_with_many_ties(planner: str) -> None:
    """Thousands of tasks that end at the same moments come in the same order in both."""
    width, layers = 50, 40
    wiring = [()] * width + [
        tuple(sorted({(layer - 1) * width + place, (layer - 1) * width + (place * 7 + 1) % width}))
        for layer in range(1, layers)
        for place in range(width)
    ]
    dag = FakeDag(tuple(wiring), structure_hash=planner)
    object.__setattr__(dag, "successors", _inverted(wiring).__getitem__)
    assert_same(dag, planner, 1, platform(concurrency=30, store_latency_s=0.5), None)


def _inverted(wiring: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    found: list[list[int]] = [[] for _ in wiring]
    for task, row in enumerate(wiring):
        for upstream in row:
            found[upstream].append(task)
    return [tuple(row) for row in found]
