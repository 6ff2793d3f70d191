"""A plan: which worker runs each task, at which size, in which order, and why.

A plan is a value: made by a planner for one DAG, checked, compared, saved as JSON, and given to a run. It carries the
ids and the wiring of its tasks, so that it can be read and explained without the DAG.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal, Protocol, Self

import msgspec

from faaslab.errors import PlanError
from faaslab.plan.diff import PlanDiff, diff_plans
from faaslab.plan.instructions import Duplicate, Instructions, Prewarm, Saving
from faaslab.plan.predicted import Predicted, PredictedJson
from faaslab.plan.report import explain_task, plan_html
from faaslab.policy.run_time import Policy, policy_from_data, policy_to_data

SCHEMA = 3
"""Version of the JSON form; a reader refuses any other."""

OPTIMIZATIONS = (
    "skip_storage",
    "inline_inputs",
    "fan_out_clustering",
    "fan_in_clustering",
    "delayed_io",
    "preload",
    "prewarm",
    "task_dup",
    "streaming",
)
DRAWN_TASKS = 2000
"""A plan of more tasks takes seconds to draw, so its cell shows none of it; ``Plan.gantt`` does."""
DEFAULT_OPTIMIZATIONS = frozenset({"skip_storage", "inline_inputs"})


class TaskOptionsView(Protocol):
    """What planning reads of a task's options."""

    @property
    def memory_mib(self) -> int | None:
        """Least memory in MiB; None or 0: any."""
        ...

    @property
    def expected_s(self) -> float | None:
        """Execution time at one vCPU, as declared."""
        ...

    @property
    def output_bytes(self) -> int | None:
        """Size of the output, as declared."""
        ...


class DagView(Protocol):
    """What planning reads of a DAG; tasks are numbered in a topological order."""

    @property
    def ids(self) -> Sequence[str]:
        """Task ids by task index."""
        ...

    @property
    def name(self) -> str:
        """Name of the workflow."""
        ...

    @property
    def structure_hash(self) -> str:
        """Identity of tasks, code and wiring."""
        ...

    @property
    def roots(self) -> Sequence[int]:
        """Tasks without upstreams."""
        ...

    @property
    def sinks(self) -> Sequence[int]:
        """Tasks without successors."""
        ...

    def __len__(self) -> int: ...

    def upstreams(self, task: int, /) -> Sequence[int]:
        """Return the distinct tasks whose outputs ``task`` takes."""
        ...

    def successors(self, task: int, /) -> Sequence[int]:
        """Return the distinct tasks that take the output of ``task``."""
        ...

    def options(self, task: int, /) -> TaskOptionsView:
        """Return the options of ``task``."""
        ...


@dataclass(frozen=True, slots=True)
class Assignment:
    """Where one task runs, and what its worker does while the task's inputs are not there."""

    worker: str | None
    """Worker of the plan; None: decided at run time."""
    size_mib: int
    wait: Literal["stay", "leave"] = "stay"
    """What the worker does if it comes to this task before its inputs have: ``stay``, and be billed; or ``leave``:
    store what it keeps for its later tasks, end, and be invoked again when the inputs are there."""


