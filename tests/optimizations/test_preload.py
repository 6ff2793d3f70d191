"""Preloading: where it is planned, and what it hides between real workers."""

from dataclasses import replace

import pytest

import faaslab as fl
from faaslab.plan import Assignment, Plan
from faaslab.planners.parts import preload
from faaslab.trace.events import InputFetched
from tests.client.scene import Scene, process_lab, quick

NBYTES = 10_000_000
BYTES_PER_S = 10e6


@fl.task
def made(nbytes: int) -> bytes:
    return bytes(nbytes)


@fl.task
def busy(_: bytes) -> bytes:
    import time

    time.sleep(2.5)
    return b"busy"


@fl.task
def size(*values: bytes) -> int:
    return sum(map(len, values))


def workflow() -> fl.DAG:
    """Return a task that needs a large input after one that takes a while."""
    return fl.DAG(size(busy(made(1)), made(NBYTES)), name="preload")


def plan_of(dag: fl.DAG) -> Plan:
    """Return a plan with both of them on one worker, and the makers on others."""
    own = {dag.index_of("busy#0"), dag.index_of("size#0")}
    return Plan.for_dag(dag, "by hand", [Assignment("w" if t in own else f"p{t}", 1769) for t in range(len(dag))])


def planned(dag: fl.DAG, plan: Plan) -> Plan:
    """Return the plan with preloading."""
    return preload.apply(dag, plan, None)  # type: ignore[arg-type]  # it asks nothing of the context


def test_it_is_planned_for_tasks_with_inputs_from_elsewhere() -> None:
    """Not for the first task of a worker, nor for those whose inputs are at hand."""
    dag = workflow()
    plan = planned(dag, plan_of(dag))
    assert plan.instructions.preload == {dag.index_of("size#0")}
    alone = dag.plan("single_worker")
    assert planned(dag, alone) is alone
    each = dag.plan("per_task")
    assert planned(dag, each) is each


@pytest.mark.timeout(120)
def test_it_hides_a_transfer(scene: Scene) -> None:
    """With an emulated bandwidth, a second of transfer goes on while the task before it is executed."""
    dag, makespan_s = workflow(), {}
    plain = plan_of(dag)
    early = planned(dag, plain)
    launcher = fl.ProcessLauncher(limit=3, upload_bytes_per_s=100e6, download_bytes_per_s=BYTES_PER_S)
    with fl.Lab(launcher, None, quick(scene.folder)) as lab:
        lab.compute(dag, plan=plain)  # all containers are warm afterwards
        for name, plan in (("plain", plain), ("early", early)):
            run = lab.submit(dag, plan=plan)
            assert run.result(60) == NBYTES + 4
            makespan_s[name] = run.trace.metrics["makespan_s"]
            sources = {event.upstream: event.source for event in run.trace.events if isinstance(event, InputFetched)}
            assert sources[dag.index_of("made#1")] == {"plain": "store", "early": "preload"}[name]
    assert makespan_s["plain"] - makespan_s["early"] > 0.6 * NBYTES / BYTES_PER_S


def test_it_changes_nothing_else(scene: Scene) -> None:
    """A mesh on few workers, everything preloaded, has the value of its plain functions."""
    from tests.chaos.workflows import mesh, mesh_value

    dag = fl.DAG(mesh(4, 4, 0.01))
    plan = dag.plan("heft")
    told = replace(plan.instructions, preload=frozenset(t for t in range(len(dag)) if plan.assignments[t].worker))
    with process_lab(scene) as lab:
        assert lab.compute(dag, plan=replace(plan, instructions=told), timeout_s=60) == mesh_value(4, 4)
