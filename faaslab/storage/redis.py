"""The store on a Redis-compatible server (6.2 or newer, Valkey included): every operation is one script."""

import hashlib
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import hiredis

from faaslab.errors import Fenced, PayloadError, StorageError, StoreUnavailable
from faaslab.protocol.messages import (
    Claim,
    Completion,
    Demand,
    EmptyInvocations,
    Failure,
    FlowState,
    Invocation,
    Message,
    News,
    Offer,
    Orders,
    Ready,
    Reply,
    Retire,
    RunSpec,
    RunStatus,
    Seen,
    Suspension,
    YieldRequest,
)
from faaslab.protocol.payload import read_reference
from faaslab.protocol.storage import Storage
from faaslab.storage.connection import Address, Connection, NoAnswer, Unwelcome, Word

LUA_FOLDER = Path(__file__).parent / "lua"
LABS = "faaslab:labs"
"""Labs on this server by the second their leases end; the only key that is not below a lab's prefix."""
_sleep = time.sleep  # a worker in dilated time makes that of user code longer
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.01, 0.25
"""Pauses between attempts to reach a server that does not listen; each is twice the one before."""


@cache
def _script(name: str) -> tuple[str, str]:
    """Return a script's text and its SHA-1, by which the server knows it."""
    text = (LUA_FOLDER / "lib.lua").read_text() + (LUA_FOLDER / f"{name}.lua").read_text()
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def _prefix(lab: str) -> str:
    return f"faaslab:{{{lab}}}:"


def _csv(tasks: Iterable[int]) -> str:
    return ",".join(map(str, tasks))


def _numbers(text: bytes) -> tuple[int, ...]:
    return tuple(map(int, text.split(b","))) if text else ()


def _inputs(fields: Sequence[bytes]) -> dict[int, bytes]:
    return {int(fields[i]): fields[i + 1] for i in range(0, len(fields), 2)}


def _batches(prewarms: Sequence[EmptyInvocations]) -> tuple[Word, ...]:
    """Return batches of empty invocations as the scripts take them (``prewarm`` in ``lib.lua``)."""
    return (len(prewarms), *(x for one in prewarms for x in (one.name, one.pool, one.delay_s, one.count)))


def _seen(told: Any) -> Seen:
    """Read what ``watch`` tells of an output: its reference, its size, or the state of its stream."""
    if isinstance(told, list):
        key, nbytes, chunks, written, digest = told
        return Seen(int(nbytes), key.decode(), chunks, written, False, digest)
    reference = read_reference(told)
    return Seen(int(told)) if reference is None else Seen(reference.nbytes, reference.key, reference.chunks)


