"""DAGs are validated, immutable, deterministic and of any size."""

import gc
import pickle
import re
import time
from typing import Any

import pytest

from faaslab.errors import ConstantError, CycleError, GraphError
from faaslab.graph import DAG, generators, task
from faaslab.graph.generators import add, identity, increment, one, total
from tests.graph.strategies import evaluate


def test_numbers_follow_creation_and_ids_count_names() -> None:
    """Tasks are numbered as they were created; ids count per name."""
    a = one()
    b = increment(a)
    c = increment(b)
    dag = DAG(add(c, b), name="sum")
    assert dag.ids == ("one#0", "increment#0", "increment#1", "add#0")
    assert [dag.upstreams(t) for t in range(4)] == [(), (0,), (1,), (1, 2)]
    assert [dag.successors(t) for t in range(4)] == [(1,), (2, 3), (3,), ()]
    assert (dag.roots, dag.sinks, dag.levels, dag.critical_path_length) == ((0,), (3,), (0, 1, 2, 3), 4)
    assert [dag.functions[dag.function_of(t)].name for t in range(4)] == ["one", "increment", "increment", "add"]
    assert (dag.name, len(dag), repr(dag)) == ("sum", 4, "<DAG sum: 4 tasks, 1 outputs>")


def test_outputs_come_back_in_the_shape_that_was_asked_for() -> None:
    """Values beside tasks, repeated outputs, nesting and nothing at all keep their places."""
    a = one()
    assert evaluate(DAG((5, a, [a, 7]))) == (5, 1, [1, 7])
    assert evaluate(DAG((a, a))) == (1, 1)
    assert evaluate(DAG({"x": a, "y": {"z": (increment(a),)}})) == {"x": 1, "y": {"z": (2,)}}
    assert evaluate(DAG(())) == ()
    assert evaluate(DAG([])) == []
    assert evaluate(DAG(a)) == 1
    assert evaluate(DAG(5)) == 5
    assert len(DAG([])) == 0


def test_only_requested_and_needed_tasks_are_in_the_dag() -> None:
    """Shared ancestors are there once, tasks that nobody asked for are not."""
    a = one()
    wanted, _unwanted = increment(a), increment(a)
    dag = DAG([wanted, increment(wanted), a])
    assert len(dag) == 3
    assert dag.sinks == (0, 1, 2)


def test_equal_calls_are_different_tasks() -> None:
    """Calling twice with equal arguments makes two tasks."""
    assert len(DAG([one(), one()])) == 2


def test_disconnected_components() -> None:
    """Tasks without connection share a DAG."""
    assert evaluate(DAG([generators.chain(3), generators.diamond()])) == [3, 4]


def test_functions_with_equal_code_are_stored_once() -> None:
    """Function objects made again and again count once; equal names with different code count apart."""
    made = [task(lambda x: x + 1)(number) for number in range(10)]
    assert len(DAG(made).functions) == 1
    different = [task(eval(f"lambda x: x + {number}"))(0) for number in range(3)]
    dag = DAG(different)
    assert len(dag.functions) == 3
    assert evaluate(dag) == [0, 1, 2]


def test_redefined_function_runs_as_it_was_built() -> None:
    """A function redefined in a later cell leaves tasks that were made before as they are."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec("def f(x): return x + 1", namespace)
    before = task(namespace["f"])(1)
    exec("def f(x): return x + 100", namespace)
    after = task(namespace["f"])(1)
    assert evaluate(DAG([before, after])) == [2, 101]


def test_cycles_are_listed() -> None:
    """A cycle made by changing a list after the call is an error that lists it."""
    arguments: list[Any] = []
    first = total(arguments)
    second = increment(first)
    arguments.append(increment(second))
    with pytest.raises(CycleError, match=r"length 3: .*total"):
        DAG([one(), second])
    alone: list[Any] = []
    alone.append(total(alone))
    with pytest.raises(CycleError, match="length 1: total → total"):
        DAG(alone[0])


def test_long_cycles_are_listed_in_short() -> None:
    """A cycle of thousands of tasks is found without recursion and named in one line."""
    arguments: list[Any] = []
    last = total(arguments)
    for _ in range(5000):
        last = increment(last)
    arguments.append(last)
    with pytest.raises(CycleError, match="length 5001") as caught:
        DAG(last)
    assert len(str(caught.value)) < 300


def test_tasks_added_to_an_argument_later_are_ordered() -> None:
    """A list that got a younger task before the DAG was built is a dependency like others."""
    arguments: list[Any] = []
    sum_of = total(arguments)
    arguments.append(increment(one()))
    dag = DAG(increment(sum_of))
    assert evaluate(dag) == 3
    assert all(upstream < t for t in range(len(dag)) for upstream in dag.upstreams(t))


def test_a_dag_cannot_be_changed() -> None:
    """Attributes of a DAG can't be set."""
    dag = DAG(one())
    with pytest.raises(AttributeError, match="can't be changed"):
        dag.name = "other"


