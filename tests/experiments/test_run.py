"""What ``python -m experiments.run`` takes and refuses."""

import json
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import faaslab as fl
from experiments import planners as study
from experiments.run import NOTEBOOKS, STUDIES, TABLE_STUDIES, app, check_notebook, chosen_params, demo_launchers


def declared(path: Path) -> list[str]:
    """Return the lines of a notebook's parameters cell."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    (cell,) = (cell for cell in cells if "parameters" in cell["metadata"].get("tags", []))
    return "".join(cell["source"]).splitlines()


def test_overrides() -> None:
    """Values are JSON or plain words, lists may be written with commas, and the rest comes from the scale."""
    given = {"repeats": "7", "cold_start_s": "1", "planners": "wukong,per_task", "workflows": '["word_count"]'}
    params = chosen_params(study.STUDY, "smoke", given)
    assert (params.repeats, params.cold_start_s) == (7, 1.0)
    assert params.planners == ("wukong", "per_task")
    assert params.workflows == ("word_count",)
    assert params.chunks == study.SMOKE.chunks


@pytest.mark.parametrize(
    ("name", "scale", "overrides", "message"),
    [
        ("nothing", "smoke", {}, "unknown study 'nothing'; known: planners"),
        (study.STUDY, "huge", {}, "no scale 'huge'; known: smoke, demo, paper"),
        (
            study.STUDY,
            "smoke",
            {"repeat": "1"},
            "no parameter 'repeat'; known: launchers, workflows, planners, repeats",
        ),
        (study.STUDY, "smoke", {"repeats": "many"}, "repeats='many'.*[Ee]xpected `int`"),
        (study.STUDY, "smoke", {"repeats": "1.5"}, "repeats='1.5'"),
        (study.STUDY, "smoke", {"planners": "nobody"}, "nobody"),
        (study.STUDY, "smoke", {"results_dir": "x"}, "no parameter 'results_dir'"),
    ],
)
def test_refused(name: str, scale: str, overrides: dict[str, str], message: str) -> None:
    """Unknown names and values of a wrong type are errors before anything starts."""
    with pytest.raises(fl.ConfigError, match=message):
        chosen_params(name, scale, overrides)


@pytest.mark.parametrize("name", STUDIES)
def test_notebook_has_the_parameters_of_its_study(name: str) -> None:
    """The parameters cell declares the fields of Params in their order, each typed, with a comment, at demo scale."""
    lines = declared(NOTEBOOKS / f"{name}.ipynb")
    module = STUDIES[name]
    names = [line.partition(":")[0] for line in lines]
    assert names == [*asdict(module.DEMO), "results_dir"]
    assert all(":" in line and "  # " in line for line in lines)
    values: dict[str, object] = {}
    exec("\n".join(lines), values)
    assert {name: values[name] for name in names[:-1]} == {
        name: list(value) if isinstance(value, tuple) else value for name, value in asdict(module.DEMO).items()
    }


def test_parameter_that_the_notebook_lacks(tmp_path: Path) -> None:
    """Papermill would inject a parameter that no cell declares; here it is an error, and so is a missing one."""
    path = tmp_path / "study.ipynb"
    cell = {
        "cell_type": "code",
        "execution_count": None,
        "id": "0",
        "metadata": {"tags": ["parameters"]},
        "outputs": [],
        "source": "repeats: int = 1  # how often\nold: int = 2  # not used any more",
    }
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path.write_text(json.dumps({"cells": [cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}), "utf-8")
    with pytest.raises(fl.ConfigError, match=r"only in the notebook: \['old'\], not in it: \['repeat'\]"):
        check_notebook(path, {"repeats": 1, "repeat": 1})


def test_demo_without_an_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where no engine answers, the demo runs on processes and says why in one line."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    assert demo_launchers(study.DEMO) == ("process",)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("running on processes only: no Docker engine answers")


@pytest.mark.docker
def test_demo_with_an_engine(capsys: pytest.CaptureFixture[str]) -> None:
    """Where an engine answers, the demo runs on Docker, too."""
    assert demo_launchers(study.DEMO) == ("process", "docker")
    assert "processes only" not in capsys.readouterr().out


QUICK = {
    "planner_quality": ["families=fork_join", "planners=per_task,els", "subject=els", "truths=1"],
    "optimality": ["planners=per_task,optimal", "tasks=[4]"],
    "planning_time": ["planners=per_task,wukong"],
}


@pytest.mark.parametrize("name", TABLE_STUDIES)
def test_study_of_tables(name: str, tmp_path: Path) -> None:
    """A study without a notebook prints its tables and saves them."""
    assert not (NOTEBOOKS / f"{name}.ipynb").exists()
    if name == "optimality":
        pytest.importorskip("ortools")
    overrides = [part for text in QUICK[name] for part in ("-p", text)]
    done = CliRunner().invoke(app, ["study", name, *overrides, "--results-dir", str(tmp_path)])
    assert done.exit_code == 0, done.output
    (folder,) = (tmp_path / name).iterdir()
    saved = sorted((folder / "tables").iterdir())
    assert f"results: {folder}" in done.output
    assert "per_task" in done.output
    params = chosen_params(name, "smoke", dict(text.split("=") for text in QUICK[name]))
    assert len(saved) == len(TABLE_STUDIES[name].tables(folder, params))
    assert all(len(pd.read_csv(path)) > 0 for path in saved)


def test_study_of_tables_refuses() -> None:
    """A parameter that the study does not have ends it with one line."""
    done = CliRunner().invoke(app, ["study", "planner_quality", "-p", "repeat=3"])
    assert done.exit_code == 1
    assert done.stderr.startswith("ConfigError: study 'planner_quality' has no parameter 'repeat'; known: ")
