"""Whole timelines, worked out by hand; numbers are sums of powers of two, so that they are exact."""

import math
from dataclasses import replace

import pytest

import faaslab as fl
from faaslab.errors import ConfigError, PlanError
from faaslab.model.prices import Prices
from faaslab.simulate import FlatDag, place, simulate_plan
from faaslab.trace.events import WorkerExited, WorkerWaited
from tests.plan.dags import DIAMOND, FakeDag
from tests.simulate.scene import Known, plan_of, platform, simulated, spans

CHAIN = ((), (0,), (1,))
FAN = ((), (0,), (0,), (0,), (1, 2, 3))
LARGE = 100_000


def test_chain_on_one_worker() -> None:
    """One cold start, then one task after the other out of memory; only the last output is stored."""
    run = simulated(CHAIN, ["w"] * 3, [1, 2, 3])
    assert spans(run) == [(1, 2), (2, 4), (4, 7)]
    assert list(run.visible_s) == [math.inf, math.inf, 7]
    assert run.why == ("cold", "local", "local")
    assert (run.makespan_s, run.invocations, run.cold_starts) == (7, 1, 1)
    assert run.critical_path() == (0, 1, 2)


def test_chain_at_run_time_is_one_worker() -> None:
    """A worker becomes the sole successor of what it ran, without the store hearing of it."""
    run = simulated(CHAIN, [None] * 3, [1, 2, 3])
    assert spans(run) == [(1, 2), (2, 4), (4, 7)]
    assert [(worker.invocation, worker.tasks) for worker in run.workers] == [("~0", (0, 1, 2))]


def test_store_latency() -> None:
    """Registering and asking for work take a round trip each, a flush one, and the last output half of one."""
    run = simulated(CHAIN[:2], ["w"] * 2, [1, 1], store_latency_s=0.5)
    assert spans(run) == [(2, 3), (3.5, 4.5)]
    assert run.makespan_s == 4.75


def test_fan_at_run_time() -> None:
    """The worker becomes the first branch and invokes the others; the last to end runs the fan-in."""
    run = simulated(FAN, [None] * 5, [1, 4, 2, 8, 1])
    assert spans(run) == [(1, 2), (2, 6), (3, 5), (3, 11), (11, 12)]
    assert [worker.tasks for worker in run.workers] == [(0, 1), (2,), (3, 4)]
    assert run.why == ("cold", "local", "cold", "cold", "local")
    assert run.critical_path() == (0, 3, 4)
    assert [run.sources(task) for task in range(5)] == [
        [],
        ["local"],
        ["inline"],
        ["inline"],
        ["inline"] * 2 + ["local"],
    ]


def test_own_container_takes_what_its_worker_asked_for() -> None:
    """With a worker for each task, the container that is free serves the invocation that has waited longest."""
    run = simulated(CHAIN, ["a", "b", "c"], [1, 2, 3])
    assert spans(run) == [(1, 2), (2, 4), (4, 7)]
    assert [(worker.container, worker.cold) for worker in run.workers] == [(0, True), (0, False), (0, False)]
    assert run.why == ("cold", "remote:0", "remote:1")


def test_idle_containers_are_used_again_last_in_first_out() -> None:
    """An invocation gets the container that became idle last."""
    # 0, 1 and 2 start together; 3 needs 0 and 1 and is asked for when 2, which runs on, holds the third container.
    run = simulated(((), (), (), (0, 1, 2), (3,)), ["a", "b", "c", "d", "e"], [2, 3, 4, 1, 1], invocation_latency_s=0.5)
    containers = {worker.invocation: worker.container for worker in run.workers}
    assert containers == {"a": 0, "b": 1, "c": 2, "d": 1, "e": 2}
    assert spans(run)[3:] == [(5.5, 6.5), (7, 8)]


def test_keep_alive_lapses() -> None:
    """A container that has been idle for longer than it is kept is gone, and the next start is cold."""
    wiring = ((), (), (0,), (1, 2))
    workers = ["a", "b", "a", "c"]
    kept = simulated(wiring, workers, [1, 2, 8, 1], keep_alive_s=8.0)
    gone = simulated(wiring, workers, [1, 2, 8, 1], keep_alive_s=6.0)
    assert [worker.cold for worker in kept.workers] == [True, True, False]
    # c is asked for by a's last call, before a's container is free: it takes the idle one of b, or waits for a's own.
    assert kept.workers[2].container == 1
    assert gone.workers[2].container == 0


def test_two_workers_exchange_through_the_store() -> None:
    """A worker waits, billed, until it is told that its input is stored."""
    run = simulated(((), (), (0, 1)), ["a", "b", "a"], [1, 4, 1], store_latency_s=0.25)
    assert spans(run) == [(1.5, 2.5), (1.5, 5.5), (6, 7)]
    assert run.visible_s[1] == 5.625
    assert run.why[2] == "remote:1"
    assert (run.turn_s[2], run.begin_s[2]) == (2.75, 6.0)


