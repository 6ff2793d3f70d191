"""``dask``: what Dask would do with the DAG on a cluster of fixed workers, as a plan.

Fidelity card
    Source: Dask and ``distributed``, called rather than rewritten (see ``dask_scheduler``); golden plans are pinned for
    the version in ``dask_scheduler.TESTED``.
    Decisions: priorities are those of ``dask.order``. Root-ish tasks (many of one function, with few inputs, compared
    with the number of threads) are held back and go to the least busy worker when it has a slot free
    (``saturation=1.1``, the default of Dask), or all go out at once and neighbours share a worker
    (``saturation=math.inf``, the default before 2022.11). Other tasks go to that holder of one of their inputs where
    they could start first: occupancy, and missing bytes at 100 MB/s. Durations are learnt while tasks end, as Dask
    does; how long they take, and how large their outputs are, is the predictor's. A function is a prefix and a group.
    Workers have one thread, since a FaaS worker runs one task at a time, and one size.
    Number of workers: fixed, or by default that power of two, up to the widest level of the DAG, whose plan has the
    best objective at the smallest size; then the size is chosen.
    Deviations: no work stealing, which Dask does every second, no spilling or pausing of workers short of memory, no
    active memory manager, and a scheduler that takes no time. A worker receives one input after the other; Dask has
    several transfers at a time over the same link. Ties that Dask breaks by hashes, which differ from run to run, are
    broken by the order of tasks.
    Use: the plan of a stateful cluster, in two ways: ``fl.simulate`` and real runs execute it on FaaS workers with
    storage between them; ``faaslab.simulate.cluster.simulate_cluster`` as Dask would, on machines that are always
    billed and exchange data directly.
"""

from dataclasses import replace

from faaslab.errors import ConfigError
from faaslab.plan import Assignment, DagView, Plan
from faaslab.planners.dask_scheduler import dask_schedule
from faaslab.planners.planner import PlanContext

SATURATION = 1.1
"""Default of ``distributed.scheduler.worker-saturation``."""


class Dask:
    """Plans what Dask would do.

    Args:
        workers: How many workers the cluster has; None: as many as give the best plan.
        saturation: How many root-ish tasks are sent to a worker at a time, for each thread; ``math.inf``: all.

    Raises:
        ConfigError: ``workers`` is below 1, or ``saturation`` is not above 0.
    """

    def __init__(self, workers: int | None = None, saturation: float = SATURATION) -> None:
        if workers is not None and workers < 1:
            raise ConfigError(f"Dask.workers is {workers}, must be at least 1")
        if not saturation > 0:
            raise ConfigError(f"Dask.saturation is {saturation}, must be above 0 (math.inf: all at once)")
        self._workers = workers
        self._saturation = saturation

    @property
    def name(self) -> str:
        """``dask``, or with another saturation than the default ``dask_<saturation>``, so that both can be compared."""
        return "dask" if self._saturation == SATURATION else f"dask_{self._saturation:g}"

    def plan(self, dag: DagView, ctx: PlanContext, /) -> Plan:
        """Return the plan; see the module's fidelity card.

        Raises:
            PlannerUnavailable: Dask is not installed, or is another version than this was written for.
        """
        smallest_mib, *larger_mib = ctx.sizes_for(dag)
        powers_of_two = [2**power for power in range(_width(dag).bit_length())]
        counts = powers_of_two if self._workers is None else [self._workers]
        plans = {count: self._with(count, smallest_mib, dag, ctx) for count in counts}
        best = ctx.best(dag, plans.values())
        count = next(count for count, plan in plans.items() if plan is best)
        return ctx.best(dag, [best, *(self._with(count, size_mib, dag, ctx) for size_mib in larger_mib)])

    def _with(self, workers: int, size_mib: int, dag: DagView, ctx: PlanContext) -> Plan:
        flat = ctx.simulator(dag).flat
        exec_s = flat.exec_s([size_mib] * len(dag))
        found = dask_schedule(dag, exec_s, flat.output_bytes, workers, self._saturation)
        worker_of = {task: worker for worker, order in enumerate(found.orders) for task in order}
        reasons = [
            f"{_kind(dag, task, found.rootish[task])}; Dask would execute it from {found.start_s[task]:.3g} s on, on "
            f"w{worker_of[task]} of {workers} workers"
            for task in range(len(dag))
        ]
        plan = ctx.plan(
            dag,
            self.name,
            [Assignment(f"w{worker_of[task]}", size_mib) for task in range(len(dag))],
            orders={f"w{worker}": order for worker, order in enumerate(found.orders) if order},
            reasons=reasons,
        )
        # As text, since JSON has no infinity.
        return replace(plan, settings={**plan.settings, "workers": workers, "saturation": f"{self._saturation:g}"})


def _width(dag: DagView) -> int:
    """Return how many tasks the widest level of a DAG has, levels being longest ways from the roots."""
    level = [0] * len(dag)
    count: dict[int, int] = {}
    for task in range(len(dag)):
        level[task] = max((level[upstream] + 1 for upstream in dag.upstreams(task)), default=0)
        count[level[task]] = count.get(level[task], 0) + 1
    return max(count.values(), default=1)


def _kind(dag: DagView, task: int, rootish: bool) -> str:
    if rootish:
        return "it is like a root: the least busy worker, or that of its neighbours"
    if dag.upstreams(task):
        return "it goes to that holder of an input where it could start first"
    return "it has no inputs: the worker with least to do"
