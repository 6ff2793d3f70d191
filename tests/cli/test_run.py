"""``faaslab run`` and ``faaslab trace export``."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import faaslab as fl
from faaslab.cli import main as cli
from faaslab.cli.main import app
from faaslab.cli.workflows import load_workflow
from faaslab.trace import Trace
from tests.client.scene import Scene


def invoke(*arguments: str) -> Any:
    """Run the command line in this process."""
    return CliRunner().invoke(app, arguments)


def reported(*arguments: str) -> Any:
    """Return what the command prints as JSON."""
    result = invoke(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("three", "6"),
        ("several", "[1, 5]"),
        ("whole", "4"),
        ("made", "6"),
        ("Book.chapter", "3"),
        ("strange", "{1, 2}"),
    ],
)
def test_what_can_be_run(flows: Scene, name: str, printed: str) -> None:
    """Tasks, containers of tasks, DAGs and functions that return them run, and the result is printed."""
    result = invoke("run", f"flows_on_disk:{name}", "--launcher", "inline")
    assert (result.exit_code, result.stdout) == (0, printed + "\n")


def test_on_processes_and_exported(flows: Scene) -> None:
    """A run on local processes reports its metrics; its saved trace becomes a Chrome trace and Parquet files."""
    report = reported("run", "flows_on_disk:three", "--planner", "per_task")
    assert (report["status"], report["result"]) == ("finished", 6)
    assert report["metrics"]["invocations"] == 5
    assert Trace.load(report["folder"]).manifest.planner == "per_task"
    chrome = invoke("trace", "export", report["run"], "--format", "chrome", "--output", "out/run.json")
    assert (chrome.exit_code, chrome.stdout) == (0, "out/run.json\n")
    assert json.loads(Path("out/run.json").read_text())["otherData"]["planner"] == "per_task"
    assert invoke("trace", "export", report["run"], "--format", "parquet").stdout == f"{report['run']}\n"
    assert Trace.load(report["run"]).metrics["makespan_s"] == report["metrics"]["makespan_s"]


def test_a_result_that_json_lacks(flows: Scene) -> None:
    """What JSON can't say is shown as Python would."""

    assert reported("run", "flows_on_disk:strange", "--launcher", "inline")["result"] in ([1, 2], "{1, 2}")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("flows_on_disk", "must look like module:workflow"),
        ("flows_on_disk:", "must look like module:workflow"),
        ("no_such_flows:x", "no module 'no_such_flows'"),
        ("flows_on_disk.deeper:x", "no module 'flows_on_disk.deeper'"),
        ("flows_on_disk:nope", "has no 'nope'"),
        ("flows_on_disk:Book.nope", "has no 'Book.nope'"),
        ("flows_on_disk:number", "without any task"),
    ],
)
def test_names_that_lead_nowhere(flows: Scene, name: str, said: str) -> None:
    """A name without a workflow behind it is a clear error."""
    with pytest.raises(fl.GraphError, match=said):
        load_workflow(name)


def test_a_module_that_lacks_another(flows: Scene) -> None:
    """A missing import of the user's module is not taken for a missing module."""
    with pytest.raises(ModuleNotFoundError, match="surely_not_installed"):
        load_workflow("needs_more:x")


def test_a_failure(flows: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A failed task is reported on standard error with its traceback; the command exits with 1."""
    monkeypatch.setattr("sys.argv", ["faaslab", "run", "flows_on_disk:bad", "--launcher", "inline"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("TaskFailed: task 'fails#0' failed on attempt 1")
    assert "ValueError: no luck" in printed.err


@pytest.mark.parametrize(
    ("option", "value", "error"), [("--planner", "wukon", fl.PlanError), ("--launcher", "dockr", fl.LauncherError)]
)
def test_unknown_names(flows: Scene, option: str, value: str, error: type[Exception]) -> None:
    """Unknown planners and launchers are refused with what is known."""
    result = invoke("run", "flows_on_disk:three", option, value)
    assert isinstance(result.exception, error)
    assert value in str(result.exception)


def test_a_timeout(flows: Scene) -> None:
    """A run that takes longer than allowed is cancelled."""
    result = invoke("run", "flows_on_disk:late", "--timeout", "0.5")
    assert isinstance(result.exception, fl.RunTimeout)


def test_export_of_an_unknown_run(flows: Scene) -> None:
    """A run that was never saved is a clear error."""
    result = invoke("trace", "export", "nothing", "--format", "chrome")
    assert isinstance(result.exception, fl.ConfigError)
    assert "no run 'nothing'" in str(result.exception)


def test_requirements(flows: Scene, tmp_path: Path) -> None:
    """A file of requirements is checked before anything runs: a package that is not there is named."""
    file = tmp_path / "requirements.txt"
    file.write_text("numpy\nno-such-package\n")
    result = invoke("run", "flows_on_disk:three", "--launcher", "inline", "-r", str(file))
    assert isinstance(result.exception, fl.LauncherError)
    assert "no-such-package" in str(result.exception)
    assert "numpy" not in str(result.exception).split("`", 1)[0]
