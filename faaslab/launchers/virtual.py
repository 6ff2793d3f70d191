"""Launcher ``"virtual"``: the state machines of real containers on a virtual clock, with a modelled store and platform.

::

    heap of (time, priority, sequence): what happens next
        container   action ─► its time in the model ─► answer ─► next action
        supervisor  renews the lease, kills what is not wanted any more
        gateway     starts, retires, asks to yield          (``PoolManager``)
        watchdog    sweeps                                  client   renews its lease

User code is really executed, so that results are real; how long it takes is the model's. The same seed, model and
faults give the same events, byte by byte.
"""

import heapq
import math
import random
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from faaslab.config import Config
from faaslab.errors import ConfigError, RunTimeout, StorageError
from faaslab.launchers.direct import execute_here
from faaslab.launchers.faults import (
    ClientGone,
    CrashContainer,
    DelayMessage,
    DuplicateCall,
    DuplicateMessage,
    FaultSchedule,
    InjectedFault,
    LapseLease,
    LoseCall,
    LoseMessage,
    LoseReply,
    StoreLatencySpike,
    TaskRaises,
)
from faaslab.launchers.model import VirtualModel
from faaslab.launchers.pool import Limits, PoolManager
from faaslab.launchers.requirements import check_installed, read_requirements
from faaslab.protocol.emulation import Emulation
from faaslab.protocol.messages import (
    Claim,
    Completion,
    Failure,
    Invocation,
    Reply,
    Suspension,
    size_of_pool,
)
from faaslab.protocol.report import ErrorReport
from faaslab.protocol.storage import Storage
from faaslab.storage.memory import MemoryStorage
from faaslab.trace.events import AnyEvent, decode_events
from faaslab.worker.actions import Action, Assist, Await, Call, ContainerSettings, Execute, Listen, Outcome, Turn, Wait
from faaslab.worker.container import Container
from faaslab.worker.shelf import Shelf

EPOCH_S = 1_000_000_000.0
"""Where virtual time begins."""

# Who comes first among what happens at the same moment.
_STORE, _CONTAINER, _HOUSEKEEPING = range(3)


class VirtualClock:
    """A clock that the driver moves."""

    def __init__(self) -> None:
        self.s = EPOCH_S

    def now_s(self) -> float:
        """Return the virtual time."""
        return self.s


@dataclass(slots=True)
class Execution:
    """One execution of a task's function; ``ended_s`` is when it ended or its container died, infinite if neither."""

    task: int
    container: str
    invocation: str
    attempt: int
    began_s: float
    ended_s: float
    copy: bool = False
    """Whether a worker computed another one's task."""


@dataclass(slots=True)
class Journal:
    """What a virtual run did that its events do not tell.

    Attributes:
        executions: Every execution of user code, also of containers that died or were fenced.
        calls: How often each method of the store was called.
        containers: How many containers were started.
        lapsed_s: When the store took a container for dead, by container.
        ended_s: How long the run took, in virtual seconds.
    """

    executions: list[Execution] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    containers: int = 0
    lapsed_s: dict[str, float] = field(default_factory=dict)
    ended_s: float = 0.0