class _PolicyJson(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """JSON form of a shipped policy."""

    name: str
    settings: dict[str, Any]


class _InstructionsJson(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """JSON form of instructions."""

    preload: tuple[int, ...] = ()
    stream: tuple[int, ...] = ()
    duplicates: tuple[Duplicate, ...] = ()
    prewarms: tuple[Prewarm, ...] = ()
    savings: tuple[Saving, ...] = ()

    @classmethod
    def of(cls, told: Instructions) -> Self:
        return cls(
            tuple(sorted(told.preload)), tuple(sorted(told.stream)), told.duplicates, told.prewarms, told.savings
        )

    def value(self) -> Instructions:
        return Instructions(
            frozenset(self.preload), frozenset(self.stream), self.duplicates, self.prewarms, (), self.savings
        )


class _PlanJson(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """JSON form of a plan; its types are what ``from_json`` checks."""

    schema: int
    planner: str
    structure_hash: str
    dag_name: str
    ids: tuple[str, ...]
    upstreams: tuple[tuple[int, ...], ...]
    assignments: tuple[Assignment, ...]
    orders: dict[str, tuple[int, ...]]
    optimizations: tuple[str, ...]
    settings: dict[str, Any]
    reasons: tuple[str, ...]
    predicted: PredictedJson | None = None
    policy: _PolicyJson | None = None
    instructions: _InstructionsJson = _InstructionsJson()


class _Schema(msgspec.Struct, frozen=True):
    """The only field that is read before the schema is known."""

    schema: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Assignments of all tasks of one DAG; make one with ``Plan.for_dag``.

    Two plans are equal when all of their fields are. ``orders`` and ``settings`` are read-only.
    """

    planner: str
    structure_hash: str
    """Hash of the DAG that this plan is for; another one is refused."""
    dag_name: str
    ids: tuple[str, ...]
    """Task ids by task index."""
    upstreams: tuple[tuple[int, ...], ...]
    """Upstream tasks by task index."""
    assignments: tuple[Assignment, ...]
    """By task index."""
    orders: Mapping[str, tuple[int, ...]]
    """The tasks of each assigned worker, in the order in which it runs them."""
    optimizations: frozenset[str] = DEFAULT_OPTIMIZATIONS
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the planner was told (seed, sizes, …); JSON values only."""
    reasons: tuple[str, ...] = ()
    """Why each task is where it is, by task index; empty if the planner gave none."""
    predicted: Predicted | None = None
    """What it is predicted to come to; None: nobody asked."""
    policy: Policy | None = None
    """What decides at run time about tasks without a worker; None: a worker becomes one ready successor and invokes
    the rest."""
    instructions: Instructions = field(default_factory=Instructions)
    """What optimizations it applies where."""

    __hash__ = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        orders = {worker: tuple(order) for worker, order in self.orders.items()}
        object.__setattr__(self, "orders", MappingProxyType(orders))
        object.__setattr__(self, "settings", MappingProxyType(dict(self.settings)))

    def __reduce__(self) -> tuple[Any, ...]:
        values = (getattr(self, field.name) for field in fields(self))
        return (Plan, tuple(dict(value) if isinstance(value, MappingProxyType) else value for value in values))

    @classmethod
    def for_dag(
        cls,
        dag: DagView,
        planner: str,
        assignments: Sequence[Assignment],
        *,
        orders: Mapping[str, Sequence[int]] | None = None,
        optimizations: Iterable[str] = DEFAULT_OPTIMIZATIONS,
        settings: Mapping[str, Any] | None = None,
        reasons: Sequence[str] = (),
        policy: Policy | None = None,
        instructions: Instructions | None = None,
    ) -> Self:
        """Return the plan that makes ``assignments`` for ``dag``.

        Args:
            dag: The DAG to plan.
            planner: Name of the planner.
            assignments: One for each task, by task index.
            orders: Task order of each worker; by default the topological order of the DAG.
            optimizations: Names of the optimizations to use.
            settings: What the planner was told, as JSON values.
            reasons: Why each task is where it is, by task index.
            policy: What decides at run time about tasks without a worker (see ``faaslab.policy.run_time``).
            instructions: What optimizations it applies where.
        """
        if orders is None:
            tasks: dict[str, list[int]] = {}
            for task, assignment in enumerate(assignments):
                if assignment.worker is not None:
                    tasks.setdefault(assignment.worker, []).append(task)
            orders = tasks
        return cls(
            planner=planner,
            structure_hash=dag.structure_hash,
            dag_name=dag.name,
            ids=tuple(dag.ids),
            upstreams=tuple(tuple(dag.upstreams(task)) for task in range(len(dag))),
            assignments=tuple(assignments),
            orders={worker: tuple(order) for worker, order in orders.items()},
            optimizations=frozenset(optimizations),
            settings=settings or {},
            reasons=tuple(reasons),
            policy=policy,
            instructions=instructions or Instructions(),
        )

    def __len__(self) -> int:
        return len(self.assignments)

    def __repr__(self) -> str:
        return (
            f"Plan({self.planner!r} for {self.dag_name!r}: {len(self)} tasks, "
            f"{len(self.orders)} assigned workers, sizes {list(self.sizes_mib)} MiB)"
        )

    @property
    def sizes_mib(self) -> tuple[int, ...]:
        """The distinct sizes that this plan uses, in rising order."""
        return tuple(sorted({assignment.size_mib for assignment in self.assignments}))

    def index(self, task_id: str) -> int:
        """Return the index of the task with this id.

        Raises:
            PlanError: The plan has no such task.
        """
        try:
            return self.ids.index(task_id)
        except ValueError:
            known = ", ".join(self.ids[:5]) + (", …" if len(self.ids) > 5 else "")
            raise PlanError(f"no task {task_id!r} in the plan of {self.dag_name!r}; its tasks: {known}") from None

    def to_json(self) -> str:
        """Return this plan as JSON text; ``from_json`` reads it back as an equal plan.

        Raises:
            PlanError: Its settings are no JSON values, or its policy or an optimization is not one of those that are
                shipped.
        """
        if self.instructions.own:
            raise PlanError(
                f"optimization {self.instructions.own[0].name!r} is code of your own, which JSON can't hold; plan "
                "without it to save a plan"
            )
        data = _PlanJson(
            schema=SCHEMA,
            planner=self.planner,
            structure_hash=self.structure_hash,
            dag_name=self.dag_name,
            ids=self.ids,
            upstreams=self.upstreams,
            assignments=self.assignments,
            orders=dict(self.orders),
            optimizations=tuple(sorted(self.optimizations)),
            settings=dict(self.settings),
            reasons=self.reasons,
            predicted=None if self.predicted is None else PredictedJson.of(self.predicted),
            policy=None if self.policy is None else _PolicyJson(*policy_to_data(self.policy)),
            instructions=_InstructionsJson.of(self.instructions),
        )
        try:
            return msgspec.json.encode(data).decode()
        except TypeError as error:
            raise PlanError(f"settings of the {self.planner!r} plan can't be written as JSON: {error}") from None

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Return the plan that ``to_json`` wrote.

        Raises:
            PlanError: The text is no plan, one of another schema, or with an unknown policy; names the field.
        """
        try:
            schema = msgspec.json.decode(text, type=_Schema).schema
            if schema != SCHEMA:
                raise PlanError(f"the plan has schema {schema}, this version of FaaSLab reads {SCHEMA}")
            data = msgspec.json.decode(text, type=_PlanJson)
        except msgspec.DecodeError as error:
            raise PlanError(f"not a plan: {error}") from None
        return cls(
            planner=data.planner,
            structure_hash=data.structure_hash,
            dag_name=data.dag_name,
            ids=data.ids,
            upstreams=data.upstreams,
            assignments=data.assignments,
            orders=data.orders,
            optimizations=frozenset(data.optimizations),
            settings=data.settings,
            reasons=data.reasons,
            predicted=None if data.predicted is None else data.predicted.value(len(data.assignments)),
            policy=None if data.policy is None else policy_from_data(data.policy.name, data.policy.settings),
            instructions=data.instructions.value(),
        )

    def diff(self, other: "Plan") -> PlanDiff:
        """Return what is different in ``other``, for the same DAG; workers' names and predictions don't count.

        Raises:
            PlanError: The plans are for different DAGs.
        """
        return diff_plans(self, other)

    def explain(self, task_id: str) -> str:
        """Return as text where a task runs, why, what it waits for, and what is predicted of it.

        Raises:
            PlanError: The plan has no such task.
        """
        return explain_task(self, self.index(task_id))

    def gantt(self) -> Any:
        """Return a Gantt chart of how a run is predicted to go, as a matplotlib figure.

        Raises:
            PlanError: The plan has no prediction.
        """
        from faaslab.viz.prediction import predicted_gantt

        return predicted_gantt(self.prediction)

    @property
    def prediction(self) -> Predicted:
        """``predicted``, where there must be one.

        Raises:
            PlanError: The plan has no prediction.
        """
        if self.predicted is None:
            raise PlanError(
                f"the {self.planner!r} plan of {self.dag_name!r} has no prediction; plan with dag.plan(...), which "
                "predicts what it makes, or simulate it: fl.simulate(dag, plan)"
            )
        return self.predicted

    def _repr_html_(self) -> str:
        html = plan_html(self)
        if self.predicted is None or len(self) > DRAWN_TASKS:
            return html
        from faaslab.viz.theme import figure_html

        return html + figure_html(self.gantt(), f"how the {self.planner} plan is predicted to go")
