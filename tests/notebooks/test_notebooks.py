"""Every notebook runs, with tiny parameters where it has some."""

import json
import os
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from experiments.run import NOTEBOOKS, STUDIES
from faaslab.launchers.engine import LOCK, connect

pytestmark = [pytest.mark.notebook, pytest.mark.timeout(300)]
TINY = {
    "planners": ("planners=single_worker,wukong", "corpus_bytes=50000", "matrix_rows=64"),
    "ablation": ("model_elements=20000", "scorers=3", "cold_start_s=0.0"),
}
"""Parameters with which studies take seconds."""
FIGURES = {
    "planners": {"makespan", "bytes"},
    "ablation": {
        f"{kind}-process-broadcast-{planner}" for kind in ("effects", "overhead") for planner in ("wukong", "uniform")
    },
}
"""Figures that studies draw, among others."""


PLANNING = {
    "compare_planners": (("dask_inf", "faaslab", "6 tasks resized", "finds no plan", "optimal: optimal"), 4),
    "optimizations": (("saves s", "delayed_io", "compare#5 runs on", "compression", "left out"), 2),
    "own_planner": (("follows clean#2", "tasks moved", "21 tasks in both", "1 workers", "waits for itself"), 5),
    "prediction": (("'declared': 8, 'unknown': 3", "'extrapolated': 10", "of 2 runs stayed within p90"), 6),
    "simulation": (("project#0", "remote: fit#0", "idle containers end at once"), 4),
}
"""Notebooks on planning: words that they show, and how many figures."""
FEW_RUNS = {"prediction": ("-p", "repeats", "2"), "optimizations": ("-p", "repeats", "1")}


def tiny(study: str) -> list[str]:
    """Return the arguments with which a study takes seconds."""
    return [argument for parameter in ("repeats=1", *TINY[study]) for argument in ("-p", parameter)]


def call(*arguments: str | Path, runs_dir: Path) -> subprocess.CompletedProcess[str]:
    """Run a Python module as a user would, from another folder."""
    command: list[str | Path] = [sys.executable, "-m", *arguments]
    commands = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    env = {**os.environ, "FAASLAB_RUNS_DIR": str(runs_dir), "PATH": commands}
    return subprocess.run(
        command, cwd=runs_dir, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=280
    )


def texts_in(path: Path) -> str:
    """Return all that an executed notebook shows as text; fails on an error among its outputs."""
    shown = []
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            assert output["output_type"] != "error", output
            data: dict[str, Any] = output.get("data", {})
            shown += [data.get("text/plain", ""), data.get("text/html", ""), output.get("text", "")]
    return "\n".join("".join(text) for text in shown)


def figures_in(path: Path) -> int:
    """Return how many pictures an executed notebook shows, those within HTML as well."""
    outputs = [o.get("data", {}) for c in json.loads(path.read_text("utf-8"))["cells"] for o in c.get("outputs", [])]
    return sum("image/png" in data for data in outputs) + sum(
        "".join(data.get("text/html", "")).count('src="data:image/png;base64,') for data in outputs
    )


def test_every_notebook_has_a_test() -> None:
    """A notebook is the tour, that of Docker workers, one of those on planning, or belongs to a study."""
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == {"tour", "docker_workers", *PLANNING, *STUDIES}


def test_notebooks_are_stripped() -> None:
    """No notebook is kept with outputs or counts of executions."""
    for path in NOTEBOOKS.glob("*.ipynb"):
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            assert not cell.get("outputs"), path
            assert cell.get("execution_count") is None, path


@pytest.mark.parametrize("name", PLANNING)
def test_planning(name: str, tmp_path: Path) -> None:
    """A notebook on planning runs from top to bottom and shows what it tells of, with all its figures."""
    executed = tmp_path / f"{name}.ipynb"
    source = NOTEBOOKS / f"{name}.ipynb"
    # The folder of runs is a level deeper: the history is beside it.
    runs_dir = tmp_path / "runs"
    runs_dir.mkdir()
    arguments = ("-k", "python3", "--cwd", NOTEBOOKS, *FEW_RUNS.get(name, ()))
    done = call("papermill", source, executed, *arguments, runs_dir=runs_dir)
    assert done.returncode == 0, done.stderr
    text = texts_in(executed)
    shown, figures = PLANNING[name]
    for words in shown:
        assert words in text
    assert figures_in(executed) == figures


