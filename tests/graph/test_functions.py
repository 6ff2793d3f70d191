"""What a worker calls, and which functions count as equal."""

import asyncio
import functools
import importlib
import io
import pickle
import subprocess
import sys
import types
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from faaslab.errors import ConstantError, LazyTaskError
from faaslab.graph import DAG, generators, task
from faaslab.graph.functions import call
from faaslab.graph.identity import function_identity
from faaslab.graph.pickling import local_modules_by_value, serialize_function
from tests.graph.strategies import evaluate


def compiled(source: str, name: str = "f", **names: Any) -> Any:
    """Return a function defined by source text, as a notebook cell would define it."""
    module = types.ModuleType("__main__")
    exec(compile(source, "<cell>", "exec"), module.__dict__)
    module.__dict__.update(names)
    return module.__dict__[name]


async def double(x: int) -> int:
    await asyncio.sleep(0)
    return 2 * x


def count_up(n: int) -> Iterator[int]:
    yield from range(n)


async def count_up_slowly(n: int) -> AsyncIterator[int]:
    for number in range(n):
        await asyncio.sleep(0)
        yield number


@pytest.mark.parametrize(
    ("fn", "args", "expected"),
    [
        (double, (4,), 8),
        (lambda x: double(x), (4,), 8),
        (count_up, (3,), [0, 1, 2]),
        (count_up_slowly, (3,), [0, 1, 2]),
        (lambda: map(str, (1, 2)), (), ["1", "2"]),
        (lambda: zip("ab", "cd", strict=True), (), [("a", "c"), ("b", "d")]),
        (lambda: {"a": 1}.items(), (), {"a": 1}.items()),
        (lambda: None, (), None),
        (lambda: float, (), float),
        (lambda: range(3), (), range(3)),
    ],
    ids=lambda value: None,
)
def test_results_that_can_be_kept(fn: Any, args: tuple[Any, ...], expected: Any) -> None:
    """Coroutines are awaited, iterators become lists, everything else stays as it is."""
    assert call(fn, args, {}) == expected


def test_async_tasks_inside_a_running_loop() -> None:
    """An async task can be called where a loop is running, as in a notebook."""

    async def cell() -> int:
        return call(double, (4,), {})  # type: ignore[no-any-return]

    assert asyncio.run(cell()) == 8

    async def fails() -> None:
        raise KeyError("gone")

    async def failing_cell() -> None:
        call(fails, (), {})

    with pytest.raises(KeyError, match="gone"):
        asyncio.run(failing_cell())


def test_open_files_are_refused() -> None:
    """An open file is no result."""
    with pytest.raises(TypeError, match="open file"):
        call(io.StringIO, (), {})


@pytest.mark.parametrize("result", [5, (1,), (1, 2, 3)])
def test_wrong_number_of_outputs(result: Any) -> None:
    """A task must return as many outputs as it declares."""
    with pytest.raises(TypeError, match="outputs=2"):
        call(lambda: result, (), {}, 2)


def test_returned_lazy_task_cannot_be_serialized() -> None:
    """A lazy task as result fails where it is serialized, with the reason."""
    with pytest.raises(LazyTaskError, match="increment"):
        evaluate(DAG(task(lambda: generators.increment(1))()))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("def f(x): return x + 1", "\n\n# moved\ndef f(x):\n    return x + 1"),
        ("def f(x): return x + 1", "def f(x):\n    'Now with a docstring.'\n    return x + 1"),
        ("def f(x): return x + 1", "def f(x: int) -> int: return x + 1"),
        ("def g(x): return x\ndef f(x): return g(x)", "def f(x): return g(x)\n\ndef g(x): return x"),
    ],
)
def test_equal_functions_have_equal_identities(one: str, other: str) -> None:
    """Place, comments, docstring, annotations and order of definition don't count."""
    assert function_identity(compiled(one)) == function_identity(compiled(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("def f(x): return x + 1", "def f(x): return x + 2"),
        ("def f(x): return x + 1", "def f(x): return x + 1.0"),
        ("def f(x): return x + 1", "def f(x): return x - 1"),
        ("def f(x, y=1): return x + y", "def f(x, y=2): return x + y"),
        ("def f(x, *, y=1): return x + y", "def f(x, *, y=2): return x + y"),
        ("k = 1\ndef f(x): return x + k", "k = 2\ndef f(x): return x + k"),
        ("k = [1, 23]\ndef f(x): return x + k", "k = [12, 3]\ndef f(x): return x + k"),
        ("k = {'a': 1}\ndef f(x): return k", "k = {'b': 1}\ndef f(x): return k"),
        ("def g(x): return x\ndef f(x): return g(x)", "def g(x): return -x\ndef f(x): return g(x)"),
        ("def f(x): return [y + 1 for y in x]", "def f(x): return [y + 2 for y in x]"),
        ("def f(x): return x.a", "def f(x): return x.b"),
        ("def f(x): return x in {1, 2}", "def f(x): return x in {1, 3}"),
        ("class C:\n  k = 1\ndef f(x): return C.k", "class C:\n  k = 2\ndef f(x): return C.k"),
        ("def f(x):\n  try: return x\n  finally: x()", "def f(x):\n  x()\n  return x"),
    ],
)
def test_different_functions_have_different_identities(one: str, other: str) -> None:
    """Code, constants, defaults, referenced globals, functions and classes count."""
    assert function_identity(compiled(one)) != function_identity(compiled(other))


