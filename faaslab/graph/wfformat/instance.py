"""A recorded workflow as a value: tasks, files, edges, machines, without code."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WfFile:
    """One file.

    Attributes:
        name: Its id in the document.
        size_bytes: Its size; 0 if the document does not say, which is in the instance's ``notes``.
    """

    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class WfTask:
    """One recorded task.

    Attributes:
        id: Unique in the document.
        name: What the document calls it; names may repeat.
        kind: What tasks that do the same have in common: the category that the document gives, or else the program with
            which the name begins, or else the name without the number that makes it an id.
        runtime_s: Recorded execution time; None: none was recorded, or what was is no time.
        cores: Cores that it needed; None: not said.
        memory_bytes: Its resident memory; None: not said.
        machines: Names of the machines that it ran on.
        outputs: Files that it writes, as indices.
        external: Files that it reads and no task writes, as indices: inputs of the workflow.
    """

    id: str
    name: str
    kind: str
    runtime_s: float | None
    cores: float | None
    memory_bytes: int | None
    machines: tuple[str, ...]
    outputs: tuple[int, ...]
    external: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class WfEdge:
    """One task that waits for another.

    Attributes:
        upstream: Index of the task that is waited for.
        task: Index of the task that waits.
        files: Files that move along the edge, as indices; empty: it only waits.
    """

    upstream: int
    task: int
    files: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class WfMachine:
    """One machine of the recorded execution; None: not said."""

    name: str
    cores: int | None
    memory_bytes: int | None


@dataclass(frozen=True, slots=True, repr=False)
class WfInstance:
    """A recorded workflow.

    Attributes:
        name: The document's name.
        version: Version of WfFormat, such as ``1.5``.
        tasks: Every task, upstream tasks first; task ``t`` of the DAG made of it is ``tasks[t]``.
        files: Every file that a task reads or writes, or the document lists.
        edges: Every edge, by waiting task, then upstream task.
        machines: Where it was executed.
        makespan_s: Recorded makespan; None: not said.
        notes: What the document says wrongly or not at all, and what was taken instead.
    """

    name: str
    version: str
    tasks: tuple[WfTask, ...]
    files: tuple[WfFile, ...]
    edges: tuple[WfEdge, ...]
    machines: tuple[WfMachine, ...]
    makespan_s: float | None
    notes: tuple[str, ...]

    def edge_bytes(self, edge: WfEdge) -> int:
        """Return the size of the files that move along an edge."""
        return sum(self.files[file].size_bytes for file in edge.files)

    def output_bytes(self, task: int) -> int:
        """Return the size of all files that a task writes."""
        return sum(self.files[file].size_bytes for file in self.tasks[task].outputs)

    @property
    def components(self) -> int:
        """Number of parts that no edge connects."""
        part = list(range(len(self.tasks)))

        def root(task: int) -> int:
            while part[task] != task:
                part[task] = part[part[task]]
                task = part[task]
            return task

        for edge in self.edges:
            part[root(edge.upstream)] = root(edge.task)
        return sum(part[task] == task for task in range(len(part)))

    def __repr__(self) -> str:
        return (
            f"<WfInstance {self.name!r} (WfFormat {self.version}): {len(self.tasks)} tasks, {len(self.edges)} edges, "
            f"{len(self.files)} files, {len(self.notes)} notes>"
        )
