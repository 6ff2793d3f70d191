"""Runs teach the history, and profiling does nothing else."""

from pathlib import Path
from typing import Any

import pytest

import faaslab as fl
from faaslab.graph import generators
from faaslab.launchers.process import ProcessLauncher
from faaslab.model.measured import measured_platform
from tests.client.scene import Scene, process_lab, quick


@fl.task
def make(size: int) -> bytes:
    """Return so many bytes."""
    return bytes(size)


@fl.task
def total(parts: list[bytes]) -> int:
    """Return the size of all parts."""
    return sum(map(len, parts))


def fan() -> fl.DAG:
    """Return a small workflow whose outputs go through the store."""
    return fl.DAG(total([make(100_000 + part) for part in range(4)]), name="fan")


def test_finished_runs_are_recorded(scene: Scene) -> None:
    """A run on real workers is in the history of its lab once it is saved; the lab's next plan knows its tasks."""
    dag = fan()
    with process_lab(scene, history_dir=None) as lab:
        run = lab.submit(dag)
        assert run.result(20) == 400_006
        run.saved()
        history = fl.History(scene.folder / "history")
        snapshot = history.snapshot()
        assert [source.run for source in snapshot.sources] == [run.id]
        planned = lab.submit(dag, planner="uniform")
        assert planned.result(20) == 400_006
        assert planned.plan.settings["history"] == snapshot.digest
    assert len(history.snapshot().sources) == 2


def test_what_is_not_recorded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs in this process, virtual ones and runs that failed teach nothing; neither does any without a history."""
    monkeypatch.chdir(scene.folder)
    for launcher in ("inline", "virtual"):
        with fl.Lab(launcher, config=quick(scene.folder, history_dir=None)) as lab:
            lab.submit(generators.one()).result(20)
    with process_lab(scene, history_dir=None) as lab:
        failing = lab.submit(fail(1))
        with pytest.raises(fl.TaskFailed):
            failing.result(20)
        failing.saved()
    with process_lab(scene, history_dir="") as lab:
        lab.submit(generators.one()).result(20)
    assert not (scene.folder / "history").exists()


@fl.task
def fail(value: int) -> int:
    """Raise."""
    raise ValueError(value)


def test_a_history_that_cannot_be_written(scene: Scene) -> None:
    """It does not take the result, nor the trace; ``saved`` tells."""
    (scene.folder / "file").write_text("in the way")
    with process_lab(scene, history_dir=str(scene.folder / "file" / "history")) as lab:
        run = lab.submit(generators.one())
        assert run.result(20) == 1
        with pytest.raises(fl.ConfigError, match="the history can't be in"):
            run.saved()
        assert fl.open_run(run.id, scene.folder / "runs").status == "finished"


def test_profile(scene: Scene) -> None:
    """A profile has a row for each function and size, is in the history, and is enough to plan for the launcher."""
    dag = fan()
    launcher = ProcessLauncher(limit=2)
    found = dag.profile([512, 1769], repeats=2, launcher=launcher, config=quick(scene.folder, history_dir=None))
    table = found.table
    assert list(table.index) == [("make", 512), ("make", 1769), ("total", 512), ("total", 1769)]
    assert table["samples"].tolist() == [8, 8, 2, 2]
    assert set(table["basis"]) == {"measured"}
    assert "make" in found._repr_html_()
    assert len(found.snapshot.sources) == 4
    platform = measured_platform(launcher, found.snapshot)
    assert platform.profile.source.startswith("measured on launcher 'process': means of ")
    assert platform.concurrency == 2
    assert not platform.sizes_enforced
    plan = dag.plan("uniform", sizes=[512], platform=launcher, history=found.snapshot)
    assert plan.settings["platform"] == "process"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sizes": []}, "list of worker sizes is empty"),
        ({"sizes": [-512]}, "worker size is -512 MiB"),
        ({"sizes": [512], "repeats": 0}, "repeats is 0, must be a whole number of 1 or more"),
        ({"sizes": [512], "launcher": "inline"}, "'inline' starts no containers"),
        ({"sizes": [512], "config": fl.Config(history_dir="")}, "no history to record in"),
    ],
)
def test_bad_profiles(settings: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can't be profiled is refused before anything starts."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(fl.ConfigError, match=message):
        fan().profile(**{"config": fl.Config(), **settings})
    assert list(tmp_path.iterdir()) == []
