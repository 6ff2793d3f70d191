"""The same DAG and plan on the virtual launcher and in the simulator, with the same numbers."""

import math
from dataclasses import dataclass, replace
from typing import Any

from faaslab.config import Config
from faaslab.graph import DAG
from faaslab.launchers.model import VirtualModel
from faaslab.launchers.virtual import VirtualLauncher
from faaslab.model.estimates import Basis
from faaslab.model.platform import Platform
from faaslab.model.profiles import PlatformProfile
from faaslab.model.variation import Spread
from faaslab.plan import Plan
from faaslab.simulate import Simulation, simulate_plan
from faaslab.trace import Trace
from faaslab.trace.manifest import Manifest
from tests.worker.runs import CONFIG, run_on


@dataclass(frozen=True)
class Twin:
    """What the simulator is told: what the virtual run was told, or did."""

    dag: DAG
    model: VirtualModel
    sizes: dict[int, int]

    def exec_s(self, task: int, size_mib: int) -> float:
        return self.model.task_duration_s(0, self.dag.ids[task], size_mib)

    def output_bytes(self, task: int) -> float:
        return float(self.sizes[task])

    def basis(self, task: int, size_mib: int) -> Basis:
        return "measured"

    def spread(self, task: int, size_mib: int) -> Spread:
        return Spread(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Pair:
    """A virtual run and its simulation."""

    trace: Trace
    simulation: Simulation

    @property
    def deviation(self) -> float:
        """By which part of the real makespan the simulated one is longer."""
        return self.simulation.makespan_s / self.trace.metrics["makespan_s"] - 1


def pair_of(
    dag: DAG,
    plan: Plan,
    model: VirtualModel,
    *,
    limit: int = 1000,
    vcpus: float = math.inf,
    memory_mib: float = math.inf,
    config: Config = CONFIG,
) -> Pair:
    """Run a plan on the virtual launcher, then simulate it."""
    launcher = VirtualLauncher(0, replace(model, jitter=0.0), limit=limit, vcpus=vcpus, memory_mib=memory_mib)
    ended = run_on(launcher, dag, plan, config=config)
    assert ended.error is None
    manifest = Manifest(
        run="run",
        dag_name=dag.name,
        structure_hash=dag.structure_hash,
        ids=dag.ids,
        planner=plan.planner,
        launcher="virtual",
    )
    trace = Trace.from_events(ended.events, manifest)
    sizes = {record.task: record.output_bytes for record in trace.records.tasks if record.counted}
    profile = PlatformProfile(
        "virtual",
        "the model of the virtual launcher",
        cold_start_s=model.cold_start_s,
        invocation_latency_s=model.invocation_latency_s,
        keep_alive_s=model.keep_alive_s,
        upload_bytes_per_s=model.bandwidth_bytes_per_s,
        download_bytes_per_s=model.bandwidth_bytes_per_s,
        store_latency_s=model.store_latency_s,
    )
    simulation = simulate_plan(
        dag, plan, Twin(dag, model, sizes), Platform(profile, concurrency=limit, vcpus=vcpus, memory_mib=memory_mib)
    )
    return Pair(trace, simulation)


def course(trace: Trace) -> dict[str, Any]:
    """Return what has to be the same in both: who ran what in which order, and what was cold."""
    tasks = sorted((r for r in trace.records.tasks if r.counted), key=lambda r: (r.start_s, r.task))
    ran: dict[tuple[str, int], list[int]] = {}
    for record in tasks:
        ran.setdefault((record.invocation, record.invocation_attempt), []).append(record.task)
    return {
        "ran": ran,
        "cold": sorted((w.invocation, w.attempt) for w in trace.records.workers if w.cold),
        "requested": sorted((i.invocation, i.attempt, i.by) for i in trace.records.invocations),
    }
