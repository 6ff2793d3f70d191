"""``./run`` sets up when it must, and only then; uv is replaced by a script that notes what it is asked."""

import itertools
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAKE_UV = f"""#!/bin/sh
echo "$1 $2" >>"$UV_CALLS"
[ "$1" = venv ] || exit 0
for folder; do :; done
mkdir -p "$folder/bin"
ln -sf '{sys.executable}' "$folder/bin/python"
"""
OLD_PYTHON = """#!/bin/sh
[ "$1" = --version ] && echo "Python 3.9.1" && exit 0
exit 1
"""


def write_program(path: Path, text: str) -> None:
    """Write an executable script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    path.chmod(0o755)


@dataclass(frozen=True, slots=True)
class Clone:
    """A folder that holds what ``./run`` looks at, and the programs it finds first."""

    root: Path
    programs: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Call ``./run`` from another folder."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("FAASLAB_")}
        env |= {"PATH": f"{self.programs}:{os.environ['PATH']}", "UV_CALLS": str(self.programs / "calls")}
        command: list[str | Path] = [self.root / "run", *arguments]
        return subprocess.run(
            command, cwd="/", env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
        )

    def uv_calls_of(self, *arguments: str) -> list[str]:
        """Call ``./run``, which must succeed, and return what uv was asked meanwhile."""
        calls = self.programs / "calls"
        calls.write_text("", "utf-8")
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return [call.split()[0] if call.startswith("venv") else call for call in calls.read_text("utf-8").splitlines()]


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    root = tmp_path / "folder with spaces" / "clone"
    root.mkdir(parents=True)
    shutil.copy(ROOT / "run", root)
    (root / "requirements.lock").write_text("a==1\n", "utf-8")
    (root / "pyproject.toml").write_text("\n", "utf-8")
    write_program(tmp_path / "programs" / "uv", FAKE_UV)
    write_program(tmp_path / "programs" / "python3", f"#!/bin/sh\nexec '{sys.executable}' \"$@\"\n")
    return Clone(root, tmp_path / "programs")


def test_sets_up_once(clone: Clone) -> None:
    """The first call makes the environment, the second finds it."""
    assert clone.uv_calls_of("setup") == ["venv", "pip sync", "pip install"]
    assert clone.uv_calls_of("true") == []


def test_changed_lock_is_installed(clone: Clone) -> None:
    """After a change of the lock the environment is kept and brought up to date."""
    clone.uv_calls_of("setup")
    (clone.root / "requirements.lock").write_text("a==2\n", "utf-8")
    assert clone.uv_calls_of("setup") == ["pip sync", "pip install"]


def test_moved_clone_gets_a_new_environment(clone: Clone) -> None:
    """An environment holds its own path, so a clone that moves makes another."""
    clone.uv_calls_of("setup")
    moved = Clone(clone.root.rename(clone.root.with_name("moved")), clone.programs)
    assert moved.uv_calls_of("setup") == ["venv", "pip sync", "pip install"]


def test_interrupted_setup_is_repeated(clone: Clone) -> None:
    """A setup that failed leaves no mark of success."""
    write_program(clone.programs / "uv", FAKE_UV.replace("exit 0", "exit 7"))
    assert clone.run("setup").returncode != 0
    write_program(clone.programs / "uv", FAKE_UV)
    assert clone.uv_calls_of("setup") == ["venv", "pip sync", "pip install"]


def test_runs_any_command_in_the_environment(clone: Clone) -> None:
    """Other commands run in the caller's folder with the environment's programs first, and keep their exit code."""
    done = clone.run("sh", "-c", 'pwd; echo "$VIRTUAL_ENV"; command -v python; exit 3')
    venv = clone.root / ".venv"
    assert (done.returncode, done.stdout) == (3, f"/\n{venv}\n{venv}/bin/python\n")


def test_old_python_is_refused(clone: Clone) -> None:
    """Without Python 3.11 the one line on stderr says what was found and what to do."""
    for name in ("python3", "python3.14", "python3.13", "python3.12", "python3.11", "python"):
        write_program(clone.programs / name, OLD_PYTHON)
    done = clone.run("setup")
    assert done.returncode == 1
    assert done.stderr == (
        "run: no Python 3.11 or newer found (Python 3.9.1); install one, or name it in FAASLAB_PYTHON\n"
    )


def test_help_needs_no_setup(clone: Clone) -> None:
    """``./run help`` lists the commands and installs nothing."""
    assert clone.uv_calls_of("help") == []
    assert "./run test" in clone.run("help").stdout


def test_each_test_belongs_to_one_stage() -> None:
    """Whatever marks a test has, one stage of ``./run test --all`` runs it, and only one."""
    stages = re.findall(r'pytest (?:-n 2 )?-m (?:"([^"]*)"|(\w+)) "\$@"', (ROOT / "run").read_text("utf-8"))
    names = ("docker", "browser", "slow", "notebook", "chaos")
    for chosen in itertools.product((False, True), repeat=len(names)):
        marks = dict(zip(names, chosen, strict=True))
        running = [stage for stage in (quoted or bare for quoted, bare in stages) if eval(stage, {}, marks)]
        assert len(running) == 1, (marks, running)