def test_names_that_code_does_not_load_do_not_count() -> None:
    """A global with the name of an attribute that the code uses changes nothing, and may be a lazy task."""
    source = "def f(x): return x.result"
    with_global = compiled(source, result=generators.one())
    assert function_identity(with_global) == function_identity(compiled(source))
    assert evaluate(DAG(task(with_global)(types.SimpleNamespace(result=3)))) == 3


def test_closures_count() -> None:
    """Functions with equal code over different values differ, and cells without a value are no problem."""

    def adder(k: Any) -> Any:
        return lambda x: x + k

    assert function_identity(adder(1)) == function_identity(adder(1))
    assert function_identity(adder(1)) != function_identity(adder(2))
    assert function_identity(adder(0.0)) != function_identity(adder(-0.0))

    def recursive(n: int) -> int:
        return n and recursive(n - 1)

    assert function_identity(recursive) == function_identity(recursive)


def test_code_and_data_that_refer_to_themselves() -> None:
    """Registries with the functions that use them, and containers that contain themselves, have an identity."""
    sources = [
        "REGISTRY = set()\ndef f(x): return x in REGISTRY\nREGISTRY.add(f)",
        "REGISTRY = {}\ndef f(x): return REGISTRY\nREGISTRY['f'] = f",
        "LOOP = []\nLOOP.append(LOOP)\ndef f(x): return LOOP",
        "def g(x): return f(x)\ndef f(x): return x and g(x)",
        "class C:\n  def again(self): return C()\ndef f(x): return C().again()",
        "class C: pass\nc = C(); c.me = c\ndef f(x): return c",
    ]
    identities = [function_identity(compiled(source)) for source in sources]
    assert identities == [function_identity(compiled(source)) for source in sources]
    assert len(set(identities)) == len(sources)


def test_partials_methods_and_objects_count() -> None:
    """What a callable is bound to is part of what it does."""

    class Scaler:
        def __init__(self, factor: int) -> None:
            self.factor = factor

        def __call__(self, x: int) -> int:
            return self.factor * x

    identities = [
        function_identity(fn)
        for fn in (
            functools.partial(pow, 2),
            functools.partial(pow, 3),
            Scaler(2),
            Scaler(3),
            Scaler(2).__call__,
            len,
            max,
            [1].append,
            [2].append,
        )
    ]
    assert len(set(identities)) == len(identities)
    assert function_identity(Scaler(2)) == function_identity(Scaler(2))


_SCRIPT = """
import re, sys
import faaslab as fl
from faaslab.protocol.wire import Assignments, encode

WORDS = {"alpha", "beta", "gamma", "delta"}

class Counter:
    limit = frozenset({"x", "y", "z"})
    def __init__(self, k): self.k = k
    def count(self, text): return len(re.findall("a", text)) + self.k

COUNTER = Counter(2)

def helper(text, seen=frozenset({"p", "q", "r"})):
    return [w for w in text.split() if w in WORDS or w in {"one", "two", "three"}]

@fl.task
def f(text):
    return helper(text), COUNTER.count(text)

@fl.task
def g(x, y):
    return (x, y)

dag = fl.DAG(g(f("a b"), {"k": {f("c"), f("d")}}))
simple = fl.DAG([g(1, "x"), g(g(2, 3), [4])])
free = Assignments((), (-1,) * len(simple), (512,) * len(simple), ())
print(dag.structure_hash, [fn.identity for fn in dag.functions], encode(simple, free, part_constant_bytes=100).digest)
"""


