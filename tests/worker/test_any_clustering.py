"""Any DAG, outputs of any size, any way of clustering: the values of plain sequential execution, each written once."""

import random
import zlib
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faaslab.config import Config
from faaslab.graph import DAG, task
from faaslab.launchers.inline import InlineLauncher
from faaslab.launchers.virtual import VirtualLauncher
from faaslab.planners import plan_dag
from faaslab.policy.run_time import Clustering
from faaslab.trace.events import OutputHeld, OutputKept, OutputStored
from tests.faults.shapes import OWN, SIZES, sequential
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


@task
def made(nbytes: int, *inputs: bytearray) -> bytearray:
    """Return so many bytes that tell which ones went in, and spoil those."""
    digest = zlib.crc32(b"".join(inputs))
    for one in inputs:
        one[:1] = b"x"
    return bytearray(digest.to_bytes(4) * (nbytes // 4))


def random_sizes(seed: int) -> DAG:
    """Return a random DAG with up to four inputs a task; who is taken by nobody is asked for."""
    rng = random.Random(seed)
    tasks: list[Any] = []
    used: set[int] = set()
    for number in range(rng.randint(5, 25)):
        near = range(max(0, number - 8), number)
        inputs = rng.sample(near, min(len(near), max(number > 2, rng.randint(0, rng.choice((1, 2, 4))))))
        used.update(inputs)
        tasks.append(made(rng.choice((12, 12, 30_000, 120_000)), *[tasks[i] for i in inputs]))
    return DAG([one for number, one in enumerate(tasks) if number not in used], name="sizes")


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
    dag = random_sizes(seed)
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
