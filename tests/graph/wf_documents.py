"""Hypothesis-made recorded workflows, and the same ones as WfFormat documents of each version."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

VERSIONS = ("1.3", "1.4", "1.5", "1.6")


@dataclass(frozen=True)
class Recorded:
    """One recorded task; ``parents`` and ``inputs`` are of earlier ones, or files of nobody."""

    id: str
    name: str
    runtime_s: float
    parents: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Workflow:
    """Recorded tasks, upstream ones first, and ``listed``, the order in which a document has them."""

    tasks: tuple[Recorded, ...]
    sizes: Mapping[str, int]
    listed: tuple[int, ...]

    def edges(self) -> dict[tuple[str, str], int]:
        """Return the bytes that move from task to task."""
        found = {(parent, task.id): 0 for task in self.tasks for parent in task.parents}
        writer = {file: task.id for task in self.tasks for file in task.outputs}
        for task in self.tasks:
            for file in task.inputs:
                if file in writer:
                    found[writer[file], task.id] = found.get((writer[file], task.id), 0) + self.sizes[file]
        return found

    def external(self, task: Recorded) -> list[str]:
        """Return the files that a task reads and nobody writes."""
        written = {file for one in self.tasks for file in one.outputs}
        return [file for file in task.inputs if file not in written]


@st.composite
def workflows(draw: st.DrawFn, max_tasks: int = 8) -> Workflow:
    """Draw a workflow: tasks that wait for some earlier ones, for the files of some, or for nothing."""
    tasks: list[Recorded] = []
    sizes = {"given.txt": 17}
    for number in range(draw(st.integers(1, max_tasks))):
        outputs = tuple(f"f{number}.{place}" for place in range(draw(st.integers(0, 3))))
        for file in outputs:
            sizes[file] = draw(st.integers(0, 3000))
        inputs = list(draw(st.sampled_from(((), ("given.txt",)))))
        parents = []
        for earlier in tasks:
            taken = draw(st.sets(st.sampled_from(earlier.outputs))) if earlier.outputs else set()
            inputs += sorted(taken)
            if draw(st.booleans()):
                parents.append(earlier.id)
        name = draw(st.sampled_from(("align", "merge_all", "x")))
        runtime_s = draw(st.floats(0, 1e4, allow_nan=False))
        tasks.append(Recorded(f"{name}.{number}", name, runtime_s, tuple(parents), tuple(inputs), outputs))
    return Workflow(tuple(tasks), sizes, tuple(draw(st.permutations(range(len(tasks))))))


def document(workflow: Workflow, version: str) -> dict[str, Any]:
    """Return a workflow as a valid document."""
    tasks = [workflow.tasks[place] for place in workflow.listed]
    inner = _flat(workflow, tasks, version) if version in ("1.3", "1.4") else _split(workflow, tasks)
    return {"name": "drawn", "schemaVersion": version, "workflow": inner}


def _split(workflow: Workflow, tasks: list[Recorded]) -> dict[str, Any]:
    return {
        "specification": {
            "tasks": [
                {
                    "name": task.name,
                    "id": task.id,
                    "parents": list(task.parents),
                    "children": [child.id for child in tasks if task.id in child.parents],
                    "inputFiles": list(task.inputs),
                    "outputFiles": list(task.outputs),
                }
                for task in tasks
            ],
            "files": [{"id": file, "sizeInBytes": size} for file, size in workflow.sizes.items()],
        },
        "execution": {
            "makespanInSeconds": 12.5,
            "executedAt": "2024-01-01T00:00:00+00:00",
            "tasks": [
                {"id": task.id, "runtimeInSeconds": task.runtime_s, "coreCount": 2, "machines": ["m-1"]}
                for task in tasks
            ],
            "machines": [{"nodeName": "m-1", "memoryInBytes": 4000, "cpu": {"coreCount": 8}}],
        },
    }


def _flat(workflow: Workflow, tasks: list[Recorded], version: str) -> dict[str, Any]:
    old = version == "1.3"
    size = "size" if old else "sizeInBytes"
    machine = {"nodeName": "m-1", "cpu": {"count": 8}} | ({"memory": 4} if old else {"memoryInBytes": 4000})
    return {
        "makespan" if old else "makespanInSeconds": 12.5,
        "executedAt": "2024-01-01T00:00:00+00:00",
        "tasks": [
            {
                "name": task.name,
                "id": task.id,
                "type": "compute",
                "runtime" if old else "runtimeInSeconds": task.runtime_s,
                "parents": list(task.parents),
                "cores": 2,
                "machine": "m-1",
                "files": [{"name": file, size: workflow.sizes[file], "link": "input"} for file in task.inputs]
                + [{"name": file, size: workflow.sizes[file], "link": "output"} for file in task.outputs],
            }
            for task in tasks
        ],
        "machines": [machine],
    }


def pair(version: str = "1.5") -> dict[str, Any]:
    """Return a document of two tasks: ``b`` takes the 100 bytes that ``a`` writes."""
    tasks = (Recorded("a", "first", 1.0, (), ("in.txt",), ("f",)), Recorded("b", "second", 2.0, ("a",), ("f",), ()))
    return document(Workflow(tasks, {"f": 100, "in.txt": 10**12}, (0, 1)), version)
