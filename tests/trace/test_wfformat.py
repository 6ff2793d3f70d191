"""Runs as WfFormat documents, and the check of such documents."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import faaslab as fl
from faaslab.graph import generators
from faaslab.graph.wfformat import read_wfformat
from faaslab.trace.wfformat import to_wfformat, validate_wfformat
from tests.graph.wf_documents import VERSIONS, Workflow, document, pair, workflows
from tests.trace.runs import T0, manifest, two_workers


def run_of(dag: fl.DAG, *, planner: str = "wukong", seed: int = 0) -> fl.Trace:
    """Return the trace of a virtual run."""
    with fl.Lab(fl.VirtualLauncher(seed), config=fl.Config(runs_dir="")) as lab:
        run = lab.submit(dag, planner=planner)
        run.result(60.0)
        return run.trace


def shape(dag: fl.DAG) -> list[tuple[str, tuple[int, ...]]]:
    """Return ids and upstream tasks."""
    return [(dag.ids[t], dag.upstreams(t)) for t in range(len(dag))]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), tasks=st.integers(1, 15), planner=st.sampled_from(("wukong", "single_worker")))
def test_round_trip_of_runs(seed: int, tasks: int, planner: str) -> None:
    """A run, written and read again, is a DAG of the same tasks and edges, with the runtimes of the run."""
    dag = fl.DAG(generators.random_dag(seed, tasks))
    trace = run_of(dag, planner=planner, seed=seed)
    made = fl.to_wfformat(dag, trace)
    validate_wfformat(made)
    again = fl.from_wfformat(made)
    assert shape(again) == shape(dag)
    executed = {record.task: record for record in trace.records.tasks if record.counted}
    assert [again.options(t).expected_s for t in range(len(dag))] == [executed[t].exec_s for t in range(len(dag))]
    assert [again.options(t).output_bytes for t in range(len(dag))] == [
        executed[t].output_bytes for t in range(len(dag))
    ]


@settings(max_examples=15, deadline=None)
@given(workflow=workflows(5), version=st.sampled_from(VERSIONS))
def test_round_trip_of_documents(workflow: Workflow, version: str) -> None:
    """A recorded workflow, run and written, has the names and edges that were recorded."""
    first = fl.from_wfformat(document(workflow, version), time_scale=0)
    again = fl.from_wfformat(to_wfformat(first, run_of(first)))
    assert shape(again) == shape(first)


def test_numbers_of_a_run() -> None:
    """Runtimes, sizes, memory and machines of a run whose every second is known are in its document."""
    first = generators.one()
    dag = fl.DAG([generators.increment(first), generators.increment(first)])
    about = manifest(
        3, structure_hash=dag.structure_hash, host={"system": "Linux", "machine": "x86_64"}, versions={"faaslab": "7"}
    )
    made = to_wfformat(dag, fl.Trace.from_events(two_workers(), about))
    assert made["createdAt"] == "2023-11-14T22:13:20+00:00"
    assert made["runtimeSystem"] == {"name": "FaaSLab", "version": "7"}
    specification, execution = made["workflow"]["specification"], made["workflow"]["execution"]
    assert [task["id"] for task in specification["tasks"]] == [
        "one_00000000",
        "increment_00000001",
        "increment_00000002",
    ]
    assert specification["tasks"][0]["children"] == ["increment_00000001", "increment_00000002"]
    assert specification["tasks"][2]["inputFiles"] == ["one_00000000.output"]
    assert [file["sizeInBytes"] for file in specification["files"]] == [1000, 500, 300]
    assert execution["makespanInSeconds"] == 9.5
    assert [task["runtimeInSeconds"] for task in execution["tasks"]] == [1.0, 2.0, 1.0]
    assert [task["avgCPU"] for task in execution["tasks"]] == [75.0, 100.0, 100.0]
    assert [task.get("memoryInBytes") for task in execution["tasks"]] == [10_000, None, None]
    assert [task["machines"] for task in execution["tasks"]] == [["c-0-0"], ["c-0-0"], ["c-9-1"]]
    assert execution["tasks"][2]["executedAt"] == "2023-11-14T22:13:24.500000+00:00"
    assert execution["machines"][1] == {
        "nodeName": "c-9-1",
        "memoryInBytes": 512 * 2**20,
        "cpu": {"coreCount": 1},
        "system": "linux",
        "architecture": "x86_64",
    }
    assert T0 == 1_700_000_000.0


def test_writing(tmp_path: Path) -> None:
    """A document is written where it is asked for, and read from there."""
    dag = fl.DAG(generators.diamond(), name="diamond")
    path = tmp_path / "new" / "run.json"
    made = to_wfformat(dag, run_of(dag), path)
    assert json.loads(path.read_text()) == made
    assert fl.from_wfformat(path).name == "diamond"


def test_odd_names() -> None:
    """Names that ids of the format can't have become ids that it can; the names themselves are kept."""
    names = ["任务-é", "a:b*?[x]", "a:b*?{x}", "<img>", "run_20240101"]
    dag = fl.DAG([generators.increment.with_options(name=name)(1) for name in names])
    again = fl.from_wfformat(to_wfformat(dag, run_of(dag)))
    assert again.ids == tuple(f"{name}#0" for name in names)


