"""Short words for what the storage tests do over and over, and back doors to what a store really holds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import redis

from faaslab.protocol.messages import (
    Claim,
    Completion,
    EmptyInvocations,
    Failure,
    Invocation,
    Reply,
    RunSpec,
    Start,
    Successor,
)
from faaslab.protocol.storage import Storage
from faaslab.storage.memory import MemoryStorage
from faaslab.storage.redis import RedisStorage
from faaslab.trace.events import AnyEvent, decode_events

SMALL, LARGE = "image/512", "image/1024"
CLIENT = "client"
LONG_S = 1000.0
"""A lease that no test outlives."""


def successor(task: int, expected: int = 1, *, worker: str = "", gate: bool = False, pool: str = SMALL) -> Successor:
    """Return a waiting task, by default one whose place is decided at run time."""
    return Successor(task, expected, worker, gate, pool)


def spec(
    run: str = "run",
    starts: Sequence[Start] = (Start("start", SMALL, (0,)),),
    *,
    sinks: tuple[int, ...] = (9,),
    client: str = CLIENT,
    parts: Mapping[str, bytes] | None = None,
    ride: tuple[str, ...] | None = None,
    inline_input_bytes: int = 100,
    max_lapses: int = 3,
    events: bytes = b"",
    cuts: Mapping[str, str] | None = None,
    prewarms: Sequence[EmptyInvocations] = (),
) -> RunSpec:
    """Return a run; by default of one invocation that begins with task 0 and has to bring task 9."""
    parts = {"structure": b"the DAG", "code": b"a function"} if parts is None else parts
    ride = tuple(parts) if ride is None else ride
    return RunSpec(
        run,
        client,
        "structure",
        parts,
        ride,
        sinks,
        tuple(starts),
        inline_input_bytes,
        max_lapses,
        events,
        cuts or {},
        tuple(prewarms),
    )


@dataclass
class Scene:
    """A store with a client, and containers that do as they are told."""

    store: Storage

    def start(self, run: RunSpec | None = None) -> None:
        """Let a client submit a run."""
        run = spec() if run is None else run
        self.store.renew_client(run.client, LONG_S)
        self.store.create_run(run)

    def container(self, name: str, pool: str = SMALL, lease_s: float = LONG_S) -> Invocation | None:
        """Start a container and let it ask for work."""
        self.store.register(name, pool, lease_s)
        return self.store.next(name)

    def worker(self, name: str, pool: str = SMALL, lease_s: float = LONG_S) -> Claim:
        """Start a container for which there is work; returns its claim."""
        invocation = self.container(name, pool, lease_s)
        assert invocation is not None
        return invocation.claim(name)

    def done(self, claim: Claim, task: int, *successors: Successor, output: bytes | None = b"", **how: Any) -> Reply:
        """Complete a task; its output says which task made it unless it is given."""
        output = f"output {task}".encode() if output == b"" else output
        size = 0 if output is None else len(output)
        return self.store.complete(
            Completion(claim, task, output, size, successors=tuple(successors), **how),
        )

    def fails(self, claim: Claim, task: int, retries: int = 0, message: str = "boom", **how: Any) -> Reply:
        """Fail a task."""
        return self.store.fail(Failure(claim, task, message, b"report", retries, **how))

    def finish(self, claim: Claim, task: int = 9) -> Reply:
        """Bring the output that the client asked for and end the invocation."""
        return self.done(claim, task, sink=True, ends=True)

    def inbox(self, container: str, cursor: str = "0") -> list[Any]:
        """Return all messages of a container after ``cursor``."""
        found: list[Any] = []
        while True:
            cursor, message = self.store.listen(container, cursor, 0.0)
            if message is None:
                return found
            found.append(message)

    def status(self, run: str = "run") -> str:
        """Return a run's status and reason in one word each."""
        state = self.store.run_status(run)
        return "unknown" if state is None else f"{state.status} {state.reason}".strip()

    def events(self, run: str = "run") -> list[AnyEvent]:
        """Return all events of a run, decoded."""
        _, batches = self.store.read_events(run, "0", 0.0)
        return [event for batch in batches for event in decode_events(batch)]

    def said(self, kind: type[Any], run: str = "run") -> list[Any]:
        """Return the events of one kind."""
        return [event for event in self.events(run) if isinstance(event, kind)]


