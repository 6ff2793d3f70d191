"""Any DAG, outputs of any size, any way of clustering: the values of plain sequential execution, each written once."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faaslab.config import Config
from faaslab.launchers.inline import InlineLauncher
from faaslab.launchers.virtual import VirtualLauncher
from faaslab.planners import plan_dag
from faaslab.policy.run_time import Clustering
from faaslab.trace.events import OutputHeld, OutputKept, OutputStored
from tests.faults.shapes import OWN, SIZES, sequential
from tests.simulate.blobs import telling_sizes
from tests.worker.runs import run_on

CONFIG = Config(inline_output_bytes=20_000, blob_chunk_bytes=30_000, inline_input_bytes=40_000)


class HandClock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.s = 1000.0

    def now_s(self) -> float:
        """Return the time."""
        return self.s

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.s += seconds


policies = st.builds(
    Clustering,
    st.sampled_from([0, 1000, 50_000, 10**9]),
    fan_out=st.booleans(),
    fan_in=st.booleans(),
    delay=st.booleans(),
    wait_s=st.sampled_from([0.0, 0.0, 0.4, 3.0]),
)


@pytest.mark.parametrize("engine", ["inline", "virtual"])
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 10**6),
    policy=policies,
    planner=st.sampled_from(["wukong", "mixed", "mixed"]),
    containers=st.integers(1, 8),
)
def test_values_and_writes(engine: str, seed: int, policy: Clustering, planner: str, containers: int) -> None:
    """With planned and unplanned workers, at any limit; nothing is left, and each output is stored or kept."""
    dag = telling_sizes(seed)
    plan = replace(plan_dag(dag, OWN.get(planner, planner), sizes=SIZES, seed=seed % 4), policy=policy)
    launcher: Any = VirtualLauncher(seed, limit=containers)
    if engine == "inline":
        clock = HandClock()
        launcher = InlineLauncher(containers, clock=clock, sleep=clock.sleep)
    ended = run_on(launcher, dag, plan, config=CONFIG)
    assert ended.error is None
    assert ended.value == sequential(dag)
    assert ended.leftovers == []
    written = Counter(event.task for event in ended.of(OutputStored))
    assert set(written.values()) == {1}
    told = {event.task for kind in (OutputStored, OutputKept, OutputHeld) for event in ended.of(kind)}
    assert told == set(range(len(dag)))
