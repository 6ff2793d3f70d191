"""Containers driven by hand on an in-memory store: what each does, as short lines that tests compare exactly."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import Any

from faaslab.client.submission import RunIdentity, build_spec
from faaslab.config import Config
from faaslab.errors import Fenced
from faaslab.graph import DAG
from faaslab.launchers.direct import execute_here
from faaslab.plan import Plan
from faaslab.protocol.messages import Completion, Failure, Invocation, Reply, Suspension, pool_of
from faaslab.storage.memory import MemoryStorage
from faaslab.worker.actions import Action, Assist, Await, Call, ContainerSettings, Execute, Listen, Wait
from faaslab.worker.container import Container
from tests.worker.runs import CLIENT, IMAGE, SECRET

SIZE_MIB = 1769


class HandClock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.s = 1000.0

    def now_s(self) -> float:
        """Return the time."""
        return self.s


@dataclass
class Hand:
    """A container: ``go`` lets it act until it waits for a message, or until ``stop`` says so before an action."""

    name: str
    store: MemoryStorage
    life: Generator[Action, Any, str]
    done: list[str] = field(default_factory=list)
    action: Action | None = None
    left: str = ""
    helped: Assist | None = None
    helps: Action | None = None

    def go(self, stop: Callable[[Action], bool] = lambda action: False) -> list[str]:
        """Return what it did since the last time."""
        first = len(self.done)
        try:
            if self.action is None:
                self.action = next(self.life)
            while not stop(self.action):
                answer: Any = None
                if isinstance(self.action, Call):
                    try:
                        answer = getattr(self.store, self.action.method)(*self.action.args)
                    except Fenced as fenced:
                        self.done.append(f"{self.action.method}: fenced")
                        self.action = self.life.throw(fenced)
                        continue
                    self.done.append(_told(self.action, answer))
                elif isinstance(self.action, Execute):
                    self.done.append(f"execute {self.action.task_id}")
                    answer = execute_here(self.action)
                elif isinstance(self.action, Listen):
                    answer = self.store.listen(self.name, self.action.cursor, 0.0)
                    if answer[1] is None:
                        break
                    self.done.append(f"hear {type(answer[1]).__name__}")
                elif isinstance(self.action, Assist):
                    self.helped, self.helps, answer = self.action, next(self.action.life), True
                elif isinstance(self.action, Await):
                    self.done.append("await the assistant")
                    if not self.help() and self.helped is not None and isinstance(self.helps, Wait):
                        self.done.append("assistant: hear nothing")
                        self.help(timed_out=True)
                self.action = self.life.send(answer)
        except StopIteration as end:
            self.left = end.value
        return self.done[first:]

    def help(self, stop: Callable[[Action], bool] = lambda action: False, *, timed_out: bool = False) -> list[str]:
        """Let its assistant act until it waits, or until ``stop`` says so before an action; returns what it did.

        ``timed_out``: it has waited in vain.
        """
        first = len(self.done)
        assert self.helped is not None
        try:
            if timed_out:
                self.helps = self.helped.life.send(None)
            while self.helps is not None and not stop(self.helps):
                answer: Any = None
                waits = (0.0,) if isinstance(self.helps, Wait) else ()
                if isinstance(self.helps, Await):
                    if self.helps.shelf.version == self.helps.version:
                        break
                else:
                    assert isinstance(self.helps, Call | Wait)
                    try:
                        answer = getattr(self.store, self.helps.method)(*self.helps.args, *waits)
                    except Fenced as fenced:
                        self.done.append(f"assistant: {self.helps.method}: fenced")
                        self.helps = self.helped.life.throw(fenced)
                        continue
                    if waits and answer is None:
                        break
                    told = ",".join(map(str, answer)) if isinstance(answer, dict) else ""
                    self.done.append(f"assistant: {self.helps.method} {told}".rstrip())
                self.helps = self.helped.life.send(answer)
        except StopIteration:
            self.helps = None
            self.helped.shelf.end()
        return self.done[first:]

    def time_out(self) -> None:
        """End its waiting without a message."""
        assert isinstance(self.action, Listen)
        self.done.append("hear nothing")
        self.action = self.life.send((self.action.cursor, None))


def _told(call: Call, answer: Any) -> str:
    """Return a call and its answer in a few words."""
    argument = call.args[0] if call.args else None
    match argument:
        case Completion():
            words = [f"complete {argument.task}"] if argument.task >= 0 else ["complete"]
            words += [f"({argument.hold})"] * (argument.hold != "no")
            if argument.successors:
                words.append(f"for {','.join(str(s.task) for s in argument.successors)}")
        case Failure():
            words = [f"fail {argument.task}", *(f"store {task}" for task in argument.outputs)]
        case Suspension():
            words = [f"suspend for {argument.gate}", *(f"store {task}" for task in argument.outputs)]
        case _:
            words = [call.method]
    match answer:
        case Reply():
            words += ["stored"] * answer.stored
            words += [f"took {','.join(map(str, answer.taken))}"] * bool(answer.taken)
            words += [f"holds for {','.join(map(str, answer.held))}"] * bool(answer.held)
            words += [f"due {','.join(map(str, answer.due))}"] * bool(answer.due)
            words += ["ended"] * answer.ended
            words += [_named(answer.next)] if answer.next is not None else []
        case Invocation():
            words.append(_named(answer))
        case (bool() as ready, dict()):
            words += [str(call.args[1]), "ready" if ready else "not ready"]
        case bool():
            words.append("yes" if answer else "no")
        case frozenset():
            words.append(",".join(map(str, sorted(answer))) or "nothing")
        case dict() if call.method == "fetch":
            words.append(",".join(map(str, answer)))
    return " ".join(words)


def _named(invocation: Invocation) -> str:
    return f"→ {invocation.invocation}" + (f" attempt {invocation.attempt}" if invocation.attempt > 1 else "")


class Bench:
    """A store with one run, and containers made on demand."""

    def __init__(self, dag: DAG, plan: Plan, config: Config | None = None) -> None:
        self.dag = dag
        self.config = config or Config()
        self.clock = HandClock()
        self.store = MemoryStorage(self.clock)
        self.store.renew_client(CLIENT, 1e9)
        identity = RunIdentity("run", CLIENT, SECRET, IMAGE, self.clock.now_s())
        self.store.create_run(build_spec(dag, plan, identity, self.config))

    def container(self, name: str, size_mib: int = SIZE_MIB, **settings: Any) -> Hand:
        """Return a new container that has not done anything."""
        config = self.config
        told = ContainerSettings.for_config(
            config,
            container=name,
            pool=pool_of(IMAGE, size_mib),
            secret=SECRET,
            keep_alive_s=60.0,
        )
        return Hand(name, self.store, Container(replace(told, **settings), self.clock).life())

    @property
    def status(self) -> str:
        """State of the run, with the reason if there is one."""
        status = self.store.run_status("run")
        assert status is not None
        return f"{status.status} {status.reason}".strip()


def before(method: str) -> Callable[[Action], bool]:
    """Return a condition for ``Hand.go``: stop before a store call."""
    return lambda action: isinstance(action, Call) and action.method == method


def before_task(task: int) -> Callable[[Action], bool]:
    """Return a condition for ``Hand.go``: stop before a task is executed."""
    return lambda action: isinstance(action, Execute) and action.task == task