class BackDoor(Protocol):
    """What a store really holds, seen without its own methods."""

    def outputs(self, run: str) -> dict[int, bytes]:
        """Return the stored outputs."""

    def idle(self, pool: str) -> list[str]:
        """Return the idle containers, longest idle first."""

    def pending(self, pool: str) -> list[tuple[str, str, int]]:
        """Return run, invocation and attempt of what waits for a container."""

    def due_in_s(self) -> dict[tuple[str, str, int], float]:
        """Return the pause left of what waits for its moment."""

    def arrived(self, run: str, task: int) -> set[int]:
        """Return the inputs of an unfinished fan-in that have arrived."""

    def known(self, container: str) -> set[str]:
        """Return the digests that a container is known to have."""

    def blob_bytes(self, run: str) -> int:
        """Return the size of all blobs of a run."""


class MemoryDoor:
    """A back door to a ``MemoryStorage``."""

    def __init__(self, store: MemoryStorage) -> None:
        self._store = store

    def outputs(self, run: str) -> dict[int, bytes]:
        return dict(self._store._runs[run].outputs)

    def idle(self, pool: str) -> list[str]:
        return list(self._store._idle.get(pool, []))

    def pending(self, pool: str) -> list[tuple[str, str, int]]:
        return list(self._store._pending.get(pool, []))

    def due_in_s(self) -> dict[tuple[str, str, int], float]:
        now_s = self._store.now_s()
        return {(run, name, attempt): at_s - now_s for at_s, run, name, attempt in self._store._due}

    def arrived(self, run: str, task: int) -> set[int]:
        return set(self._store._runs[run].arrived.get(task, ()))

    def known(self, container: str) -> set[str]:
        return set(self._store._containers[container].known)

    def blob_bytes(self, run: str) -> int:
        return sum(len(chunk) for chunks in self._store._runs[run].blobs.values() for chunk in chunks.values())


class RedisDoor:
    """A back door to a ``RedisStorage``, through another client library."""

    def __init__(self, store: RedisStorage) -> None:
        self._client: Any = redis.Redis.from_url(store.url)
        self._prefix = f"faaslab:{{{store.lab}}}:"

    def _of(self, run: str, name: str) -> str:
        return f"{self._prefix}run:{run}:{name}"

    @staticmethod
    def _entry(text: bytes) -> tuple[str, str, int]:
        run, rest = text.decode().split("|", 1)
        name, attempt = rest.rsplit("|", 1)
        return run, name, int(attempt)

    def outputs(self, run: str) -> dict[int, bytes]:
        return {int(task): output for task, output in self._client.hgetall(self._of(run, "out")).items()}

    def idle(self, pool: str) -> list[str]:
        return [name.decode() for name in self._client.lrange(f"{self._prefix}idle:{pool}", 0, -1)]

    def pending(self, pool: str) -> list[tuple[str, str, int]]:
        return [self._entry(text) for text in self._client.lrange(f"{self._prefix}pending:{pool}", 0, -1)]

    def due_in_s(self) -> dict[tuple[str, str, int], float]:
        seconds, micros = self._client.time()
        rows = self._client.zrange(f"{self._prefix}due", 0, -1, withscores=True)
        return {self._entry(text): at_s - seconds - micros / 1e6 for text, at_s in rows}

    def arrived(self, run: str, task: int) -> set[int]:
        state = self._client.hget(self._of(run, "next"), str(task)) or b""
        state = state.removeprefix(b"!")  # some are held
        if state == b"*":
            return {int(upstream) for upstream in self._client.smembers(self._of(run, f"in:{task}"))}
        return set() if state[:1] in (b"", b"=") else {int(upstream) for upstream in state.split(b",")}

    def known(self, container: str) -> set[str]:
        names = {name.decode() for name in self._client.smembers(f"{self._prefix}known:{container}")}
        return {name for name in names if not name.startswith("run:")}

    def blob_bytes(self, run: str) -> int:
        return sum(self._client.strlen(key) for key in self._client.smembers(self._of(run, "blobs")))

    def close(self) -> None:
        """Release connections."""
        self._client.close()


MakeStore = Callable[[str], Storage]
"""Makes the store of a lab; the same name gives another view of the same lab."""
