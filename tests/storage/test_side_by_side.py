"""The model and a server, driven side by side: the same calls bring the same answers and the same events."""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test

from faaslab.errors import StorageError
from faaslab.protocol.messages import (
    Claim,
    Completion,
    EmptyInvocations,
    Failure,
    Invocation,
    Offer,
    RunSpec,
    Start,
    Successor,
    Suspension,
)
from faaslab.protocol.storage import Storage
from faaslab.storage.embedded import EmbeddedServer
from faaslab.storage.memory import MemoryStorage
from faaslab.storage.redis import RedisStorage
from faaslab.trace.events import TaskStarted, decode_events, encode_events
from tests.storage.scene import LARGE, LONG_S, SMALL

LABS = itertools.count()
RUNS, CONTAINERS, POOLS, CLIENTS = ("r1", "r2"), ("c1", "c2", "c3"), (SMALL, LARGE), ("k1", "k2")
PLANNED = ("p", "q|x")

tasks = st.integers(0, 6)
streamed = st.integers(1, 2)
outputs = st.sampled_from([None, b"", b"small", b"x" * 60, b"y" * 200, b"R1|key|3|5000"])
kept = st.dictionaries(tasks, st.sampled_from([b"kept", b"also kept"]), max_size=2)
lease_s = st.sampled_from([LONG_S, LONG_S, LONG_S, -1.0])
batches = st.sampled_from([b"", encode_events([TaskStarted(1.0, 0, "i", "c", 1)])])


@st.composite
def successors(draw: st.DrawFn) -> tuple[Successor, ...]:
    """Tasks with a fixed number of inputs and a fixed place each, as a DAG has them."""
    chosen = draw(st.lists(st.integers(7, 14), unique=True, max_size=4))
    found = []
    for task in chosen:
        worker = PLANNED[task % 2] if task in (7, 8, 9) else ""
        expected = 70 if task == 14 else 1 + task % 3
        found.append(Successor(task, expected, worker, task != 9 and bool(worker), POOLS[task % 4 == 3]))
    return tuple(found)


@st.composite
def prewarms(draw: st.DrawFn) -> tuple[EmptyInvocations, ...]:
    """Empty invocations, most often none, that are due at once or never."""
    return tuple(
        EmptyInvocations(f"!{number}.{draw(st.integers(0, 1))}", POOLS[number % 2], delay_s, draw(st.integers(1, 2)))
        for number, delay_s in enumerate(draw(st.lists(st.sampled_from([0.0, 0.0, LONG_S]), max_size=2)))
    )


