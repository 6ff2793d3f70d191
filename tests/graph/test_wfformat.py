"""Reading WfFormat, and the DAGs made of it."""

import copy
import gc
import gzip
import json
import os
import pickle
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import faaslab as fl
from faaslab.cli.workflows import load_workflow
from faaslab.config import SIZE_VARIABLE
from faaslab.graph.wfformat import bodies, read_wfformat
from faaslab.graph.wfformat.bodies import File, burn, pause
from faaslab.graph.wfformat.validator import validate_wfformat
from faaslab.model.sizes import MIB_PER_VCPU
from tests.graph.strategies import evaluate
from tests.graph.wf_documents import VERSIONS, Workflow, document, pair, workflows


@given(workflow=workflows(), version=st.sampled_from(VERSIONS))
def test_every_version_says_the_same(workflow: Workflow, version: str) -> None:
    """A valid document of any version, tasks in any order, gives the tasks, edges and sizes that it was made of."""
    made = document(workflow, version)
    validate_wfformat(made)
    instance = read_wfformat(made)
    assert (instance.version, instance.makespan_s, instance.notes) == (version, 12.5, ())
    ids = [task.id for task in instance.tasks]
    edges = {(ids[edge.upstream], ids[edge.task]): instance.edge_bytes(edge) for edge in instance.edges}
    assert edges == workflow.edges()
    assert all(edge.upstream < edge.task for edge in instance.edges)
    recorded = {task.id: task for task in workflow.tasks}
    assert sorted(ids) == sorted(recorded)
    for t, task in enumerate(instance.tasks):
        same = recorded[task.id]
        assert (task.name, task.runtime_s, task.cores, task.machines) == (same.name, same.runtime_s, 2.0, ("m-1",))
        assert [instance.files[file].name for file in task.outputs] == list(same.outputs)
        assert [instance.files[file].name for file in task.external] == workflow.external(same)
        assert instance.output_bytes(t) == sum(workflow.sizes[file] for file in same.outputs)
    assert [(one.name, one.cores, one.memory_bytes) for one in instance.machines] == [("m-1", 8, 4000)]


@given(workflow=workflows(), version=st.sampled_from(VERSIONS))
def test_a_dag_has_the_structure_of_its_document(workflow: Workflow, version: str) -> None:
    """Task t of the DAG is task t of the document: same upstream tasks, same estimates."""
    instance = read_wfformat(document(workflow, version))
    dag = fl.from_wfformat(instance, time_scale=0.5, bytes_scale=2)
    assert len(dag) == len(instance.tasks)
    edges = {(edge.upstream, edge.task) for edge in instance.edges}
    assert {(upstream, t) for t in range(len(dag)) for upstream in dag.upstreams(t)} == edges
    for t, task in enumerate(instance.tasks):
        assert dag.options(t).expected_s == (task.runtime_s or 0) * 0.5
        assert dag.options(t).output_bytes == 2 * instance.output_bytes(t)
        assert dag.kinds[dag.kind_of[t]].name == task.name


@given(workflow=workflows())
def test_what_tasks_write(workflow: Workflow) -> None:
    """A DAG's outputs are the files of its last tasks, of the recorded size times the scale."""
    result = evaluate(fl.from_wfformat(document(workflow, "1.5"), time_scale=0, bytes_scale=0.5))
    waited_for = {upstream for upstream, _ in workflow.edges()}
    for task in workflow.tasks:
        assert (task.id in result) == (task.id not in waited_for)
        if task.id in result:
            output = result[task.id]
            files = output if len(task.outputs) > 1 else [output] if task.outputs else []
            assert [(file.name, len(file.data)) for file in files] == [
                (file, round(workflow.sizes[file] * 0.5)) for file in task.outputs
            ]


