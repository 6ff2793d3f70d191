"""One trial: a shape, a planner and a seed make a virtual run with faults, and what must hold whatever happens."""

import random
from collections import Counter
from dataclasses import dataclass, replace

from faaslab.config import Config
from faaslab.errors import RunCancelled, RunTimeout, StateLost, TaskFailed, WorkerLost
from faaslab.launchers.faults import (
    ClientGone,
    CrashContainer,
    FaultSchedule,
    LapseLease,
    TaskRaises,
)
from faaslab.launchers.model import VirtualModel
from faaslab.launchers.virtual import Execution, VirtualLauncher
from faaslab.plan import Duplicate, Plan, Prewarm
from faaslab.trace.events import InvocationRequested, OutputStored, TaskDuplicated, WorkerExited
from tests.faults.shapes import SEEDED, SIZES, Case
from tests.worker.runs import SECRET, Run, collect, submit


@dataclass(frozen=True)
class Setting:
    """Everything that a trial consists of; drawn from its seed."""

    seed: int
    plan: str
    limit: int
    model: VirtualModel
    config: Config
    faults: FaultSchedule
    instructed: frozenset[str] = frozenset()
    """Optimizations that are switched on wherever they can be."""
    prewarms: tuple[Prewarm, ...] = ()
    duplicates: float | None = None
    """How much sooner all copies that can be made are said to be, in seconds; None: none is made."""


@dataclass(frozen=True)
class Result:
    """How a trial ended, and what was wrong with it (nothing, if all is well)."""

    outcome: str
    wrong: tuple[str, ...]
    setting: Setting
    run: Run | None = None


def draw(case: Case, planner: str, seed: int) -> Setting:
    """Return the setting of a seed."""
    rng = random.Random(f"trial/{seed}")
    return Setting(
        seed,
        f"{planner}-{rng.randrange(4)}" if planner in SEEDED else planner,
        rng.choice((1, 2, 3, 1000)),
        VirtualModel(
            keep_alive_s=rng.choice((0.0, 1.0, 60.0)),
            task_s=rng.choice((0.001, 0.1, 1.0, 8.0)),
            cold_start_s=rng.choice((0.0, 0.4)),
            invocation_latency_s=rng.choice((0.0, 0.02)),
            jitter=rng.choice((0.0, 0.9)),
            deadline_s=900.0,
        ),
        Config(
            max_lapses=rng.choice((1, 3, 30)),
            inline_output_bytes=1000,
            blob_chunk_bytes=800,
            inline_dag_bytes=rng.choice((0, 256 * 1024)),
            inline_input_bytes=rng.choice((0, 100, 256 * 1024)),
        ),
        FaultSchedule.random(seed, rng.choice((1.0, 3.0, 6.0, 20.0)), tasks=len(case.dag)),
        frozenset(name for name in ("preload", "streaming") if rng.random() < 0.5),
        _prewarms(seed, len(case.dag)),
        random.Random(f"duplicates/{seed}").choice((None, 0.5, 1000.0)),
    )


def _prewarms(seed: int, tasks: int) -> tuple[Prewarm, ...]:
    """Return empty invocations for half of the seeds, most of them before something may want their container."""
    rng = random.Random(f"prewarms/{seed}")
    return tuple(
        Prewarm(
            rng.choice(SIZES),
            rng.choice((None, rng.randrange(tasks))),
            rng.choice((0.0, 0.05, 0.4, 3.0)),
            rng.choice((1, 1, 2)),
        )
        for _ in range(rng.choice((0, 0, 1, 3)))
    )


def instructed(plan: Plan, names: frozenset[str]) -> Plan:
    """Return a plan with optimizations switched on for all tasks for which they can be."""
    planned = frozenset(task for task, one in enumerate(plan.assignments) if one.worker is not None)
    told = replace(
        plan.instructions,
        preload=planned if "preload" in names else frozenset(),
        stream=planned if "streaming" in names else frozenset(),
    )
    return replace(plan, instructions=told)


def duplicates(case: Case, plan: Plan, sooner_s: float | None) -> tuple[Duplicate, ...]:
    """Return all copies that a plan may say, as if they were so much sooner."""
    if sooner_s is None:
        return ()
    dag, found = case.dag, dict[tuple[int, str], Duplicate]()
    for task, one in enumerate(plan.assignments):
        for upstream in dag.upstreams(task) if one.worker is not None else ():
            if plan.assignments[upstream].worker != one.worker and dag.options(upstream).pure:
                found[upstream, one.worker] = Duplicate(upstream, one.worker, 0.0, sooner_s)
    return tuple(found.values())


def try_out(case: Case, setting: Setting) -> Result:
    """Run a trial and check it."""
    launcher = VirtualLauncher(setting.seed, setting.model, setting.faults, setting.limit)
    storage = launcher.new_storage()
    plan = instructed(case.plans[setting.plan], setting.instructed)
    copies = duplicates(case, plan, setting.duplicates)
    told = replace(plan.instructions, prewarms=setting.prewarms, duplicates=copies)
    plan = replace(plan, instructions=told)
    submit(storage, case.dag, plan, config=setting.config)
    try:
        launcher.drive(storage, "run", secret=SECRET, config=setting.config)
    except RunTimeout as hang:
        return Result("hang", (str(hang),), setting)
    run = collect(storage, case.dag)
    outcome, wrong = _judge(case, setting, run)
    wrong += _written_twice(run)
    wrong += _told_twice(run)
    wrong += _prewarmed_twice(run)
    # A copy is no execution of the task.
    executions = [one for one in launcher.journal.executions if not one.copy]
    wrong += _executed_too_often(case, setting, executions)
    wrong += _executed_together(executions, launcher.journal.lapsed_s)
    wrong += _copied_twice(case, run)
    if run.leftovers:
        wrong.append(f"left in the store: {run.leftovers}")
    wrong += _busy(case, setting, launcher)
    return Result(outcome, tuple(wrong), setting, run)


