"""The inline launcher: plain runs, retries, interruption, a run that can't go on."""

from dataclasses import replace

import pytest

from faaslab.config import Config
from faaslab.errors import ConfigError, RunCancelled, RunStalled, TaskFailed
from faaslab.graph import DAG, generators, task
from faaslab.launchers.inline import InlineLauncher
from faaslab.plan import Assignment, Plan, Prewarm
from faaslab.planners import plan_dag
from faaslab.trace.events import InvocationRequested, Prewarmed, RunEnded, TaskExecuted
from tests.worker import record
from tests.worker.runs import SECRET, collect, run_on, submit

PLANNERS = ("wukong", "per_task", "single_worker")


class ManualClock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.s = 1000.0
        self.slept: list[float] = []

    def now_s(self) -> float:
        """Return the time."""
        return self.s

    def sleep(self, seconds: float) -> None:
        """Move on."""
        self.slept.append(seconds)
        self.s += seconds


@pytest.mark.parametrize("planner", PLANNERS)
@pytest.mark.parametrize("containers", [1, 3])
def test_results(planner: str, containers: int) -> None:
    """Every planner gives the values of plain Python with any number of containers."""
    launcher = InlineLauncher(containers)
    assert run_on(launcher, generators.chain(50), planner).value == 50
    assert run_on(launcher, generators.fan(40), planner).value == 80
    assert run_on(launcher, generators.tree(32), planner).value == 32 * 31 // 2
    assert run_on(launcher, generators.random_dag(3, 40), planner).value == generators.random_dag_value(3, 40)


def test_nothing_is_left() -> None:
    """A run leaves no key behind."""
    assert run_on(InlineLauncher(2), generators.fork_join(3, 4)).leftovers == []


def test_user_code_runs_in_the_calling_thread() -> None:
    """A debugger or a print in a task works as in plain Python."""
    import threading

    seen = task(threading.get_ident)
    assert run_on(InlineLauncher(), seen()).value == threading.get_ident()


def test_events_are_reported_in_order() -> None:
    """The callback hears every event once, the last one is the end of the run."""
    launcher = InlineLauncher()
    dag = DAG(generators.chain(3))
    storage = launcher.new_storage()
    submit(storage, dag, plan_dag(dag))
    heard: list[object] = []
    launcher.drive(storage, "run", secret=SECRET, config=Config(), on_event=heard.append)
    ended = collect(storage, dag)
    assert heard == ended.events
    assert len(ended.of(TaskExecuted)) == 3
    assert isinstance(heard[-1], RunEnded)


def failing() -> int:
    """Note when it was called, then fail."""
    from tests.worker import record

    raise ValueError(f"call {record.note(record.CLOCK[0]())}")


def interrupted() -> int:
    """Fail like a task in which somebody pressed Ctrl-C."""
    raise KeyboardInterrupt


def test_retries_wait_on_the_clock() -> None:
    """A failing task runs again after doubling pauses, then ends the run with its own error."""
    clock = ManualClock()
    record.clear()
    record.CLOCK[:] = [clock.now_s]
    ended = run_on(InlineLauncher(clock=clock, sleep=clock.sleep), task(retries=2)(failing)())
    assert isinstance(ended.error, TaskFailed)
    assert "ValueError: call 3" in str(ended.error)
    assert ended.error.attempt == 3
    assert "in failing" in ended.error.remote_traceback
    first, second, third = record.NOTES
    assert [second - first, third - second] == pytest.approx([0.1, 0.2], abs=0.02)  # type: ignore[operator]
    assert len(clock.slept) < 50


def test_ctrl_c_cancels_the_run() -> None:
    """A keyboard interrupt reaches the caller after the run was cancelled."""
    launcher = InlineLauncher()
    dag = DAG(task(interrupted)())
    storage = launcher.new_storage()
    submit(storage, dag, plan_dag(dag))
    with pytest.raises(KeyboardInterrupt):
        launcher.drive(storage, "run", secret=SECRET, config=Config())
    assert isinstance(collect(storage, dag).error, RunCancelled)
    assert storage.demand().containers == {}


def test_a_run_that_cannot_go_on_stalls() -> None:
    """A run whose workers wait for each other ends with an error instead of a hang."""
    first, second = generators.one(), generators.one()
    dag = DAG([generators.increment(first), generators.increment(second)])
    assert dag.ids == ("one#0", "one#1", "increment#0", "increment#1")
    assignments = [Assignment(worker, 1769) for worker in ("a", "b", "b", "a")]
    plan = Plan.for_dag(dag, "circular", assignments, orders={"a": (3, 0), "b": (2, 1)})
    launcher = InlineLauncher()
    storage = launcher.new_storage()
    submit(storage, dag, plan)
    launcher.drive(storage, "run", secret=SECRET, config=Config())
    assert isinstance(collect(storage, dag).error, RunStalled)


def test_each_task_runs_once() -> None:
    """A task that a new worker is invoked for does not run its ancestors again."""
    ended = run_on(InlineLauncher(4), generators.layered(5), "wukong")
    executed = [event.task for event in ended.of(TaskExecuted)]
    assert sorted(executed) == list(range(len(ended.dag)))


def test_a_container_is_needed() -> None:
    """A launcher without containers is refused."""
    with pytest.raises(ConfigError, match="at least 1 container, not 0"):
        InlineLauncher(0)


@pytest.mark.parametrize("containers", [1, 3])
def test_empty_invocations(containers: int) -> None:
    """They are served where there is room, and block nothing where there is none."""
    dag = DAG(generators.chain(3))
    plan = plan_dag(dag, "per_task")
    size_mib = plan.assignments[0].size_mib
    told = replace(plan.instructions, prewarms=(Prewarm(size_mib, count=2), Prewarm(2 * size_mib, 1, 0.001)))
    ended = run_on(InlineLauncher(containers), dag, replace(plan, instructions=told))
    assert ended.value == 3
    assert ended.leftovers == []
    sent = {event.invocation for event in ended.of(InvocationRequested) if event.by == "prewarm"}
    assert sent >= {"!.0.0", "!.0.1"}
    # One task after the other finds no idle container, and takes the place of one that waits for its turn.
    assert {event.how for event in ended.of(Prewarmed)} == {"reserved"}
