"""Edge cases of imported workflows (section A: 10, 14, 15, 17)."""

import json
from pathlib import Path
from typing import Any

import pytest

import faaslab as fl
from tests.edge_cases.engines import Engine


def written(path: Path, tasks: list[dict[str, Any]], files: dict[str, int] | None = None) -> Path:
    """Write a WfFormat 1.5 document of these tasks."""
    listed = [{"id": name, "sizeInBytes": size} for name, size in (files or {}).items()]
    specification = {"tasks": [{"name": task["id"], **task} for task in tasks], "files": listed}
    executed = [{"id": task["id"], "runtimeInSeconds": 0.001} for task in tasks]
    document = {
        "name": "imported",
        "schemaVersion": "1.5",
        "workflow": {"specification": specification, "execution": {"tasks": executed}},
    }
    file = path / "imported.json"
    file.write_text(json.dumps(document))
    return file


@pytest.mark.parametrize("body", ["cpu", "sleep"])
def test_disconnected_components(engine: Engine, tmp_path: Path, body: str) -> None:
    """A10: all components of an imported workflow run; each last task's files come back, in their sizes."""
    file = written(
        tmp_path,
        [
            {"id": "split", "outputFiles": ["left", "right"]},
            {"id": "a", "parents": ["split"], "inputFiles": ["left"], "outputFiles": ["a.out"]},
            {"id": "b", "parents": ["split"], "inputFiles": ["right"], "outputFiles": ["b.out", "b.log"]},
            {"id": "alone", "outputFiles": ["alone.out"]},
            {"id": "silent"},
        ],
        {"left": 3000, "right": 0, "a.out": 100_000, "b.out": 7, "b.log": 0, "alone.out": 1},
    )
    dag = fl.from_wfformat(file, body)
    value, executed = engine.executions(dag)
    assert sorted(executed.items()) == [(f"{name}#0", 1) for name in ("a", "alone", "b", "silent", "split")]
    assert [len(file.data) for file in value.pop("b")] == [7, 0]
    assert value.pop("silent") is None
    assert {name: (file.name, len(file.data)) for name, file in value.items()} == {
        "a": ("a.out", 100_000),
        "alone": ("alone.out", 1),
    }


@pytest.mark.parametrize("by", ["parents", "children", "files"])
def test_cycle(tmp_path: Path, by: str) -> None:
    """A14: a cycle in an imported file is listed, before there is anything to submit."""
    names = ["a", "b", "c"]
    tasks: list[dict[str, Any]] = [{"id": "before"}]
    for place, name in enumerate(names):
        other = names[place - 1]
        match by:
            case "parents":
                tasks.append({"id": name, "parents": [other, "before"]})
            case "children":
                tasks.append({"id": other, "children": [name]})
            case _:
                tasks.append({"id": name, "inputFiles": [f"{other}.out"], "outputFiles": [f"{name}.out"]})
    tasks.append({"id": "after", "parents": ["c"]})
    with pytest.raises(fl.CycleError, match="wait for each other in a cycle of length 3: ") as caught:
        fl.from_wfformat(written(tmp_path, tasks))
    cycle = str(caught.value).rpartition(": ")[2].split(" → ")
    assert "".join(cycle) in ("abca", "bcab", "cabc")
    assert "imported.json" in str(caught.value)


def test_long_cycle(tmp_path: Path) -> None:
    """A14: of a cycle of 5,000 tasks, ten are listed; it is found without recursion."""
    tasks = [{"id": f"t{number}", "parents": [f"t{(number - 1) % 5000}"]} for number in range(5000)]
    with pytest.raises(fl.CycleError, match="cycle of length 5000: ") as caught:
        fl.from_wfformat(written(tmp_path, tasks))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("key", ["parents", "children"])
def test_self_edge(tmp_path: Path, key: str) -> None:
    """A15: a task that waits for itself is named."""
    file = written(tmp_path, [{"id": "first"}, {"id": "loop", key: ["loop"]}])
    with pytest.raises(fl.CycleError, match=rf"imported.json: .*tasks\[1\].*{key}: task 'loop' waits for itself"):
        fl.from_wfformat(file)


@pytest.mark.parametrize("key", ["parents", "children"])
def test_dangling_reference(tmp_path: Path, key: str) -> None:
    """A15: a parent or child that is no task is named, with the task that has it."""
    file = written(tmp_path, [{"id": "first"}, {"id": "second", key: ["first", "nobody"]}])
    with pytest.raises(fl.GraphError, match=rf"imported.json: .*\(task 'second'\).{key}: there is no task 'nobody'"):
        fl.from_wfformat(file)


def test_unknown_task_executed(tmp_path: Path) -> None:
    """A15: an execution of a task that is not specified is named."""
    file = written(tmp_path, [{"id": "first"}])
    document = json.loads(file.read_text())
    document["workflow"]["execution"]["tasks"][0]["id"] = "stranger"
    file.write_text(json.dumps(document))
    with pytest.raises(fl.GraphError, match=r"imported.json: .*execution.tasks\[0\].id: task 'stranger' is not in"):
        fl.from_wfformat(file)


@pytest.mark.parametrize(
    "name", ["任务-é", "a:b*?[x]", "<img onerror=alert(1)>", "n" * 10_000, "a\0b\n", "%s {0}", "~0|1"]
)
def test_names(engine: Engine, tmp_path: Path, name: str) -> None:
    """A17: whatever tasks and files are called, they run, and results go by their whole ids."""
    tasks = [
        {"id": name, "outputFiles": [name]},
        {"id": name + "'", "parents": [name], "inputFiles": [name], "outputFiles": [name + "'"]},
    ]
    dag = fl.from_wfformat(written(tmp_path, tasks, {name: 10, name + "'": 20}))
    value = engine.run(dag)
    assert {key: (file.name, len(file.data)) for key, file in value.items()} == {name + "'": (name + "'", 20)}
