"""``worker_image/make_base`` makes a base image and tidies up; the tools it calls are replaced by scripts."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "worker_image" / "make_base"

Run = Callable[..., subprocess.CompletedProcess[str]]
NO_IMAGE = '[ "$1 $2" != "image inspect" ] || [ "$3" = --format ] || exit 1'


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs the script; keyword arguments are what a tool does after noting what it was asked."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tmp_path / "temp").mkdir()

    def started(*arguments: str, **tool: str) -> subprocess.CompletedProcess[str]:
        does = {
            "docker": f'{NO_IMAGE}; [ "$1" != import ] || cat >/dev/null; [ "$3" != --format ] || echo 110000000',
            "debootstrap": 'mkdir -p "$4/etc" && echo here >"$4/etc/hostname"',
            "chroot": "echo 3.11",
            "id": "echo 0",
            **tool,
        }
        for name, what in does.items():
            (tools / name).write_text(f'#!/bin/sh\necho "{name} $*" >>"{tmp_path}/calls"\n{what}\n')
            (tools / name).chmod(0o755)
        env = {"PATH": f"{tools}:{os.environ['PATH']}", "TMPDIR": str(tmp_path / "temp")}
        return subprocess.run(
            ["bash", SCRIPT, *arguments], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
        )

    return started


def calls(tmp_path: Path) -> str:
    """Return what the tools were asked, a line each."""
    return (tmp_path / "calls").read_text() if (tmp_path / "calls").exists() else ""


def test_base_is_made(run: Run, tmp_path: Path) -> None:
    """The suite that has the wanted Python is installed and imported, and no file is left."""
    done = run("3.11")
    assert done.returncode == 0, done.stderr
    assert "faaslab-base:python3.11 is made, 110 MB" in done.stdout
    assert "debootstrap --variant=minbase --include=python3 bookworm " in calls(tmp_path)
    assert "- faaslab-base:python3.11\n" in calls(tmp_path)
    assert list((tmp_path / "temp").iterdir()) == []


def test_image_that_exists_is_kept(run: Run, tmp_path: Path) -> None:
    """Nothing is installed while there is an image, unless that is forced; root isn't needed for that."""
    assert run("3.11", docker="exit 0", id="echo 1000").returncode == 0
    assert "debootstrap" not in calls(tmp_path)
    assert run("3.11", "--force", docker='[ "$1" != import ] || cat >/dev/null').returncode == 0
    assert "debootstrap" in calls(tmp_path)


def test_failed_installation(run: Run, tmp_path: Path) -> None:
    """When debootstrap fails its last words are shown, and no file is left."""
    done = run("3.11", debootstrap='mkdir "$4"; echo "no mirror" >&2; exit 1')
    assert done.returncode == 1
    assert "no mirror" in done.stderr
    assert "docker import" not in calls(tmp_path)
    assert list((tmp_path / "temp").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "tool", "said"),
    [
        (["3.12"], {}, "possible are 3.11 (bookworm) and 3.13 (trixie)"),
        (["--fast"], {}, "unknown option --fast"),
        (["3.11", "3.13"], {}, "one Python version at a time"),
        (["3.11"], {"docker": "exit 1"}, "no Docker engine answers"),
        (["3.11"], {"id": "echo 1000"}, "needs root"),
        (["3.13"], {}, "Debian trixie has Python 3.11, not 3.13"),
        ([], {"python3": "echo 2.7"}, "has Python '2.7'"),
    ],
)
def test_what_can_not_be_made(run: Run, tmp_path: Path, arguments: list[str], tool: dict[str, str], said: str) -> None:
    """What is missing or impossible is said, nothing is imported, and no file is left."""
    done = run(*arguments, **tool)
    assert done.returncode == 1
    assert said in done.stderr
    assert "docker import" not in calls(tmp_path)
    assert list((tmp_path / "temp").iterdir()) == []
