"""DAG: an immutable, validated graph of tasks with one or more outputs."""

import hashlib
import heapq
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from faaslab.errors import ConstantError, CycleError, GraphError, LazyTaskError
from faaslab.graph.arguments import Label, Program, Splitter, assemble
from faaslab.graph.constants import Constant, ConstantTable
from faaslab.graph.functions import Function
from faaslab.graph.identity import function_identity
from faaslab.graph.options import TaskOptions, check_name
from faaslab.graph.pickling import content_digest, local_modules_by_value, serialize_function
from faaslab.graph.tasks import Task, TaskFunction, function_name

_Split = tuple[Program, list[Task[Any]], list[tuple[Label, Any]]]


@dataclass(frozen=True, slots=True)
class Kind:
    """What many tasks of a DAG have in common.

    Attributes:
        function: Index of the function.
        name: Name of the tasks.
        program: How the arguments are assembled.
        keywords: Which of them go by keyword: the last ones.
        options: The tasks' options.
    """

    function: int
    name: str
    program: Program
    keywords: tuple[str, ...]
    options: TaskOptions


class DAG:
    """A graph of tasks, numbered 0 … n-1 so that upstream tasks have smaller numbers.

    Functions and constants are serialized here: what happens to them afterwards changes nothing in this DAG.

    Args:
        outputs: A task, or any container of tasks and other values; results come back in this shape.
        name: Shown in figures and traces.

    Raises:
        CycleError: Tasks wait for each other.
        ConstantError: A function or an argument can't be serialized.
        LazyTaskError: A lazy task is hidden inside an object or a closure.
    """

    def __init__(self, outputs: Any, name: str | None = None) -> None:
        values = vars(self)  # written past __setattr__, which refuses
        values["name"] = "dag" if name is None else check_name(name)
        splitter = Splitter()
        requested = splitter.split((outputs,), {})
        tasks, splits = _collect(requested[1], splitter)
        index = {task: number for number, task in enumerate(tasks)}
        values["ids"] = _ids(tasks)
        constants = ConstantTable()
        with local_modules_by_value():
            kinds: dict[Kind, int] = {}
            functions = _FunctionTable()
            refs, uses = [], []
            kind_of = array("i")
            fast: dict[tuple[TaskFunction[Any], Program, tuple[str, ...]], int] = {}
            for number, task in enumerate(tasks):
                program, upstreams, arguments = splits[task]
                key = (task.function, program, tuple(task.kwargs))
                kind = fast.get(key)
                if kind is None:
                    shared = Kind(
                        functions.add(task, self.ids[number]), task.name, program, key[2], task.function.options
                    )
                    kind = fast[key] = kinds.setdefault(shared, len(kinds))
                kind_of.append(kind)
                refs.append(tuple([index[upstream] for upstream in upstreams]))
                uses.append(tuple([self._constant(constants, number, task, x, v) for x, v in arguments]))
            requested_constants = tuple(self._constant(constants, -1, None, x, v) for x, v in requested[2])
        values["functions"] = functions.functions
        values["kinds"] = tuple(kinds)
        values["kind_of"] = tuple(kind_of)
        values["refs"] = tuple(refs)
        values["uses"] = tuple(uses)
        values["constants"] = tuple(constants.entries)
        values["requested"] = (requested[0], tuple(index[task] for task in requested[1]), requested_constants)
        values["sinks"] = tuple(sorted({index[task] for task in requested[1]}))

    def _constant(self, table: ConstantTable, number: int, task: Task[Any] | None, label: Label, value: Any) -> int:
        try:
            return table.add(value)
        except Exception as error:
            if task is None:
                where = "an output of the DAG that is no task"
            else:
                argument = task.function.argument_name(label) if isinstance(label, int) else label
                where = f"task {self.ids[number]!r}, argument {argument!r}"
            raise _refused(where, value, error) from error

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a DAG can't be changed: {name!r} not set")

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)

    def __len__(self) -> int:
        return len(self.kind_of)

    name: str
    """Name given by the user, or ``dag``."""
    ids: tuple[str, ...]
    """Id of each task, ``name#k`` for the k-th of that name."""
    functions: tuple[Function, ...]
    """Distinct functions, in the order of first use."""
    kinds: tuple[Kind, ...]
    """What tasks have in common."""
    kind_of: tuple[int, ...]
    """Index into ``kinds`` of each task."""
    refs: tuple[tuple[int, ...], ...]
    """Tasks that each task's program takes, in its order, with repetitions."""
    uses: tuple[tuple[int, ...], ...]
    """Constants that each task's program takes: indices into ``constants``."""
    constants: tuple[Any, ...]
    """Distinct constants: simple values as they are, others as ``Constant``."""
    requested: tuple[Program, tuple[int, ...], tuple[int, ...]]
    """Shape of the result: program, tasks and constants that it takes."""
    sinks: tuple[int, ...]
    """Tasks asked for as outputs, ascending."""

    def index_of(self, task_id: str) -> int:
        """Return the number of the task with an id.

        Raises:
            GraphError: There is no such task.
        """
        try:
            return self._index[task_id]
        except KeyError:
            raise GraphError(f"DAG {self.name!r} has no task {task_id!r}; its {len(self)} ids are in dag.ids") from None

    def function_of(self, t: int) -> int:
        """Return the index of a task's function in ``functions``."""
        return self.kinds[self.kind_of[t]].function

    def options(self, t: int) -> TaskOptions:
        """Return a task's options."""
        return self.kinds[self.kind_of[t]].options

    def upstreams(self, t: int) -> tuple[int, ...]:
        """Return the distinct tasks whose outputs a task takes, ascending."""
        return self._upstreams[t]

    def successors(self, t: int) -> tuple[int, ...]:
        """Return the tasks that take a task's output, ascending."""
        return self._successors[t]

    @cached_property
    def roots(self) -> tuple[int, ...]:
        """Tasks without upstream tasks, ascending."""
        return tuple([t for t, refs in enumerate(self.refs) if not refs])

    @cached_property
    def levels(self) -> tuple[int, ...]:
        """Length of the longest path to each task: 0 for roots."""
        levels: list[int] = []
        for upstreams in self._upstreams:
            levels.append(1 + max([levels[u] for u in upstreams]) if upstreams else 0)
        return tuple(levels)

    @cached_property
    def critical_path_length(self) -> int:
        """Number of tasks on the longest path."""
        return 1 + max(self.levels, default=-1)

    @cached_property
    def structure_hash(self) -> str:
        """Hash of functions (by identity), wiring, argument shapes and the options that matter, not of constants.

        Equal across kernels and machines for the same workflow.
        """
        digest = hashlib.sha256()
        kinds = [
            (k.function, k.program, k.keywords, k.options.memory_mib, k.options.pure, k.options.outputs)
            for k in self.kinds
        ]
        identities = [function.identity for function in self.functions]
        # repr of nested tuples of integers and strings is unambiguous.
        for part in (identities, kinds, self.kind_of, self.refs, self.requested[:2]):
            text = repr(part).encode("utf-8", "surrogatepass")
            digest.update(f"{len(text)}:".encode())
            digest.update(text)
        return digest.hexdigest()[:32]

    @property
    def wire_size_bytes(self) -> int:
        """Size of the whole DAG as it travels to workers: structure and code, without a plan."""
        from faaslab.protocol.wire import unplanned_size_bytes

        return unplanned_size_bytes(self)

    def build_result(self, values: Mapping[int, Any]) -> Any:
        """Return the outputs of the sinks in the shape that was asked for.

        Args:
            values: Output of every task in ``sinks``.
        """
        program, refs, uses = self.requested
        constants = [self.constants[use] for use in uses]
        return assemble(
            program, [values[ref] for ref in refs], [c.load() if type(c) is Constant else c for c in constants]
        )[0]

    def compute(self, **settings: Any) -> Any:
        """Run the DAG and return its outputs; ``settings`` as for ``fl.compute``."""
        from faaslab.client import compute

        return compute(self, **settings)

    def submit(self, **settings: Any) -> Any:
        """Start a run of the DAG and return its ``Run``; ``settings`` as for ``fl.submit``."""
        from faaslab.client import submit

        return submit(self, **settings)

    def plan(self, planner: Any = "wukong", *, predict: bool = True, **settings: Any) -> Any:
        """Return a plan, with what it is predicted to come to (``plan.predicted``).

        Args:
            planner: Name of a planner, or a planner of one's own.
            predict: Whether to predict, which takes up to a second.
            settings: As for ``faaslab.planners.plan_dag``: ``sla``, ``sizes``, ``history``, ``draws`` …
        """
        from faaslab.planners import plan_dag

        return plan_dag(self, planner, predict=predict, **settings)

    def profile(self, sizes: Iterable[int], **settings: Any) -> Any:
        """Run the DAG several times at each size, so that the history knows it; see ``client.profiling.profile``."""
        from faaslab.client import profile

        return profile(self, sizes, **settings)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {task_id: number for number, task_id in enumerate(self.ids)}

    @cached_property
    def _upstreams(self) -> list[tuple[int, ...]]:
        return [refs if len(refs) < 2 else tuple(sorted(set(refs))) for refs in self.refs]

    @cached_property
    def _successors(self) -> list[tuple[int, ...]]:
        found: list[list[int]] = [[] for _ in self.refs]
        for t, upstreams in enumerate(self._upstreams):
            for upstream in upstreams:
                found[upstream].append(t)
        return [tuple(successors) for successors in found]

    def __repr__(self) -> str:
        return f"<DAG {self.name}: {len(self)} tasks, {len(self.sinks)} outputs>"

    def _repr_html_(self) -> str:
        from faaslab.graph.draw import draw_html

        return draw_html(self)