def test_tasks_take_exactly_what_they_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an upstream task's files, a task takes those that it reads, and the first one if it only waits."""
    made = {"name": "w", "schemaVersion": "1.5", "workflow": {"specification": {"tasks": [], "files": []}}}
    made["workflow"]["specification"]["tasks"] = [
        {"id": "a", "name": "a", "outputFiles": ["x", "y", "z"]},
        {"id": "b", "name": "b", "inputFiles": ["z", "y"]},
        {"id": "c", "name": "c", "parents": ["a"]},
    ]
    with pytest.warns(UserWarning, match="3 files have no size"):
        dag = fl.from_wfformat(made)
    taken = {dag.ids[t]: dag.kinds[dag.kind_of[t]].program[1:] for t in range(3)}
    item = 2  # faaslab.graph.arguments.ITEM
    assert taken == {"a#0": (), "b#0": (2 << 4 | item, 1 << 4 | item), "c#0": (0 << 4 | item,)}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("packed", [False, True], ids=["json", "gz"])
def test_files(tmp_path: Path, version: str, packed: bool) -> None:
    """Files are read, gzipped or not, whatever they are called."""
    text = json.dumps(pair(version)).encode()
    path = tmp_path / "some.thing"
    path.write_bytes(gzip.compress(text) if packed else text)
    assert read_wfformat(path) == read_wfformat(str(path)) == read_wfformat(pair(version))


@pytest.mark.parametrize("version", VERSIONS)
def test_missing_version(version: str) -> None:
    """Without schemaVersion the layout tells; 1.6 is laid out as 1.5."""
    made = pair(version)
    del made["schemaVersion"]
    taken = "1.5" if version == "1.6" else version
    instance = read_wfformat(made)
    assert (instance.version, instance.notes) == (taken, (f"schemaVersion is missing: taken as {taken}",))
    assert instance.tasks == read_wfformat(pair(version)).tasks


def test_jobs() -> None:
    """Documents of 1.3 that still say jobs, as those before, are read."""
    made = pair("1.3")
    made["workflow"]["jobs"] = made["workflow"].pop("tasks")
    assert read_wfformat(made) == read_wfformat(pair("1.3"))


def test_ids_that_are_missing() -> None:
    """Tasks without an id go by their name, or by name and place where the name repeats."""
    made = pair("1.4")
    for task in made["workflow"]["tasks"]:
        del task["id"]
    made["workflow"]["tasks"][1]["parents"] = ["first"]
    assert [task.id for task in read_wfformat(made).tasks] == ["first", "second"]
    made["workflow"]["tasks"][1].update(name="first", parents=[])
    instance = read_wfformat(made)
    assert [task.id for task in instance.tasks] == ["first_0", "first_1"]
    assert [(edge.upstream, edge.task) for edge in instance.edges] == [(0, 1)]


@pytest.mark.parametrize(
    ("name", "key", "shown"),
    [
        ("mProject_ID0000001", "mProject_ID0000001", "mProject"),
        ("mProject_ID0000001", "ID0000001", "mProject"),
        ("chr21", "chr21_00000001", "chr21"),
        ("run_20240101", "t1", "run_20240101"),
        ("_00001", "_00001", "_00001"),
        ("a\nb\0c", "t", "a?b?c"),
        ("任务 <b>*", "t", "任务 <b>*"),
        ("", "t", "t"),
    ],
)
def test_names(name: str, key: str, shown: str) -> None:
    """Tasks are named for their kind: a number that makes the name an id is left out, odd characters are replaced."""
    made = pair()
    made["workflow"]["specification"] = {"tasks": [{"name": name, "id": key}]}
    del made["workflow"]["execution"]
    assert fl.from_wfformat(made).ids == (f"{shown}#0",)


@pytest.mark.parametrize(
    ("name", "about", "kind"),
    [
        ("filter_HEP2_s_1_ID0000003", {"command": {"program": "filter"}}, "filter"),
        ("filters_ID0000003", {"command": {"program": "filter"}}, "filters_ID0000003"),
        ("filter_ID0000003", {"command": {"program": "filter"}, "category": "clean"}, "clean"),
        ("filter", {"command": {}}, "filter"),
    ],
)
def test_kinds(name: str, about: dict[str, Any], kind: str) -> None:
    """Tasks of a kind share its name: the category, or the program that their names begin with."""
    made = pair("1.4")
    made["workflow"]["tasks"] = [{"name": name, "id": "t1", **about}]
    assert [task.kind for task in read_wfformat(made).tasks] == [kind]
    assert fl.from_wfformat(made).ids == (f"{kind}#0",)


