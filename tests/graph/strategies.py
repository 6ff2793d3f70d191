"""Hypothesis-made workflows with their expected values, and a plain sequential evaluation to compare engines with.

``dags()`` draws (lazy outputs, expected value). ``evaluate(dag)`` sends a DAG over the wire format and runs its tasks
one after the other in this process.
"""

import pickle
import zlib
from collections import deque
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, NamedTuple

import cloudpickle
from hypothesis import strategies as st

from faaslab.graph import DAG, task
from faaslab.graph.functions import call
from faaslab.protocol.wire import Assignments, WireDag, WorkerDag, encode, load_part

PART_CONSTANT_BYTES = 64 * 1024


class Pair(NamedTuple):
    """A named tuple that may hold tasks."""

    left: Any
    right: Any


@dataclass(frozen=True)
class Box:
    """A dataclass that may hold tasks."""

    content: Any
    label: str = "box"


def canonical(value: Any) -> Any:
    """Return a value in a form whose ``repr`` is the same in every process."""
    if isinstance(value, (set, frozenset)):
        return (type(value).__name__, sorted(map(repr, map(canonical, value))))
    if isinstance(value, dict):
        return (type(value).__name__, [(canonical(k), canonical(v)) for k, v in value.items()])
    if isinstance(value, Box):
        return ("Box", canonical(value.content), value.label)
    if isinstance(value, (list, tuple, deque)):
        return (type(value).__name__, [canonical(element) for element in value])
    return value


@task
def mix(*args: Any, **kwargs: Any) -> int:
    """Return a number that depends on every argument, its place and its type."""
    return zlib.crc32(repr((canonical(args), canonical(dict(sorted(kwargs.items()))))).encode())


@task
def echo(value: Any) -> Any:
    """Return the argument."""
    return value


@task
def grow(values: list[Any]) -> int:
    """Change the argument, which must be private, and return its length."""
    values.append(len(values))
    return len(values)


@task(outputs=2)
def halves(value: Any) -> tuple[Any, int]:
    """Return two outputs."""
    return value, zlib.crc32(repr(canonical(value)).encode())


_CONSTANTS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.binary(max_size=8),
    st.complex_numbers(allow_nan=False),
    st.lists(st.integers(0, 9), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(0, 9), max_size=3),
)
_LEAVES = st.one_of(
    st.tuples(st.just("task"), st.integers(0, 2**16)),
    st.tuples(st.just("constant"), _CONSTANTS),
    st.tuples(st.just("set"), st.lists(st.integers(0, 2**16), max_size=3)),
)
_SHAPES = st.recursive(
    _LEAVES,
    lambda inner: st.tuples(
        st.sampled_from(("list", "tuple", "dict", "pair", "box", "deque")), st.lists(inner, min_size=2, max_size=3)
    ),
    max_leaves=6,
)


def _realise(shape: tuple[str, Any], pool: list[tuple[Any, Any]]) -> tuple[Any, Any]:
    """Return an argument with lazy tasks, and the same with their values."""
    kind, content = shape
    if kind == "task":
        return pool[content % len(pool)] if pool else (content, content)
    if kind == "constant":
        return content, deepcopy(content)
    if kind == "set":
        numbers = [(lazy, value) for lazy, value in pool if isinstance(value, int)]
        members = [numbers[pick % len(numbers)] if numbers else (pick, pick) for pick in content]
        return {lazy for lazy, _ in members} | {-1}, {value for _, value in members} | {-1}
    parts = [_realise(inner, pool) for inner in content]
    return _container(kind, [lazy for lazy, _ in parts]), _container(kind, [value for _, value in parts])


def _container(kind: str, parts: list[Any]) -> Any:
    match kind:
        case "list":
            return parts
        case "tuple":
            return tuple(parts)
        case "dict":
            return {f"k{place}": part for place, part in enumerate(parts)}
        case "pair":
            return Pair(*parts[:2])
        case "deque":
            return deque(parts, maxlen=5)
        case _:
            return Box(parts[0], "drawn")


@st.composite
def dags(draw: st.DrawFn, max_tasks: int = 12) -> tuple[Any, Any]:
    """Draw lazy outputs (a task, or a container of tasks and values) and the value that running them must give."""
    pool: list[tuple[Any, Any]] = []
    for _ in range(draw(st.integers(1, max_tasks))):
        kind = draw(st.sampled_from(("mix", "mix", "mix", "echo", "grow", "halves")))
        shapes = draw(st.lists(_SHAPES, min_size=1, max_size=3))
        parts = [_realise(shape, pool) for shape in shapes]
        lazy, values = [part[0] for part in parts], deepcopy([part[1] for part in parts])
        if kind == "mix":
            pool.append((mix(*lazy[:-1], named=lazy[-1]), mix.fn(*values[:-1], named=values[-1])))
        elif kind == "echo":
            pool.append((echo(lazy[0]), values[0]))
        elif kind == "grow":
            pool.append((grow(lazy), grow.fn(values)))
        else:
            pool.extend(zip(halves(lazy[0]), halves.fn(values[0]), strict=True))
    outputs = [_realise(shape, pool) for shape in draw(st.lists(_SHAPES, max_size=3))] + [pool[-1]]
    return [lazy for lazy, _ in outputs], deepcopy([value for _, value in outputs])


def unassigned(dag: DAG, size_mib: int = 512) -> Assignments:
    """Return assignments that leave every task to run time."""
    return Assignments((), (-1,) * len(dag), (size_mib,) * len(dag), ())


def encode_unassigned(dag: DAG, part_constant_bytes: int = PART_CONSTANT_BYTES) -> WireDag:
    """Return a whole DAG on the wire, with nothing assigned."""
    return encode(dag, unassigned(dag), part_constant_bytes=part_constant_bytes)


def evaluate(dag: DAG, part_constant_bytes: int = PART_CONSTANT_BYTES) -> Any:
    """Run a DAG's tasks one after the other, from its wire format, every consumer with its own copy of an output."""
    wire = encode_unassigned(dag, part_constant_bytes)
    received = WorkerDag.decode(wire.structure)
    functions: dict[str, Any] = {}
    outputs: dict[int, bytes] = {}
    for t in range(received.n):
        digest = received.function_digest(t)
        if digest not in functions:
            functions[digest] = load_part(wire.parts[digest])
        inputs = {upstream: pickle.loads(outputs[upstream]) for upstream in received.upstreams(t)}
        args, kwargs = received.call(t, wire.parts, inputs)
        result = call(functions[digest], args, kwargs, received.options(t).outputs)
        outputs[t] = cloudpickle.dumps(result)
    return dag.build_result({t: pickle.loads(outputs[t]) for t in dag.sinks})
