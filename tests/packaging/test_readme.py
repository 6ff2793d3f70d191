"""The README tells the truth."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def examples() -> list[tuple[str, str]]:
    """Return the README's examples: code, and the output shown below it."""
    text = (ROOT / "README.md").read_text("utf-8")
    return re.findall(r"```python\n(.*?)```\n+```text\n(.*?)```", text, re.DOTALL)


def check(example: tuple[str, str], folder: Path) -> None:
    """Run an example as a script: it prints what it says, and no more."""
    code, output = example
    script = folder / "example.py"
    script.write_text(code, "utf-8")
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command: list[str | Path] = [sys.executable, script]
    done = subprocess.run(
        command, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=110
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, output, "")


def test_first_example_prints_what_it_says(tmp_path: Path) -> None:
    """The first example of the README, run as a script, prints exactly the output shown below it, and no more."""
    check(examples()[0], tmp_path)
    assert list(tmp_path.glob(".faaslab/runs/*/run.json")), "its trace is not saved"


def test_planning_example_prints_what_it_says(tmp_path: Path) -> None:
    """The example of planning prints exactly the output shown below it, and runs nothing."""
    check(examples()[1], tmp_path)
    assert not list(tmp_path.glob(".faaslab/runs/*"))


def test_optimizations_example_prints_what_it_says(tmp_path: Path) -> None:
    """The example of optimizations prints exactly the output shown below it, and runs nothing."""
    check(examples()[2], tmp_path)
    assert not list(tmp_path.glob(".faaslab/runs/*"))


@pytest.mark.docker
def test_docker_example_prints_what_it_says(tmp_path: Path) -> None:
    """The example of Docker workers prints exactly the output shown below it; no other example is untested."""
    _, _, _, docker = examples()
    assert "fl.DockerLauncher(" in docker[0]
    check(docker, tmp_path)
    assert list(tmp_path.glob(".faaslab/runs/*/run.json")), "its trace is not saved"


def test_folders_and_files_exist() -> None:
    """Every folder, notebook and script that the README names in code font is there."""
    text = (ROOT / "README.md").read_text("utf-8")
    named = set(re.findall(r"`((?:[\w.-]+/)+[\w.-]*)`", text)) - {"experiments/results/", ".faaslab/history"}
    assert {"worker_image/", "notebooks/docker_workers.ipynb"} <= named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == [], "named but not there"