@pytest.mark.docker
def test_optimizations_on_docker(tmp_path: Path) -> None:
    """An optimization that is written in a cell runs in containers, is simulated and ablated."""
    executed = tmp_path / "optimizations.ipynb"
    arguments = ("-k", "python3", "--cwd", NOTEBOOKS, "-p", "repeats", "1", "-p", "launcher", "docker")
    done = call("papermill", NOTEBOOKS / "optimizations.ipynb", executed, *arguments, runs_dir=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "on &#x27;docker&#x27;" in texts_in(executed) or "on 'docker'" in texts_in(executed)
    assert figures_in(executed) == 2


def test_tour(tmp_path: Path) -> None:
    """The tour runs from top to bottom and shows what it tells of."""
    executed = tmp_path / "tour.ipynb"
    done = call("papermill", NOTEBOOKS / "tour.ipynb", executed, "-k", "python3", "--cwd", NOTEBOOKS, runs_dir=tmp_path)
    assert done.returncode == 0, done.stderr
    text = texts_in(executed)
    for shown in ("merge#2</text>", "decided at run time", "[('=',", "invalid literal for int()", "parsing 'four'"):
        assert shown in text
    assert "two_halves" in text


@pytest.mark.docker
def test_docker_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The notebook of Docker workers shows what it tells of and leaves no container behind."""
    executed = tmp_path / "docker_workers.ipynb"
    with tempfile.TemporaryDirectory(prefix="nb-") as folder:  # short, since sockets live there
        monkeypatch.setenv("TMPDIR", folder)
        source = NOTEBOOKS / "docker_workers.ipynb"
        done = call("papermill", source, executed, "-k", "python3", "--cwd", NOTEBOOKS, runs_dir=tmp_path)
        assert done.returncode == 0, done.stderr
        with closing(connect()) as client:
            found = client.api.containers(all=True, filters={"label": LOCK})
        assert [container["Names"] for container in found if container["Labels"][LOCK].startswith(folder)] == []
    text = texts_in(executed)
    for shown in (
        "docker: engine",
        "user 65534" if os.getuid() == 0 else f"user {os.getuid()}",
        "requirements=['numpy']",
        "the kernel killed it for want of memory",
        "AWS Lambda. Cold start",
        'saved as profile "this machine"',
        "'profile': 'this machine'",
    ):
        assert shown in text


@pytest.mark.docker
def test_study_on_docker(tmp_path: Path) -> None:
    """The notebook of the study runs with both launchers, names them, and has a Gantt chart for each."""
    chosen = ("-p", "launchers=process,docker", "-p", "workflows=word_count")
    done = call(
        "experiments.run", "study", "planners", *tiny("planners"), *chosen, "--results-dir", tmp_path, runs_dir=tmp_path
    )
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "planners").iterdir()
    assert "launchers that ran: process docker" in texts_in(folder / "executed.ipynb")
    assert {path.stem for path in (folder / "figures").glob("gantt-*.png")} == {
        f"gantt-{launcher}-word_count-{planner}"
        for launcher in ("process", "docker")
        for planner in ("single_worker", "wukong")
    }


@pytest.mark.parametrize("study", STUDIES)
def test_study(study: str, tmp_path: Path) -> None:
    """The notebook of a study runs through papermill, leaving data, figures with their origin, and HTML."""
    done = call("experiments.run", "study", study, *tiny(study), "--results-dir", tmp_path, runs_dir=tmp_path)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / study).iterdir()
    assert f"results:  {folder.relative_to(tmp_path)}" in done.stdout
    texts_in(folder / "executed.ipynb")
    assert "<html" in (folder / "executed.html").read_text("utf-8")
    figures = folder / "figures"
    stems = {path.stem for path in figures.iterdir()}
    assert stems >= FIGURES[study]
    for stem in stems:
        assert all((figures / f"{stem}{suffix}").stat().st_size > 0 for suffix in (".png", ".pdf", ".parquet"))
        about = json.loads((figures / f"{stem}.json").read_text("utf-8"))
        assert about["study"] == study
        assert about["params"]["repeats"] == 1
        assert about["runs"]


def test_unknown_parameter_is_an_error(tmp_path: Path) -> None:
    """A misspelt parameter ends the command with one line, before anything is written."""
    study = next(iter(STUDIES))
    done = call("experiments.run", "study", study, "-p", "repeat=3", "--results-dir", tmp_path, runs_dir=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"ConfigError: study {study!r} has no parameter 'repeat'; known: ")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
