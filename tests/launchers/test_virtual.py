"""The virtual launcher: results, time, limits, determinism."""

import pytest

from faaslab.config import Config
from faaslab.errors import ConfigError, RunTimeout, TaskTimeout
from faaslab.graph import DAG, generators, task
from faaslab.launchers.faults import FaultSchedule, LoseMessage
from faaslab.launchers.model import VirtualModel
from faaslab.launchers.virtual import VirtualLauncher
from faaslab.planners import plan_dag
from faaslab.trace.events import InvocationRequested, TaskFailed, WorkerStarted
from tests.worker.runs import SECRET, collect, run_on, submit

PLANNERS = ("wukong", "per_task", "single_worker")
EXACT = VirtualModel(
    store_latency_s=0.0, jitter=0.0, cold_start_s=1.0, task_s=10.0, task_sigma=0.0, bandwidth_bytes_per_s=1e30
)


def echo(x: int) -> int:
    """Return the argument."""
    return x


@pytest.mark.parametrize("planner", PLANNERS)
@pytest.mark.parametrize("limit", [1, 2, 1000])
def test_results(planner: str, limit: int) -> None:
    """Every planner gives the values of plain Python at any concurrency limit."""
    launcher = VirtualLauncher(limit=limit)
    ended = run_on(launcher, generators.random_dag(3, 40), planner)
    assert ended.value == generators.random_dag_value(3, 40)
    assert launcher.journal.containers <= max(1, limit)
    assert ended.leftovers == []


@pytest.mark.parametrize(("planner", "makespan_s"), [("wukong", 32.0), ("single_worker", 41.0), ("per_task", 32.0)])
def test_makespan(planner: str, makespan_s: float) -> None:
    """Without latencies, a diamond of ten-second tasks takes exactly its critical path and the cold starts on it."""
    launcher = VirtualLauncher(model=EXACT)
    assert run_on(launcher, generators.diamond(), planner).value == 4
    assert launcher.journal.ended_s == pytest.approx(makespan_s)


def test_a_smaller_worker_is_slower() -> None:
    """Below one vCPU, execution time grows as the size shrinks."""
    launcher = VirtualLauncher(model=EXACT)
    run_on(launcher, generators.chain(1), "single_worker", sizes=[1769 // 2])
    assert launcher.journal.ended_s == pytest.approx(1.0 + 10.0 * 1769 / 884)


def test_durations_by_name_and_id() -> None:
    """Execution times can be given for all tasks of a name and for single ones."""
    model = VirtualModel(durations_s={"increment": 2.0, "increment#1": 3.0, "one": 1.0})
    assert model.task_duration_s(0, "increment#0", 1769) == 2.0
    assert model.task_duration_s(0, "increment#1", 3538) == 3.0
    assert model.task_duration_s(0, "other#0", 1769) == model.task_duration_s(0, "other#0", 1769)
    assert model.task_duration_s(0, "other#0", 1769) != model.task_duration_s(1, "other#0", 1769)


def test_same_seed_same_bytes() -> None:
    """A run is replayed byte by byte from its seed, and another seed gives another one."""
    faults = FaultSchedule.random(5, 6.0, tasks=31)
    dag = DAG(generators.tree(16))
    batches = [run_on(VirtualLauncher(seed, faults=faults), dag).batches for seed in (1, 1, 2)]
    assert batches[0] == batches[1]
    assert batches[0] != batches[2]


def test_a_hang_ends_at_the_deadline() -> None:
    """A run that does not end is given up with all that reproduces it."""
    launcher = VirtualLauncher(7, VirtualModel(deadline_s=5.0, task_s=10.0, task_sigma=0.0), limit=3)
    with pytest.raises(RunTimeout, match=r"5 virtual seconds \(seed 7, limit 3, faults \[\]\)"):
        run_on(launcher, generators.chain(2))


def test_warm_containers_are_used_again() -> None:
    """Containers that finished an invocation take the next one of their size."""
    ended = run_on(VirtualLauncher(limit=2), generators.fan(10), "per_task")
    started = ended.of(WorkerStarted)
    assert len(started) == len(ended.of(InvocationRequested)) == 12
    assert sum(event.cold for event in started) == 2


def test_another_size_is_evicted_at_the_limit() -> None:
    """At the limit an idle container makes room for one of another size."""
    small, large = task(echo), task(memory_mib=4096)(echo)
    ended = run_on(VirtualLauncher(limit=1), large(small(1)), "per_task", sizes=[1769, 4096])
    assert ended.value == 1
    assert [event.size_mib for event in ended.of(WorkerStarted)] == [1769, 4096]


def test_timeout_kills_the_task() -> None:
    """A task that takes longer than its timeout fails with it."""
    ended = run_on(VirtualLauncher(model=EXACT), task(timeout_s=3.0)(echo)(1))
    assert isinstance(ended.error, TaskTimeout)


def test_a_timeout_costs_nobody_else() -> None:
    """A container that is killed for a task's timeout is not handed an invocation that would die with it."""
    slow, fast = task(timeout_s=3.0, retries=2, name="slow")(echo), task(name="fast")(echo)
    model = VirtualModel(durations_s={"slow": 10.0, "fast": 1.0})
    launcher = VirtualLauncher(model=model, limit=1)
    ended = run_on(launcher, [slow(1), *(fast(number) for number in range(5))], "per_task", config=Config(max_lapses=0))
    assert isinstance(ended.error, TaskTimeout)
    assert [event.attempt for event in ended.of(TaskFailed)] == [1, 2, 3]


def test_lost_message_only_delays() -> None:
    """An invocation whose message got lost is found when the container asks again."""
    launcher = VirtualLauncher(faults=FaultSchedule((LoseMessage(0),)), limit=1)
    sleepy = VirtualLauncher(limit=1)
    dag = DAG(generators.fork_join(2, 2))
    assert run_on(launcher, dag, "per_task").value == run_on(sleepy, dag, "per_task").value


def test_events_are_reported() -> None:
    """The callback hears every event once and in order."""
    launcher = VirtualLauncher()
    dag = DAG(generators.chain(3))
    storage = launcher.new_storage()
    submit(storage, dag, plan_dag(dag))
    heard: list[object] = []
    launcher.drive(storage, "run", secret=SECRET, config=Config(), on_event=heard.append)
    assert heard == collect(storage, dag).events


def test_bad_settings_are_refused() -> None:
    """Settings outside their range are named."""
    with pytest.raises(ConfigError, match="at least 1 container, not 0"):
        VirtualLauncher(limit=0)
    with pytest.raises(ConfigError, match=r"store_latency_s is -1\.0"):
        VirtualModel(store_latency_s=-1.0)


def test_schedule_survives_json() -> None:
    """A schedule is data: written and read back it is the same."""
    schedule = FaultSchedule.random(3, 40.0)
    assert len({type(fault) for fault in schedule.faults}) > 8
    assert FaultSchedule.from_json(schedule.to_json()) == schedule