class _FunctionTable:
    """Serializes each function once and finds those with equal code."""

    def __init__(self) -> None:
        self._by_object: dict[int, int] = {}
        self._by_digest: dict[str, int] = {}
        self._entries: list[Function] = []

    @property
    def functions(self) -> tuple[Function, ...]:
        return tuple(self._entries)

    def add(self, task: Task[Any], task_id: str) -> int:
        fn = task.function.fn  # alive as long as its task, so its id is its own
        index = self._by_object.get(id(fn))
        if index is not None:
            return index
        try:
            code = serialize_function(fn)
            digest = content_digest(code)
            index = self._by_digest.get(digest)
            if index is None:
                index = self._by_digest[digest] = len(self._entries)
                self._entries.append(Function(function_name(fn), digest, function_identity(fn), code))
        except Exception as error:
            raise _refused(f"the function of task {task_id!r}", fn, error) from error
        self._by_object[id(fn)] = index
        return index


def _refused(where: str, value: Any, error: Exception) -> GraphError:
    if isinstance(error, LazyTaskError):
        return LazyTaskError(f"{where}: {error}")
    reason = str(error) or type(error).__name__
    return ConstantError(f"{where} can't be serialized ({type(value).__module__}.{type(value).__qualname__}): {reason}")


def _collect(requested: Iterable[Task[Any]], splitter: Splitter) -> tuple[list[Task[Any]], dict[Task[Any], _Split]]:
    """Return all tasks that the requested ones depend on, in topological order, and their split arguments."""
    splits: dict[Task[Any], _Split] = {}
    pending = list(requested)
    while pending:
        task = pending.pop()
        if task in splits:
            continue
        try:
            splits[task] = split = splitter.split(task.args, task.kwargs)
        except GraphError as error:
            raise type(error)(f"task {task.name!r}: {error}") from None
        pending.extend(split[1])
    # Arguments exist before the task that takes them, unless a container was changed after the call.
    tasks = sorted(splits, key=lambda task: task.number)
    if any(upstream.number >= task.number for task in tasks for upstream in splits[task][1]):
        tasks = _sorted_by_dependency(tasks, splits)
    return tasks, splits


