"""Faults as data: what goes wrong in a virtual run, and when. Ordinals count from 0, in the order of what happens."""

import random
from collections.abc import Callable
from typing import Self, TypeVar

import msgspec


class CrashContainer(msgspec.Struct, frozen=True, tag=True):
    """A container dies at its ``action``-th action: before it is performed, or after, when the answer is never read."""

    container: int
    action: int
    after: bool = False
    noticed: bool = True
    """Its launcher sees the process end; otherwise only its lease tells."""


class LapseLease(msgspec.Struct, frozen=True, tag=True):
    """A container stops renewing its lease from its ``heartbeat``-th heartbeat on, but goes on working as a zombie."""

    container: int
    heartbeat: int


class LoseMessage(msgspec.Struct, frozen=True, tag=True):
    """The ``message``-th message that a container reads from its inbox is not there."""

    message: int


class DuplicateMessage(msgspec.Struct, frozen=True, tag=True):
    """The ``message``-th message is read twice."""

    message: int


class DelayMessage(msgspec.Struct, frozen=True, tag=True):
    """The ``message``-th message, and what comes after it in that inbox, arrives late."""

    message: int
    by_s: float


class DuplicateCall(msgspec.Struct, frozen=True, tag=True):
    """The ``call``-th store call of a container is applied a second time, ``by_s`` later."""

    call: int
    by_s: float


class LoseReply(msgspec.Struct, frozen=True, tag=True):
    """The ``call``-th store call is applied, its answer is lost, and the container makes it again ``after_s`` later."""

    call: int
    after_s: float


class LoseCall(msgspec.Struct, frozen=True, tag=True):
    """The ``call``-th store call does not arrive, and the container makes it again ``after_s`` later."""

    call: int
    after_s: float


class TaskRaises(msgspec.Struct, frozen=True, tag=True):
    """The first ``attempts`` executions of a task raise ``InjectedFault``."""

    task: int
    attempts: int


class ClientGone(msgspec.Struct, frozen=True, tag=True):
    """The client stops renewing its lease ``at_s`` after the start."""

    at_s: float


class StoreLatencySpike(msgspec.Struct, frozen=True, tag=True):
    """From ``at_s`` after the start, store calls take ``factor`` times as long for ``duration_s``."""

    at_s: float
    duration_s: float
    factor: float


Fault = (
    CrashContainer
    | LapseLease
    | LoseMessage
    | DuplicateMessage
    | DelayMessage
    | DuplicateCall
    | LoseReply
    | LoseCall
    | TaskRaises
    | ClientGone
    | StoreLatencySpike
)


F = TypeVar("F")


class InjectedFault(Exception):
    """Raised in place of a task's result by ``TaskRaises``."""


class FaultSchedule(msgspec.Struct, frozen=True):
    """All that goes wrong in one virtual run."""

    faults: tuple[Fault, ...] = ()

    @classmethod
    def random(cls, seed: int, intensity: float = 3.0, *, tasks: int = 10) -> Self:
        """Return a drawn schedule; the same seed gives the same.

        Args:
            seed: Seed.
            intensity: How many faults to expect, on average.
            tasks: Number of tasks of the DAG; ordinals of calls and messages are drawn from a range that fits.
        """
        rng = random.Random(f"faults/{seed}")
        calls = 4 * tasks + 8
        draws: tuple[tuple[int, Callable[[], Fault]], ...] = (
            (
                6,
                lambda: CrashContainer(
                    min(rng.randrange(8), rng.randrange(8)),
                    min(rng.randrange(24), rng.randrange(24)),
                    rng.random() < 0.5,
                    rng.random() < 0.5,
                ),
            ),
            (3, lambda: LapseLease(rng.randrange(4), rng.randrange(4))),
            (3, lambda: LoseMessage(rng.randrange(tasks + 2))),
            (3, lambda: DuplicateMessage(rng.randrange(tasks + 2))),
            (3, lambda: DelayMessage(rng.randrange(tasks + 2), rng.choice((0.01, 0.5, 5.0)))),
            (4, lambda: DuplicateCall(rng.randrange(calls), rng.choice((0.0, 0.001, 0.1, 3.0)))),
            (4, lambda: LoseReply(rng.randrange(calls), rng.choice((0.01, 1.0, 8.0)))),
            (2, lambda: LoseCall(rng.randrange(calls), rng.choice((0.01, 1.0, 8.0)))),
            (2, lambda: TaskRaises(rng.randrange(tasks), rng.choice((1, 1, 2, 5)))),
            (1, lambda: ClientGone(rng.uniform(0.0, 20.0))),
            (1, lambda: StoreLatencySpike(rng.uniform(0.0, 2.0), rng.uniform(0.1, 8.0), rng.choice((10.0, 1000.0)))),
        )
        count = sum(rng.random() < 0.5 for _ in range(round(2 * intensity)))
        drawn = rng.choices([draw for _, draw in draws], [weight for weight, _ in draws], k=count)
        return cls(tuple(draw() for draw in drawn))

    def of(self, kind: type[F]) -> list[F]:
        """Return the faults of one kind."""
        return [fault for fault in self.faults if isinstance(fault, kind)]

    def to_json(self) -> str:
        """Return the schedule as JSON text."""
        return msgspec.json.encode(self.faults).decode()

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the schedule that ``to_json`` wrote.

        Raises:
            msgspec.ValidationError: The text is no schedule.
        """
        return cls(msgspec.json.decode(text, type=tuple[Fault, ...]))
