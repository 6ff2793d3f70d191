"""A recorded run simulated again: its placement, executions and outputs, on the platform that it has shown.

What is left between the two makespans is what the simulator does not know of the engine.
"""

from typing import Any

from faaslab.errors import TraceError
from faaslab.graph.dag import DAG
from faaslab.model.estimates import Basis
from faaslab.model.measured import platform_of_run
from faaslab.model.platform import Platform
from faaslab.model.variation import Spread
from faaslab.plan import DEFAULT_OPTIMIZATIONS, Assignment, Plan
from faaslab.simulate.flat import FlatDag
from faaslab.simulate.placement import place
from faaslab.simulate.simulation import RUN_TIME, Simulation, run_placement
from faaslab.trace import Trace


class RecordedEstimates:
    """What the tasks of a run took, as estimates.

    Args:
        trace: The run.
        dag: What was run.

    Raises:
        TraceError: A task has not finished in it, or it is of another DAG.
    """

    def __init__(self, trace: Trace, dag: DAG) -> None:
        if trace.manifest.structure_hash != dag.structure_hash:
            raise TraceError(f"run {trace.manifest.run!r} is of another DAG than {dag.name!r}")
        self._records = {record.task: record for record in trace.records.tasks if record.counted}
        missing = [task for task in range(len(dag)) if task not in self._records]
        if missing:
            raise TraceError(
                f"run {trace.manifest.run!r} can't be simulated again: {dag.ids[missing[0]]!r} has not finished in it"
            )

    def exec_s(self, task: int, size_mib: int) -> float:
        """Return what the execution took, whatever the size."""
        return self._records[task].exec_s

    def output_bytes(self, task: int) -> float:
        """Return the size of the output."""
        return self._records[task].output_bytes

    def basis(self, task: int, size_mib: int) -> Basis:
        """Return ``measured``."""
        return "measured"

    def spread(self, task: int, size_mib: int) -> Spread:
        """Return no spread at all: it took what it took."""
        return Spread(0.0, 0.0, 0.0)


def recorded_plan(trace: Trace, dag: DAG) -> Plan:
    """Return the placement of a run as a plan; what was decided at run time is left to be decided again.

    Raises:
        TraceError: A task has not finished in it.
    """
    orders: dict[str, list[int]] = {}
    assignments: dict[int, Assignment] = {}
    for record in sorted(trace.records.tasks, key=lambda record: (record.start_s, record.task)):
        if record.counted:
            worker = None if record.invocation.startswith(RUN_TIME) else record.invocation
            if worker is not None:
                orders.setdefault(worker, []).append(record.task)
            assignments[record.task] = Assignment(worker, record.size_mib)
    missing = [task for task in range(len(dag)) if task not in assignments]
    if missing:
        raise TraceError(f"run {trace.manifest.run!r} has no placement of {dag.ids[missing[0]]!r}: it has not finished")
    told: Any = trace.manifest.settings.get("optimizations")
    return Plan.for_dag(
        dag,
        trace.manifest.planner,
        [assignments[task] for task in range(len(dag))],
        orders=orders,
        optimizations=frozenset(told) if isinstance(told, list) else DEFAULT_OPTIMIZATIONS,
    )


def replay(trace: Trace, dag: DAG, platform: Platform | None = None) -> Simulation:
    """Simulate a run again.

    Args:
        trace: The run, finished.
        dag: What was run.
        platform: Where; None: the platform that the run itself has shown, see ``platform_of_run``.

    Raises:
        TraceError: It is of another DAG, or a task has not finished in it.
        ConfigError: It has started no container, or stored no output, which would tell what its platform costs.
    """
    estimates = RecordedEstimates(trace, dag)
    where = platform_of_run(trace, dag) if platform is None else platform
    return run_placement(place(FlatDag.of(dag, estimates), recorded_plan(trace, dag), where))