def test_long_names() -> None:
    """Names that are too long are cut, and stay different."""
    made = pair()
    del made["workflow"]["execution"]
    names = ["x" * 10_000 + "a", "x" * 10_000 + "b"]
    made["workflow"]["specification"] = {"tasks": [{"name": name, "id": name} for name in names]}
    dag = fl.from_wfformat(made)
    assert len(set(dag.ids)) == 2
    assert [len(kind.name) for kind in dag.kinds] == [200, 200]
    assert [task.id for task in read_wfformat(made).tasks] == names


SPECIFICATION = ("workflow", "specification")
EXECUTION = ("workflow", "execution")


def changed(version: str, path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """Return the document of two tasks with one field changed; ``...`` removes it."""
    made = copy.deepcopy(pair(version))
    inner: Any = made
    for step in path[:-1]:
        inner = inner[step]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return made


RUNTIME = (*EXECUTION, "tasks", 0, "runtimeInSeconds")


@pytest.mark.parametrize(
    ("path", "value", "note"),
    [
        (RUNTIME, -1.5, "tasks[0] (task 'a').runtimeInSeconds is -1.5: taken as not known"),
        (RUNTIME, float("nan"), "runtimeInSeconds is nan: taken as not known"),
        ((*EXECUTION, "tasks", 1, "coreCount"), 0, "(task 'b').coreCount is 0: taken as not known"),
        ((*EXECUTION, "makespanInSeconds"), -3, "makespanInSeconds is -3: taken as not known"),
        ((*SPECIFICATION, "files"), [], "2 files have no size: taken as 0 bytes ('in.txt', 'f'"),
        ((*SPECIFICATION, "files", 0, "id"), "in.txt", "file 'in.txt' has 100 and 1000000000000 bytes"),
    ],
)
def test_what_makes_no_sense_is_noted(path: tuple[Any, ...], value: Any, note: str) -> None:
    """Numbers that can't be are taken as not known; each is noted, and whoever makes a DAG is warned."""
    made = changed("1.5", path, value)
    instance = read_wfformat(made)
    assert any(note in one.replace("('f', 'in.txt'", "('in.txt', 'f'") for one in instance.notes), instance.notes
    with pytest.warns(UserWarning, match="taken as"):
        fl.from_wfformat(made)


@pytest.mark.parametrize("runtime", [-1.0, None, ...])
def test_unknown_runtimes(runtime: Any) -> None:
    """A task without a recorded runtime has no estimate, not one of 0 seconds."""
    instance = read_wfformat(changed("1.5", RUNTIME, runtime))
    assert instance.tasks[0].runtime_s is None
    assert [fl.from_wfformat(instance).options(t).expected_s for t in range(2)] == [None, 2.0]


def test_zeros_are_no_oddities() -> None:
    """A recorded runtime of 0 and a file of 0 bytes are what they are."""
    made = changed("1.5", RUNTIME, 0)
    made["workflow"]["specification"]["files"][0]["sizeInBytes"] = 0
    instance = read_wfformat(made)
    assert (instance.notes, instance.tasks[0].runtime_s, instance.output_bytes(0)) == ((), 0.0, 0)
    assert fl.from_wfformat(instance).options(0).expected_s == 0.0


def test_a_specification_alone() -> None:
    """A document without execution is read: nothing is known of time."""
    made = changed("1.6", EXECUTION, ...)
    validate_wfformat(made)
    instance = read_wfformat(made)
    assert (instance.makespan_s, instance.machines, instance.notes) == (None, (), ())
    assert {task.runtime_s for task in instance.tasks} == {None}


def test_children_and_parents_that_differ() -> None:
    """An edge counts if either end has it."""
    for key, first in (("parents", 1), ("children", 0)):
        made = changed("1.5", (*SPECIFICATION, "tasks", first, key), [])
        assert [(edge.upstream, edge.task) for edge in read_wfformat(made).edges] == [(0, 1)]


def two_writers(**third: Any) -> dict[str, Any]:
    """Return a document in which ``a`` and ``b`` write file ``f`` and ``c`` reads it."""
    made = changed("1.5", EXECUTION, ...)
    made["workflow"]["specification"]["tasks"] = [
        {"id": "a", "name": "a", "outputFiles": ["f"]},
        {"id": "b", "name": "b", "outputFiles": ["f"]},
        {"id": "c", "name": "c", "inputFiles": ["f"], **third},
    ]
    return made


def test_a_file_of_two_writers() -> None:
    """A file that two tasks write comes from those that are parents; without such a parent it is not clear which."""
    instance = read_wfformat(two_writers(parents=["b"]))
    assert [(edge.upstream, edge.task, instance.edge_bytes(edge)) for edge in instance.edges] == [(1, 2, 100)]
    with pytest.raises(fl.GraphError, match=r"tasks\[2\] \(task 'c'\).inputFiles: file 'f' is written by 2 tasks"):
        read_wfformat(two_writers())


def test_a_file_that_is_updated() -> None:
    """A task that reads what it writes itself reads a file from outside."""
    made = changed("1.5", (*SPECIFICATION, "tasks", 0, "inputFiles"), ["f"])
    instance = read_wfformat(made)
    assert [instance.files[file].name for file in instance.tasks[0].external] == ["f"]
    assert len(instance.edges) == 1


def test_components() -> None:
    """Parts that no edge connects are counted."""
    assert read_wfformat(pair()).components == 1
    assert read_wfformat(two_writers(parents=["b"])).components == 2


FIRST, SECOND = (*SPECIFICATION, "tasks", 0), (*SPECIFICATION, "tasks", 1)


@pytest.mark.parametrize(
    ("version", "path", "value", "said"),
    [
        ("1.5", ("schemaVersion",), "2.0", "schemaVersion: is '2.0'; FaaSLab reads 1.3, 1.4, 1.5, 1.6"),
        ("1.5", ("schemaVersion",), "1.10", "schemaVersion: is '1.10'"),
        ("1.5", ("schemaVersion",), "1.4", "workflow.tasks: is missing, although schemaVersion is 1.4; workflow has"),
        ("1.3", ("schemaVersion",), "1.5", "workflow.specification: is missing, although"),
        ("1.5", ("workflow",), ..., "workflow: must be an object, is nothing"),
        ("1.5", ("workflow",), [], "workflow: must be an object, is a list"),
        ("1.5", SPECIFICATION, None, "workflow.specification: must be an object"),
        ("1.5", (*SPECIFICATION, "tasks"), ..., "workflow.specification.tasks: is missing"),
        ("1.5", (*SPECIFICATION, "tasks"), {}, "workflow.specification.tasks: must be a list, is an object"),
        ("1.5", FIRST, "a", "workflow.specification.tasks[0]: must be an object, is a string"),
        ("1.5", (*FIRST, "id"), ..., "workflow.specification.tasks[0].id: is missing"),
        ("1.5", (*FIRST, "id"), 7, "workflow.specification.tasks[0].id: must be a string, is 7"),
        ("1.5", (*FIRST, "id"), "b", "tasks[1] (task 'b').id: is that of workflow.specification.tasks[0], too"),
        ("1.5", (*SECOND, "parents"), ["zzz"], "tasks[1] (task 'b').parents: there is no task 'zzz'"),
        ("1.5", (*FIRST, "children"), ["zzz"], "tasks[0] (task 'a').children: there is no task 'zzz'"),
        ("1.5", (*SECOND, "parents"), "a", "tasks[1] (task 'b').parents: must be a list, is a string"),
        ("1.5", (*SECOND, "inputFiles"), [5], "tasks[1] (task 'b').inputFiles[0]: must be a string, is 5"),
        ("1.5", (*SPECIFICATION, "files", 0, "sizeInBytes"), -4, "files[0].sizeInBytes: size of file 'f' must be"),
        ("1.5", (*SPECIFICATION, "files", 0, "sizeInBytes"), "4", "files[0].sizeInBytes: size of file 'f' must be"),
        ("1.5", (*SPECIFICATION, "files", 0, "id"), ..., "workflow.specification.files[0].id: is missing"),
        ("1.5", (*EXECUTION, "tasks", 1, "id"), "q", "execution.tasks[1].id: task 'q' is not in workflow.spec"),
        ("1.5", (*EXECUTION, "tasks", 1, "id"), "a", "execution.tasks[1].id: task 'a' was in this list before"),
        ("1.5", RUNTIME, "fast", "tasks[0] (task 'a').runtimeInSeconds: must be a number, is a string"),
        ("1.5", (*EXECUTION, "tasks", 0, "command"), {"program": 1}, "(task 'a').command.program: must be a string"),
        ("1.5", RUNTIME, True, "runtimeInSeconds: must be a number, is a boolean"),
        ("1.5", (*EXECUTION, "machines", 0, "nodeName"), ..., "machines[0].nodeName: is missing"),
        ("1.3", ("workflow", "tasks"), [], "workflow: has no tasks"),
        ("1.3", ("workflow", "tasks", 0, "parents"), ["nope"], "workflow.tasks[0] (task 'a').parents: there is no"),
        ("1.3", ("workflow", "tasks", 0, "files", 0, "link"), "in", "files[0].link: of file 'in.txt' must be 'input'"),
        ("1.4", ("workflow", "tasks", 0, "files", 1, "sizeInBytes"), 1.5, "files[1].sizeInBytes: size of file 'f'"),
        ("1.4", ("workflow", "tasks", 1, "runtimeInSeconds"), [], "runtimeInSeconds: must be a number, is a list"),
    ],
)
def test_malformed_documents(tmp_path: Path, version: str, path: tuple[Any, ...], value: Any, said: str) -> None:
    """What can't be understood is an error that names file, field and task."""
    file = tmp_path / "broken.json"
    file.write_text(json.dumps(changed(version, path, value)))
    with pytest.raises(fl.GraphError) as caught:
        fl.from_wfformat(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert said in str(caught.value)


def test_an_ambiguous_parent() -> None:
    """A parent given by a name that several tasks have is not guessed."""
    made = pair("1.4")
    made["workflow"]["tasks"].append({"name": "first", "id": "c", "parents": ["first"]})
    with pytest.raises(fl.GraphError, match="'first' is the name of 2 tasks and the id of none"):
        read_wfformat(made)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no JSON"),
        (b"{", "is no JSON"),
        (b"[1]", "the document: must be an object, is a list"),
        (b"\xff\xfe\xfa", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (gzip.compress(b"{}" * 1000, mtime=0)[:-12], "can't be read"),
        (b"\x1f\x8bnot gzip at all", "can't be read"),
        (b"{}", "workflow: must be an object, is nothing"),
        (b'{"workflow": {"stuff": 1}}', "has neither specification .* nor tasks .*, but stuff"),
    ],
    ids=["empty", "brace", "list", "bytes", "deep", "cut off", "no gzip", "object", "stuff"],
)
def test_files_that_are_something_else(tmp_path: Path, content: bytes, said: str) -> None:
    """A file that is damaged, or holds something else, is an error that names it."""
    path = tmp_path / "odd.json"
    path.write_bytes(content)
    with pytest.raises(fl.GraphError, match=said) as caught:
        read_wfformat(path)
    assert str(path) in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    """A file that is not there, or is a folder, is an error that names it."""
    with pytest.raises(fl.GraphError, match=r"nowhere.json: there is no such file"):
        fl.from_wfformat(tmp_path / "nowhere.json")
    with pytest.raises(fl.GraphError, match="can't be read"):
        fl.from_wfformat(tmp_path)


def test_garbage_is_collected_again() -> None:
    """Reading switches the search for garbage off, and on again even after an error."""
    read_wfformat(pair())
    with pytest.raises(fl.GraphError):
        read_wfformat({})
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"body": "gpu"}, "body is 'gpu', must be one of cpu, sleep"),
        ({"time_scale": -1}, "time_scale is -1"),
        ({"bytes_scale": float("inf")}, "bytes_scale is inf"),
        ({"elasticity": float("nan")}, "elasticity is nan"),
    ],
)
def test_arguments_out_of_range(settings: dict[str, Any], said: str) -> None:
    """Settings that make no sense are refused."""
    with pytest.raises(fl.GraphError, match=said):
        fl.from_wfformat(pair(), **settings)


