"""``faaslab image`` builds, lists and removes images; the engine is replaced by a list."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from faaslab.cli.main import app
from faaslab.errors import LauncherError
from faaslab.launchers.image import WorkerImage

PLAIN = WorkerImage("faaslab-worker:aaaaaaaaaaaa", "3.11.2", "3.1.2", ("cloudpickle==3.1.2",), 120_000_000)
RICH = WorkerImage("faaslab-worker:bbbbbbbbbbbb", "3.11.2", "3.1.2", ("cloudpickle==3.1.2", "x==1"), 192_400_000)


class Asked:
    """What the command asked for, in place of an engine."""

    def __init__(self) -> None:
        self.requirements: list[str] = []
        self.base = ""
        self.keep: set[str] = set()
        self.closed = False

    def build(
        self, client: object, requirements: Iterable[str], *, base: str, report: Callable[[str], object]
    ) -> WorkerImage:
        self.requirements, self.base = list(requirements), base
        report("step 1")
        return RICH

    def prune(self, client: object, keep: set[str]) -> list[WorkerImage]:
        self.keep = keep
        return [PLAIN]

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    made = Asked()
    monkeypatch.setattr("faaslab.launchers.engine.connect", lambda: SimpleNamespace(close=made.close))
    monkeypatch.setattr("faaslab.cli.image.ensure_image", made.build)
    monkeypatch.setattr("faaslab.cli.image.prune_images", made.prune)
    monkeypatch.setattr("faaslab.cli.image.list_images", lambda client: [RICH, PLAIN])
    return made


def test_build(asked: Asked, tmp_path: Path) -> None:
    """Requirements of a file and of the line are built on the base that is named; progress is no output."""
    (tmp_path / "r.txt").write_text("x==1\n")
    result = CliRunner().invoke(app, ["image", "build", "-r", str(tmp_path / "r.txt"), "y>=2", "--base", "mine"])
    assert result.exit_code == 0
    assert (asked.requirements, asked.base) == (["x==1", "y>=2"], "mine")
    assert result.stderr == "step 1\n"
    assert result.stdout == "faaslab-worker:bbbbbbbbbbbb  Python 3.11.2  192 MB  cloudpickle==3.1.2 x==1\n"
    assert asked.closed


def test_build_without_requirements(asked: Asked) -> None:
    """Nothing has to be named; ``--json`` tells all about the image."""
    result = CliRunner().invoke(app, ["image", "build", "--json"])
    assert (asked.requirements, asked.base) == ([], "")
    assert json.loads(result.stdout) == {
        "tag": RICH.tag,
        "python": "3.11.2",
        "cloudpickle": "3.1.2",
        "packages": ["cloudpickle==3.1.2", "x==1"],
        "size_bytes": 192_400_000,
        "built": False,
        "build_s": 0.0,
    }


def test_file_that_is_not_there(asked: Asked) -> None:
    """A requirements file that can't be read is named before anything is built."""
    result = CliRunner().invoke(app, ["image", "build", "-r", "none.txt"])
    assert result.exit_code == 1
    assert "none.txt" in str(result.exception)
    assert not asked.closed


def test_list(asked: Asked) -> None:
    """Each image is a line, or an entry of one JSON object."""
    lines = CliRunner().invoke(app, ["image", "list"]).stdout.splitlines()
    assert [line.split()[0] for line in lines] == [RICH.tag, PLAIN.tag]
    found = json.loads(CliRunner().invoke(app, ["image", "list", "--json"]).stdout)
    assert [image["size_bytes"] for image in found["images"]] == [192_400_000, 120_000_000]


def test_prune(asked: Asked) -> None:
    """What was removed is named; tags can be kept."""
    result = CliRunner().invoke(app, ["image", "prune", "--keep", RICH.tag, "--keep", "other"])
    assert asked.keep == {RICH.tag, "other"}
    assert result.stdout == f"removed {PLAIN.tag}\n"
    assert json.loads(CliRunner().invoke(app, ["image", "prune", "--json"]).stdout) == {"removed": [PLAIN.tag]}


@pytest.mark.parametrize("command", ["build", "list", "prune"])
def test_no_engine(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an engine each command fails with what the launcher would say."""

    def refuse() -> None:
        raise LauncherError("no Docker engine answers")

    monkeypatch.setattr("faaslab.launchers.engine.connect", refuse)
    result = CliRunner().invoke(app, ["image", command])
    assert isinstance(result.exception, LauncherError)
    assert result.stdout == ""