class VirtualLauncher:
    """Runs everything on a virtual clock.

    Args:
        seed: Of latencies and execution times.
        model: How long things take.
        faults: What goes wrong.
        limit: How many containers may exist at a time.
        vcpus: How many vCPUs they may have together.
        memory_mib: How much memory their sizes together may be.
        requirements: What tasks import; tasks run in this Python, which must have it.

    Raises:
        ConfigError: ``limit`` is below 1.
        LauncherError: A requirement is not installed here.
    """

    name = "virtual"

    def __init__(
        self,
        seed: int = 0,
        model: VirtualModel | None = None,
        faults: FaultSchedule | None = None,
        limit: int = 1000,
        vcpus: float = math.inf,
        memory_mib: float = math.inf,
        requirements: Sequence[str] | str = (),
    ) -> None:
        check_installed(read_requirements(requirements), self.name)
        if limit < 1:
            raise ConfigError(f"a virtual launcher needs a limit of at least 1 container, not {limit}")
        self.seed = seed
        self.model = model or VirtualModel()
        self.faults = faults or FaultSchedule()
        self.limit = limit
        self.vcpus = vcpus
        self.memory_mib = memory_mib
        self.clock = VirtualClock()
        self.journal = Journal()
        """Of the last run."""

    def new_storage(self) -> Storage:
        """Return a store on the virtual clock."""
        return MemoryStorage(self.clock)

    def drive(
        self,
        storage: Storage,
        run: str,
        *,
        secret: bytes,
        config: Config,
        on_event: Callable[[AnyEvent], object] | None = None,
    ) -> None:
        """Execute a run until it has ended and its containers are quiet.

        Args:
            storage: Where the run was created; from ``new_storage``.
            run: Id of the run.
            secret: The lab's secret.
            config: Settings.
            on_event: Called with each event, in order.

        Raises:
            RunTimeout: The run had not ended at the model's deadline: a bug of the engine, with what reproduces it.
            KeyboardInterrupt: After the run was cancelled.
        """
        self.journal = Journal()
        world = _World(self, storage, run, secret, config, on_event)
        try:
            world.loop()
        except BaseException as error:
            storage.cancel_run(run, "cancelled", f"interrupted by {type(error).__name__}")
            raise
        finally:
            world.close()


@dataclass(slots=True)
class _Container:
    """A virtual container: supervisor and child."""

    name: str
    ordinal: int
    pool: str
    machine: Container
    life: Generator[Action, Any, str]
    booted_s: float
    alive: bool = True
    listening: Listen | None = None
    executing: Execution | None = None
    actions: int = 0
    beats: int = 0
    stops: int = 0
    moment: int = 0
    """Counts what it was woken by: an answer or a timer of an earlier moment is not for it any more."""
    late_until_s: float = 0.0
    late_cursor: str = ""
    awaiting: Await | None = None
    waiting: Wait | None = None
    assistant: "_Assistant | None" = None


@dataclass(slots=True)
class _Assistant:
    """What a container's machine has going on besides; like a container, it does one thing at a time."""

    life: Generator[Action, Any, None]
    shelf: Shelf
    moment: int = 0
    awaiting: Await | None = None
    waiting: Wait | None = None

    def end(self, error: BaseException | None = None) -> None:
        """End it; what it has in flight stays in flight."""
        self.moment += 1
        self.awaiting = self.waiting = None
        self.shelf.end(error)


