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

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Protocol

from faaslab.errors import PlanError
from faaslab.model.calibration import Calibration, calibration
from faaslab.model.distribution import Promise
from faaslab.model.estimates import Estimates
from faaslab.model.history import Snapshot
from faaslab.model.platform import Platform, platform_named
from faaslab.model.sla import Sla
from faaslab.plan import DEFAULT_OPTIMIZATIONS, Assignment, DagView, Plan, Predicted, check_plan
from faaslab.planners.objective import Objective
from faaslab.policy.optimization import Optimization
from faaslab.policy.run_time import Policy
from faaslab.simulate import Simulation, Simulator, monte_carlo
from faaslab.simulate.montecarlo import SEARCH_DRAWS, report_draws

DEFAULT_BUDGET = 10_000_000
"""Simulated tasks: a thousand simulations of ten thousand tasks. That takes ten seconds where numba is installed,
several times as long in plain Python; small DAGs don't use it up."""
MOST_DEGREES = 1e9
"""What counts as knowing all of a spread, where JSON has no infinity."""
SHORTLIST = 4
"""So many plans at most are told apart by quantiles."""


class Outcome(Protocol):
    """What a plan comes to in one simulation."""

    @property
    def makespan_s(self) -> float:
        """When the last output is stored."""
        ...

    @property
    def cost_usd(self) -> float:
        """What all workers cost."""
        ...


