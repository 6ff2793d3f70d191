"""The built wheel works outside the clone."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

WORKFLOW = '''
import faaslab as fl

@fl.task
def double(x: int) -> int:
    """Return twice ``x``."""
    return 2 * x

@fl.task
def add(xs: list[int]) -> int:
    return sum(xs)

if __name__ == "__main__":
    print(fl.__file__)
    print(add([double(n) for n in range(4)]).compute())
    fl.close()
'''


def run_outside(command: list[str | Path], folder: Path) -> str:
    """Run a command in ``folder`` without a way back to the clone, and return what it printed."""
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        command, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, f"{command} exited {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, with the build backend of this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    run_outside([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT], folder)
    (built,) = folder.glob("faaslab-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into a new environment that finds its dependencies in this one; return its ``bin``."""
    folder = tmp_path_factory.mktemp("install with space") / "venv"
    run_outside([sys.executable, "-m", "uv", "venv", "--quiet", "--python", sys.executable, folder], folder.parent)
    python = folder / "bin" / "python"
    install: list[str | Path] = ["pip", "install", "--quiet", "--offline", "--no-deps", "--python", python, wheel]
    run_outside([sys.executable, "-m", "uv", *install], folder.parent)
    (packages,) = folder.glob("lib/python*/site-packages")
    # A plain path: the .pth files of that folder, one of which leads to the clone, are not read from here.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")
    return folder / "bin"


def test_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    """Code, Lua scripts, the typing marker and the recipe of images are all in the wheel, and nothing else is."""
    patterns = ("*.py", "*.pyi", "*.lua", "py.typed")
    expected = {str(path.relative_to(ROOT)) for pattern in patterns for path in (ROOT / "faaslab").rglob(pattern)}
    expected |= {"faaslab/worker_image/Dockerfile", "faaslab/worker_image/make_base"}
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert "faaslab/py.typed" in names
    assert names == expected


def test_installed_command_works(installed: Path, tmp_path: Path) -> None:
    """The ``faaslab`` command of the installed wheel knows its version and examines the machine."""
    assert run_outside([installed / "faaslab", "--version"], tmp_path).startswith("faaslab ")
    assert json.loads(run_outside([installed / "faaslab", "doctor", "--json"], tmp_path))["ok"] is True


def test_installed_wheel_finds_the_recipe_of_images(installed: Path, tmp_path: Path) -> None:
    """Worker images are built from the installed files, not from the clone."""
    code = "from faaslab.launchers.image_context import recipe_folder as f; print(f())"
    folder = Path(run_outside([installed / "python", "-c", code], tmp_path).strip())
    assert folder.is_relative_to(installed.parent)
    assert (folder / "Dockerfile").read_bytes() == (ROOT / "worker_image" / "Dockerfile").read_bytes()


def test_installed_wheel_runs_a_workflow(installed: Path, tmp_path: Path) -> None:
    """A script outside the clone runs a workflow on worker processes with the installed wheel."""
    (tmp_path / "workflow.py").write_text(WORKFLOW, "utf-8")
    where, result = run_outside([installed / "python", "workflow.py"], tmp_path).splitlines()
    assert Path(where).is_relative_to(installed.parent)
    assert result == "12"