def test_large_outputs_travel_twice() -> None:
    """An output too large to ride along is uploaded before it is announced, and downloaded by whoever needs it."""
    run = simulated(
        ((), (0,)),
        ["a", "b"],
        [1, 1],
        nbytes={0: LARGE},
        upload_bytes_per_s=LARGE / 2,
        download_bytes_per_s=LARGE / 4,
    )
    assert run.visible_s[0] == 4
    assert spans(run) == [(1, 2), (8, 9)]
    assert (run.stored_bytes, run.fetched_bytes) == (LARGE, LARGE)


def test_small_outputs_ride_along_unless_that_is_off() -> None:
    """Small inputs come with the message that says that they are there, else they are fetched by one more call."""
    both = [
        simulated(((), (0,)), [None, "b"], [1, 1], nbytes={0: 64}, store_latency_s=0.5, plan={"optimizations": chosen})
        for chosen in (["inline_inputs"], [])
    ]
    assert [run.start_s[1] for run in both] == [4.0, 4.5]
    assert [run.fetched_bytes for run in both] == [0, 64]


def test_everything_is_stored_without_skip_storage() -> None:
    """Without ``skip_storage`` a chain on one worker stores each output."""
    run = simulated(CHAIN, ["w"] * 3, [1, 1, 1], nbytes={0: 8, 1: 8, 2: 8}, plan={"optimizations": []})
    assert run.stored_bytes == 24


def test_concurrency_queues() -> None:
    """At the limit invocations wait in the order in which they were asked for."""
    run = simulated(((), (), (), (0, 1, 2)), [None] * 4, [1, 2, 4, 1], concurrency=1)
    assert spans(run) == [(1, 2), (2, 4), (4, 8), (8, 9)]
    assert run.why == ("cold", "queue", "queue", "local")
    assert run.cold_starts == run.containers == 1


def test_a_waiting_worker_gives_up_its_slot() -> None:
    """At the limit a worker that waits makes room for what it waits for, and goes on later as another attempt."""
    run = simulated(CHAIN, ["a", "b", "a"], [1, 2, 4], concurrency=1)
    assert spans(run) == [(1, 2), (2, 4), (4, 8)]
    assert [(worker.invocation, worker.attempt, worker.tasks) for worker in run.workers] == [
        ("a", 1, (0,)),
        ("b", 1, (1,)),
        ("a", 2, (2,)),
    ]


def test_a_worker_that_leaves_is_not_billed() -> None:
    """It ends before it waits, its container is idle and warm, and its second half is billed on its own."""
    wiring, workers, seconds = ((), (), (0, 1)), ["a", "b", "a"], [1, 4, 2]
    stays = simulated(wiring, workers, seconds)
    leaves = simulated(wiring, workers, seconds, waits=["stay", "stay", "leave"])
    assert spans(stays) == spans(leaves) == [(1, 2), (1, 5), (5, 7)]
    billed_s = [[(w.invocation, w.attempt, w.launched_s, w.ended_s) for w in run.workers] for run in (stays, leaves)]
    assert billed_s[0] == [("a", 1, 0, 7), ("b", 1, 0, 5)]
    assert billed_s[1] == [("a", 1, 0, 2), ("b", 1, 0, 5), ("a", 2, 5, 7)]
    assert [worker.cold for worker in leaves.workers] == [True, True, False]
    assert leaves.workers[2].container == 0
    assert leaves.why == stays.why == ("cold", "cold", "remote:1")
    assert leaves.critical_path() == (1, 2)


def test_a_worker_that_leaves_stores_what_it_keeps() -> None:
    """Leaving costs the store of kept outputs and reading them again, and the round trips; the trace shows them."""
    run = simulated(
        ((), (), (0, 1)),
        ["a", "b", "a"],
        [1, 8, 1],
        nbytes={0: LARGE},
        waits=["stay", "stay", "leave"],
        store_latency_s=0.25,
        upload_bytes_per_s=LARGE,
        download_bytes_per_s=LARGE / 2,
    )
    # Both start at 1.5. a turns to its last task at 2.75, its events reported, and knows at 3 that it has to leave; it
    # uploads for 1.25 s and tells the store, which hears it at 4.375.
    first, _, again = run.workers
    assert run.visible_s[0] == first.ended_s == 4.375
    # b tells the store at 9.625, and a is there at 9.75; it asks what is stored and then for its inputs, which come
    # with the answer: of 0 only the reference, so that it takes a call and 2 s more.
    assert (again.requested_s, again.started_s) == (9.625, 9.75)
    assert (run.begin_s[2], run.start_s[2]) == (10.25, 12.5)
    assert run.fetched_bytes == LARGE
    events = run.trace().events
    waited = [(event.at_s, event.duration_s) for event in events if isinstance(event, WorkerWaited)]
    assert waited == [(3.0, 0.25), (10.25, 0.25)]
    assert [event.reason for event in events if isinstance(event, WorkerExited)] == ["yielded", "ended", "ended"]


