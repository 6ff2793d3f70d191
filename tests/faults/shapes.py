"""DAG shapes, each with the value that plain sequential execution gives, and planners that make it hard."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from faaslab.graph import DAG, generators, task
from faaslab.plan import Assignment, Plan
from faaslab.planners import PlanContext, Planner, plan_dag
from faaslab.planners.wukong import Wukong
from faaslab.policy.run_time import Candidate, Choice, Hold

PLANNERS = ("wukong", "per_task", "single_worker", "mixed", "leaving", "clustering", "waiting", "picky")
SEEDED = ("mixed", "picky")
SIZES = (1769, 3538)


@task
def leaf(x: int) -> list[int]:
    """Return a list, which consumers may change."""
    return [x]


@task
def gather(*parts: Any, **named: Any) -> list[Any]:
    """Change all arguments, which must be private, and return what they held."""
    found: list[Any] = []
    for part in (*parts, *named.values()):
        found.append(sorted(_flatten(part)))
        if isinstance(part, list):
            part.append(-1)
    return found


def _flatten(value: Any) -> list[int]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [x for part in value for x in _flatten(part)]
    return [value]


@task(outputs=3)
def split(x: int) -> tuple[int, list[int], str]:
    """Return several outputs."""
    return x, [x, x + 1], str(x)


@task
def length(*parts: Any) -> int:
    """Return the length of the text of all arguments."""
    return len(repr(parts))


@task
def blob(x: int) -> bytes:
    """Return more bytes than ride along or fit into a completing call."""
    return bytes([x % 256]) * 3000


@task
def grown(x: int, *parts: bytes) -> bytes:
    """Return as much, which depends on all arguments."""
    return bytes([(x + sum(part[0] for part in parts)) % 256]) * 3000


@task(pure=False)
def once(x: int) -> int:
    """Add one; must never run twice."""
    return x + 1


@task(pure=False, retries=2)
def again(x: int) -> int:
    """Add one; has side effects but may run again."""
    return x + 1


@task(retries=3)
def sturdy(x: int) -> int:
    """Add one; may fail three times."""
    return x + 1


@task(memory_mib=3000)
def large(x: int) -> int:
    """Add one, on a larger worker."""
    return x + 1


def _nested() -> Any:
    a, b = leaf(1), leaf(2)
    c = gather({"k": [a, (b, a)]}, [b], named=a)
    return gather(c, a, [c, {"x": b}])


def _sinks() -> Any:
    a = generators.one()
    b = [generators.increment(a) for _ in range(3)]
    return [a, b, {"sum": generators.total(b), "again": b[0]}]


def _outputs() -> Any:
    first, second, third = split(3)
    return [length(first, third), generators.total(second), third]


def _impure() -> Any:
    a = once(0)
    b, c = once(a), generators.increment(a)
    return generators.add(once(b), c)


def _impure_retried() -> Any:
    a = again(0)
    return generators.total([again(a), again(generators.increment(a)), once(a)])


def _retried() -> Any:
    a = sturdy(0)
    return generators.total([sturdy(sturdy(a)), sturdy(a), generators.increment(a)])


def _blobs() -> Any:
    parts = [blob(x) for x in range(3)]
    return [length(*parts), length(parts[0]), length(parts[1], blob(9))]


def _flows() -> Any:
    rows = [grown(x) for x in range(3)]
    for step in range(3):
        rows = [grown(step, rows[place], rows[(place + 1) % 3]) for place in range(3)]
    return [length(*rows), grown(7, rows[0])]


def _sizes() -> Any:
    a = generators.one()
    b = [large(a), generators.increment(a), large(a)]
    return generators.total([generators.increment(large(generators.total(b))), b[0]])


def _ladder() -> Any:
    left, right = generators.one(), generators.identity(2)
    for _ in range(4):
        left, right = generators.add(left, right), generators.increment(right)
    return [left, right]


def _disconnected() -> Any:
    return [generators.chain(4), generators.diamond(), once(4)]


def _skips() -> Any:
    made = [generators.one()]
    for _ in range(6):
        made.append(generators.total(made[:]))
    return made[-1]


SHAPES: dict[str, Callable[[], Any]] = {
    "single": generators.one,
    "chain-5": lambda: generators.chain(5),
    "chain-25": lambda: generators.chain(25),
    "diamond": generators.diamond,
    "fan-6": lambda: generators.fan(6),
    "fan-20": lambda: generators.fan(20),
    "tree-8": lambda: generators.tree(8),
    "fork-join": lambda: generators.fork_join(3, 3),
    "layered": lambda: generators.layered(1, 3, 4),
    "random": lambda: generators.random_dag(2, 14),
    "nested": _nested,
    "sinks": _sinks,
    "outputs": _outputs,
    "impure": _impure,
    "impure-retried": _impure_retried,
    "retried": _retried,
    "blobs": _blobs,
    "flows": _flows,
    "sizes": _sizes,
    "ladder": _ladder,
    "disconnected": _disconnected,
    "skips": _skips,
}


class Mixed:
    """Plans some tasks on a few workers in topological order and leaves the others to run time; a seed decides.

    With an odd seed workers leave before about half of their tasks rather than wait.
    """

    name = "mixed"

    def plan(self, dag: Any, ctx: PlanContext, /) -> Plan:
        """Return the plan."""
        rng, leaving = random.Random(f"mixed/{ctx.seed}"), random.Random(f"leaving/{ctx.seed}")
        workers = rng.randint(1, 3)
        free = rng.choice((0.2, 0.5))
        size_of = {f"w{number}": rng.choice(ctx.sizes) for number in range(workers)}
        assignments = []
        for number in range(len(dag)):
            least_mib = ctx.size_for(dag, (number,))
            worker = rng.choice(list(size_of))
            if rng.random() < free or size_of[worker] < least_mib:
                assignments.append(Assignment(None, least_mib))
            else:
                leaves = ctx.seed % 2 == 1 and leaving.random() < 0.5
                assignments.append(Assignment(worker, size_of[worker], "leave" if leaves else "stay"))
        return ctx.plan(dag, self.name, assignments)


class Leaving:
    """Deals the tasks out to three workers, which never wait: they leave and are invoked again."""

    name = "leaving"

    def plan(self, dag: Any, ctx: PlanContext, /) -> Plan:
        """Return the plan."""
        size_mib = ctx.size_for(dag, range(len(dag)))
        return ctx.plan(dag, self.name, [Assignment(f"w{task % 3}", size_mib, "leave") for task in range(len(dag))])


@dataclass(frozen=True)
class Pick:
    """Takes up to three successors, some of them first, and holds outputs or not; a seed decides."""

    seed: int
    name = "pick"

    def choose(self, task: str, output_bytes: int, candidates: Sequence[Candidate]) -> Choice:
        """Return the choice."""
        rng = random.Random(f"{self.seed}/{task}/{output_bytes > 1000}")
        first = rng.sample(candidates, rng.randint(0, len(candidates)))
        hold: Hold = rng.choice(("no", "check", "run", "run"))
        return Choice(rng.randint(0, 3), first, hold, rng.choice((0.0, 0.0, 0.7)), rng.choice((None, 0, 2)))


class Picky:
    """Plans as ``Mixed`` does, with a policy of its own for what is decided at run time."""

    name = "picky"

    def plan(self, dag: Any, ctx: PlanContext, /) -> Plan:
        """Return the plan."""
        return replace(Mixed().plan(dag, ctx), policy=Pick(ctx.seed))


OWN: dict[str, Planner] = {
    "mixed": Mixed(),
    "leaving": Leaving(),
    "clustering": Wukong(threshold_bytes=0),
    "waiting": Wukong(threshold_bytes=0, wait_s=1.0),
    "picky": Picky(),
}
"""Planners by names that only tests have."""


@dataclass(frozen=True)
class Case:
    """A shape ready to run."""

    dag: DAG
    expected: Any
    plans: dict[str, Plan]


def make_case(shape: str) -> Case:
    """Return a shape with its expected value and plans, those that a seed decides under ``mixed-0`` to ``mixed-3``."""
    dag = DAG(SHAPES[shape](), name=shape)
    plans = {name: plan_dag(dag, OWN.get(name, name), sizes=SIZES) for name in PLANNERS if name not in SEEDED}
    for name in SEEDED:
        plans |= {f"{name}-{seed}": plan_dag(dag, OWN[name], sizes=SIZES, seed=seed) for seed in range(4)}
    return Case(dag, sequential(dag), plans)


def sequential(dag: DAG) -> Any:
    """Return the value of a DAG, its tasks run one after the other in this process without any engine."""
    import copy

    from faaslab.graph.arguments import assemble, bind
    from faaslab.graph.constants import Constant

    values: dict[int, Any] = {}
    for t in range(len(dag)):
        kind = dag.kinds[dag.kind_of[t]]
        private = {ref: copy.deepcopy(values[ref]) for ref in dag.upstreams(t)}
        refs = [private[ref] for ref in dag.refs[t]]
        uses = [dag.constants[use] for use in dag.uses[t]]
        constants = [use.load() if type(use) is Constant else use for use in uses]
        args, kwargs = bind(assemble(kind.program, refs, constants), kind.keywords)
        values[t] = _function(dag, t)(*args, **kwargs)
    return dag.build_result({t: values[t] for t in dag.sinks})


def _function(dag: DAG, t: int) -> Callable[..., Any]:
    import cloudpickle

    return cloudpickle.loads(dag.functions[dag.function_of(t)].code)  # type: ignore[no-any-return]
