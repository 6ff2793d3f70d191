"""House rules that neither ruff nor mypy checks."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_MODULE_LINES = 800
LONGER = {"faaslab/simulate/kernel.py": 2000}
"""One flat function, as the compiler needs it, and nothing else."""
"""Modules have mostly 80 to 400 lines; one of more than this is two modules."""

CODE_FOLDERS = ("faaslab", "experiments", "tests")
MODULES = sorted(path for folder in CODE_FOLDERS for path in (ROOT / folder).rglob("*.py"))
TEST_MODULES = [path for path in MODULES if path.name.startswith("test_")]


def name_of(path: Path) -> str:
    """Return the path as test id."""
    return str(path.relative_to(ROOT))


def cases_in(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield the test functions and methods of a test module."""
    for node in tree.body:
        for inner in node.body if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) and inner.name.startswith("test"):
                yield inner


def test_no_module_for_leftovers() -> None:
    """A module is named for what lives in it."""
    assert [name_of(path) for path in MODULES if path.stem in {"utils", "util", "helpers", "common", "misc"}] == []


@pytest.mark.parametrize("path", [path for path in MODULES if path.parts[len(ROOT.parts)] != "tests"], ids=name_of)
def test_modules_are_short(path: Path) -> None:
    """No module of the package or the experiments outgrows what one reads in a sitting."""
    most = LONGER.get(name_of(path), MAX_MODULE_LINES)
    assert len(path.read_text("utf-8").splitlines()) <= most


@pytest.mark.parametrize("path", TEST_MODULES, ids=name_of)
def test_each_test_says_what_it_shows(path: Path) -> None:
    """Every test has a docstring of one sentence."""
    tests = cases_in(ast.parse(path.read_text("utf-8")))
    assert [f"{test.name}:{test.lineno}" for test in tests if not ast.get_docstring(test)] == []


def test_lua_scripts_begin_with_their_keys() -> None:
    """Every Lua script starts with a comment that names its keys."""
    bare = [name_of(path) for path in (ROOT / "faaslab").rglob("*.lua") if not path.read_text("utf-8").startswith("--")]
    assert bare == []


def test_every_lint_exception_has_its_reason() -> None:
    """Each rule that ruff is told to ignore stands on a line with a comment, as do warnings that pytest lets pass."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    ignores = text[text.index("\nignore = [") : text.index("[tool.mypy]")]
    warnings = text[text.index("filterwarnings = [") : text.index("[tool.importlinter]")]
    lines = [line.strip() for line in (ignores + warnings).splitlines()]
    assert [line for line in lines if re.match(r'"[A-Zi]', line) and "#" not in line] == []