def _sorted_by_dependency(tasks: list[Task[Any]], splits: Mapping[Task[Any], _Split]) -> list[Task[Any]]:
    missing = {task: len(set(splits[task][1])) for task in tasks}
    successors: dict[Task[Any], list[Task[Any]]] = {task: [] for task in tasks}
    for task in tasks:
        for upstream in set(splits[task][1]):
            successors[upstream].append(task)
    by_number = {task.number: task for task in tasks}
    ready = [task.number for task in tasks if not missing[task]]
    ordered: list[Task[Any]] = []
    while ready:
        task = by_number[heapq.heappop(ready)]
        ordered.append(task)
        for successor in successors[task]:
            missing[successor] -= 1
            if not missing[successor]:
                heapq.heappush(ready, successor.number)
    if len(ordered) < len(tasks):
        raise _cycle({task: splits[task][1] for task in tasks if missing[task]})
    return ordered


def _cycle(waiting: Mapping[Task[Any], list[Task[Any]]]) -> CycleError:
    """Follow unfinished upstream tasks until one comes up again."""
    path: dict[Task[Any], None] = {}
    task = next(iter(waiting))
    while task not in path:
        path[task] = None
        task = next(upstream for upstream in waiting[task] if upstream in waiting)
    steps = list(path)
    start = next(position for position, step in enumerate(steps) if step is task)
    names = [step.name for step in reversed(steps[start:])]
    shown = [*names[:10], "…"] if len(names) > 10 else names
    return CycleError(f"tasks wait for each other in a cycle of length {len(names)}: {' → '.join([*shown, names[0]])}")


def _ids(tasks: Iterable[Task[Any]]) -> tuple[str, ...]:
    count: Counter[str] = Counter()
    ids = []
    for task in tasks:
        name = task.function.name
        ids.append(f"{name}#{count[name]}")
        count[name] += 1
    return tuple(ids)
