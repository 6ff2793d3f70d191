"""Inputs of future tasks, fetched while others are executed: by hand, on a virtual clock."""

from dataclasses import replace
from typing import Any

import pytest

from faaslab.config import Config
from faaslab.graph import DAG, task
from faaslab.launchers.inline import InlineLauncher
from faaslab.launchers.model import VirtualModel
from faaslab.launchers.virtual import VirtualLauncher
from faaslab.plan import Assignment, Instructions, Plan
from faaslab.trace import Trace
from faaslab.trace.events import InputFetched
from faaslab.trace.manifest import Manifest
from tests.worker.runs import Run, run_on
from tests.worker.steps import SIZE_MIB, Bench, Hand, before, before_task

LARGE = 2_000_000


@task
def made(nbytes: int) -> bytes:
    """Return so many bytes."""
    return bytes(nbytes)


@task
def first(_: Any) -> bytes:
    """Keep its worker busy."""
    return b"first"


@task
def size(*values: bytes) -> int:
    """Return the total size of the arguments."""
    return sum(map(len, values))


def workflow(nbytes: int = LARGE, more: int = 0) -> DAG:
    """Return two chains that meet: made#0 and made#1 on workers of their own, then first#0 and size#0 on one.

    ``more`` further inputs of ``size#0`` follow.
    """
    head = first(made(1))
    return DAG(size(head, made(nbytes), *(made(10) for _ in range(more))), name="preload")


def plan_of(dag: DAG, *, preload: bool = True, size_mib: int = SIZE_MIB) -> Plan:
    """Return the plan with a worker that first executes ``first#0``, then ``size#0``."""
    consumers = [dag.index_of("first#0"), dag.index_of("size#0")]
    assignments = [Assignment("w" if number in consumers else f"p{number}", size_mib) for number in range(len(dag.ids))]
    plan = Plan.for_dag(dag, "by hand", assignments)
    return replace(plan, instructions=Instructions(preload=frozenset(consumers[1:]))) if preload else plan


def bench(dag: DAG, config: Config | None = None, **how: Any) -> tuple[Bench, Hand, Hand]:
    """Return a bench, who is about to make the second input, and the worker that is about to execute ``first#0``."""
    made_bench = Bench(dag, plan_of(dag, **how), config)
    maker = made_bench.container("maker", how.get("size_mib", SIZE_MIB))
    maker.go(before_task(dag.index_of("made#1")))
    worker = made_bench.container("worker", how.get("size_mib", SIZE_MIB))
    worker.go(before_task(dag.index_of("first#0")))
    return made_bench, maker, worker


def test_it_fetches_while_another_task_is_executed() -> None:
    """The bell wakes it; the worker neither waits nor fetches."""
    dag = workflow(10)
    b, maker, worker = bench(dag)
    other = dag.index_of("made#1")
    assert worker.help() == ["assistant: watch"]
    maker.go()
    assert worker.help() == ["assistant: wait_bell", f"assistant: watch {other}", f"assistant: fetch {other}"]
    assert worker.go() == ["execute first#0", "execute size#0", f"complete {dag.index_of('size#0')} stored ended"]
    assert b.status == "finished"


def test_blobs_are_fetched_where_they_are() -> None:
    """A large output takes one call, with its reference known."""
    dag = workflow(5000)
    _, maker, worker = bench(dag, Config(inline_output_bytes=1000))
    maker.go()
    assert worker.help() == [f"assistant: watch {dag.index_of('made#1')}", "assistant: get_blob"]
    assert worker.go()[-2:] == ["execute size#0", f"complete {dag.index_of('size#0')} stored ended"]


def test_what_is_in_flight_is_waited_for() -> None:
    """The worker comes to the task while its input is on the way, and does not fetch it a second time."""
    dag = workflow(10)
    _, maker, worker = bench(dag)
    maker.go()
    worker.help(before("fetch"))
    assert worker.go() == [
        "execute first#0",
        "await the assistant",
        f"assistant: fetch {dag.index_of('made#1')}",
        "execute size#0",
        f"complete {dag.index_of('size#0')} stored ended",
    ]


def test_what_it_had_not_begun_is_not_fetched_twice() -> None:
    """The worker comes first: it waits for the input and fetches it, the assistant finds nothing to do."""
    dag = workflow(1000)
    _, maker, worker = bench(dag, Config(inline_input_bytes=0))
    maker.go()
    last, other = dag.index_of("size#0"), dag.index_of("made#1")
    assert worker.go(before_task(last)) == ["execute first#0", f"wait_ready {last} ready", f"fetch {other}"]
    assert worker.help() == [f"assistant: watch {other}"]
    assert worker.go() == ["execute size#0", f"complete {last} stored ended"]