class RedisStorage(Storage):
    """A lab's keys on a server. Threads may share it: each call takes a connection of its own from a small stack.

    Every operation may be sent twice, so a call that loses its connection is repeated until ``reconnect_s`` are over.

    Args:
        url: ``redis://…``, ``rediss://…`` or ``unix://…``; may hold a password, which no message repeats.
        lab: Id of the lab; all its keys begin with ``faaslab:{<lab>}:``.
        timeout_s: A call without an answer for this long fails.
        reconnect_s: How long a server that has gone is waited for.
    """

    def __init__(self, url: str, lab: str, *, timeout_s: float = 30.0, reconnect_s: float = 3.0) -> None:
        self.url = url
        self.lab = lab
        self._address = Address.parse(url)
        self._prefix = _prefix(lab)
        self._timeout_s = timeout_s
        self._reconnect_s = reconnect_s
        self._unused: list[Connection] = []
        self._pid = os.getpid()

    # -- calling --------------------------------------------------------------------------------------------------

    def _send(self, commands: Sequence[tuple[Word, ...]], wait_s: float = 0.0) -> list[Any]:
        """Send commands on a free connection, again on a new one if that breaks, and return the answers."""
        if self._pid != os.getpid():  # a fork must not talk on its parent's connections
            self._pid = os.getpid()
            self.close()
        deadline_s, pause_s = 0.0, 0.0
        while True:
            connection = None
            try:
                connection = self._take()
                answers = connection.call(commands, wait_s)
                self._unused.append(connection)
                return answers
            except NoAnswer:
                self._drop(connection)
                limit_s = self._timeout_s + wait_s
                raise StorageError(
                    f"the store at {self._address.place} did not answer {commands[0][0]!s} within {limit_s:g} s"
                ) from None
            except Unwelcome as error:
                raise StoreUnavailable(f"the store at {self._address.place} refused the connection: {error}") from None
            except OSError as error:
                self._drop(connection)
                self.close()  # if one connection is broken, so are the others
                now_s = time.monotonic()
                deadline_s = deadline_s or now_s + self._reconnect_s
                if now_s + pause_s > deadline_s:
                    raise StoreUnavailable(
                        f"no store answers at {self._address.place} ({error}); start one, or unset FAASLAB_REDIS_URL "
                        "to use the embedded server"
                    ) from error
                _sleep(pause_s)
                pause_s = min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, 2 * pause_s))
            except BaseException:
                self._drop(connection)
                raise

    def _take(self) -> Connection:
        """Return a connection that no other thread uses."""
        try:
            return self._unused.pop()
        except IndexError:
            return Connection(self._address, self._timeout_s)

    @staticmethod
    def _drop(connection: Connection | None) -> None:
        if connection is not None:
            connection.close()

    def _command(self, *words: Word, wait_s: float = 0.0) -> Any:
        """Send one command."""
        answer = self._send((words,), wait_s)[0]
        if type(answer) is hiredis.ReplyError:
            raise self._refused(answer)
        return answer

    def _refused(self, answer: hiredis.ReplyError) -> StorageError:
        return StorageError(f"the store at {self._address.place} refused a call: {answer}")

    def _run(self, name: str, *args: Word) -> Any:
        """Run a script by its digest; the server learns the text the first time it lacks it."""
        text, digest = _script(name)
        answer = self._send((("EVALSHA", digest, 1, self._prefix, *args),))[0]
        if type(answer) is hiredis.ReplyError:
            if not str(answer).startswith("NOSCRIPT"):
                raise self._refused(answer)
            return self._command("EVAL", text, 1, self._prefix, *args)
        return answer

    def _claimed(self, name: str, claim: Claim, *args: Word) -> list[Any]:
        """Run a script that checks a claim first."""
        answer: list[Any] = self._run(name, claim.run, claim.invocation, claim.attempt, claim.container, *args)
        if answer[0] == b"fenced":
            raise Fenced(answer[1].decode())
        return answer

    def _key(self, run: str, name: str) -> str:
        return f"{self._prefix}run:{run}:{name}"

    @staticmethod
    def _message(fields: Sequence[bytes]) -> Message | None:
        """Build a message from its flat list of field, value; the fixed fields come first, in a fixed order."""
        if not fields:
            return None
        kind = fields[1]
        if kind == b"retire":
            return Retire()
        run, invocation = fields[3].decode(), fields[5].decode()
        if kind == b"ready":
            return Ready(run, invocation, int(fields[7]))
        if kind == b"yield":
            return YieldRequest(run, invocation)
        if kind == b"news":
            return News(run, invocation)
        parts: dict[str, bytes] = {}
        inputs: dict[int, bytes] = {}
        for i in range(16, len(fields), 2):
            field = fields[i]
            if field[:2] == b"p:":
                parts[field[2:].decode()] = fields[i + 1]
            else:
                inputs[int(field[2:])] = fields[i + 1]
        return Invocation(
            run,
            invocation,
            int(fields[7]),
            _numbers(fields[9]),
            fields[11].decode(),
            float(fields[13]),
            fields[15].decode(),
            parts,
            inputs,
        )

    def _following(self, fields: Sequence[bytes]) -> Invocation | None:
        """Read what ``take_pending`` appended to an answer."""
        if len(fields) == 1:
            raise Fenced("this container is not known to the store")
        message = self._message(fields)
        assert message is None or isinstance(message, Invocation)
        return message

    # -- runs -----------------------------------------------------------------------------------------------------

    def create_run(self, spec: RunSpec) -> None:
        """See ``Storage``."""
        parts = [x for pair in spec.parts.items() for x in pair]
        starts = [x for start in spec.starts for x in (start.invocation, start.pool, _csv(start.tasks))]
        cuts = [x for pair in spec.cuts.items() for x in pair]
        kept = (spec.client, spec.structure, sorted(spec.parts), spec.ride, spec.sinks, spec.starts, spec.events)
        same = (*kept, spec.prewarms)
        answer = self._run(
            "create_run",
            spec.run,
            spec.client,
            hashlib.sha256(repr(same).encode()).hexdigest(),
            spec.structure,
            ",".join(spec.ride),
            len(spec.sinks),
            spec.inline_input_bytes,
            spec.max_lapses,
            "1" if spec.timed else "0",
            spec.events,
            len(spec.parts),
            *parts,
            len(spec.cuts),
            *cuts,
            len(spec.starts),
            *starts,
            *_batches(spec.prewarms),
        )
        if answer[0] == b"exists":
            raise StorageError(f"run {spec.run!r} exists already; run ids must be unique")

    def run_status(self, run: str) -> RunStatus | None:
        """See ``Storage``."""
        answer = self._run("run_status", run)
        if not answer:
            return None
        status, reason, live, error = answer
        return RunStatus(status.decode(), reason.decode(), error, int(live))

    def read_events(self, run: str, cursor: str, wait_s: float) -> tuple[str, list[bytes]]:
        """See ``Storage``."""
        entries = self._read(self._key(run, "events"), cursor, wait_s, 1000)
        if not entries:
            return cursor, []
        return entries[-1][0].decode(), [batch for _, fields in entries for batch in fields[1::2]]

    def fetch(self, run: str, tasks: Sequence[int]) -> dict[int, bytes]:
        """See ``Storage``."""
        if not tasks:
            return {}
        answer = self._command("HMGET", self._key(run, "out"), *tasks)
        return {task: output for task, output in zip(tasks, answer, strict=True) if output is not None}

    def cancel_run(self, run: str, status: str, reason: str, error: bytes = b"") -> bool:
        """See ``Storage``."""
        return bool(self._run("cancel_run", run, status, reason, error))

    def delete_run(self, run: str) -> None:
        """See ``Storage``."""
        self._run("delete_run", run)

    def renew_client(self, client: str, lease_s: float) -> None:
        """See ``Storage``."""
        self._run("renew_client", client, lease_s)

    def remove_client(self, client: str) -> None:
        """See ``Storage``."""
        self._command("ZREM", self._prefix + "clients", client)

    # -- containers -----------------------------------------------------------------------------------------------

    def register(self, container: str, pool: str, lease_s: float) -> None:
        """See ``Storage``."""
        self._run("register", container, pool, lease_s)

    def renew(self, container: str, lease_s: float) -> Orders:
        """See ``Storage``."""
        known, stop = self._run("renew", container, lease_s)
        return Orders(bool(known), bool(stop))

    def next(self, container: str) -> Invocation | None:
        """See ``Storage``."""
        return self._following(self._run("next", container))

    def listen(self, container: str, cursor: str, wait_s: float) -> tuple[str, Message | None]:
        """See ``Storage``."""
        entries = self._read(f"{self._prefix}inbox:{container}", cursor, wait_s, 1)
        if not entries:
            return cursor, None
        return entries[0][0].decode(), self._message(entries[0][1])

    def leave(self, container: str) -> bool:
        """See ``Storage``."""
        return bool(self._run("leave", container))

    def remove(self, container: str, reason: str) -> None:
        """See ``Storage``."""
        self._run("remove", container, reason)

    # -- a worker's calls -----------------------------------------------------------------------------------------

    def complete(self, completion: Completion) -> Reply:
        """See ``Storage``."""
        successors = [
            x for s in completion.successors for x in (s.task, s.expected, s.worker, "1" if s.gate else "0", s.pool)
        ]
        answer = self._claimed(
            "complete",
            completion.claim,
            completion.task,
            b"" if completion.output is None else completion.output,
            "2" if completion.streamed else "0" if completion.output is None else "1",
            completion.output_bytes,
            completion.started_s,
            "1" if completion.must_store else "0",
            "1" if completion.sink else "0",
            completion.take,
            _csv(completion.remaining),
            "1" if completion.ends else "0",
            completion.events,
            completion.number,
            completion.hold,
            completion.held_bytes,
            len(completion.successors),
            *successors,
            *_batches(completion.prewarms),
        )
        _, stored, ended, taken, held, due, inputs = answer[:7]
        if stored == 2:
            return Reply(refused=True)
        if ended:
            return Reply((), bool(stored), {}, ended=True, next=self._following(answer[7:]))
        found = _inputs(answer[7 : 7 + 2 * inputs])
        return Reply(_numbers(taken), bool(stored), found, held=_numbers(held), due=_numbers(due))

    def fail(self, failure: Failure) -> Reply:
        """See ``Storage``."""
        outputs = [x for pair in failure.outputs.items() for x in pair]
        answer = self._claimed(
            "fail",
            failure.claim,
            failure.task,
            failure.error,
            failure.retries,
            "0" if failure.remaining is None else "1",
            _csv(failure.remaining or ()),
            failure.backoff_s,
            failure.backoff_cap_s,
            failure.events,
            failure.message,
            "1" if failure.leaves else "0",
            failure.pool,
            len(failure.outputs),
            *outputs,
        )
        return Reply(ended=True, next=self._following(answer[3:]), will_retry=bool(answer[1]), attempt=answer[2])

    def suspend(self, suspension: Suspension) -> Reply:
        """See ``Storage``."""
        outputs = [x for pair in suspension.outputs.items() for x in pair]
        answer = self._claimed(
            "suspend", suspension.claim, suspension.gate, suspension.events, len(suspension.outputs), *outputs
        )
        return Reply(ended=True, next=self._following(answer[1:]))

    def wait_ready(self, claim: Claim, task: int, upstreams: Sequence[int]) -> tuple[bool, dict[int, bytes]]:
        """See ``Storage``."""
        answer = self._claimed("wait_ready", claim, task, _csv(upstreams))
        return bool(answer[1]), _inputs(answer[2:])

    def watch(
        self, claim: Claim, tasks: Sequence[int], acks: Mapping[int, tuple[str, int]] = MappingProxyType({})
    ) -> dict[int, Seen]:
        """See ``Storage``."""
        told = [x for task, ack in acks.items() for x in (task, *ack)]
        answer = self._claimed("watch", claim, _csv(tasks), len(acks), *told)
        return {int(answer[i]): _seen(answer[i + 1]) for i in range(1, len(answer), 2)}

    def offer(self, claim: Claim, offer: Offer) -> FlowState:
        """See ``Storage``."""
        only = "1" if offer.only else "0"
        answer = self._claimed("offer", claim, offer.task, offer.key, offer.nbytes, offer.chunks, only, *offer.workers)
        return FlowState(answer[1], bool(answer[2]), answer[3], answer[4])

    def put_chunk(
        self, claim: Claim, task: int, key: str, index: int, chunk: bytes | memoryview, digest: bytes = b""
    ) -> FlowState:
        """See ``Storage``."""
        name = self._key(claim.run, f"blob:{key}:{index}")
        who = (claim.run, claim.invocation, claim.attempt, claim.container)
        answer = self._transaction(("SET", name, chunk), "put_chunk", *who, task, key, index, digest, name)
        return self._flow_state(answer, claim.run, key)

    def flow(self, claim: Claim, task: int, key: str, give_up: bool = False) -> FlowState:
        """See ``Storage``."""
        answer = self._claimed("flow", claim, task, key, "1" if give_up else "0")
        return self._flow_state(answer, claim.run, key)

    @staticmethod
    def _flow_state(answer: Sequence[Any], run: str, key: str) -> FlowState:
        if answer[0] == b"fenced":
            raise Fenced(answer[1].decode())
        if answer[0] == b"unknown":
            raise StorageError(f"nothing is streamed to {key!r} in run {run}; offer it first")
        return FlowState(answer[1], bool(answer[2]), answer[3], answer[4])

    def wait_bell(self, container: str, cursor: str, wait_s: float) -> str | None:
        """See ``Storage``."""
        entries = self._read(f"{self._prefix}bell:{container}", cursor, wait_s, 1)
        return entries[0][0].decode() if entries else None

    def look(self, claim: Claim, tasks: Sequence[int], inputs: Sequence[int]) -> tuple[float, dict[int, float]]:
        """See ``Storage``."""
        _, began_s, *told = self._claimed("look", claim, _csv(tasks), _csv(inputs))
        return float(began_s), {int(told[i]): float(told[i + 1]) for i in range(0, len(told), 2)}

    def needed(self, claim: Claim, task: int, successors: Sequence[int]) -> bool:
        """See ``Storage``."""
        return bool(self._claimed("needed", claim, task, _csv(successors))[1])

    def begin(self, claim: Claim, task: int) -> bool:
        """See ``Storage``."""
        return bool(self._claimed("begin", claim, task)[1])

    def stored(self, claim: Claim) -> frozenset[int]:
        """See ``Storage``."""
        return frozenset(map(int, self._claimed("stored", claim)[1:]))

    def delivered(self, claim: Claim) -> frozenset[int]:
        """See ``Storage``."""
        return frozenset(map(int, self._claimed("delivered", claim)[1:]))

    def owned(self, claim: Claim) -> frozenset[int]:
        """See ``Storage``."""
        return frozenset(map(int, self._claimed("owned", claim)[1:]))

    def parts(self, run: str, container: str, digests: Sequence[str]) -> dict[str, bytes]:
        """See ``Storage``."""
        answer = self._run("parts", run, container, *digests)
        return {answer[i].decode(): answer[i + 1] for i in range(0, len(answer), 2)}

    def put_blob(self, run: str, key: str, chunks: Iterable[bytes | memoryview]) -> None:
        """See ``Storage``."""
        for index, chunk in enumerate(chunks):
            name = self._key(run, f"blob:{key}:{index}")
            self._transaction(("SET", name, chunk), "keep_chunk", run, name)

    def _transaction(self, command: tuple[Word, ...], script: str, *args: Word) -> Any:
        """Run a command and then a script, with nothing between; large bytes need not pass through the script.

        Returns:
            The script's answer.
        """
        text, digest = _script(script)
        for run_script in (("EVALSHA", digest), ("EVAL", text)):
            answers = self._send((("MULTI",), command, (*run_script, 1, self._prefix, *args), ("EXEC",)))
            last = answers[-1]  # what the commands answered; an error if one of them was refused beforehand
            errors = [x for x in (*answers, *(last if isinstance(last, list) else ())) if type(x) is hiredis.ReplyError]
            if not errors:
                return last[-1]
            if not str(errors[0]).startswith("NOSCRIPT"):
                raise self._refused(errors[0])

    def get_blob(self, run: str, key: str, chunks: int, first: int = 0) -> list[bytes]:
        """See ``Storage``."""
        data: list[bytes] = []
        for index in range(first, chunks):
            name = self._key(run, f"blob:{key}:{index}")
            chunk = self._command("GET", name)
            if chunk is None:
                raise PayloadError(f"blob {key!r} of run {run} has {index} of {chunks} chunks")
            data.append(chunk)
        return data

    # -- lab host -------------------------------------------------------------------------------------------------

    def sweep(self, grace_s: float) -> tuple[str, ...]:
        """See ``Storage``."""
        return tuple(name.decode() for name in self._run("sweep", grace_s))

    def demand(self) -> Demand:
        """See ``Storage``."""
        answer = self._run("demand")
        end = 1 + 4 * answer[0]
        rows = [(answer[i].decode(), *answer[i + 1 : i + 4]) for i in range(1, end, 4)]
        after = end + 1 + 2 * answer[end]
        warming = after + 1 + answer[after]
        due = warming + 1 + answer[warming]
        return Demand(
            pending={pool: pending for pool, pending, _, _ in rows if pending},
            idle={pool: idle for pool, _, idle, _ in rows if idle},
            containers={answer[i].decode(): answer[i + 1].decode() for i in range(end + 1, after, 2)},
            waiting=tuple(name.decode() for name in answer[due + 1 :]),
            assigned=frozenset(name.decode() for name in answer[after + 1 : warming]),
            empty={pool: empty for pool, _, _, empty in rows if empty},
            warming=frozenset(name.decode() for name in answer[warming + 1 : due]),
            next_due_s=float(answer[due] or "inf"),
        )

    def wait_demand(self, cursor: str, wait_s: float) -> str:
        """See ``Storage``."""
        entries = self._read(self._prefix + "gateway", cursor, wait_s, 100)
        return entries[-1][0].decode() if entries else cursor

    def _read(self, stream: str, cursor: str, wait_s: float, count: int) -> list[Any]:
        """Return entries of a stream after ``cursor``, waiting up to ``wait_s`` for the first."""
        block: tuple[Word, ...] = ("BLOCK", max(1, round(wait_s * 1000))) if wait_s > 0 else ()
        answer = self._command("XREAD", "COUNT", count, *block, "STREAMS", stream, cursor, wait_s=wait_s)
        return answer[0][1] if answer else []

    def retire_idle(self, pool: str) -> str | None:
        """See ``Storage``."""
        name = self._run("retire_idle", pool)
        return None if name is None else name.decode()

    def ask_yield(self, container: str) -> bool:
        """See ``Storage``."""
        return bool(self._run("ask_yield", container))

    def clients(self) -> Mapping[str, float]:
        """See ``Storage``."""
        rows = self._run("clients")
        return {rows[i].decode(): float(rows[i + 1]) for i in range(0, len(rows), 2)}

    def now_s(self) -> float:
        """See ``Storage``."""
        seconds, micros = self._command("TIME")
        return int(seconds) + int(micros) / 1e6

    def leftovers(self) -> list[str]:
        """See ``Storage``."""
        names = [key.decode(errors="replace")[len(self._prefix) :] for key in self._keys(self._prefix)]
        return sorted(
            name for name in names if name.startswith(("run:", "pending:", "empty:")) or name in ("due", "runs")
        )

    # -- beyond the interface -------------------------------------------------------------------------------------

    def reserve_link(self, busy_s: float) -> float:
        """Reserve ``busy_s`` of an emulated link that all users of the store share; returns the wait for their end."""
        return float(self._run("throttle", busy_s))

    def renew_lab(self, lease_s: float) -> None:
        """Say that the lab lives for another ``lease_s``; afterwards anybody's ``delete_lapsed_labs`` removes it."""
        self._command("ZADD", LABS, f"{self.now_s() + lease_s:.3f}", self.lab)

    def delete_lapsed_labs(self) -> tuple[str, ...]:
        """Remove every key of labs whose host and client died before they could; returns their ids."""
        lapsed = tuple(lab.decode() for lab in self._command("ZRANGEBYSCORE", LABS, "-inf", f"{self.now_s():.3f}"))
        for lab in lapsed:
            self._delete(lab)
        return lapsed

    def delete_lab(self) -> None:
        """Remove every key of the lab."""
        self._delete(self.lab)

    def _delete(self, lab: str) -> None:
        keys = self._keys(_prefix(lab))
        for start in range(0, len(keys), 1000):
            self._command("UNLINK", *keys[start : start + 1000])
        self._command("ZREM", LABS, lab)

    def _keys(self, prefix: str) -> list[bytes]:
        pattern = "".join(f"\\{x}" if x in "*?[]^\\" else x for x in prefix) + "*"
        keys: set[bytes] = set()
        cursor: bytes = b"0"
        while True:
            cursor, found = self._command("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
            keys.update(found)
            if cursor == b"0":
                return sorted(keys)

    def ping(self) -> str:
        """Return the server's run id, which changes when it restarts.

        Raises:
            StoreUnavailable: It does not answer.
            StorageError: Its eviction policy may drop keys of a run.
        """
        lines = self._command("INFO", "everything").decode().splitlines()
        info = dict(line.split(":", 1) for line in lines if ":" in line)
        policy = info.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            raise StorageError(
                f"the store at {self._address.place} has maxmemory-policy {policy!r}, which may drop data of a run; "
                "set it to noeviction"
            )
        return str(info["run_id"])

    def close(self) -> None:
        """Release connections."""
        while True:
            try:
                self._unused.pop().close()
            except IndexError:
                return