class _World:
    """One run: containers, platform, watchdog and client."""

    def __init__(
        self,
        launcher: VirtualLauncher,
        storage: Storage,
        run: str,
        secret: bytes,
        config: Config,
        on_event: Callable[[AnyEvent], object] | None,
    ) -> None:
        self._launcher = launcher
        self._model = launcher.model
        self._seed = launcher.seed
        self._clock = launcher.clock
        self._journal = launcher.journal
        self._storage = storage
        self._run = run
        self._secret = secret
        self._pool = PoolManager(storage, Limits(launcher.limit, launcher.vcpus, launcher.memory_mib))
        self._config = config
        self._on_event = on_event
        self._rng = random.Random(f"{launcher.seed}/latency")
        self._heap: list[tuple[float, int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._sequence = 0
        self._began_s = self._clock.s
        self._containers: dict[str, _Container] = {}
        self._launched: dict[str, str] = {}
        self._in_flight = 0
        self._calls = 0
        self._messages = 0
        self._executed: Counter[int] = Counter()
        self._events_cursor = "0"
        self._demand_cursor = "0"
        self._due_s = math.inf
        faults = launcher.faults
        self._crashes = {(f.container, f.action): f for f in faults.of(CrashContainer)}
        self._lapses = {(f.container, f.heartbeat) for f in faults.of(LapseLease)}
        self._message_faults: dict[int, LoseMessage | DuplicateMessage | DelayMessage] = {}
        self._call_faults: dict[int, DuplicateCall | LoseReply | LoseCall] = {}
        for fault in faults.faults:
            if isinstance(fault, LoseMessage | DuplicateMessage | DelayMessage):
                self._message_faults[fault.message] = fault
            elif isinstance(fault, DuplicateCall | LoseReply | LoseCall):
                self._call_faults[fault.call] = fault
        self._raises = {f.task: f.attempts for f in faults.of(TaskRaises)}
        self._client_gone_s = min((f.at_s for f in faults.of(ClientGone)), default=float("inf")) + self._began_s
        self._spikes = faults.of(StoreLatencySpike)

    # -- the loop -------------------------------------------------------------------------------------------------

    def loop(self) -> None:
        """Let happen what is next until the run has ended and nobody works any more."""
        storage, deadline_s = self._storage, self._began_s + self._model.deadline_s
        for client in storage.clients():
            self._renew_client(client)
        self._watch()
        ended = False
        while not ended or self._in_flight or any(c.alive and c.listening is None for c in self._containers.values()):
            at_s, _, _, what, args = heapq.heappop(self._heap)
            if at_s > deadline_s:
                raise RunTimeout(
                    f"virtual run {self._run!r} has not ended after {self._model.deadline_s:g} virtual seconds "
                    f"(seed {self._seed}, limit {self._launcher.limit}, faults {self._launcher.faults.to_json()})"
                )
            self._clock.s = at_s
            what(*args)
            self._deliver()
            cursor = storage.wait_demand(self._demand_cursor, 0.0)
            if cursor != self._demand_cursor:
                self._demand_cursor = cursor
                self._change_pool()
            if not ended:
                status = storage.run_status(self._run)
                ended = status is None or status.status != "running"
                if ended:
                    self._journal.ended_s = at_s - self._began_s
            self._report()

    def close(self) -> None:
        """Make the store forget all containers: those of an interrupted run must not take room from the next one."""
        for container in self._containers.values():
            container.life.close()
            self._storage.remove(container.name, "closed")

    def _at(self, at_s: float, priority: int, what: Callable[..., None], *args: Any) -> None:
        self._sequence += 1
        heapq.heappush(self._heap, (at_s, priority, self._sequence, what, args))

    def _after(self, delay_s: float, priority: int, what: Callable[..., None], *args: Any) -> None:
        self._at(self._clock.s + delay_s, priority, what, *args)

    def _report(self) -> None:
        if self._on_event is None:
            return
        self._events_cursor, batches = self._storage.read_events(self._run, self._events_cursor, 0.0)
        for batch in batches:
            for event in decode_events(batch):
                self._on_event(event)

    # -- client, watchdog, gateway, supervisors -------------------------------------------------------------------

    def _renew_client(self, client: str) -> None:
        if self._clock.s < self._client_gone_s:
            self._storage.renew_client(client, self._config.client_lease_s)
            self._after(self._config.client_lease_s / 3, _HOUSEKEEPING, self._renew_client, client)

    def _watch(self) -> None:
        self._sweep()
        self._after(self._config.heartbeat_s, _HOUSEKEEPING, self._watch)

    def _change_pool(self) -> None:
        demand = self._storage.demand()
        if demand.next_due_s < self._due_s:
            self._due_s = demand.next_due_s
            self._at(max(self._clock.s, self._due_s), _HOUSEKEEPING, self._sweep_due)
        self._pool.decide(demand, self._launched, self._launch, self._clock.s)

    def _sweep_due(self) -> None:
        self._due_s = math.inf
        self._sweep()

    def _sweep(self) -> None:
        for container in self._storage.sweep(self._config.grace_s):
            self._journal.lapsed_s[container] = self._clock.s
        self._change_pool()

    def _launch(self, pool: str) -> None:
        config, model, ordinal = self._config, self._model, self._journal.containers
        self._journal.containers += 1
        cold_s = self._jittered(model.cold_start_s)
        settings = ContainerSettings.for_config(
            config,
            container=f"{self._run}-virtual-{ordinal}",
            pool=pool,
            secret=self._secret,
            keep_alive_s=model.keep_alive_s,
            launched_s=self._clock.s,
            phases_s={"boot": cold_s},
            emulation=Emulation(invocation_latency_s=model.invocation_latency_s, seed=self._seed),
        )
        machine = Container(settings, self._clock)
        container = _Container(settings.container, ordinal, pool, machine, machine.life(), self._clock.s + cold_s)
        self._containers[container.name] = container
        self._launched[container.name] = pool
        self._after(cold_s, _CONTAINER, self._resume, container, 0, None, None)
        self._after(cold_s + config.heartbeat_s, _HOUSEKEEPING, self._beat, container)

    def _beat(self, container: _Container) -> None:
        """Be the supervisor: renew the lease, kill a child whose work nobody wants."""
        if not container.alive or (container.ordinal, container.beats) in self._lapses:
            return
        container.beats += 1
        orders = self._storage.renew(container.name, self._config.lease_s)
        if not orders.known and self._clock.s > container.booted_s + self._config.lease_s:
            self._die(container, noticed=True)
        elif orders.stop and container.executing is not None:
            container.stops += 1
            if container.stops == 2:
                self._die(container, noticed=True)
        else:
            container.stops = 0
        self._after(self._config.heartbeat_s, _HOUSEKEEPING, self._beat, container)

    def _die(self, container: _Container, *, noticed: bool) -> None:
        """End a container; what it has in flight stays in flight."""
        container.alive = False
        container.listening = container.awaiting = container.waiting = None
        container.moment += 1
        container.life.close()
        if container.assistant is not None:
            container.assistant.life.close()
            container.assistant.end()
            container.assistant = None
        if container.executing is not None:
            container.executing.ended_s = self._clock.s
            container.executing = None
        wait_s = self._model.notice_s if noticed else self._config.lease_s
        self._after(wait_s, _HOUSEKEEPING, self._notice, container, noticed)

    def _notice(self, container: _Container, noticed: bool) -> None:
        self._launched.pop(container.name, None)
        if noticed:
            self._storage.remove(container.name, "killed")

    def _time_out(self, container: _Container, moment: int, action: Execute) -> None:
        """Be the supervisor of a task that runs too long: kill the child and report in its place."""
        if container.moment != moment:
            return
        self._die(container, noticed=True)
        if action.copy:
            return
        message = f"it ran more than its timeout_s of {action.timeout_s:g} s and was killed"
        size_mib = size_of_pool(container.pool)
        report = ErrorReport(action.task, "timeout", action.attempt, container.name, size_mib, message)
        claim = Claim(action.run, action.invocation, action.attempt, container.name)
        config = self._config
        failure = Failure(
            claim,
            action.task,
            message,
            report.encode(),
            action.retries,
            backoff_s=config.retry_backoff_s,
            backoff_cap_s=config.retry_backoff_cap_s,
            leaves=True,
        )
        try:
            self._storage.fail(failure)
        except StorageError:
            return  # fenced: somebody else owns it meanwhile

    # -- containers -----------------------------------------------------------------------------------------------

    def _resume(self, container: _Container | _Assistant, moment: int, answer: Any, error: StorageError | None) -> None:
        """Give a container or an assistant the answer it waits for and perform its next action."""
        if container.moment != moment:
            return
        container.moment += 1
        container.awaiting = container.waiting = None
        if isinstance(container, _Assistant):
            self._assist(container, answer, error)
            return
        container.listening = None
        container.executing = None
        try:
            action = container.life.send(answer) if error is None else container.life.throw(error)
            while isinstance(action, Turn | Assist):
                if isinstance(action, Assist):
                    container.assistant = _Assistant(action.life, action.shelf)
                    self._after(0.0, _CONTAINER, self._resume, container.assistant, 0, None, None)
                action = container.life.send(isinstance(action, Assist) or None)
        except StopIteration:
            container.alive = False
            self._launched.pop(container.name, None)
            return
        except StorageError:
            self._die(container, noticed=True)  # a real child ends with an error status
            return
        crash = self._crashes.get((container.ordinal, container.actions))
        container.actions += 1
        if crash is not None and not crash.after:
            self._die(container, noticed=crash.noticed)
        elif isinstance(action, Call):
            self._send(container, action, crash)
        elif isinstance(action, Execute):
            self._execute(container, action)
        elif isinstance(action, Listen):
            container.listening = action
            self._after(action.wait_s, _CONTAINER, self._listened, container, container.moment)
        elif isinstance(action, Await | Wait):
            self._wait(container, action)
        else:
            self._at(
                max(self._clock.s, action.until_s), _CONTAINER, self._resume, container, container.moment, None, None
            )
        if crash is not None and crash.after and not isinstance(action, Call):
            self._die(container, noticed=crash.noticed)

    def _assist(self, assistant: _Assistant, answer: Any, error: StorageError | None) -> None:
        """Give an assistant the answer it waits for and perform its next action."""
        life = assistant.life
        try:
            action = life.send(answer) if error is None else life.throw(error)
        except StopIteration:
            assistant.end()
        except StorageError as ended:
            assistant.end(ended)
        else:
            if isinstance(action, Call):
                self._send(assistant, action, None)
            else:
                assert isinstance(action, Await | Wait)
                self._wait(assistant, action)

    def _wait(self, who: _Container | _Assistant, action: Await | Wait) -> None:
        if isinstance(action, Await):
            who.awaiting = action
        else:
            who.waiting = action
        self._after(action.wait_s, _CONTAINER, self._resume, who, who.moment, None, None)

    def _listened(self, container: _Container, moment: int) -> None:
        """End a wait without a message; one that got lost is behind the cursor for good."""
        if container.moment == moment and container.listening is not None:
            self._resume(container, moment, (container.listening.cursor, None), None)

    def _send(self, container: _Container | _Assistant, action: Call, crash: CrashContainer | None) -> None:
        if action.method == "put_blob":
            run, key, chunks = action.args
            # The chunks are views of a value that others may change before a second copy of this call arrives.
            action = Call("put_blob", (run, key, [bytes(chunk) for chunk in chunks]))
        elif action.method == "put_chunk":
            action = Call("put_chunk", (*action.args[:4], bytes(action.args[4]), *action.args[5:]))
        self._in_flight += 1
        delay_s = self._latency_s() + self._travel_s(action.args)
        self._after(delay_s, _STORE, self._apply, container, container.moment, action, crash)

    def _apply(
        self, container: _Container | _Assistant, moment: int, action: Call, crash: CrashContainer | None
    ) -> None:
        """Let a call arrive at the store, and its answer travel back."""
        number = self._calls
        self._calls += 1
        fault = self._call_faults.get(number)
        if isinstance(fault, LoseCall):
            self._after(fault.after_s, _STORE, self._apply, container, moment, action, crash)
            return
        self._in_flight -= 1
        answer, error = self._call(action)
        if isinstance(container, _Container):
            if action.method == "register":
                self._launched.pop(container.name, None)
            if crash is not None and crash.after and container.moment == moment:
                self._die(container, noticed=crash.noticed)
        if isinstance(fault, DuplicateCall):
            self._in_flight += 1
            self._after(fault.by_s, _STORE, self._apply_again, action)
        if isinstance(fault, LoseReply):
            if container.moment == moment:
                self._in_flight += 1
                self._after(fault.after_s, _STORE, self._apply, container, moment, action, None)
        else:
            delay_s = self._latency_s() + self._travel_s(answer)
            self._after(delay_s, _CONTAINER, self._resume, container, moment, answer, error)

    def _apply_again(self, action: Call) -> None:
        """Let a duplicate arrive; nobody reads its answer."""
        self._in_flight -= 1
        self._call(action)

    def _call(self, action: Call, *, counted: bool = True) -> tuple[Any, StorageError | None]:
        self._journal.calls[action.method] += counted
        try:
            return getattr(self._storage, action.method)(*action.args), None
        except StorageError as refused:
            return None, refused

    def _execute(self, container: _Container, action: Execute) -> None:
        """Execute user code now; its outcome is there when the modelled time has passed."""
        self._executed[action.task] += 1
        began_s = self._clock.s
        duration_s = self._model.task_duration_s(self._seed, action.task_id, size_of_pool(container.pool))
        execution = Execution(
            action.task, container.name, action.invocation, action.attempt, began_s, float("inf"), action.copy
        )
        self._journal.executions.append(execution)
        container.executing = execution
        count = self._executed[action.task]
        if count <= self._raises.get(action.task, 0):
            injected = InjectedFault(f"execution {count} of {action.task_id}")
            outcome = Outcome(error=injected, traceback=f"InjectedFault: {injected}")
        else:
            outcome = execute_here(action)
        if action.timeout_s is not None and duration_s > action.timeout_s:
            self._after(action.timeout_s, _HOUSEKEEPING, self._time_out, container, container.moment, action)
            return
        execution.ended_s = began_s + duration_s
        outcome = replace(outcome, duration_s=duration_s, cpu_s=duration_s)
        self._after(duration_s, _CONTAINER, self._resume, container, container.moment, outcome, None)

    def _deliver(self) -> None:
        """Wake containers that wait for a message which is there now."""
        now_s = self._clock.s
        for container in list(self._containers.values()):
            self._wake(container)
            if container.assistant is not None:
                self._wake(container.assistant)
            waiting = container.listening
            if waiting is None:
                continue
            if container.late_until_s > now_s and waiting.cursor == container.late_cursor:
                continue
            cursor, message = self._storage.listen(container.name, waiting.cursor, 0.0)
            if message is None:
                continue
            delayed = container.late_cursor == waiting.cursor and container.late_until_s > 0.0
            container.late_until_s = 0.0
            fault = None if delayed else self._message_faults.get(self._messages)
            self._messages += not delayed
            if isinstance(fault, LoseMessage):
                container.listening = Listen(cursor, waiting.wait_s)
            elif isinstance(fault, DelayMessage):
                container.late_until_s, container.late_cursor = now_s + fault.by_s, waiting.cursor
                self._after(fault.by_s, _STORE, self._deliver)
            else:
                container.listening = None
                answer = (waiting.cursor if isinstance(fault, DuplicateMessage) else cursor, message)
                # Its time-out must not overtake the message on the way.
                container.moment += 1
                delay_s = self._latency_s() + self._travel_s(message)
                self._after(delay_s, _CONTAINER, self._resume, container, container.moment, answer, None)

    def _wake(self, who: _Container | _Assistant) -> None:
        """Let go on what waits for a change that is there now."""
        awaited, waited = who.awaiting, who.waiting
        if awaited is not None and awaited.shelf.version != awaited.version:
            who.awaiting = None
            who.moment += 1
            self._after(0.0, _CONTAINER, self._resume, who, who.moment, None, None)
        if waited is not None:
            answer, error = self._call(Call(waited.method, (*waited.args, 0.0)), counted=False)
            if answer is not None or error is not None:
                who.waiting = None
                who.moment += 1
                delay_s = self._latency_s() + self._travel_s(answer)
                self._after(delay_s, _CONTAINER, self._resume, who, who.moment, answer, error)

    # -- times ----------------------------------------------------------------------------------------------------

    def _jittered(self, seconds: float) -> float:
        return seconds * (1.0 + self._model.jitter * self._rng.uniform(-1.0, 1.0))

    def _latency_s(self) -> float:
        """Return the time of one way to or from the store."""
        since_s = self._clock.s - self._began_s
        slow = [spike.factor for spike in self._spikes if spike.at_s <= since_s < spike.at_s + spike.duration_s]
        factor = max(slow, default=1.0)
        return self._jittered(self._model.store_latency_s / 2 * factor)

    def _travel_s(self, what: Any) -> float:
        return _payload_bytes(what) / self._model.bandwidth_bytes_per_s


def _payload_bytes(what: Any) -> int:
    """Return how many bytes of payload a call or an answer carries."""
    match what:
        case bytes() | memoryview():
            return len(what)
        case dict():
            return sum(map(_payload_bytes, what.values()))
        case list() | tuple():
            return sum(map(_payload_bytes, what))
        case Completion():
            return len(what.output or b"") + len(what.events)
        case Failure():
            return len(what.error) + len(what.events) + _payload_bytes(dict(what.outputs))
        case Suspension():
            return len(what.events) + _payload_bytes(dict(what.outputs))
        case Reply():
            return _payload_bytes(dict(what.inputs)) + _payload_bytes(what.next)
        case Invocation():
            return _payload_bytes(dict(what.parts)) + _payload_bytes(dict(what.inputs))
        case _:
            return 0
