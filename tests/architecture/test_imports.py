"""The layers of the package, and what importing its parts costs."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import faaslab

ROOT = Path(__file__).parents[2]
HEAVY = {"IPython", "dask", "distributed", "docker", "matplotlib", "networkx", "numpy", "pandas", "pyarrow", "scipy"}
RUNNING_WING = ["faaslab.protocol", "faaslab.storage", "faaslab.worker", "faaslab.launchers"]


def modules_loaded_by(statement: str) -> set[str]:
    """Return the modules that a fresh interpreter loads for ``statement``, beyond those it starts with."""
    code = f"import sys; before = set(sys.modules); {statement}; print(*set(sys.modules) - before)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_layers_are_kept() -> None:
    """Every contract of [tool.importlinter] in pyproject.toml holds."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", faaslab.__all__)
def test_public_name_loads(name: str) -> None:
    """Every public name can be loaded, and stays the same object."""
    assert getattr(faaslab, name) is getattr(faaslab, name)


def test_public_names_are_listed_before_they_load() -> None:
    """``dir(faaslab)`` offers every public name to completion in a notebook."""
    assert set(faaslab.__all__) <= set(dir(faaslab))


def test_all_error_classes_are_public() -> None:
    """An error class added to faaslab.errors is reachable as ``fl.<Name>``."""
    errors = import_module("faaslab.errors")
    classes = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert classes <= set(faaslab.__all__)


def test_unknown_name_is_an_attribute_error() -> None:
    """A name that doesn't exist fails as on any module."""
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        faaslab.no_such_name  # type: ignore[attr-defined]  # noqa: B018


def test_importing_faaslab_loads_nothing_else() -> None:
    """``import faaslab`` loads its errors only."""
    assert modules_loaded_by("import faaslab") == {"faaslab", "faaslab.errors"}


def test_importing_faaslab_is_fast() -> None:
    """``import faaslab`` takes less than 5 ms (the best of ten, as the machine may be busy)."""
    code = """
import sys, time
best_s = 1.0
for _ in range(10):
    for name in [name for name in sys.modules if name.startswith("faaslab")]:
        del sys.modules[name]
    started = time.perf_counter()
    import faaslab
    best_s = min(best_s, time.perf_counter() - started)
print(best_s)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert float(done.stdout) < 0.005, done.stderr


@pytest.mark.parametrize("module", RUNNING_WING)
def test_running_wing_starts_light(module: str) -> None:
    """Importing a package of the running wing loads no heavy library, directly or through the base."""
    assert {name.partition(".")[0] for name in modules_loaded_by(f"import {module}")} & HEAVY == set()
