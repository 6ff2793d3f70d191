"""Small platforms and estimates whose timelines can be worked out by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from faaslab.model.estimates import Basis
from faaslab.model.platform import Platform
from faaslab.model.prices import Prices
from faaslab.model.profiles import PlatformProfile
from faaslab.model.variation import Spread
from faaslab.plan import Assignment, Plan
from faaslab.simulate import Simulation, simulate_plan
from tests.plan.dags import FakeDag

SIZE_MIB = 1769
NO_SCATTER = Spread(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Known:
    """Estimates as a test says them."""

    seconds: Sequence[float]
    nbytes: Mapping[int, float] = field(default_factory=dict)
    by_size: Mapping[tuple[int, int], float] = field(default_factory=dict)
    scatter: Spread = NO_SCATTER

    def exec_s(self, task: int, size_mib: int) -> float:
        return self.by_size.get((task, size_mib), self.seconds[task])

    def output_bytes(self, task: int) -> float:
        return self.nbytes.get(task, 0)

    def basis(self, task: int, size_mib: int) -> Basis:
        return "declared"

    def spread(self, task: int, size_mib: int) -> Spread:
        return self.scatter


def platform(**settings: Any) -> Platform:
    """Return a platform on which only a cold start takes time, of 1 s; ``settings`` of profile and platform differ."""
    names = ("concurrency", "vcpus", "memory_mib", "cores", "client_invokes_per_s")
    limits = {name: settings.pop(name) for name in names if name in settings}
    prices = settings.pop("prices", Prices())
    return Platform(PlatformProfile("test", "made up", **{"cold_start_s": 1.0, **settings}), prices, **limits)


def plan_of(
    dag: FakeDag,
    workers: Sequence[str | None],
    sizes: Sequence[int] | None = None,
    waits: Sequence[Literal["stay", "leave"]] | None = None,
    **more: Any,
) -> Plan:
    """Return the plan that puts each task on the worker of its name; None: decided at run time."""
    rows = zip(workers, sizes or [SIZE_MIB] * len(dag), waits or ["stay"] * len(dag), strict=True)
    return Plan.for_dag(dag, "by hand", [Assignment(*row) for row in rows], **more)


def simulated(
    wiring: Sequence[Sequence[int]],
    workers: Sequence[str | None],
    seconds: Sequence[float],
    *,
    nbytes: Mapping[int, float] | None = None,
    sizes: Sequence[int] | None = None,
    waits: Sequence[Literal["stay", "leave"]] | None = None,
    plan: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Simulation:
    """Return the simulation of a DAG given by its wiring."""
    dag = FakeDag(tuple(map(tuple, wiring)))
    return simulate_plan(
        dag, plan_of(dag, workers, sizes, waits, **(plan or {})), Known(seconds, nbytes or {}), platform(**settings)
    )


def spans(simulation: Simulation) -> list[tuple[float, float]]:
    """Return when each task executed."""
    return list(zip(simulation.start_s, simulation.finish_s, strict=True))