def _judge(case: Case, setting: Setting, run: Run) -> tuple[str, list[str]]:
    """Return the outcome and whether the schedule explains it."""
    faults, error = setting.faults, run.error
    deaths = len(faults.of(CrashContainer)) + len(faults.of(LapseLease))
    gone = bool(faults.of(ClientGone))
    if error is None:
        wrong = [] if run.value == case.expected else [f"value {run.value!r}, expected {case.expected!r}"]
        return "finished", wrong
    outcome = type(error).__name__
    if isinstance(error, RunCancelled) or run.status is None:
        return "cancelled, its client gone", [] if gone else [f"no client went away: {error}"]
    if isinstance(error, WorkerLost):
        enough = deaths > setting.config.max_lapses
        return "WorkerLost", [] if enough else [f"{deaths} deaths do not explain: {error}"]
    if isinstance(error, StateLost) and "streaming" in setting.instructed and deaths:
        # A consumer died with the only copy of what was streamed to it: it can't make that itself yet.
        return "StateLost: streamed", []
    if isinstance(error, TaskFailed):
        task = case.dag.index_of(error.task)
        options = case.dag.options(task)
        if str(error).startswith("raised: InjectedFault"):
            injected = sum(fault.attempts for fault in faults.of(TaskRaises) if fault.task == task)
            return "TaskFailed: raised", [] if injected > options.retries else [f"{injected} injected: {error}"]
        if str(error).startswith("impure:"):
            explained = deaths > 0 and not options.pure and not options.retries
            return "TaskFailed: impure", [] if explained else [f"nothing explains: {error}"]
    return outcome, [f"unexpected {outcome}: {error}\n{getattr(error, 'remote_traceback', '')}"]


def _written_twice(run: Run) -> list[str]:
    counts = Counter(event.task for event in run.of(OutputStored))
    return [f"task {task} was written {count} times" for task, count in counts.items() if count > 1]


def _told_twice(run: Run) -> list[str]:
    counts = Counter(str(event) for event in run.events)
    return [f"told {count} times: {event}" for event, count in counts.items() if count > 1]


def _prewarmed_twice(run: Run) -> list[str]:
    """Find empty invocations that were sent or that ended more than once."""
    sent = Counter(event.invocation for event in run.of(InvocationRequested) if event.invocation.startswith("!"))
    ended = Counter(event.invocation for event in run.of(WorkerExited) if event.invocation.startswith("!"))
    wrong = [f"{name} was sent {count} times" for name, count in sent.items() if count > 1]
    return wrong + [f"{name} ended {count} times" for name, count in ended.items() if count > 1 or name not in sent]


def _copied_twice(case: Case, run: Run) -> list[str]:
    """Find copies of impure tasks, and copies that a worker made though it had one."""
    wrong = [f"impure task {e.task} was copied" for e in run.of(TaskDuplicated) if not case.dag.options(e.task).pure]
    counts = Counter((e.task, e.invocation) for e in run.of(TaskDuplicated) if not e.lost)
    return wrong + [
        f"task {task} was copied {count} times by {name}" for (task, name), count in counts.items() if count > 1
    ]


def _executed_too_often(case: Case, setting: Setting, executions: list[Execution]) -> list[str]:
    deaths = len(setting.faults.of(CrashContainer)) + len(setting.faults.of(LapseLease))
    raised = Counter(fault.task for fault in setting.faults.of(TaskRaises))
    wrong = []
    for task, count in Counter(execution.task for execution in executions).items():
        options = case.dag.options(task)
        once = not options.pure and not options.retries
        # A failed task takes along what its worker had not stored; so does each death.
        most = 1 if once else 1 + deaths + sum(raised.values()) * 5
        if count > most:
            wrong.append(f"task {task} was executed {count} times, at most {most} can be explained")
    return wrong


def _executed_together(executions: list[Execution], lapsed_s: dict[str, float]) -> list[str]:
    """Find executions of one task at the same moment in two containers that both had their leases."""
    wrong = []
    by_task: dict[int, list[Execution]] = {}
    for execution in executions:
        valid = replace(execution, ended_s=min(execution.ended_s, lapsed_s.get(execution.container, float("inf"))))
        others = by_task.setdefault(execution.task, [])
        wrong += [
            f"task {execution.task} ran in {other.container} and {valid.container} at once"
            for other in others
            if other.began_s < valid.ended_s and valid.began_s < other.ended_s
        ]
        others.append(valid)
    return wrong


def _busy(case: Case, setting: Setting, launcher: VirtualLauncher) -> list[str]:
    """Find more store calls than tasks, containers, faults and periodic questions explain."""
    journal, faults = launcher.journal, len(setting.faults.faults)
    work = len(journal.executions) + len(case.dag) + sum(prewarm.count for prewarm in setting.prewarms)
    asked_again = journal.containers * (2 + 2 * (journal.ended_s + 20.0) / setting.config.wait_slice_s)
    most = 8 * work + 8 * journal.containers + asked_again + 4 * faults
    calls = sum(journal.calls.values())
    return [] if calls <= most else [f"{calls} store calls, expected at most {most:.0f}: {dict(journal.calls)}"]