@pytest.mark.parametrize("end", ["fail", "lapse"])
def test_it_ends_with_its_invocation(end: str) -> None:
    """The bell rings when an attempt ends; nothing goes on for it."""
    dag = workflow(10)
    b, _, worker = bench(dag)
    worker.help()
    if end == "lapse":
        b.store.remove("worker", "killed")
    else:
        assert b.store.cancel_run("run", "cancelled", "")
    done = worker.go()
    assert "complete: fenced" in done or "wait_ready: fenced" in done
    assert worker.helped is not None
    assert worker.helped.shelf.ended


def test_memory_is_bounded() -> None:
    """What would not fit beside what is kept waits; what never fits is the task's own to fetch."""
    dag = workflow(4 * 2**20)
    _, maker, worker = bench(dag, size_mib=8)
    maker.go()
    other, last = dag.index_of("made#1"), dag.index_of("size#0")
    assert worker.help() == [f"assistant: watch {other}"]
    assert worker.go()[1:] == [
        f"wait_ready {last} ready",
        "get_blob",
        "execute size#0",
        f"complete {last} stored ended",
    ]


def test_an_error_of_the_store_ends_the_worker() -> None:
    """It is raised where the worker next needs the shelf."""
    dag = workflow(10)
    _, maker, worker = bench(dag)
    maker.go()
    assert worker.helped is not None
    worker.helped.shelf.end(OSError("gone"))
    with pytest.raises(OSError, match="gone"):
        worker.go()


# -- on a virtual clock -----------------------------------------------------------------------------------------------

MODEL = VirtualModel(store_latency_s=0.01, bandwidth_bytes_per_s=1e6, jitter=0.0, cold_start_s=0.1)
DURATIONS = {"made#0": 0.1, "made#1": 0.1, "size": 0.1}


def trace_of(run: Run) -> Trace:
    """Return the trace of a virtual run."""
    dag = run.dag
    manifest = Manifest(
        run="run",
        dag_name=dag.name,
        structure_hash=dag.structure_hash,
        ids=dag.ids,
        planner="by hand",
        launcher="virtual",
    )
    return Trace.from_events(run.events, manifest)


def virtual(dag: DAG, *, preload: bool, first_s: float = 6.0) -> Trace:
    """Return the trace of a run, with or without preloading."""
    model = replace(MODEL, durations_s=DURATIONS | {"first": first_s})
    run = run_on(VirtualLauncher(0, model), dag, plan_of(dag, preload=preload), config=Config())
    assert run.error is None
    assert run.value == LARGE + 5
    return trace_of(run)


def test_a_transfer_is_hidden() -> None:
    """Two seconds of transfer go on while the task before it is executed: the run is as much shorter."""
    dag = workflow()
    plain, early = virtual(dag, preload=False), virtual(dag, preload=True)
    assert plain.metrics["makespan_s"] - early.metrics["makespan_s"] == pytest.approx(2.0, abs=0.1)
    for name in ("stored_bytes", "fetched_bytes"):
        assert abs(plain.metrics[name] - early.metrics[name]) < 100, name
    fetched = [event for event in early.events if isinstance(event, InputFetched) and event.source == "preload"]
    assert [event.upstream for event in fetched] == [dag.index_of("made#1")]
    assert fetched[0].duration_s == pytest.approx(2.01, abs=0.01)
    # It is on nobody's time.
    assert early.metrics["fetch_s"] < 0.1 < 2.0 < plain.metrics["fetch_s"]
    task = next(one for one in early.records.tasks if one.task == dag.index_of("size#0"))
    assert task.fetch_s == 0.0
    assert task.input_bytes > LARGE


def test_only_the_rest_of_a_transfer_is_waited_for() -> None:
    """The worker comes a second too early, and a second of fetching is on its time."""
    early = virtual(workflow(), preload=True, first_s=3.0)
    assert early.metrics["fetch_s"] == pytest.approx(1.0, abs=0.1)


def test_nothing_changes_without_concurrency() -> None:
    """Inline there is nothing besides: the plan runs as ever."""
    dag = workflow()
    run = run_on(InlineLauncher(2), dag, plan_of(dag))
    assert run.value == LARGE + 5
    assert run.leftovers == []
    assert {event.source for event in run.of(InputFetched)} <= {"store", "inline", "local"}
