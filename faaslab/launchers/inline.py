"""Launcher ``"inline"``: the whole engine in the calling thread, for debugging.

User code runs where the call was made, so that ``pdb``, ``print`` and exceptions work as in plain Python. Containers
are the state machines of all other launchers and take turns: one that waits for a message lets the others go on.
Delays are not emulated, ``timeout_s`` is not enforced, nothing is preloaded (there is nothing that could go on while a
task executes), and nothing is started or left behind.
"""

import math
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from faaslab.config import Config
from faaslab.errors import ConfigError, Fenced, PayloadError
from faaslab.launchers.direct import execute_here
from faaslab.launchers.pool import Limits, PoolManager
from faaslab.launchers.requirements import check_installed, read_requirements
from faaslab.protocol.clock import Clock, WallClock
from faaslab.protocol.messages import RunStatus
from faaslab.protocol.storage import Storage
from faaslab.storage.memory import MemoryStorage
from faaslab.trace.events import AnyEvent, decode_events
from faaslab.worker.actions import Action, Assist, Call, ContainerSettings, Execute, Listen, Sleep, Turn
from faaslab.worker.container import Container

PAUSE_S = 0.01
"""How long the thread sleeps while nothing is to be done before a retry is due."""


@dataclass(slots=True)
class _Turn:
    """A container between two of its turns: what it asked for last."""

    name: str
    life: Generator[Action, Any, str]
    action: Action
    heard: Listen | None = None
    """What it waits for a message with, until ``until_s``."""
    until_s: float = 0.0


class InlineLauncher:
    """Runs everything in the calling thread.

    Args:
        containers: How many containers may exist at a time; more than one makes fan-ins and warm hand-offs visible, not
            anything faster.
        clock: Times of events and of retries.
        sleep: Waits until a retry is due, in seconds.
        requirements: What tasks import; tasks run in this Python, which must have it.

    Raises:
        ConfigError: ``containers`` is below 1.
        LauncherError: A requirement is not installed here.
    """

    name = "inline"

    def __init__(
        self,
        containers: int = 1,
        *,
        clock: Clock | None = None,
        sleep: Callable[[float], object] = time.sleep,
        requirements: Sequence[str] | str = (),
    ) -> None:
        check_installed(read_requirements(requirements), self.name)
        if containers < 1:
            raise ConfigError(f"an inline launcher needs at least 1 container, not {containers}")
        self._limit = containers
        self._clock = clock or WallClock()
        self._sleep = sleep

    def new_storage(self) -> Storage:
        """Return a store for one or more runs of this launcher."""
        return MemoryStorage(self._clock)

    def drive(
        self,
        storage: Storage,
        run: str,
        *,
        secret: bytes,
        config: Config,
        on_event: Callable[[AnyEvent], object] | None = None,
    ) -> None:
        """Execute a run until it has ended; its status and outputs are in ``storage`` then.

        Args:
            storage: Where the run was created; from ``new_storage``.
            run: Id of the run.
            secret: The lab's secret.
            config: Settings.
            on_event: Called with each event, in order.

        Raises:
            KeyboardInterrupt: After the run was cancelled.
        """
        containers = _Round(self._clock, storage, run, secret, config, self._limit, on_event)
        try:
            containers.loop(self._sleep)
        except BaseException as error:
            storage.cancel_run(run, "cancelled", f"interrupted by {type(error).__name__}")
            raise
        finally:
            containers.close()


class _Round:
    """One run: its containers, taking turns."""

    def __init__(
        self,
        clock: Clock,
        storage: Storage,
        run: str,
        secret: bytes,
        config: Config,
        limit: int,
        on_event: Callable[[AnyEvent], object] | None,
    ) -> None:
        self._clock = clock
        self._storage = storage
        self._run = run
        self._secret = secret
        self._config = config
        self._pool = PoolManager(storage, Limits(limit))
        self._on_event = on_event
        self._cursor = "0"
        self._turns: dict[str, _Turn] = {}
        self._started = 0

    def loop(self, sleep: Callable[[float], object]) -> None:
        """Give every container its turn until the run has ended."""
        storage = self._storage
        while (status := storage.run_status(self._run)) is not None and status.status == "running":
            storage.sweep(math.inf)  # this thread is the client too, whose lease can't lapse
            moved = self._change_pool()
            for turn in list(self._turns.values()):
                moved = self._go_on(turn) or moved
            self._report()
            if moved:
                continue
            if self._is_stuck(storage.run_status(self._run)):
                storage.cancel_run(self._run, "failed", "stalled")
            else:
                sleep(PAUSE_S)
        self._report()

    def close(self) -> None:
        """Make the store forget all containers: those of an interrupted run must not take room from the next one."""
        for turn in self._turns.values():
            turn.life.close()
            self._storage.remove(turn.name, "closed")

    def _change_pool(self) -> bool:
        """Start and retire containers as the gateway of a platform would; True if anything was done."""
        return self._pool.decide(self._storage.demand(), {}, self._start, self._clock.now_s())

    def _start(self, pool: str) -> None:
        config = self._config
        self._started += 1
        name = f"{self._run}-inline-{self._started}"
        settings = ContainerSettings.for_config(
            config,
            container=name,
            pool=pool,
            secret=self._secret,
            keep_alive_s=math.inf,
            lease_s=math.inf,  # nobody can renew it while user code runs in this thread
            launched_s=self._clock.now_s(),
        )
        life = Container(settings, self._clock).life()
        self._turns[name] = _Turn(name, life, next(life))

    def _go_on(self, turn: _Turn) -> bool:
        """Perform a container's actions until it waits for a message; True if it did anything."""
        moved = False
        try:
            while True:
                action = turn.action
                if isinstance(action, Call):
                    try:
                        answer = getattr(self._storage, action.method)(*action.args)
                    except (Fenced, PayloadError) as refused:
                        turn.action = turn.life.throw(refused)
                        moved = True
                        continue
                elif isinstance(action, Execute):
                    answer = execute_here(action)
                elif isinstance(action, Turn):
                    answer = None
                elif isinstance(action, Assist):
                    answer = False
                elif isinstance(action, Listen):
                    # No message gets lost here, so that waiting again after a while is not needed.
                    answer = self._storage.listen(turn.name, action.cursor, 0.0)
                    if turn.heard is not action:
                        turn.heard, turn.until_s = action, self._clock.now_s() + action.wait_s
                    if answer[1] is None and not (action.bounded and turn.until_s <= self._clock.now_s()):
                        return moved
                else:
                    # Only who has an assistant waits for anything else.
                    assert isinstance(action, Sleep)
                    if action.until_s > self._clock.now_s():
                        return moved
                    answer = None
                moved = True
                turn.action = turn.life.send(answer)
        except StopIteration:
            del self._turns[turn.name]
            return True

    def _is_stuck(self, status: RunStatus | None) -> bool:
        """Whether nothing will ever happen: no invocation waits for its retry, no container for a moment."""
        if status is None or status.status != "running":
            return False
        demand = self._storage.demand()
        due = status.live - len(demand.assigned) - sum(demand.pending.values())
        waits = (turn.action for turn in self._turns.values())
        return due <= 0 and not any(isinstance(x, Sleep) or (isinstance(x, Listen) and x.bounded) for x in waits)

    def _report(self) -> None:
        if self._on_event is None:
            return
        self._cursor, batches = self._storage.read_events(self._run, self._cursor, 0.0)
        for batch in batches:
            for event in decode_events(batch):
                self._on_event(event)
