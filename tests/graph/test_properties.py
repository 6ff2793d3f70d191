"""Any workflow gives, over the wire, what calling the plain functions gives."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from faaslab.graph import DAG
from faaslab.protocol.wire import WorkerDag, encode, reachable
from tests.graph.strategies import PART_CONSTANT_BYTES, dags, encode_unassigned, evaluate, unassigned


@settings(deadline=None, max_examples=150)
@given(dags(), st.sampled_from((0, 8, PART_CONSTANT_BYTES)))
def test_evaluation_over_the_wire_equals_plain_calls(drawn: tuple[Any, Any], part_constant_bytes: int) -> None:
    """Encoding, decoding and running a workflow gives the plain functions' value, wherever constants travel."""
    outputs, expected = drawn
    assert evaluate(DAG(outputs), part_constant_bytes) == expected


@settings(deadline=None)
@given(dags())
def test_wire_says_what_the_dag_says(drawn: tuple[Any, Any]) -> None:
    """Ids, wiring, options and outputs are the same on both sides of the wire."""
    dag = DAG(drawn[0])
    received = WorkerDag.decode(encode_unassigned(dag).structure)
    assert received.n == len(dag)
    assert [received.id_of(t) for t in range(received.n)] == list(dag.ids)
    for t in range(received.n):
        assert received.upstreams(t) == dag.upstreams(t)
        assert received.successors(t) == dag.successors(t)
        assert received.options(t) == dag.options(t)
        assert received.is_sink(t) == (t in dag.sinks)
        assert received.function_digest(t) == dag.functions[dag.function_of(t)].digest


@settings(deadline=None)
@given(dags(), st.data())
def test_part_of_a_dag_says_the_same_about_its_tasks(drawn: tuple[Any, Any], data: st.DataObject) -> None:
    """What a receiver can still reach keeps ids, fan-ins, successors, outputs and arguments."""
    dag = DAG(drawn[0])
    start = data.draw(st.sets(st.integers(0, len(dag) - 1), max_size=2))
    only = reachable(dag, start)
    wire = encode(dag, unassigned(dag), part_constant_bytes=PART_CONSTANT_BYTES, only=only)
    received = WorkerDag.decode(wire.structure)
    assert received.n == len(dag)
    assert list(received.tasks) == sorted(only)
    for t in only:
        assert received.id_of(t) == dag.ids[t]
        assert received.upstreams(t) == dag.upstreams(t)
        assert received.successors(t) == dag.successors(t)
        assert received.is_sink(t) == (t in dag.sinks)
        assert set(received.part_digests(t)) <= set(wire.parts)


@settings(deadline=None)
@given(dags())
def test_tasks_are_numbered_in_topological_order(drawn: tuple[Any, Any]) -> None:
    """Upstream tasks have smaller numbers, and every drawing of the graph is produced without error."""
    dag = DAG(drawn[0])
    assert all(upstream < t for t in range(len(dag)) for upstream in dag.upstreams(t))
    assert "<svg" in dag._repr_html_()