def test_named_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line takes a WfFormat file where it takes a module's workflow."""
    monkeypatch.chdir(tmp_path)
    Path("flow.json").write_text(json.dumps(pair()))
    Path("flow.json.gz").write_bytes(gzip.compress(json.dumps(pair("1.3")).encode()))
    assert load_workflow("flow.json").ids == load_workflow("flow.json.gz").ids == ("first#0", "second#0")
    with pytest.raises(fl.GraphError, match="there is no such file"):
        load_workflow("flaw.json")
    with pytest.raises(fl.GraphError, match="no module 'flaw'"):
        load_workflow("flaw:Book.json")


def test_content_of_files() -> None:
    """A file's content is the same each time, another for another name, and can't be compressed."""
    data = File.made("x", 100_000).data
    assert data == File.made("x", 100_000).data != File.made("y", 100_000).data
    assert len(zlib.compress(data)) > 100_000
    assert len(File.made("z", 0).data) == 0


def test_files_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is larger than what is made at once has its whole size, and no piece twice."""
    monkeypatch.setattr(bodies, "_PIECE_BYTES", 1000)
    data = File.made("x", 2500).data
    assert len(data) == 2500
    assert data[:500] != data[1000:1500] != data[2000:]


def test_files_travel_without_copies() -> None:
    """A pickled file keeps its bytes out of band; without that it can be pickled, too."""
    file = File.made("x", 50_000)
    buffers: list[pickle.PickleBuffer] = []
    assert len(pickle.dumps(file, protocol=5, buffer_callback=buffers.append)) < 200
    assert [buffer.raw().nbytes for buffer in buffers] == [50_000]
    for protocol in (2, 5):
        again = pickle.loads(pickle.dumps(file, protocol=protocol))
        assert (again.name, again.data) == ("x", file.data)
    assert repr(file) == "<file 'x', 50000 bytes>"


@pytest.mark.parametrize("body", [burn, lambda seconds, files, *inputs: pause(seconds, 1.0, files, *inputs)])
def test_what_bodies_return(body: Callable[..., Any]) -> None:
    """A task without files returns None, with one that file, with more a tuple."""
    assert body(0.0, ()) is None
    assert body(0.0, (("x", 3),), "input").name == "x"
    assert [len(file.data) for file in body(0.0, (("x", 3), ("y", 4)))] == [3, 4]


def test_burnt_cpu_time() -> None:
    """``cpu`` uses CPU time, files included, of its own thread."""
    before_s = time.thread_time()
    burn(0.05, (("x", 100_000),))
    assert 0.05 <= time.thread_time() - before_s < 0.2


@pytest.mark.parametrize(
    ("size", "elasticity", "expected_s"),
    [(None, 1.0, 8.0), ("", 1.0, 8.0), ("1769", 1.0, 8.0), ("3538", 1.0, 4.0), ("3538", 0.0, 8.0), ("7076", 0.5, 4.0)],
)
def test_slept_time(monkeypatch: pytest.MonkeyPatch, size: str | None, elasticity: float, expected_s: float) -> None:
    """``sleep`` sleeps shorter on a larger worker, as elastic as it is told; without a size, as recorded."""
    monkeypatch.delenv(SIZE_VARIABLE, raising=False)
    if size is not None:
        monkeypatch.setitem(os.environ, SIZE_VARIABLE, size)
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    pause(8.0, elasticity, ())
    assert slept == [pytest.approx(expected_s, abs=0.5)]
    assert slept[0] <= expected_s


def test_the_reference_size_is_one_vcpu() -> None:
    """The size on which tasks take as long as recorded is that of one vCPU."""
    assert bodies.REFERENCE_MIB == MIB_PER_VCPU
