"""The DAG on the wire is small, deterministic, partial where asked for, and decoded fast."""

import subprocess
import sys
import time
import zlib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faaslab.errors import PayloadError
from faaslab.graph import DAG, generators, task
from faaslab.graph.generators import add, increment, one, total
from faaslab.graph.pickling import serialize
from faaslab.policy.run_time import Clustering
from faaslab.protocol.wire import Assignments, WorkerDag, encode, load_part, reachable
from tests.graph.image_workflow import image_workflow
from tests.graph.strategies import PART_CONSTANT_BYTES, encode_unassigned, evaluate, unassigned


def test_tree_of_4096_leaves_is_below_8_bytes_a_task() -> None:
    """A tree reduction takes a few bytes for each task (the mark is 40)."""
    dag = DAG(generators.tree(4096))
    assert encode_unassigned(dag).size_bytes < 8 * len(dag)
    assert dag.wire_size_bytes < 8 * len(dag)


def test_assigned_tree_of_4096_leaves_is_below_8_bytes_a_task() -> None:
    """Workers, sizes and orders of a plan add little."""
    dag = DAG(generators.tree(4096))
    worker_of = tuple(t * 7 // len(dag) for t in range(len(dag)))
    orders = tuple(tuple(t for t in range(len(dag)) if worker_of[t] == w) for w in range(7))
    plan = Assignments(tuple(f"w{w}" for w in range(7)), worker_of, (512,) * len(dag), orders)
    assert encode(dag, plan, part_constant_bytes=PART_CONSTANT_BYTES).size_bytes < 8 * len(dag)


def test_image_workflow_of_16_tiles_is_below_3_kb() -> None:
    """Structure and code of a real image workflow, written in a cell, fit into 3 kB and find the picture's edges."""
    cell: dict[str, Any] = {"__name__": "__main__"}
    source = Path(image_workflow.__code__.co_filename).read_text()
    # Under a notebook's file name: where this clone lies must not count.
    exec(compile(source, "/tmp/ipykernel_4711/1234567890.py", "exec"), cell)
    dag = DAG(cell["image_workflow"](cell["picture"]()))
    assert len(dag) == 97
    assert dag.wire_size_bytes < 3000
    result = evaluate(dag)
    assert result["image"].shape == result["edges"].shape == (256, 256)
    assert result["mean"] > 100


def test_functions_travel_once() -> None:
    """However many tasks use a function, and under whatever name, its code is there once."""
    named = [increment.with_options(name=f"name {number % 3}")(number) for number in range(100)]
    dag = DAG(total(named))
    wire = encode_unassigned(dag)
    assert sorted(wire.parts) == sorted(function.digest for function in dag.functions)
    assert len(wire.parts) == 2
    received = WorkerDag.decode(wire.structure)
    assert [received.id_of(t) for t in (0, 1, 2, 3)] == ["name 0#0", "name 1#0", "name 2#0", "name 0#1"]


def test_functions_of_one_name_and_different_code_stay_apart() -> None:
    """Equal names never share code."""
    made = [task(eval(f"lambda x: x * {number}"))(1) for number in range(5)]
    assert evaluate(DAG(made)) == [0, 1, 2, 3, 4]


def test_large_constants_are_parts() -> None:
    """A constant above the threshold travels as a part that only its users name; smaller ones are in the structure."""
    length = task(len)
    large, small = b"x" * (PART_CONSTANT_BYTES + 1), [1, 2]
    dag = DAG([length(large), length(large), length(small)])
    wire = encode_unassigned(dag)
    received = WorkerDag.decode(wire.structure)
    assert len(wire.parts) == 2
    assert received.part_digests(0) == received.part_digests(1)
    assert received.part_digests(0)[0] == received.function_digest(0)
    assert received.part_digests(2) == (received.function_digest(2),)
    assert set(received.part_digests(0)) == set(wire.parts)
    assert len(wire.structure) < 500
    assert received.call(0, wire.parts, {})[0] == (large,)


@pytest.mark.parametrize("part_constant_bytes", [0, PART_CONSTANT_BYTES])
def test_arguments_are_private(part_constant_bytes: int) -> None:
    """Each call gets its own copy of a mutable constant and may share an immutable one."""
    echo = task(lambda value, other: value)
    dag = DAG(echo([1], ("a" * 600, 2.5)))
    wire = encode_unassigned(dag, part_constant_bytes)
    received = WorkerDag.decode(wire.structure)
    first, second = (received.call(0, wire.parts, {})[0] for _ in range(2))
    assert first == second
    assert first[0] is not second[0]
    if part_constant_bytes:
        assert first[1] is second[1]
    array = np.arange(10)
    wire = encode_unassigned(DAG(echo(array, 1)), part_constant_bytes)
    received = WorkerDag.decode(wire.structure)
    received.call(0, wire.parts, {})[0][0][0] = 99
    assert received.call(0, wire.parts, {})[0][0][0] == 0


def test_assignments_arrive() -> None:
    """Workers, sizes and orders are read back for each task."""
    dag = DAG(generators.diamond())
    plan = Assignments(("big", "任务"), (0, 1, -1, 0), (1024, 512, 2048, 1024), ((0, 3), (1,)))
    received = WorkerDag.decode(encode(dag, plan, part_constant_bytes=0).structure)
    assert [received.assigned_to(t) for t in range(4)] == ["big", "任务", None, "big"]
    assert [received.size_mib(t) for t in range(4)] == [1024, 512, 2048, 1024]
    assert received.order("big") == (0, 3)
    assert received.order("任务") == (1,)


def test_what_a_worker_decides_arrives() -> None:
    """Before which tasks it leaves, and the policy, which is a part like code and changes the structure's digest."""
    dag = DAG(generators.diamond())
    plain = Assignments(("a", "b"), (0, 1, -1, 0), (512,) * 4, ((0, 3), (1,)))
    told = replace(plain, leaves=(3,), policy=serialize(Clustering(5.0)))
    wire = encode(dag, told, part_constant_bytes=PART_CONSTANT_BYTES)
    received = WorkerDag.decode(wire.structure)
    assert [received.leaves(t) for t in range(4)] == [False, False, False, True]
    assert received.policy == wire.policy != ""
    assert load_part(wire.parts[received.policy]) == Clustering(5.0)
    without = encode(dag, plain, part_constant_bytes=PART_CONSTANT_BYTES)
    assert WorkerDag.decode(without.structure).policy == without.policy == ""
    assert without.parts == {digest: part for digest, part in wire.parts.items() if digest != wire.policy}


def test_orders_need_not_ascend() -> None:
    """A worker's order is kept as the plan gave it."""
    dag = DAG([one() for _ in range(5)])
    plan = Assignments(("w", "idle"), (0,) * 5, (512,) * 5, ((4, 0, 3, 1, 2), ()))
    received = WorkerDag.decode(encode(dag, plan, part_constant_bytes=0).structure)
    assert received.order("w") == (4, 0, 3, 1, 2)
    assert received.order("idle") == ()


def test_part_of_a_dag_has_only_what_can_be_reached() -> None:
    """A receiver that starts late gets neither code nor tasks of before, and complete fan-ins."""
    squares = [task(lambda x: x * x, name="square")(number) for number in range(50)]
    last = increment(total(squares))
    dag = DAG([last, squares[0]])
    only = reachable(dag, [50])
    assert only == {50, 51}
    plan = Assignments(("w",), (0,) * 52, (512,) * 52, (tuple(range(52)),))
    wire = encode(dag, plan, part_constant_bytes=0, only=only)
    received = WorkerDag.decode(wire.structure)
    assert len(wire.parts) == 2
    assert list(received.tasks) == [50, 51]
    assert received.upstreams(50) == tuple(range(50))
    assert received.successors(50) == (51,)
    assert received.id_of(51) == "increment#0"
    assert received.order("w") == (50, 51)
    assert received.is_sink(51)
    assert received.assigned_to(50) == "w"
    assert received.call(50, wire.parts, {t: t for t in range(50)}) == ((list(range(50)),), {})


def test_options_arrive() -> None:
    """Every option that a worker needs is read back as it was set."""
    f = task(memory_mib=512, retries=2, timeout_s=1.5, pure=False, outputs=2, name="é")
    dag = DAG(f(lambda: (1, 2))()[1])
    assert WorkerDag.decode(encode_unassigned(dag).structure).options(0) == dag.options(0)


def test_what_users_expect_stays_at_home() -> None:
    """Declared times and sizes are for planning: they change nothing in what travels."""
    estimated = add.with_options(expected_s=0.5, output_bytes=7)
    plain, declared = (encode_unassigned(DAG([f(1, 2), add(3, 4)])) for f in (add, estimated))
    assert (declared.digest, declared.structure, declared.parts) == (plain.digest, plain.structure, plain.parts)


def test_equal_dags_have_equal_digests() -> None:
    """Encoding is deterministic, and the digest depends on constants and assignments."""
    first, second = (encode_unassigned(DAG(generators.layered(seed=1))) for _ in range(2))
    assert (first.digest, first.structure, first.parts) == (second.digest, second.structure, second.parts)
    assert encode_unassigned(DAG(generators.layered(seed=2))).digest != first.digest
    dag = DAG(add(one(), 1))
    other = encode(dag, unassigned(dag, size_mib=1024), part_constant_bytes=0)
    assert other.digest != encode_unassigned(dag).digest


@pytest.mark.parametrize("damage", [b"", b"x", b"cut", b"version"])
def test_damaged_structures_are_refused(damage: bytes) -> None:
    """Bytes that are no structure of this version raise PayloadError."""
    structure = encode_unassigned(DAG(one())).structure
    damaged = {
        b"": b"",
        b"x": b"x" + structure,
        b"cut": structure[:-9],
        b"version": zlib.compress(b"\x91\x63"),
    }[damage]
    with pytest.raises(PayloadError):
        WorkerDag.decode(damaged)
    with pytest.raises(PayloadError, match="part"):
        load_part(damage)


def test_50000_tasks_are_encoded_and_decoded_fast() -> None:
    """A large DAG costs a worker milliseconds, and one task of it microseconds."""
    leaves = [increment(number) for number in range(25_000)]
    dag = DAG([add(left, right) for left, right in pairwise(leaves)])
    wire = encode_unassigned(dag)
    start_s = time.perf_counter()
    received = WorkerDag.decode(wire.structure)
    first = received.successors(0)
    took_s = time.perf_counter() - start_s
    assert first == (25_000,)
    assert took_s < 0.5, f"{took_s:.3f} s; about 0.03 s on an idle machine"


def test_a_worker_loads_neither_numpy_nor_the_client_side() -> None:
    """Importing the wire format, decoding and calling stay light."""
    program = (
        "import sys; from faaslab.protocol.wire import WorkerDag, load_part; from faaslab.graph.functions import call; "
        "print(sorted({'numpy', 'pandas', 'scipy', 'matplotlib', 'asyncio', 'cloudpickle', 'faaslab.graph.dag', "
        "'faaslab.graph.pickling', 'faaslab.graph.identity', 'faaslab.graph.draw'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == "[]"


def test_columns_hold_any_integer() -> None:
    """Large sizes and long jumps between tasks survive the narrow columns."""
    many: Any = [one() for _ in range(300)]
    dag = DAG(total([many[299], many[0], many[150], many[299]]))
    sizes = tuple(10 ** (t % 12) for t in range(len(dag)))
    plan = Assignments((), (-1,) * len(dag), sizes, ())
    received = WorkerDag.decode(encode(dag, plan, part_constant_bytes=0).structure)
    assert tuple(received.size_mib(t) for t in range(len(dag))) == sizes
    assert received.upstreams(len(dag) - 1) == dag.upstreams(len(dag) - 1)