def test_a_trace_of_another_dag() -> None:
    """DAG and trace must belong together."""
    dag, other = fl.DAG(generators.chain(3)), fl.DAG(generators.chain(4))
    with pytest.raises(fl.TraceError, match="pass the DAG that was run"):
        to_wfformat(other, run_of(dag))


def test_a_run_that_did_not_finish() -> None:
    """A run without all of its tasks is no recorded workflow."""
    dag = fl.DAG(generators.chain(5))
    trace = fl.Trace.from_events(two_workers(), manifest(5, structure_hash=dag.structure_hash))
    with pytest.raises(fl.TraceError, match=r"lacks 2 of 5 tasks \(increment#2, increment#3…\)"):
        to_wfformat(dag, trace)


TASKS = ("workflow", "specification", "tasks")
FILES = ("workflow", "specification", "files")
EXECUTED = ("workflow", "execution", "tasks")
MACHINES = ("workflow", "execution", "machines")


@pytest.mark.parametrize(
    ("version", "path", "value", "said"),
    [
        ("1.5", ("schemaVersion",), ..., "schemaVersion: is None, must be one of 1.3, 1.4, 1.5, 1.6"),
        ("1.5", ("schemaVersion",), "1.7", "schemaVersion: is '1.7'"),
        ("1.5", ("name",), ..., "name: is missing"),
        ("1.5", ("name",), "", "name: must be a string that is not empty, is ''"),
        ("1.6", ("author",), {"name": "x"}, "author.email: is missing"),
        ("1.5", ("runtimeSystem",), "x", "runtimeSystem: must be an object, is 'x'"),
        ("1.5", TASKS, [], "workflow.specification.tasks: must be a list of 1 or more, is []"),
        ("1.5", (*TASKS, 1, "name"), ..., "workflow.specification.tasks[1].name: is missing"),
        ("1.5", (*TASKS, 1, "children"), ..., "workflow.specification.tasks[1].children: is missing"),
        ("1.5", (*TASKS, 1, "id"), 5, "workflow.specification.tasks[1].id: must be a string"),
        ("1.5", (*TASKS, 1, "parents", 0), "a b", "tasks[1].parents[0]: may have characters"),
        ("1.5", (*TASKS, 1, "parents", 0), "zz", "tasks[1].parents[0]: there is no task 'zz'"),
        ("1.5", (*TASKS, 1, "parents"), [], "tasks[0].children[0]: task 'b' does not have 'a' among its parents"),
        ("1.5", (*TASKS, 0, "children"), [], "tasks[1].parents[0]: task 'a' does not have 'b' among its children"),
        ("1.5", (*TASKS, 1, "inputFiles", 0), "gone", "tasks[1].inputFiles[0]: file 'gone' is not in"),
        ("1.5", (*FILES, 1, "id"), "f", "files[1].id: 'f' is that of workflow.specification.files[0], too"),
        ("1.5", (*FILES, 1, "sizeInBytes"), -1, "files[1].sizeInBytes: must be a whole number of 0 or more, is -1"),
        ("1.5", (*FILES, 1, "sizeInBytes"), 1.5, "files[1].sizeInBytes: must be a whole number"),
        ("1.5", (*FILES, 1, "sizeInBytes"), True, "files[1].sizeInBytes: must be a whole number"),
        ("1.6", (*EXECUTED, 0, "runtimeInSeconds"), -0.5, "tasks[0].runtimeInSeconds: must be a number of 0 or more"),
        ("1.6", (*EXECUTED, 0, "runtimeInSeconds"), float("nan"), "runtimeInSeconds: must be a number"),
        ("1.5", (*EXECUTED, 0, "coreCount"), 0, "tasks[0].coreCount: must be a number of 1 or more, is 0"),
        ("1.5", (*EXECUTED, 0, "id"), "b", "execution.tasks[1].id: task 'b' was in this list before"),
        ("1.5", (*EXECUTED, 0, "machines", 0), "m-9", "execution.tasks[0].machines[0]: there is no machine 'm-9'"),
        ("1.5", (*MACHINES, 0, "cpu", "coreCount"), 0, "machines[0].cpu.coreCount: must be a whole number of 1"),
        ("1.5", (*MACHINES, 0, "system"), "plan9", "machines[0].system: must be one of linux, macos, windows"),
        ("1.5", ("workflow", "execution", "executedAt"), ..., "workflow.execution.executedAt: is missing"),
        ("1.3", ("workflow", "makespan"), ..., "workflow.makespan: is missing"),
        ("1.4", ("workflow", "makespanInSeconds"), -1, "workflow.makespanInSeconds: must be a number of 0 or more"),
        ("1.3", ("workflow", "tasks", 0, "type"), "magic", "workflow.tasks[0].type: must be one of compute, transfer"),
        ("1.3", ("workflow", "tasks", 0, "files", 0, "size"), ..., "workflow.tasks[0].files[0].size: is missing"),
        ("1.4", ("workflow", "tasks", 0, "files", 0, "link"), "both", "files[0].link: must be one of input, output"),
        ("1.4", ("workflow", "tasks", 0, "machine"), "m-9", "workflow.tasks[0].machine: there is no machine 'm-9'"),
        ("1.4", ("workflow", "tasks", 1, "id"), "a", "workflow.tasks[1] (task 'a').id: is that of workflow.tasks[0]"),
        ("1.3", ("workflow", "tasks", 1, "parents"), ["b"], "task 'b' waits for itself"),
    ],
)
def test_documents_that_are_not_valid(version: str, path: tuple[Any, ...], value: Any, said: str) -> None:
    """The check names the field and what is wrong with it."""
    made = copy.deepcopy(pair(version))
    validate_wfformat(made)
    inner: Any = made
    for step in path[:-1]:
        inner = inner[step]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    with pytest.raises(fl.GraphError) as caught:
        validate_wfformat(made)
    assert said in str(caught.value)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_cycle_is_not_valid(version: str) -> None:
    """Tasks that wait for each other are a CycleError, in every version."""
    made = pair(version)
    if version in ("1.3", "1.4"):
        made["workflow"]["tasks"][0]["parents"] = ["b"]
    else:
        tasks = made["workflow"]["specification"]["tasks"]
        tasks[0]["parents"], tasks[1]["children"] = ["b"], ["a"]
    with pytest.raises(fl.CycleError, match=r"cycle of length 2: . → . → ."):
        validate_wfformat(made)


def test_other_fields_are_free() -> None:
    """Fields that the format does not name may hold anything."""
    made = pair("1.6")
    made["workflow"]["execution"]["metrics"] = {"sumTaskRuntimesInSeconds": 3.0}
    made["workflow"]["repo"] = None
    validate_wfformat(made)
    assert len(read_wfformat(made).tasks) == 2