def test_a_worker_that_leaves_too_late_comes_back_at_once() -> None:
    """An input that arrives while its worker leaves does not call it off; the worker is invoked again at once."""
    run = simulated(
        ((), (), (0, 1)), ["a", "b", "a"], [1, 1.75, 1], waits=["stay", "stay", "leave"], store_latency_s=0.5
    )
    # a turns to its last task at 3.5, its question is at the store at 3.75, and its leave at 4.25.
    assert run.visible_s[1] == 4.0
    assert run.workers[0].ended_s == run.workers[2].requested_s == 4.25
    assert run.why[2] == "remote:1"
    assert run.critical_path() == (1, 2)


def test_another_size_is_evicted_at_the_limit() -> None:
    """At the limit an idle container makes room for one of another size, which starts cold."""
    run = simulated(CHAIN[:2], ["a", "b"], [1, 1], sizes=[1769, 3538], concurrency=1)
    assert spans(run) == [(1, 2), (3, 4)]
    assert [worker.size_mib for worker in run.workers] == [1769, 3538]


def test_vcpus_and_memory_are_shared_out() -> None:
    """Containers queue where their vCPUs, or their memory, together would exceed the budget; large ones go first."""
    names = ["a", "b", "c"]
    run = simulated([()] * 3, names, [1, 2, 4], vcpus=2.0)
    assert spans(run) == [(1, 2), (1, 3), (2, 6)]
    assert run.containers == 2
    run = simulated([()] * 3, names, [1, 2, 4], sizes=[512, 1024, 512], memory_mib=1024)
    assert spans(run) == [(4, 5), (1, 3), (4, 8)]
    with pytest.raises(PlanError, match=r"3538 MiB has 2.00 vCPUs, all workers on 'test' together 1 vCPUs"):
        simulated([()], ["a"], [1], sizes=[3538], vcpus=1.0)


@pytest.mark.parametrize("planned", [True, False])
def test_tasks_share_the_cores(planned: bool) -> None:
    """Sixteen tasks of one second on two cores take eight, not one; a short one among them leaves early."""
    workers = [f"w{task}" if planned else None for task in range(16)]
    run = simulated([()] * 16, workers, [1.0] * 16, cores=2)
    assert list(run.finish_s) == [9.0] * 16
    mixed = simulated([()] * 2, workers[:2], [1.0, 3.0], cores=1)
    # Both at half speed until 1 s is done at 3; the 2 s left then have the core alone.
    assert list(mixed.finish_s) == [3.0, 5.0]


def test_small_workers_need_less_of_a_core() -> None:
    """Workers of half a vCPU do not slow each other down until their shares exceed the cores."""
    run = simulated([()] * 2, ["a", "b"], [1.0, 1.0], sizes=[884, 884], cores=1)
    assert list(run.finish_s) == [2.0, 2.0]


def test_client_rate() -> None:
    """First invocations follow each other at the client's rate."""
    run = simulated([()] * 3, [None] * 3, [1.0] * 3, client_invokes_per_s=2)
    assert list(run.start_s) == [1.0, 1.5, 2.0]


@pytest.mark.parametrize("bill_cold_start", [True, False])
def test_cost(bill_cold_start: bool) -> None:
    """Each invocation costs its rounded-up time at its size and a request; cold starts as the prices say."""
    prices = Prices(usd_per_gb_s=2.0, usd_per_request=0.25, billing_step_s=0.5, bill_cold_start=bill_cold_start)
    run = simulated(((), (0,)), ["a", "b"], [1.125, 0.25], sizes=[1024, 2048], prices=prices)
    # a: 1.125 s and 1 s of cold start; b: 0.25 s and 1 s of cold start, at twice the size.
    expected = 2.5 + 2 * 1.5 if bill_cold_start else 1.5 + 2 * 0.5
    assert run.gb_seconds == expected
    assert run.cost_usd == expected * 2.0 + 2 * 0.25


def test_size_decides_execution_time() -> None:
    """A task takes as long as is estimated for the size it is planned at."""
    dag = FakeDag(((),))
    known = Known([1.0], by_size={(0, 256): 7.0})
    for size_mib, seconds in ((256, 7.0), (512, 1.0)):
        assert simulate_plan(dag, plan_of(dag, [None], [size_mib]), known, platform()).makespan_s == 1.0 + seconds