def test_unknown_ids_are_errors() -> None:
    """index_of inverts ids and refuses others by name."""
    dag = DAG(generators.diamond())
    assert [dag.index_of(task_id) for task_id in dag.ids] == [0, 1, 2, 3]
    with pytest.raises(GraphError, match="no task 'x#9'"):
        dag.index_of("x#9")


def test_unpicklable_outputs_are_refused() -> None:
    """A value beside the outputs must be serializable too."""
    with pytest.raises(ConstantError, match="output of the DAG"):
        DAG([one(), __import__("threading").Lock()])


def _hash(build: Any) -> str:
    return DAG(build).structure_hash


def test_structure_hash_ignores_values_and_names() -> None:
    """Constants' values, names, retries and time limits leave the hash alone."""
    assert _hash(add(one(), 1)) == _hash(add(one(), 2))
    assert DAG(one(), name="a").structure_hash == DAG(one(), name="b").structure_hash
    changed = increment.with_options(name="x", retries=3, timeout_s=5, expected_s=1, output_bytes=9)
    assert _hash(increment(one())) == _hash(changed(one()))


def test_structure_hash_tells_structures_apart() -> None:
    """Wiring, shapes, outputs, functions and options that matter change the hash."""
    a, b = one(), one()
    heavy = increment.with_options(memory_mib=512)
    impure = increment.with_options(pure=False)
    hashes = [
        _hash(build)
        for build in (
            a,
            [a],
            (a,),
            [a, b],
            [a, a],
            [b, increment(a)],
            add(a, b),
            add(a, a),
            add(a, 1),
            add(1, a),
            add(x=1, y=a),
            total([a, b]),
            total([a, [b]]),
            total((a, b)),
            identity(a),
            increment(a),
            heavy(a),
            impure(a),
            generators.chain(3),
            generators.fan(3),
            generators.tree(4),
        )
    ]
    assert len(set(hashes)) == len(hashes)
    assert all(re.fullmatch("[0-9a-f]{32}", found) for found in hashes)


def test_dags_can_be_pickled() -> None:
    """A DAG is a value: a pickled copy is the same."""
    dag = DAG(generators.random_dag(seed=3, n=30))
    copy = pickle.loads(pickle.dumps(dag))
    assert (copy.ids, copy.structure_hash, copy.sinks) == (dag.ids, dag.structure_hash, dag.sinks)
    assert evaluate(copy) == evaluate(dag) == generators.random_dag_value(seed=3, n=30)


def test_chain_of_20000() -> None:
    """A very deep DAG is built, hashed, pickled, shown, drawn, run and freed without recursion."""
    last = generators.chain(20_000)
    dag = DAG(last)
    assert (len(dag), dag.critical_path_length) == (20_000, 20_000)
    assert len(dag.structure_hash) == 32
    assert len(pickle.loads(pickle.dumps(dag))) == 20_000
    assert len(repr(dag)) < 100
    assert len(dag._repr_html_()) < 500_000
    assert evaluate(dag) == 20_000
    nested: Any = one()
    for _ in range(20_000):
        nested = total([{"a": (nested,)}, [nested]])
    del last, nested
    gc.collect()


def test_fan_in_and_fan_out_of_5000() -> None:
    """Very wide DAGs are built and run."""
    dag = DAG(total([identity(number) for number in range(5000)]))
    assert evaluate(dag) == 12_497_500
    assert len(DAG(generators.fan(5000)).successors(0)) == 5000


def test_50000_trivial_tasks_in_seconds() -> None:
    """Building a large DAG takes time per task in microseconds, not milliseconds."""
    leaves = [identity(number) for number in range(50_000)]
    start_s = time.perf_counter()
    dag = DAG(leaves)
    took_s = time.perf_counter() - start_s
    assert len(dag) == 50_000
    assert took_s < 5, f"{took_s:.2f} s; about 0.4 s on an idle machine"
