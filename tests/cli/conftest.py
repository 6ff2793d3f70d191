"""A folder with workflows for the command line."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.scene import Scene
from tests.client.scene import scene as set_scene

FLOWS = """
import faaslab as fl
from faaslab.graph import generators

@fl.task
def fails():
    raise ValueError("no luck")

@fl.task
def odd():
    return {1, 2}

@fl.task
def slow():
    import time
    time.sleep(60)

class Book:
    chapter = generators.chain(3)

three = generators.fan(3)
several = [generators.one(), 5]
whole = fl.DAG(generators.chain(4), name="whole")
number = 5
bad = fails()
strange = odd()
late = slow()

def made():
    return generators.tree(4)

def broken():
    raise RuntimeError("can't be built")
"""


@pytest.fixture
def flows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """Work in a folder with a module ``flows_on_disk``."""
    (tmp_path / "flows_on_disk.py").write_text(FLOWS)
    (tmp_path / "needs_more.py").write_text("import surely_not_installed\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with set_scene() as scene:
        yield scene
    sys.modules.pop("flows_on_disk", None)
