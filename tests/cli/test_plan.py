"""``faaslab plan`` and ``faaslab simulate``."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import faaslab as fl
from faaslab.cli.main import app
from faaslab.planners import PLANNERS
from tests.client.scene import Scene

DOCUMENT = {
    "name": "tiny",
    "schemaVersion": "1.5",
    "workflow": {
        "specification": {
            "tasks": [
                {"name": "a", "id": "a", "parents": [], "children": ["b"], "inputFiles": [], "outputFiles": ["f"]},
                {"name": "b", "id": "b", "parents": ["a"], "children": [], "inputFiles": ["f"], "outputFiles": []},
            ],
            "files": [{"id": "f", "sizeInBytes": 1000}],
        },
        "execution": {
            "makespanInSeconds": 5,
            "executedAt": "2024-01-01T00:00:00Z",
            "tasks": [{"id": "a", "runtimeInSeconds": 2.0}, {"id": "b", "runtimeInSeconds": 3.0}],
        },
    },
}


def invoke(*arguments: str) -> Any:
    """Run the command line in this process."""
    return CliRunner().invoke(app, arguments)


def reported(*arguments: str) -> Any:
    """Return what the command prints as JSON."""
    result = invoke(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_plan_a_file(tmp_path: Path) -> None:
    """Every planner plans a recorded workflow; predictions are no better than the bounds."""
    file = tmp_path / "tiny.json"
    file.write_text(json.dumps(DOCUMENT))
    found = reported("plan", str(file), "--sizes", "1769", "--planner", "all")
    assert [row["planner"] for row in found["plans"]] == list(PLANNERS)
    start_s, end_s = 2.26 + 2 * 0.00023, 0.00023 / 2  # of the first container, and until the last output is stored
    assert found["bounds"]["makespan_s"] == pytest.approx(start_s + 5.0 + end_s)
    assert all(row["makespan_s"] > found["bounds"]["makespan_s"] for row in found["plans"])
    table = invoke("plan", str(file), "--objective", "cost")
    assert (table.exit_code, table.stdout.count("\n")) == (0, len(PLANNERS) + 2)


def test_plan_at_an_sla(flows: Scene) -> None:
    """Makespan and cost are those at the SLA; scripts get the quantiles and what the times rest on."""
    asked = ("plan", "flows_on_disk:three", "--planner", "els", "--sla", "p90")
    found = reported(*asked)
    (row,) = found["plans"]
    assert found["sla"] == "p90"
    assert row["makespan_s"] == row["makespan_p90_s"] == row["makespan_quantiles_s"]["p90"]
    assert row["cost_usd"] == row["cost_quantiles_usd"]["p90"]
    assert list(row["makespan_quantiles_s"].values())[:4] == sorted(list(row["makespan_quantiles_s"].values())[:4])
    assert sum(row["bases"].values()) == 5
    assert reported(*asked) == found
    assert reported(*asked, "--seed", "4")["plans"][0]["makespan_s"] != row["makespan_s"]
    assert "makespan_p90_s" in invoke(*asked).stdout


def test_planners_that_cannot_be_used_are_left_out(flows: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that can be used are shown, and why the others are not; one that is named is an error."""
    monkeypatch.setitem(sys.modules, "ortools", None)
    found = reported("plan", "flows_on_disk:three")
    assert [row["planner"] for row in found["plans"]] == [name for name in PLANNERS if name != "optimal"]
    assert "faaslab[opt]" in found["left_out"]["optimal"]
    assert "left out: planner 'optimal' needs OR-Tools" in invoke("plan", "flows_on_disk:three").stdout
    named = invoke("plan", "flows_on_disk:three", "--planner", "optimal")
    assert isinstance(named.exception, fl.PlannerUnavailable)


def test_plan_of_one_planner_is_written(flows: Scene) -> None:
    """It is a plan like any other."""
    assert invoke("plan", "flows_on_disk:three", "--planner", "els", "--output", "plan.json").exit_code == 0
    assert fl.Plan.from_json(Path("plan.json").read_text()).planner == "els"


def test_simulate(flows: Scene) -> None:
    """The metrics are those of a real run, by the same names; a seed draws cold starts."""
    plain = reported("simulate", "flows_on_disk:three", "--planner", "per_task", "--platform", "openwhisk")
    assert plain["invocations"] == 5
    drawn = reported(
        "simulate", "flows_on_disk:three", "--planner", "per_task", "--platform", "openwhisk", "--seed", "3"
    )
    assert drawn["makespan_s"] != plain["makespan_s"]
    assert "makespan_s" in invoke("simulate", "flows_on_disk:three").stdout


def test_simulate_at_an_sla(flows: Scene) -> None:
    """Beside one run, what many come to."""
    found = reported("simulate", "flows_on_disk:three", "--sla", "p99", "--seed", "1")
    assert found["predicted"]["sla"] == "p99"
    assert found["predicted"]["makespan_s"] == found["predicted"]["makespan_quantiles_s"]["p99"]
    assert "p99 makespan_s" in invoke("simulate", "flows_on_disk:three", "--sla", "p99").stdout
    result = invoke("simulate", "flows_on_disk:three", "--seed", "-1")
    assert isinstance(result.exception, fl.ConfigError)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        (("--sizes", "big"), fl.ConfigError, "--sizes is 'big'"),
        (("--sizes", "-5"), fl.ConfigError, "-5 MiB"),
        (("--planner", "nobody"), fl.PlanError, "unknown planner 'nobody'"),
        (("--objective", "speed"), fl.PlanError, "unknown objective 'speed'"),
        (("--deadline", "0.001"), fl.PlanError, "none can be below"),
        (("--platform", "moon"), fl.ConfigError, "moon"),
        (("--sla", "p100"), fl.PlanError, "unknown SLA 'p100'"),
        (("--sla", "mean"), fl.PlanError, "unknown SLA 'mean'"),
        (("--seed", "-1"), fl.ConfigError, "-1"),
        (("--output", "plan.json"), fl.ConfigError, "--planner"),
    ],
)
def test_bad_options(flows: Scene, options: tuple[str, ...], error: type[Exception], said: str) -> None:
    """Each is refused by name."""
    result = invoke("plan", "flows_on_disk:three", *options)
    assert isinstance(result.exception, error)
    assert said in str(result.exception)


def test_optimizations_by_name(tmp_path: Path) -> None:
    """Names, all, none; an unknown one ends the command."""
    file = tmp_path / "tiny.json"
    file.write_text(json.dumps(DOCUMENT))
    for chosen, stored in (("none", 1000), ("skip_storage", 0), ("", 0)):
        arguments = ("simulate", str(file), "--planner", "single_worker", "--optimizations", chosen)
        assert reported(*arguments)["stored_bytes"] == stored
    failed = invoke("plan", str(file), "--planner", "heft", "--optimizations", "warp,preload")
    assert failed.exit_code == 1
    assert "unknown optimization 'warp'" in str(failed.exception)
