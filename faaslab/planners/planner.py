"""What a planner is: an object with a ``name`` and a ``plan`` method, for instance written in a notebook cell.

::

    class TwoWorkers:
        name = "two_workers"

        def plan(self, dag, ctx):
            size_mib = ctx.size_for(dag, range(len(dag)))
            assignments = [fl.Assignment(f"w{task % 2}", size_mib) for task in range(len(dag))]
            return ctx.plan(dag, self.name, assignments)

    result.compute(planner=TwoWorkers())
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Protocol

from faaslab.errors import PlanError
from faaslab.model.estimates import Estimates
from faaslab.model.platform import Platform, platform_named
from faaslab.model.sla import Sla
from faaslab.plan import DEFAULT_OPTIMIZATIONS, Assignment, DagView, Plan, check_plan
from faaslab.planners.objective import Objective
from faaslab.simulate import Simulation, Simulator

DEFAULT_BUDGET = 1_000_000
"""Simulated tasks; a few seconds in plain Python, less than one where numba is installed."""


@dataclass(frozen=True)
class PlanContext:
    """What a planner may use when it plans one DAG."""

    learn: Callable[[], Estimates]
    """Returns what is known of the DAG's tasks; called once, and only if a planner asks for ``predictor``."""
    sizes: tuple[int, ...]
    """Allowed worker sizes in MiB, in rising order, at least one."""
    seed: int = 0
    optimizations: frozenset[str] = DEFAULT_OPTIMIZATIONS
    platform: Platform = field(default_factory=lambda: platform_named("lambda"))
    """What the plan is for."""
    objective: Objective = field(default_factory=Objective)
    """What makes one plan better than another."""
    sla: Sla = field(default_factory=Sla)
    """With which confidence makespan and cost are predicted."""
    budget: int = DEFAULT_BUDGET
    """How much a planner may search: each simulation of a plan costs its number of tasks. A count, not seconds, so that
    the same plan is found on any machine."""

    @cached_property
    def predictor(self) -> Estimates:
        """What is known of the DAG's tasks: times by size, outputs, how they vary, and what each rests on."""
        return self.learn()

    @cached_property
    def _simulators(self) -> dict[int, tuple[DagView, Simulator]]:
        return {}

    def simulator(self, dag: DagView) -> Simulator:
        """Return the simulator of this platform with a DAG's predictor, made once."""
        found = self._simulators.get(id(dag))
        if found is None:
            found = self._simulators[id(dag)] = (dag, Simulator(dag, self.predictor, self.platform))
        return found[1]

    def sizes_for(self, dag: DagView) -> tuple[int, ...]:
        """Return the allowed sizes at which every task of a DAG can run.

        Raises:
            PlanError: One of them asks for more memory than the largest allowed size.
        """
        smallest_mib = self.size_for(dag, range(len(dag)))
        return tuple(size_mib for size_mib in self.sizes if size_mib >= smallest_mib)

    def simulate(self, dag: DagView, plan: Plan) -> Simulation:
        """Return what a plan comes to if everything takes its median.

        Raises:
            PlanError: The plan can't be run.
        """
        check_plan(dag, plan)
        simulator = self.simulator(dag)
        return simulator.run(simulator.place(plan))

    def best(self, dag: DagView, plans: Iterable[Plan]) -> Plan:
        """Return the plan that the objective prefers; of equals the first."""

        def score(plan: Plan) -> tuple[float, float, float, float]:
            simulation = self.simulate(dag, plan)
            return self.objective.score(simulation.makespan_s, simulation.cost_usd)

        return min(plans, key=score)

    def size_for(self, dag: DagView, tasks: Iterable[int]) -> int:
        """Return the smallest allowed size, in MiB, at which all of ``tasks`` can run.

        Raises:
            PlanError: One of them asks for more memory than the largest allowed size.
        """
        minimum_mib, hungriest = max(((dag.options(task).memory_mib or 0, task) for task in tasks), default=(0, -1))
        for size_mib in self.sizes:
            if size_mib >= minimum_mib:
                return size_mib
        raise PlanError(
            f"task {dag.ids[hungriest]!r} asks for memory_mib={minimum_mib}, the largest allowed size is "
            f"{self.sizes[-1]} MiB; allow a larger one in sizes="
        )

    def plan(
        self,
        dag: DagView,
        planner: str,
        assignments: Sequence[Assignment],
        *,
        orders: Mapping[str, Sequence[int]] | None = None,
        reasons: Sequence[str] = (),
    ) -> Plan:
        """Return the plan that makes ``assignments``, with this context's optimizations and settings.

        Args:
            dag: The DAG to plan.
            planner: Name of the planner.
            assignments: One for each task, by task index.
            orders: Task order of each worker; by default the topological order of the DAG.
            reasons: Why each task is where it is, by task index.
        """
        return Plan.for_dag(
            dag,
            planner,
            assignments,
            orders=orders,
            optimizations=self.optimizations,
            settings={
                "sizes_mib": list(self.sizes),
                "seed": self.seed,
                "platform": self.platform.name,
                "objective": asdict(self.objective),
                "sla": self.sla.name,
            },
            reasons=reasons,
        )


class Planner(Protocol):
    """Anything that turns a DAG into a plan; the same DAG and context give the same plan."""

    @property
    def name(self) -> str:
        """Name that plans and traces carry."""
        ...

    def plan(self, dag: DagView, ctx: PlanContext, /) -> Plan:
        """Return a plan for ``dag`` within what ``ctx`` allows."""
        ...
