"""Any DAG, any plan, any number of containers: the values of plain sequential execution."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faaslab.graph import DAG
from faaslab.launchers.inline import InlineLauncher
from faaslab.launchers.virtual import VirtualLauncher
from faaslab.planners import plan_dag
from tests.faults.shapes import OWN, PLANNERS
from tests.graph.strategies import canonical, dags
from tests.worker.runs import run_on


@pytest.mark.parametrize("engine", ["inline", "virtual"])
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=dags(), planner=st.sampled_from(PLANNERS), containers=st.integers(1, 8), seed=st.integers(0, 99))
def test_values(engine: str, drawn: tuple[Any, Any], planner: str, containers: int, seed: int) -> None:
    """Nested arguments, several outputs and changed arguments included."""
    outputs, expected = drawn
    dag = DAG(outputs)
    plan = plan_dag(dag, OWN.get(planner, planner), sizes=(1769, 3538), seed=seed)
    launcher: Any = InlineLauncher(containers) if engine == "inline" else VirtualLauncher(seed, limit=containers)
    ended = run_on(launcher, dag, plan)
    assert ended.error is None
    assert canonical(ended.value) == canonical(expected)
    assert ended.leftovers == []
