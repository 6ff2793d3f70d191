"""Outputs that go to workers that wait for them while they are written: on a virtual clock, with deaths and delays."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from faaslab.config import Config
from faaslab.graph import DAG, task
from faaslab.launchers.faults import CrashContainer, Fault, FaultSchedule
from faaslab.launchers.model import VirtualModel
from faaslab.launchers.virtual import VirtualLauncher
from faaslab.plan import Assignment, Instructions, Plan
from faaslab.trace import Trace
from faaslab.trace.events import InputFetched, OutputStored, OutputStreamed, TaskStarted
from faaslab.worker.streaming import CHUNKS, MOST_BYTES, chunk_bytes, pieces_of
from tests.worker.runs import Run, run_on
from tests.worker.test_preload import trace_of

SIZE_MIB = 1769
LARGE = 4_000_000


@task
def head(x: int) -> int:
    """Be the first task of a worker."""
    return x


@task
def made(nbytes: int, _: int) -> bytes:
    """Return so many bytes, no two chunks alike."""
    return _pattern(nbytes)


def _pattern(nbytes: int) -> bytes:
    import random

    return random.Random(nbytes).randbytes(nbytes)


@task
def taken(_: int, *values: bytes) -> list[int]:
    """Return lengths and sums of bytes."""
    return [len(value) + sum(value[:1000]) for value in values]


@task
def joined(*parts: Any) -> list[Any]:
    """Return all arguments."""
    return list(parts)


def workflow(nbytes: int = LARGE, consumers: int = 1) -> DAG:
    """Return a large output for some consumers, each after another task of its worker."""
    large = made(nbytes, head(0))
    return DAG(joined(*(taken(head(number + 1), large) for number in range(consumers))), name="streaming")


def plan_of(dag: DAG, *, stream: bool = True, preload: bool = False, apart: Sequence[int] = ()) -> Plan:
    """Return the plan: the producer on ``p``, each consumer with a head of its own on ``c0``, ``c1``, …

    ``apart``: consumers that are decided at run time.
    """
    workers: dict[int, str | None] = {dag.index_of("made#0"): "p", dag.index_of("head#0"): "p"}
    count = len(dag.ids) // 2 - 1
    for number in range(count):
        workers[dag.index_of(f"head#{number + 1}")] = f"c{number}"
        workers[dag.index_of(f"taken#{number}")] = None if number in apart else f"c{number}"
    workers[dag.index_of("joined#0")] = "last"
    plan = Plan.for_dag(dag, "by hand", [Assignment(workers[t], SIZE_MIB) for t in range(len(dag.ids))])
    told = Instructions(
        preload=frozenset(t for t in range(len(dag.ids)) if preload and workers[t] is not None),
        stream=frozenset([dag.index_of("made#0")] if stream else []),
    )
    return replace(plan, instructions=told)


MODEL = VirtualModel(store_latency_s=0.001, bandwidth_bytes_per_s=1e6, jitter=0.0, cold_start_s=0.1)
DURATIONS = {"head": 0.1, "made": 0.5, "taken": 0.1, "joined": 0.1}


def virtual(dag: DAG, plan: Plan, *faults: Fault, **durations_s: float) -> Run:
    """Return a run on a virtual clock; its value is right."""
    durations = DURATIONS | {name.replace("_", "#"): seconds for name, seconds in durations_s.items()}
    model = replace(MODEL, durations_s=durations)
    run = run_on(VirtualLauncher(0, model, FaultSchedule(faults)), dag, plan, config=Config())
    assert run.error is None
    nbytes = LARGE
    expected = len(_pattern(nbytes)) + sum(_pattern(nbytes)[:1000])
    assert run.value == [[expected]] * (len(dag.ids) // 2 - 1)
    assert run.leftovers == []
    return run


def streamed(run: Run) -> list[OutputStreamed]:
    """Return the events of streams."""
    return list(run.of(OutputStreamed))


def stored(run: Run) -> list[int]:
    """Return the sizes of what was stored."""
    return [event.bytes for event in run.of(OutputStored) if event.bytes > 1000]


def makespan_s(run: Run) -> float:
    """Return how long it took."""
    trace: Trace = trace_of(run)
    return trace.metrics["makespan_s"]


def test_a_sole_consumer_that_waits() -> None:
    """It has the output soon after its producer has written it, and nothing is stored."""
    dag = workflow()
    plain, run = virtual(dag, plan_of(dag, stream=False)), virtual(dag, plan_of(dag))
    (event,) = streamed(run)
    assert (event.consumers, event.stored) == (1, False)
    assert event.bytes > LARGE
    assert stored(run) == []
    assert len(stored(plain)) == 1
    # Of four seconds to write and four to read, all but the last chunk of the latter go on at once.
    assert makespan_s(plain) - makespan_s(run) == pytest.approx(4.0 * (1 - 1 / CHUNKS), abs=0.1)
    metrics = trace_of(run).metrics
    assert metrics["streamed_bytes"] == event.bytes
    assert metrics["stored_bytes"] + metrics["fetched_bytes"] < 1000
    assert trace_of(plain).metrics["streamed_bytes"] == 0
    (fetched,) = (one for one in run.of(InputFetched) if one.source == "stream")
    assert fetched.duration_s == pytest.approx(4.0, abs=0.6)


def test_a_consumer_that_is_busy() -> None:
    """It receives while it executes, and goes on at once when it comes to the task."""
    dag = workflow()
    run = virtual(dag, plan_of(dag), head_1=8.0)
    assert stored(run) == []
    (started,) = (one for one in run.of(TaskStarted) if one.task == dag.index_of("taken#0"))
    (busy,) = (one for one in run.of(TaskStarted) if one.task == dag.index_of("head#1"))
    assert started.at_s - busy.at_s == pytest.approx(8.0, abs=0.05)
    assert trace_of(run).metrics["wait_s"] < 0.5


def test_two_consumers() -> None:
    """Both receive it, at the pace of the slower one."""
    dag = workflow(consumers=2)
    run = virtual(dag, plan_of(dag))
    assert [(event.consumers, event.stored) for event in streamed(run)] == [(2, False)]
    assert stored(run) == []
    metrics = trace_of(run).metrics
    assert metrics["streamed_bytes"] == 2 * streamed(run)[0].bytes


@pytest.mark.parametrize("apart", [(1,), ()])
def test_others_need_it_too(apart: tuple[int, ...]) -> None:
    """It is stored by the same chunks, once, for a consumer of run time or one that has not begun."""
    dag = workflow(consumers=2)
    late = {} if apart else {"head_0": 0.1}
    plan = plan_of(dag, apart=apart)
    if not apart:
        # The second consumer's worker begins with the task: it is invoked when the output is there.
        first = dag.index_of("head#2")
        assignments = [replace(one, worker="other") if t == first else one for t, one in enumerate(plan.assignments)]
        plan = replace(Plan.for_dag(dag, "by hand", assignments), instructions=plan.instructions)
    run = virtual(dag, plan, **late)
    assert [(event.consumers, event.stored) for event in streamed(run)] == [(1, True)]
    assert len(stored(run)) == 1


def test_nobody_waits() -> None:
    """Consumers whose workers begin with the task: it is stored as ever."""
    dag = DAG(joined(taken(0, made(LARGE, 0))), name="nobody")
    plan = Plan.for_dag(dag, "by hand", [Assignment(f"w{t}", SIZE_MIB) for t in range(len(dag.ids))])
    plan = replace(plan, instructions=Instructions(stream=frozenset([dag.index_of("made#0")])))
    run = run_on(VirtualLauncher(0, MODEL), dag, plan, config=Config())
    assert run.error is None
    assert streamed(run) == []
    assert len(stored(run)) == 1


def test_what_does_not_fit_is_declined(monkeypatch: pytest.MonkeyPatch) -> None:
    """A consumer without room says so at once; the output is stored and fetched when its task comes."""
    dag = workflow()
    plain = virtual(dag, plan_of(dag, stream=False))
    monkeypatch.setattr("faaslab.worker.inputs.MEMORY_PART", 0.001)
    run = virtual(dag, plan_of(dag))
    assert [(event.consumers, event.stored) for event in streamed(run)] == [(1, True)]
    assert len(stored(run)) == 1
    assert makespan_s(run) < makespan_s(plain) + 0.1


@pytest.mark.parametrize("action", range(4, 24, 2))
@pytest.mark.parametrize("victim", ["producer", "consumer"])
@pytest.mark.parametrize("after", [False, True])
def test_either_side_dies(victim: str, action: int, after: bool) -> None:
    """At any moment of a stream: the result is right, and at most one output is visible."""
    dag = workflow()
    order = list(plan_of(dag).orders)
    container = order.index("p" if victim == "producer" else "c0")
    run = virtual(dag, plan_of(dag), CrashContainer(container, action, after=after))
    assert len(stored(run)) <= 1


def test_chunks() -> None:
    """About eight of them, none tiny, none huge; scattered buffers are gathered."""
    assert [chunk_bytes(n, 65536) for n in (1, 65537, 8 * 65536, 80_000_000, 10**9)] == [
        65536,
        65536,
        65536,
        10_000_000 if MOST_BYTES > 10_000_000 else MOST_BYTES,
        MOST_BYTES,
    ]
    assert [piece.nbytes for piece in pieces_of(bytes(1000), 100)] == [125] * 8