def test_hashes_are_equal_across_kernels(tmp_path: Path) -> None:
    """Two processes with different hash seeds find the same structure hash, identities and wire digest."""
    script = tmp_path / "cell.py"
    script.write_text(_SCRIPT, "utf-8")
    root = Path(__file__).parents[2]
    printed = {
        subprocess.run(
            [sys.executable, str(script)],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1


def test_local_modules_travel_by_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module beside the notebook runs where it can't be imported, and an edited one is new code."""
    (tmp_path / "beside_helper.py").write_text("import beside_notebook\nFACTOR = 10\n", "utf-8")
    source = tmp_path / "beside_notebook.py"
    source.write_text(
        "import beside_helper\nclass Point:\n    def __init__(self, x): self.x = x\n"
        "def scale(x): return Point(x * beside_helper.FACTOR)\n",
        "utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    module = importlib.import_module("beside_notebook")
    try:
        use = compiled("def f(x): return mod.scale(x).x", mod=module)
        before, direct_before = DAG(task(use)(1)), DAG(task(module.scale)(1))
        assert _in_another_process(before.functions[0].code, tmp_path) == "20"
        assert _in_another_process(cloudpickle.dumps(direct_before.functions[0].code), tmp_path) != ""
        source.write_text(source.read_text("utf-8").replace("x * ", "1 + x * "), "utf-8")
        importlib.invalidate_caches()
        importlib.reload(module)
        after, direct_after = DAG(task(use)(1)), DAG(task(module.scale)(1))
        assert _in_another_process(after.functions[0].code, tmp_path) == "21"
        assert after.structure_hash != before.structure_hash
        assert direct_after.structure_hash != direct_before.structure_hash
    finally:
        for name in ("beside_notebook", "beside_helper"):
            sys.modules.pop(name, None)
    assert "beside_notebook" not in cloudpickle.list_registry_pickle_by_value()


def _in_another_process(code: bytes, folder: Path) -> str:
    """Return what a pickled function gives for 2 where no local module can be imported."""
    file = folder / "code.pkl"
    file.write_bytes(code)
    program = f"import pickle; f = pickle.load(open({str(file)!r}, 'rb')); print(f(2) if callable(f) else 'bytes')"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        env={"PYTHONPATH": str(root)},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_installed_task_functions_travel_by_name() -> None:
    """A task function that a package defines is sent as a reference."""
    with local_modules_by_value():
        code = serialize_function(generators.increment.fn)
    assert len(code) < 150
    assert pickle.loads(code) is generators.increment.fn


def test_line_numbers_survive_without_columns() -> None:
    """A traceback of a travelled function names the right lines."""
    source = "def f(x):\n" + "    y = x\n" * 40 + "    z = (y,\n        1 / y)\n\n\n    return z\n"
    with local_modules_by_value():
        fn = pickle.loads(serialize_function(compiled(source)))
    original = compiled(source)

    def lines(code: types.CodeType) -> list[int | None]:
        return [line for start, end, line in code.co_lines() for _ in range(start, end, 2)]

    assert lines(fn.__code__) == lines(original.__code__)
    with pytest.raises(ZeroDivisionError) as caught:
        fn(0)
    assert caught.traceback[-1].lineno == 42


def test_a_docstring_that_code_uses_stays() -> None:
    """Taking docstrings out of code never changes what it does."""
    fn = compiled("def f(x):\n    'text'\n    return 'text' + x")
    assert evaluate(DAG(task(fn)("!"))) == "text!"


def test_unpicklable_functions_are_refused_by_name() -> None:
    """A function over something that can't be pickled names the task, before anything starts."""
    lock = __import__("threading").Lock()
    with pytest.raises(ConstantError, match=r"function of task 'held#0'.*lock"):
        DAG(task(lambda: lock, name="held")())


def test_lazy_tasks_in_closures_are_refused_by_name() -> None:
    """A closure over a lazy task is an error that names both."""
    hidden = generators.one()
    with pytest.raises(LazyTaskError, match=r"function of task 'closed#0'.*<task one>"):
        DAG(task(lambda: hidden, name="closed")())
