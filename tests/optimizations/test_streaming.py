"""Streaming: where it is planned, and what happens between real workers, also when one of them is killed."""

import hashlib
import time
from dataclasses import replace

import psutil
import pytest

import faaslab as fl
from faaslab.plan import Assignment, Instructions, Plan
from faaslab.trace.events import InputFetched, OutputStored, OutputStreamed
from tests.client.scene import Scene, quick, until

MIB = 1024 * 1024


@fl.task(expected_s=0.1, output_bytes=100)
def head(seconds: float) -> float:
    import time

    time.sleep(seconds)
    return seconds


@fl.task(expected_s=5.0, output_bytes=10_000_000)
def made(nbytes: int, seconds: float) -> bytes:
    import random
    import time

    time.sleep(seconds)
    block = random.Random(nbytes).randbytes(min(nbytes, 1 << 20))
    return (block * (nbytes // len(block) + 1))[:nbytes]


@fl.task(expected_s=0.1, output_bytes=100)
def digest(_: float, value: bytes) -> tuple[int, str]:
    import hashlib

    return len(value), hashlib.sha256(value).hexdigest()


def workflow(nbytes: int, make_s: float = 0.3, consumers: int = 1) -> fl.DAG:
    """Return a large output, for tasks that come after another one on workers of their own."""
    large = made(nbytes, head(make_s))
    # The consumers' own heads are done before the output is there.
    return fl.DAG([digest(head(0.0), large) for _ in range(consumers)], name="streaming")


def expected(nbytes: int, consumers: int = 1) -> list[tuple[int, str]]:
    value = made.fn(nbytes, 0.0)
    return [(nbytes, hashlib.sha256(value).hexdigest())] * consumers


def plan_of(dag: fl.DAG, size_mib: int = 1769) -> Plan:
    """Return a plan with the producer on ``p`` and each consumer with its head on ``c0``, ``c1``, …"""
    workers = {}
    for task, name in enumerate(dag.ids):
        kind, _, number = name.partition("#")
        workers[task] = "p" if name in ("made#0", "head#0") else f"c{int(number) - (kind == 'head')}"
    plan = Plan.for_dag(dag, "by hand", [Assignment(workers[t], size_mib) for t in range(len(dag))])
    return replace(plan, instructions=Instructions(stream=frozenset([dag.index_of("made#0")])))


def test_it_is_planned_for_large_outputs_of_workers_that_wait() -> None:
    """With a consumer that has begun before, on another worker; not where all is on one, or each on its own."""
    dag = workflow(10_000_000)
    bare = replace(plan_of(dag), instructions=Instructions())
    plan = dag.plan(Fixed(bare), optimizations=["streaming"], keep_harmful=True, platform="none")
    assert plan.instructions.stream == {dag.index_of("made#0")}
    for planner in ("single_worker", "per_task"):
        plan = dag.plan(planner, optimizations=["streaming"], keep_harmful=True, platform="none")
        assert plan.instructions.stream == frozenset()


class Fixed:
    """A planner that always has the same plan."""

    name = "fixed"

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def plan(self, dag: fl.DAG, ctx: fl.PlanContext, /) -> Plan:
        return ctx.plan(dag, self.name, self._plan.assignments)


@pytest.mark.timeout(180)
def test_any_size(scene: Scene) -> None:
    """From one byte to 64 MiB the consumer receives exactly what was made; large outputs are stored nowhere."""
    with fl.Lab(fl.ProcessLauncher(limit=2), None, quick(scene.folder)) as lab:
        lab.compute(workflow(1), plan=plan_of(workflow(1)))
        for nbytes in (1, 65_000, 66_000, MIB, 64 * MIB):
            dag = workflow(nbytes)
            run = lab.submit(dag, plan=plan_of(dag))
            assert run.result(60) == expected(nbytes)
            streamed = [event for event in run.trace.events if isinstance(event, OutputStreamed)]
            assert [(event.consumers, event.stored) for event in streamed] == [(1, False)] * (nbytes > 65_536), nbytes
            metrics = run.trace.metrics
            if nbytes > 65_536:
                assert metrics["stored_bytes"] < 10_000
                assert metrics["streamed_bytes"] > nbytes


@pytest.mark.timeout(180)
def test_two_consumers(scene: Scene) -> None:
    """Both receive the same chunks."""
    with fl.Lab(fl.ProcessLauncher(limit=3), None, quick(scene.folder)) as lab:
        dag = workflow(8 * MIB, consumers=2)
        run = lab.submit(dag, plan=plan_of(dag))
        assert run.result(60) == expected(8 * MIB, 2)
        (event,) = [event for event in run.trace.events if isinstance(event, OutputStreamed)]
        assert (event.consumers, event.stored) == (2, False)


def _server_bytes(lab: fl.Lab) -> int:
    storage = lab._storage
    assert storage is not None
    lines = storage._command("INFO", "memory").decode().splitlines()  # type: ignore[attr-defined]
    return int(dict(line.split(":", 1) for line in lines if ":" in line)["used_memory"])


def _peak_bytes(lab: fl.Lab, run: fl.Run, timeout_s: float) -> int:
    """Return the most memory that the server needed until a run has ended."""
    most, until_s = 0, time.monotonic() + timeout_s
    while run.status == "running" and time.monotonic() < until_s:
        most = max(most, _server_bytes(lab))
        time.sleep(0.01)
    return most


@pytest.mark.timeout(600)
@pytest.mark.parametrize("nbytes", [128 * MIB, pytest.param(1024 * MIB, marks=pytest.mark.slow)])
def test_the_store_holds_a_window(scene: Scene, nbytes: int) -> None:
    """However large the output, the server never holds much more of it than the window."""
    with fl.Lab(fl.ProcessLauncher(limit=2), None, quick(scene.folder)) as lab:
        lab.compute(workflow(1), plan=plan_of(workflow(1)))
        before = _server_bytes(lab)
        dag = workflow(nbytes)
        run = lab.submit(dag, plan=plan_of(dag, 10_240))
        peak = _peak_bytes(lab, run, 300.0)
        assert run.result(10) == expected(nbytes)
        assert run.trace.metrics["streamed_bytes"] > nbytes
        # Four chunks of at most 8 MiB, as much again in connections' buffers.
        assert peak - before < 2 * 4 * 8 * MIB + 16 * MIB


@pytest.mark.timeout(180)
def test_it_saves_a_transfer(scene: Scene) -> None:
    """With emulated bandwidths, reading goes on while it is written."""
    nbytes, bytes_per_s = 20_000_000, 20e6
    launcher = fl.ProcessLauncher(limit=2, upload_bytes_per_s=bytes_per_s, download_bytes_per_s=bytes_per_s)
    makespan_s = {}
    dag = workflow(nbytes)
    with fl.Lab(launcher, None, quick(scene.folder)) as lab:
        lab.compute(dag, plan=plan_of(dag))
        for name in ("plain", "stream"):
            plan = plan_of(dag) if name == "stream" else replace(plan_of(dag), instructions=Instructions())
            run = lab.submit(dag, plan=plan)
            assert run.result(60) == expected(nbytes)
            makespan_s[name] = run.trace.metrics["makespan_s"]
            sources = {event.upstream: event.source for event in run.trace.events if isinstance(event, InputFetched)}
            assert sources[dag.index_of("made#0")] == {"plain": "store", "stream": "stream"}[name]
    assert makespan_s["plain"] - makespan_s["stream"] > 0.5 * nbytes / bytes_per_s


@fl.task
def marked_head(path: str) -> int:
    import os

    with open(path, "a") as file:
        file.write(f"{os.getpid()}\n")
    return 0


@fl.task
def marked(path: str, nbytes: int, _: float) -> bytes:
    import os

    with open(path, "a") as file:
        file.write(f"{os.getpid()}\n")
    return bytes(nbytes)


@pytest.mark.chaos
@pytest.mark.timeout(180)
@pytest.mark.parametrize("delay_s", [0.2, 0.8, 1.4])
@pytest.mark.parametrize("victim", ["p", "c"])
def test_either_side_is_killed(scene: Scene, victim: str, delay_s: float) -> None:
    """In the middle of a stream of two seconds either worker may die: the result is right, each output stored once."""
    nbytes, marks = 20_000_000, {name: scene.folder / name for name in ("p", "c")}
    large = marked(str(marks["p"]), nbytes, head(0.5))
    dag = fl.DAG(digest(marked_head(str(marks["c"])), large), name="killed")
    own = {dag.index_of("marked_head#0"), dag.index_of("digest#0")}
    plan = Plan.for_dag(dag, "by hand", [Assignment("c" if t in own else "p", 1769) for t in range(len(dag))])
    plan = replace(plan, instructions=Instructions(stream=frozenset([dag.index_of("marked#0")])))
    launcher = fl.ProcessLauncher(limit=2, upload_bytes_per_s=10e6, download_bytes_per_s=10e6)
    with fl.Lab(launcher, None, quick(scene.folder)) as lab:
        lab.compute(workflow(1), plan=plan_of(workflow(1)))
        run = lab.submit(dag, plan=plan)
        until(lambda: marks["p"].exists() and marks["p"].read_text(), 30, "the stream begins")
        time.sleep(delay_s)
        psutil.Process(int(marks[victim].read_text().split()[0])).kill()
        assert run.result(60) == (nbytes, hashlib.sha256(bytes(nbytes)).hexdigest())
        stored = [event.task for event in run.trace.events if isinstance(event, OutputStored)]
        assert len(stored) == len(set(stored))
        assert len(marks[victim].read_text().split()) == 2