def normal(value: Any) -> Any:
    """Return an answer without the moments in it."""
    if isinstance(value, Invocation):
        return dataclasses.replace(value, requested_s=0.0)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changes = {field.name: normal(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return type(value)(**changes)
    return value


class SideBySide(RuleBasedStateMachine):
    """Calls in any order, most of them from workers that hold a claim or once held it."""

    claims = Bundle("claims")
    url: str

    def __init__(self) -> None:
        super().__init__()
        self.real = RedisStorage(self.url, f"side by side {next(LABS)}")
        self.model = MemoryStorage()
        self.cursors = {store: dict.fromkeys(CONTAINERS, "0") for store in (self.model, self.real)}
        self.bells = {store: dict.fromkeys(CONTAINERS, "0") for store in (self.model, self.real)}
        self.read = {store: dict.fromkeys(RUNS, "0") for store in (self.model, self.real)}
        self.number = 0

    def teardown(self) -> None:
        """Nothing is left of the runs, then nothing at all."""
        for run in RUNS:
            self.both(lambda store, run=run: store.delete_run(run))
        assert self.real.leftovers() == self.model.leftovers() == []
        self.real.delete_lab()
        self.real.close()

    def both(self, call: Callable[[Storage], Any]) -> Any:
        """Make a call on both stores; returns the answer if they agree and it is one."""
        answers: list[Any] = []
        for store in (self.model, self.real):
            try:
                answers.append(normal(call(store)))
            except StorageError as error:
                answers.append((type(error), str(error)))
        assert answers[0] == answers[1]
        return answers[0]

    @staticmethod
    def claim_of(answer: Any, container: str) -> Any:
        """Return the claim that an answer brings with it."""
        invocation = getattr(answer, "next", answer)
        return invocation.claim(container) if isinstance(invocation, Invocation) else multiple()

    # -- clients --------------------------------------------------------------------------------------------------

    @rule(
        run=st.sampled_from(RUNS),
        client=st.sampled_from(CLIENTS),
        sinks=st.lists(tasks, min_size=1, max_size=2, unique=True),
        first=st.lists(tasks, min_size=1, max_size=3, unique=True),
        pool=st.sampled_from(POOLS),
        planned=st.booleans(),
        events=batches,
        prewarms=prewarms(),
    )
    def create_run(
        self,
        run: str,
        client: str,
        sinks: Any,
        first: Any,
        pool: str,
        planned: bool,
        events: Any,
        prewarms: tuple[EmptyInvocations, ...],
    ) -> None:
        starts = (Start("i", pool, tuple(first)), *([Start("p", SMALL)] if planned else []))
        parts = {"s": b"structure " + run.encode(), "f": b"function", "big": b"B" * 500}
        spec = RunSpec(
            run, client, "s", parts, ("s", "f"), tuple(sinks), starts, 150, 2, events, prewarms=prewarms, timed=planned
        )
        self.both(lambda store: store.renew_client(client, LONG_S))
        self.both(lambda store: store.create_run(spec))

    @rule(run=st.sampled_from(RUNS))
    def delete_run(self, run: str) -> None:
        self.both(lambda store: store.delete_run(run))

    @rule(run=st.sampled_from(RUNS))
    def cancel_run(self, run: str) -> None:
        self.both(lambda store: store.cancel_run(run, "cancelled", "by its user", b"report"))

    @rule(client=st.sampled_from(CLIENTS), gone=st.booleans())
    def client_goes_or_stays(self, client: str, gone: bool) -> None:
        if gone:
            self.both(lambda store: store.remove_client(client))
        else:
            self.both(lambda store: store.renew_client(client, LONG_S))

    @rule(run=st.sampled_from(RUNS), wanted=st.lists(tasks, max_size=4))
    def fetch(self, run: str, wanted: list[int]) -> None:
        self.both(lambda store: store.fetch(run, wanted))

    # -- containers -----------------------------------------------------------------------------------------------

    @rule(target=claims, container=st.sampled_from(CONTAINERS), lease_s=lease_s)
    def start_container(self, container: str, lease_s: float) -> Any:
        if container not in self.both(lambda store: store.demand()).containers:
            for cursors in (*self.cursors.values(), *self.bells.values()):
                cursors[container] = "0"
            pool = POOLS[container == "c3"]
            self.both(lambda store: store.register(container, pool, lease_s))
        return self.claim_of(self.both(lambda store: store.next(container)), container)

    @rule(target=claims, container=st.sampled_from(CONTAINERS))
    def listen(self, container: str) -> Any:
        def listen(store: Storage) -> Any:
            cursor, message = store.listen(container, self.cursors[store][container], 0.0)
            self.cursors[store][container] = cursor
            return message

        return self.claim_of(self.both(listen), container)

    @rule(container=st.sampled_from(CONTAINERS), lease_s=lease_s)
    def renew(self, container: str, lease_s: float) -> None:
        self.both(lambda store: store.renew(container, lease_s))

    @rule(container=st.sampled_from(CONTAINERS), how=st.sampled_from(["leave", "remove", "ask_yield"]))
    def leave_or_remove(self, container: str, how: str) -> None:
        if how == "remove":
            self.both(lambda store: store.remove(container, "killed"))
        elif how == "leave":
            self.both(lambda store: store.leave(container))
        else:
            self.both(lambda store: store.ask_yield(container))

    @rule(pool=st.sampled_from(POOLS))
    def retire_idle(self, pool: str) -> None:
        self.both(lambda store: store.retire_idle(pool))

    @rule(grace_s=st.sampled_from([0.0, LONG_S]))
    def sweep(self, grace_s: float) -> None:
        self.both(lambda store: sorted(store.sweep(grace_s)))

    # -- workers --------------------------------------------------------------------------------------------------

    @rule(
        target=claims,
        claim=claims,
        task=tasks,
        output=outputs,
        flags=st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()),
        take=st.integers(0, 2),
        after=successors(),
        remaining=st.lists(tasks, max_size=2, unique=True),
        twice=st.booleans(),
        events=batches,
        hold=st.sampled_from(["no", "no", "check", "run", "run"]),
        empty=prewarms(),
    )
    def complete(
        self,
        claim: Claim,
        task: int,
        output: Any,
        flags: Any,
        take: int,
        after: Any,
        remaining: Any,
        twice: bool,
        events: bytes,
        hold: str,
        empty: tuple[EmptyInvocations, ...],
    ) -> Any:
        must_store, sink, ends, numbered = flags
        self.number += 1
        number = self.number if numbered else 0
        size = len(output or b"")
        if hold != "no":
            output, must_store, sink = None, False, False
        completion = Completion(
            claim,
            task,
            output,
            size,
            0.0,
            must_store,
            sink,
            after,
            take,
            tuple(remaining),
            ends,
            events,
            number,
            hold,
            held_bytes=size % 3,
            prewarms=empty,
        )
        if output is None and after and number % 3 == 0 and not must_store:
            completion = dataclasses.replace(completion, streamed=True)
        answer = self.both(lambda store: store.complete(completion))
        if twice:
            self.both(lambda store: store.complete(completion))
        return self.claim_of(answer, claim.container)

    @rule(
        target=claims,
        claim=claims,
        task=tasks,
        kept=kept,
        left=st.none() | st.lists(tasks, max_size=2),
        slow=st.booleans(),
        leaves=st.sampled_from([False, False, True]),
        pool=st.sampled_from(["", "", *POOLS]),
    )
    def fail(self, claim: Claim, task: int, kept: Any, left: Any, slow: bool, leaves: bool, pool: str) -> Any:
        remaining = None if left is None else tuple(left)
        pause_s = LONG_S if slow else 0.0
        failure = Failure(claim, task, "boom", b"report", 2, kept, remaining, pause_s, pause_s, b"", leaves, pool)
        return self.claim_of(self.both(lambda store: store.fail(failure)), claim.container)

    @rule(target=claims, claim=claims, gate=st.integers(7, 9), kept=kept)
    def suspend(self, claim: Claim, gate: int, kept: Any) -> Any:
        return self.claim_of(self.both(lambda store: store.suspend(Suspension(claim, gate, kept))), claim.container)

    @rule(claim=claims, task=st.integers(7, 9), upstreams=st.lists(tasks, max_size=6, unique=True))
    def wait_ready(self, claim: Claim, task: int, upstreams: list[int]) -> None:
        self.both(lambda store: store.wait_ready(claim, task, upstreams))

    @rule(claim=claims, watched=st.lists(streamed | tasks, max_size=4, unique=True))
    def watch(self, claim: Claim, watched: list[int]) -> None:
        self.both(lambda store: store.watch(claim, watched))

    @rule(claim=claims, task=streamed, producer=claims, position=st.integers(-1, 3))
    def acknowledge(self, claim: Claim, task: int, producer: Claim, position: int) -> None:
        acks = {task: (self.key_of(task, producer), position)}
        self.both(lambda store: store.watch(claim, [task], acks))

    @staticmethod
    def key_of(task: int, producer: Claim) -> str:
        return f"{task}-{producer.invocation}-{producer.attempt}"

    @rule(claim=claims, task=streamed, workers=st.sampled_from([("i",), ("p",), ("i", "p")]), only=st.booleans())
    def offer(self, claim: Claim, task: int, workers: tuple[str, ...], only: bool) -> None:
        offer = Offer(task, self.key_of(task, claim), 30, 3, workers, only)
        self.both(lambda store: store.offer(claim, offer))

    @rule(claim=claims, task=streamed, index=st.integers(0, 2))
    def put_chunk(self, claim: Claim, task: int, index: int) -> None:
        key, digest = self.key_of(task, claim), b"\x00digest" if index == 2 else b""
        self.both(lambda store: store.put_chunk(claim, task, key, index, b"chunk", digest))
        self.both(lambda store: store.get_blob(claim.run, key, index + 1, index))

    @rule(claim=claims, task=streamed, give_up=st.sampled_from([False, False, True]))
    def flow(self, claim: Claim, task: int, give_up: bool) -> None:
        self.both(lambda store: store.flow(claim, task, self.key_of(task, claim), give_up))

    @rule(container=st.sampled_from(CONTAINERS))
    def hear_the_bell(self, container: str) -> None:
        def heard(store: Storage) -> bool:
            cursor = store.wait_bell(container, self.bells[store][container], 0.0)
            self.bells[store][container] = cursor or self.bells[store][container]
            return cursor is not None

        self.both(heard)

    @rule(claim=claims, mine=st.lists(tasks, max_size=2), looked=st.lists(tasks, max_size=4, unique=True))
    def look(self, claim: Claim, mine: list[int], looked: list[int]) -> None:
        self.both(lambda store: sorted(store.look(claim, mine, looked)[1]))

    @rule(claim=claims, task=tasks, after=st.lists(st.integers(7, 14), max_size=3))
    def needed(self, claim: Claim, task: int, after: list[int]) -> None:
        self.both(lambda store: store.needed(claim, task, after))

    @rule(claim=claims, task=tasks)
    def begin(self, claim: Claim, task: int) -> None:
        self.both(lambda store: store.begin(claim, task))

    @rule(claim=claims)
    def owned(self, claim: Claim) -> None:
        self.both(lambda store: store.owned(claim))

    @rule(claim=claims)
    def stored(self, claim: Claim) -> None:
        self.both(lambda store: store.stored(claim))
        self.both(lambda store: store.delivered(claim))

    @rule(claim=claims, digests=st.lists(st.sampled_from(["s", "f", "big", "none"]), max_size=3))
    def parts(self, claim: Claim, digests: list[str]) -> None:
        self.both(lambda store: store.parts(claim.run, claim.container, digests))

    @rule(claim=claims, chunks=st.lists(st.binary(max_size=5), max_size=3))
    def blob(self, claim: Claim, chunks: list[bytes]) -> None:
        self.both(lambda store: store.put_blob(claim.run, "key", chunks))
        self.both(lambda store: store.get_blob(claim.run, "key", len(chunks)) if chunks else None)

    # -- always ---------------------------------------------------------------------------------------------------

    @invariant()
    def they_agree(self) -> None:
        self.both(lambda store: store.demand())
        self.both(lambda store: sorted(store.clients()))
        for run in RUNS:
            self.both(lambda store, run=run: store.run_status(run))
            self.both(lambda store, run=run: self.new_events(store, run))

    def new_events(self, store: Storage, run: str) -> list[dict[str, Any]]:
        """Return what happened since the last look, without the moments."""
        if store.run_status(run) is None:  # a later run of that id begins anew
            self.read[store][run] = "0"
        self.read[store][run], found = store.read_events(run, self.read[store][run], 0.0)
        events = [event for batch in found for event in decode_events(batch)]
        moments = {"at_s", "duration_s"}
        return [
            {"kind": type(e).__name__, **{f: getattr(e, f) for f in e.__struct_fields__ if f not in moments}}
            for e in events
        ]


@pytest.mark.timeout(300)
def test_model_and_server_agree(valkey: EmbeddedServer) -> None:
    """Hypothesis looks for a sequence of calls after which they do not."""
    machine = type("Machine", (SideBySide,), {"url": valkey.url})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


@pytest.mark.slow
@pytest.mark.redis
@pytest.mark.timeout(1800)
def test_model_and_older_server_agree(debian_redis: EmbeddedServer) -> None:
    """The same at length, with a server of another kind and age."""
    machine = type("Machine", (SideBySide,), {"url": debian_redis.url})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=1000, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
