"""The store on a Redis-compatible server (6.2 or newer, Valkey included): every operation is one script."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from faaslab.errors import Fenced, StorageError, StoreUnavailable
from faaslab.protocol.messages import (
    Claim,
    Completion,
    Demand,
    Failure,
    Invocation,
    Message,
    Orders,
    Ready,
    Reply,
    Retire,
    RunSpec,
    RunStatus,
    Suspension,
    YieldRequest,
)
from faaslab.protocol.storage import Storage

LUA_FOLDER = Path(__file__).parent / "lua"


@cache
def _script(name: str) -> tuple[str, str]:
    """Return a script's text and its SHA-1, by which the server knows it."""
    text = (LUA_FOLDER / "lib.lua").read_text() + (LUA_FOLDER / f"{name}.lua").read_text()
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def _csv(tasks: Iterable[int]) -> str:
    return ",".join(map(str, tasks))


def _numbers(text: bytes) -> tuple[int, ...]:
    return tuple(map(int, text.split(b","))) if text else ()


def _inputs(fields: Sequence[bytes]) -> dict[int, bytes]:
    return {int(fields[i]): fields[i + 1] for i in range(0, len(fields), 2)}


class RedisStorage(Storage):
    """A lab's keys on a server.

    Args:
        url: ``redis://…`` or ``unix://…``.
        lab: Id of the lab; all its keys begin with ``faaslab:{<lab>}:``.
        timeout_s: A call without an answer for this long fails.
        chunk_bytes: Blobs are written in chunks of this size.
    """

    def __init__(self, url: str, lab: str, *, timeout_s: float = 30.0) -> None:
        self.url = url
        self.lab = lab
        self._prefix = f"faaslab:{{{lab}}}:"
        self._timeout_s = timeout_s
        retry = Retry(ExponentialBackoff(cap=0.5, base=0.01), 4)
        self._client: redis.Redis = redis.Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=min(timeout_s, 5.0),
            retry=retry,
            retry_on_error=[redis.ConnectionError],
        )

    # -- calling --------------------------------------------------------------------------------------------------

    def _guard(self, call: Callable[[], Any]) -> Any:
        """Run a call and turn the client library's errors into ours."""
        try:
            return call()
        except redis.TimeoutError as error:
            raise StorageError(f"the store at {self.url} did not answer within {self._timeout_s} s: {error}") from error
        except redis.AuthenticationError as error:
            raise StoreUnavailable(f"the store at {self.url} refused the password: {error}") from error
        except redis.ConnectionError as error:
            raise StoreUnavailable(
                f"no store answers at {self.url} ({error}); start one or unset FAASLAB_REDIS_URL to use the embedded server"
            ) from error
        except redis.RedisError as error:
            raise StorageError(f"the store at {self.url} refused a call: {error}") from error

    def _run(self, name: str, *args: Any) -> Any:
        """Run a script by its digest; the server learns the text the first time it lacks it."""
        text, digest = _script(name)

        def call() -> Any:
            try:
                return self._client.execute_command("EVALSHA", digest, 1, self._prefix, *args)
            except redis.exceptions.NoScriptError:
                return self._client.execute_command("EVAL", text, 1, self._prefix, *args)

        return self._guard(call)

    def _claimed(self, name: str, claim: Claim, *args: Any) -> list[Any]:
        """Run a script that checks a claim first."""
        answer: list[Any] = self._run(name, claim.run, claim.invocation, claim.attempt, claim.container, *args)
        if answer[0] == b"fenced":
            raise Fenced(answer[1].decode())
        return answer

    def _key(self, run: str, name: str) -> str:
        return f"{self._prefix}run:{run}:{name}"

    @staticmethod
    def _message(fields: Sequence[bytes]) -> Message | None:
        """Build a message from its flat list of field, value."""
        if not fields:
            return None
        named: dict[bytes, bytes] = {}
        parts: dict[str, bytes] = {}
        inputs: dict[int, bytes] = {}
        for i in range(0, len(fields), 2):
            field = fields[i]
            if field[1:2] != b":":
                named[field] = fields[i + 1]
            elif field[:1] == b"p":
                parts[field[2:].decode()] = fields[i + 1]
            else:
                inputs[int(field[2:])] = fields[i + 1]
        kind = named[b"kind"]
        if kind == b"retire":
            return Retire()
        run, invocation = named[b"run"].decode(), named[b"invocation"].decode()
        if kind == b"ready":
            return Ready(run, invocation, int(named[b"task"]))
        if kind == b"yield":
            return YieldRequest(run, invocation)
        return Invocation(
            run,
            invocation,
            int(named[b"attempt"]),
            _numbers(named[b"tasks"]),
            named[b"pool"].decode(),
            float(named[b"requested"]),
            named[b"structure"].decode(),
            parts,
            inputs,
        )

    def _following(self, fields: Sequence[bytes]) -> Invocation | None:
        """Read what ``next_of`` appended to an answer."""
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
        answer = self._run(
            "create_run",
            spec.run,
            spec.client,
            spec.structure,
            ",".join(spec.ride),
            len(spec.sinks),
            spec.inline_input_bytes,
            spec.max_lapses,
            spec.events,
            len(spec.parts),
            *parts,
            len(spec.starts),
            *starts,
        )
        if answer[0] == b"exists":
            raise StorageError(f"run {spec.run!r} exists already; run ids must be unique")

    def run_status(self, run: str) -> RunStatus | None:
        """See ``Storage``."""

        def call() -> tuple[list[bytes | None], bytes | None]:
            pipe = self._client.pipeline(transaction=True)
            pipe.hmget(self._key(run, "meta"), "status", "reason", "live")
            pipe.get(self._key(run, "error"))
            meta, error = pipe.execute()
            return meta, error

        meta, error = self._guard(call)
        if meta[0] is None:
            return None
        return RunStatus(meta[0].decode(), meta[1].decode(), error or b"", int(meta[2]))

    def read_events(self, run: str, cursor: str, wait_s: float) -> tuple[str, list[bytes]]:
        """See ``Storage``."""
        key = self._key(run, "events")
        block = max(1, round(wait_s * 1000)) if wait_s > 0 else None
        answer = self._guard(lambda: self._client.xread({key: cursor}, count=1000, block=block))
        if not answer:
            return cursor, []
        entries = answer[0][1]
        return entries[-1][0].decode(), [batch for _, fields in entries for batch in fields.values()]

    def fetch(self, run: str, tasks: Sequence[int]) -> dict[int, bytes]:
        """See ``Storage``."""
        if not tasks:
            return {}
        answer = self._guard(lambda: self._client.hmget(self._key(run, "out"), list(map(str, tasks))))
        return {task: output for task, output in zip(tasks, answer, strict=True) if output is not None}

    def cancel_run(self, run: str, status: str, reason: str, error: bytes = b"") -> bool:
        """See ``Storage``."""
        return bool(self._run("cancel_run", run, status, reason, error))

    def delete_run(self, run: str) -> None:
        """See ``Storage``."""
        self._run("delete_run", run)

    def renew_client(self, client: str, lease_s: float) -> None:
        """See ``Storage``."""
        self._guard(lambda: self._client.zadd(self._prefix + "clients", {client: self.now_s() + lease_s}))

    def remove_client(self, client: str) -> None:
        """See ``Storage``."""
        self._guard(lambda: self._client.zrem(self._prefix + "clients", client))

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
        key = f"{self._prefix}inbox:{container}"
        block = max(1, round(wait_s * 1000)) if wait_s > 0 else None
        # The raw command keeps the fields as a flat list and skips the library's parsing.
        words = ["XREAD", "COUNT", 1, *(["BLOCK", block] if block else []), "STREAMS", key, cursor]
        answer = self._guard(lambda: self._client.execute_command(*words, NEVER_DECODE=True))
        if not answer:
            return cursor, None
        entries = answer[0][1] if isinstance(answer, list) else next(iter(answer.values()))[0]
        entry, fields = entries[0]
        flat = fields if isinstance(fields, list) else [x for pair in fields.items() for x in pair]
        return entry.decode(), self._message(flat)

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
            "0" if completion.output is None else "1",
            completion.output_bytes,
            completion.started_s,
            "1" if completion.must_store else "0",
            "1" if completion.sink else "0",
            completion.take,
            _csv(completion.remaining),
            "1" if completion.ends else "0",
            completion.events,
            len(completion.successors),
            *successors,
        )
        _, stored, ended, taken, inputs = answer[:5]
        if ended:
            return Reply((), bool(stored), {}, ended=True, next=self._following(answer[5:]))
        return Reply(_numbers(taken), bool(stored), _inputs(answer[5 : 5 + 2 * inputs]))

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

    def begin(self, claim: Claim, task: int) -> bool:
        """See ``Storage``."""
        return bool(self._claimed("begin", claim, task)[1])

    def stored(self, claim: Claim) -> frozenset[int]:
        """See ``Storage``."""
        return frozenset(map(int, self._claimed("stored", claim)[1:]))

    def parts(self, run: str, container: str, digests: Sequence[str]) -> dict[str, bytes]:
        """See ``Storage``."""
        answer = self._run("parts", run, container, *digests)
        return {answer[i].decode(): answer[i + 1] for i in range(0, len(answer), 2)}

    def put_blob(self, run: str, key: str, chunks: Iterable[bytes | memoryview]) -> None:
        """See ``Storage``."""
        for index, chunk in enumerate(chunks):
            self._run("put_chunk", run, f"{key}:{index}", chunk)

    def get_blob(self, run: str, key: str, chunks: int) -> list[bytes]:
        """See ``Storage``."""
        data: list[bytes] = []
        for index in range(chunks):
            name = self._key(run, f"blob:{key}:{index}")
            chunk = self._guard(lambda name=name: self._client.get(name))
            if chunk is None:
                raise StorageError(f"blob {key!r} of run {run} has {index} of {chunks} chunks")
            data.append(chunk)
        return data

    # -- lab host -------------------------------------------------------------------------------------------------

    def sweep(self, grace_s: float) -> tuple[str, ...]:
        """See ``Storage``."""
        return tuple(name.decode() for name in self._run("sweep", grace_s))

    def demand(self) -> Demand:
        """See ``Storage``."""
        answer = self._run("demand")
        end = 1 + 3 * answer[0]
        rows = [(answer[i].decode(), answer[i + 1], answer[i + 2]) for i in range(1, end, 3)]
        after = end + 1 + 2 * answer[end]
        return Demand(
            pending={pool: pending for pool, pending, _ in rows if pending},
            idle={pool: idle for pool, _, idle in rows if idle},
            containers={answer[i].decode(): answer[i + 1].decode() for i in range(end + 1, after, 2)},
            assigned=answer[after],
            waiting=tuple(name.decode() for name in answer[after + 1 :]),
        )

    def wait_demand(self, cursor: str, wait_s: float) -> str:
        """See ``Storage``."""
        key = self._prefix + "gateway"
        answer = self._guard(lambda: self._client.xread({key: cursor}, block=max(1, round(wait_s * 1000))))
        return answer[0][1][-1][0].decode() if answer else cursor

    def retire_idle(self, pool: str) -> str | None:
        """See ``Storage``."""
        name = self._run("retire_idle", pool)
        return None if name is None else name.decode()

    def ask_yield(self, container: str) -> bool:
        """See ``Storage``."""
        return bool(self._run("ask_yield", container))

    def clients(self) -> Mapping[str, float]:
        """See ``Storage``."""
        now_s = self.now_s()
        rows = self._guard(lambda: self._client.zrange(self._prefix + "clients", 0, -1, withscores=True))
        return {name.decode(): score - now_s for name, score in rows}

    def now_s(self) -> float:
        """See ``Storage``."""
        seconds, micros = self._guard(self._client.time)
        return float(seconds) + micros / 1e6

    def leftovers(self) -> list[str]:
        """See ``Storage``."""
        keys = self._guard(lambda: list(self._client.scan_iter(match=self._prefix.replace("{", "[{]") + "*", count=1000)))
        names = [key.decode(errors="replace")[len(self._prefix) :] for key in keys]
        return sorted(name for name in names if name.startswith(("run:", "pending:", "due")) or name == "runs")

    def delete_lab(self) -> None:
        """Remove every key of the lab."""
        keys = self._guard(lambda: list(self._client.scan_iter(match=self._prefix.replace("{", "[{]") + "*", count=1000)))
        for start in range(0, len(keys), 1000):
            self._guard(lambda start=start: self._client.unlink(*keys[start : start + 1000]))

    def ping(self) -> str:
        """Return the server's run id, which changes when it restarts.

        Raises:
            StoreUnavailable: It does not answer.
            StorageError: Its eviction policy may drop keys of a run.
        """
        info = self._guard(lambda: self._client.info("server"))
        policy = self._guard(lambda: self._client.info("memory")).get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            raise StorageError(
                f"the store at {self.url} has maxmemory-policy {policy!r}, which may drop data of a run; set it to noeviction"
            )
        return str(info["run_id"])

    def close(self) -> None:
        """Release connections."""
        self._client.close()