def test_zero_costs() -> None:
    """Tasks that take no time on a platform that takes none end at once."""
    run = simulated(FAN, [None] * 5, [0] * 5, cold_start_s=0.0)
    assert run.makespan_s == 0.0
    assert run.trace().metrics["makespan_s"] == 0.0


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_nonsense_is_refused(value: float) -> None:
    """Negative, undefined and infinite estimates are named with their task."""
    with pytest.raises(ConfigError, match=r"task 'f#1': its execution at 1769 MiB"):
        simulated(CHAIN, ["w"] * 3, [1, value, 1])
    with pytest.raises(ConfigError, match=r"task 'f#2': its output"):
        simulated(CHAIN, ["w"] * 3, [1, 1, 1], nbytes={2: value})


def test_a_plan_for_another_dag_is_refused() -> None:
    """Neither a plan with another hash nor one with another number of tasks is simulated."""
    plan = plan_of(DIAMOND, ["w"] * 4)
    with pytest.raises(PlanError, match="plan it again"):
        simulate_plan(FakeDag(CHAIN, structure_hash="other"), plan, Known([1] * 3), platform())
    with pytest.raises(PlanError, match="4 assignments, the DAG 3 tasks"):
        place(FlatDag.of(FakeDag(CHAIN), Known([1] * 3)), plan, platform())


def test_placement_is_reusable() -> None:
    """Running changes nothing in what was placed."""
    from faaslab.simulate import run_placement

    placed = place(FlatDag.of(DIAMOND, Known([1, 2, 3, 4])), plan_of(DIAMOND, ["a", None, "b", "a"]), platform())
    first, second = run_placement(placed), run_placement(placed)
    assert (first.tasks, first.instances) == (second.tasks, second.instances)


@pytest.mark.parametrize(("seconds", "start_s"), [(1.0, 4.0), (1.375, 4.0), (1.5, 4.0), (1.625, 4.625)])
def test_a_worker_asks_before_it_waits(seconds: float, start_s: float) -> None:
    """An input that is stored before the worker's question arrives costs that round trip; a later one is told, too."""
    # The worker turns to its second task at 3.5; its question is at the store at 3.75.
    run = simulated(((), (), (0, 1)), ["a", "b", "a"], [1, seconds, 1], store_latency_s=0.5)
    assert run.turn_s[2] == 3.5
    assert run.visible_s[1] == 2.25 + seconds
    assert run.start_s[2] == start_s


def test_the_engine_needs_time_around_tasks() -> None:
    """Submitting delays all; each task has its own overhead, each stored output too, and keeping one costs bytes.

    Submitted at 0.5, started at 1.5; task 0 executes from 1.75 to 2.75. Its output of 4 MB is serialized, then copied,
    at 16 MB/s; task 1, which has 0.25 s of overhead again, executes from 3.5; its output is stored 0.125 s after.
    """
    run = simulated(
        ((), (0,)),
        ["w", "w"],
        [1.0, 1.0],
        nbytes={0: 4e6},
        submit_s=0.5,
        task_s=0.25,
        store_s=0.125,
        task_bytes_per_s=16e6,
    )
    assert spans(run) == [(1.75, 2.75), (3.5, 4.5)]
    assert run.makespan_s == 4.625


def test_sizes_that_are_not_enforced() -> None:
    """Where workers don't have the CPU of their size alone, each task needs a whole core, however small its worker."""
    dag, known = FakeDag(((), ())), Known([1.0, 1.0])
    where = replace(platform(cores=1), sizes_enforced=False)
    plan = plan_of(dag, ["a", "b"], [884, 884])
    assert list(simulate_plan(dag, plan, known, where).finish_s) == [3.0, 3.0]


def test_large_constants_are_fetched() -> None:
    """A constant that does not travel with the structure is fetched before its first task, and submitted before all."""
    text = "x" * 1_000_000
    dag = fl.DAG([fl.task(len, name="first")(text), fl.task(len, name="second")(text)])
    flat = FlatDag.of(dag, Known([1.0, 1.0]))
    assert flat.constant_bytes[1] == 0
    size = flat.constant_bytes[0]
    assert 1_000_000 <= size < 1_001_000
    where = platform(store_latency_s=0.5, download_bytes_per_s=1e6, submit_bytes_per_s=1e6)
    plan = dag.plan("per_task", history=False)
    run = simulate_plan(dag, plan, Known([1.0, 1.0]), where)
    begun_s = run.begin_s[0]
    assert run.start_s[0] == pytest.approx(begun_s + 0.5 + size / 1e6)
    assert run.start_s[1] == run.begin_s[1]
    assert run.workers[0].requested_s == pytest.approx(flat.wire_bytes / 1e6)