@dataclass(frozen=True)
class PlanContext:
    """What a planner may use when it plans one DAG."""

    learn: Callable[[], Estimates]
    """Returns what is known of the DAG's tasks; called once, and only if a planner asks for ``predictor``."""
    sizes: tuple[int, ...]
    """Allowed worker sizes in MiB, in rising order, at least one."""
    seed: int = 0
    optimizations: frozenset[str] = DEFAULT_OPTIMIZATIONS
    """Names of all that may be used; ``planners.composer`` applies to the plan what is not always on."""
    own: tuple[Optimization, ...] = ()
    """Those of one's own among them."""
    keep_harmful: bool = False
    """Use all of them, also those that are predicted to do harm."""
    platform: Platform = field(default_factory=lambda: platform_named("lambda"))
    """What the plan is for."""
    objective: Objective = field(default_factory=Objective)
    """What makes one plan better than another."""
    sla: Sla = field(default_factory=Sla)
    """With which confidence makespan and cost are predicted."""
    budget: int = DEFAULT_BUDGET
    """How much a planner may search: each simulation of a plan costs its number of tasks. A count, not seconds, so that
    the same plan is found on any machine."""
    recall: Callable[[], Snapshot | None] = lambda: None
    """Returns the history that ``predictor`` is learnt from; its runs calibrate predictions. None: there is none."""
    margins: tuple[float, float] = (1.0, 1.0)
    """What ``rate`` multiplies makespans and costs with that are simulated from medians: how far those at the SLA lie
    above. It is found out only if a limit was missed."""
    _simulators: dict[int, tuple[DagView, Simulator]] = field(default_factory=dict, repr=False)

    @cached_property
    def predictor(self) -> Estimates:
        """What is known of the DAG's tasks: times by size, outputs, how they vary, and what each rests on."""
        return self.learn()

    @property
    def history(self) -> str:
        """Digest of the history that the predictor has learnt from; empty: from none, or nobody has asked for it."""
        return str(getattr(vars(self).get("predictor"), "history", ""))

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

    def rate(self, found: Outcome) -> tuple[float, float, float, float]:
        """Return how bad a plan is for the objective, by a simulation from medians."""
        makespan_s, cost_usd = found.makespan_s * self.margins[0], found.cost_usd * self.margins[1]
        return self.objective.score(makespan_s, cost_usd)

    def best(self, dag: DagView, plans: Iterable[Plan]) -> Plan:
        """Return the plan that the objective prefers; of equals the first.

        They are rated by a simulation from medians. If the SLA is a percentile, that makes a short list, and the
        quantiles of simulated runs under common luck decide; of a DAG so large that these exceed the budget, it is as
        short as need be.
        """
        affordable = self.budget // (SEARCH_DRAWS * max(1, len(dag)))
        wanted = 1 if self.sla.quantile is None else max(1, min(SHORTLIST, affordable))
        rated = ((self.rate(self.simulate(dag, plan)), at, plan) for at, plan in enumerate(plans))
        shortlist = [plan for _, _, plan in heapq.nsmallest(wanted, rated)]
        if not shortlist:
            raise PlanError("there is no plan to choose from")
        if len(shortlist) == 1:
            return shortlist[0]
        return min(shortlist, key=lambda plan: self.objective.score(*self.at_sla(dag, plan, SEARCH_DRAWS)))

    def at_sla(self, dag: DagView, plan: Plan, draws: int | None = None) -> tuple[float, float]:
        """Return makespan and cost of a plan at the SLA, in seconds and USD, calibrated.

        Args:
            dag: The DAG.
            plan: A plan that can be run.
            draws: How many runs are simulated; None: as many as a report rests on.

        Raises:
            PlanError: The plan can't be run.
        """
        count = report_draws(len(dag)) if draws is None else draws
        outcomes = monte_carlo(self.simulator(dag), plan, count, seed=self.seed)
        return self._calibration(dag, plan).apply(outcomes.makespan).at(self.sla), outcomes.cost.at(self.sla)

    def predict(self, dag: DagView, plan: Plan, draws: int | None = None) -> Predicted:
        """Return what a plan is predicted to come to.

        Args:
            dag: The DAG.
            plan: The plan.
            draws: How many runs are simulated; None: from 64 for large DAGs to 1,000.

        Raises:
            PlanError: The plan can't be run.
            ConfigError: ``draws`` is below 1.
        """
        check_plan(dag, plan)
        simulator = self.simulator(dag)
        median = simulator.run(simulator.place(plan))
        count = report_draws(len(dag)) if draws is None else draws
        outcomes = monte_carlo(simulator, plan, count, seed=self.seed)
        calibrated = self._calibration(dag, plan)
        makespan = calibrated.apply(outcomes.makespan)
        raw_s = outcomes.makespan.at(self.sla)
        snapshot = self.recall()
        return Predicted(
            sla=self.sla,
            makespan=makespan,
            cost=outcomes.cost,
            trace=median.trace(),
            critical_path=median.critical_path(),
            why=median.why,
            basis_of=tuple([self.predictor.basis(task, a.size_mib) for task, a in enumerate(plan.assignments)]),
            history="" if snapshot is None else snapshot.digest,
            promise=Promise.of(outcomes.makespan, self.platform.name, self._degrees(dag)),
            calibration=makespan.at(self.sla) / raw_s if raw_s > 0 else 1.0,
            calibrated_on=calibrated.runs,
        )

    def _calibration(self, dag: DagView, plan: Plan) -> Calibration:
        snapshot = self.recall()
        if snapshot is None:
            return Calibration()
        return calibration(snapshot, dag.structure_hash, plan.planner, self.platform.name, self._degrees(dag))

    def _degrees(self, dag: DagView) -> float:
        """Return the degrees of freedom of what is known of the least known task; 0: it is declared or assumed."""
        least, size_mib = MOST_DEGREES, self.sizes[0]  # what is learnt of a function is so at all sizes
        for task in range(len(dag)):
            if self.predictor.basis(task, size_mib) not in ("measured", "extrapolated"):
                return 0.0
            least = min(least, self.predictor.spread(task, size_mib).degrees)
        return least

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
        policy: Policy | None = None,
    ) -> Plan:
        """Return the plan that makes ``assignments``, with this context's optimizations and settings.

        Args:
            dag: The DAG to plan.
            planner: Name of the planner.
            assignments: One for each task, by task index.
            orders: Task order of each worker; by default the topological order of the DAG.
            reasons: Why each task is where it is, by task index.
            policy: What decides at run time about tasks without a worker (see ``faaslab.policy.run_time``).
        """
        return Plan.for_dag(
            dag,
            planner,
            assignments,
            orders=orders,
            optimizations=self.optimizations & DEFAULT_OPTIMIZATIONS,
            settings={
                "sizes_mib": list(self.sizes),
                "seed": self.seed,
                "platform": self.platform.name,
                "objective": asdict(self.objective),
                "sla": self.sla.name,
                "history": self.history,
            },
            reasons=reasons,
            policy=policy,
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
