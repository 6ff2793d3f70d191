"""From a DAG and its plan to what the store is given."""

from dataclasses import dataclass

from faaslab.config import Config
from faaslab.errors import PlanError
from faaslab.graph import DAG
from faaslab.graph.pickling import local_modules_by_value, serialize
from faaslab.plan import Plan
from faaslab.policy.optimization import works
from faaslab.protocol.messages import RUN_TIME, EmptyInvocations, RunSpec, Start, empty_name, pool_of
from faaslab.protocol.payload import Codec
from faaslab.protocol.wire import Assignments, encode, reachable
from faaslab.trace.events import RunSubmitted, encode_events

MAX_CUTS = 16
"""With more first invocations than this, containers serve several of them and are better off with the whole DAG."""


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """Who submits what where.

    Attributes:
        secret: The lab's secret.
        image: What containers of a pool have in common beside their size.
        submitted_s: Now, on the store's clock.
    """

    run: str
    client: str
    secret: bytes
    image: str
    submitted_s: float


def assignments(plan: Plan) -> Assignments:
    """Return what workers need of a plan.

    Raises:
        PlanError: Its policy, or an optimization of one's own, can't be pickled.
    """
    names, told = tuple(plan.orders), plan.instructions
    index = {name: number for number, name in enumerate(names)}
    return Assignments(
        workers=names,
        worker_of=tuple(-1 if a.worker is None else index[a.worker] for a in plan.assignments),
        size_mib_of=tuple(a.size_mib for a in plan.assignments),
        orders=tuple(tuple(plan.orders[name]) for name in names),
        leaves=tuple(task for task, a in enumerate(plan.assignments) if a.wait == "leave"),
        store_all="skip_storage" not in plan.optimizations,
        policy=b"" if plan.policy is None else _pickled(plan.policy, f"policy {plan.policy.name!r}"),
        preload=tuple(sorted(told.preload)),
        stream=tuple(sorted(told.stream)),
        duplicates=tuple((one.task, index[one.worker], one.own_s, one.expected_s) for one in told.duplicates),
        prewarms=tuple(
            (-1 if one.after is None else one.after, one.size_mib, one.delay_s, one.count) for one in told.prewarms
        ),
        own=_pickled(told.own, f"optimization {told.own[0].name!r}") if any(map(works, told.own)) else b"",
    )


def _pickled(code: object, what: str) -> bytes:
    """Return what a plan brings along for workers as bytes, by value if they lack its code.

    Raises:
        PlanError: It can't be pickled.
    """
    try:
        with local_modules_by_value():
            return serialize(code)
    except Exception as error:  # whatever a user's __reduce__ raises means the same
        raise PlanError(
            f"{what} can't be sent to workers: {type(error).__name__}: {error}; it must not hold what can't be "
            "pickled, such as locks, open files or connections"
        ) from error


def build_spec(dag: DAG, plan: Plan, identity: RunIdentity, config: Config) -> RunSpec:
    """Return the run as the store takes it: parts of the DAG sealed, first invocations listed.

    Structure and code ride inside invocations while they are small together; large constants never do. Of a large DAG
    the first invocations are given the part that they can still reach, if that is small; other containers fetch the
    whole once and keep it.
    """
    placed = assignments(plan)
    wire = encode(dag, placed, part_constant_bytes=config.part_constant_bytes)
    lab = Codec(identity.secret)
    parts = {digest: lab.seal(part) for digest, part in ((wire.digest, wire.structure), *wire.parts.items())}
    dag_bytes = sum(map(len, parts.values()))
    code = {wire.policy, wire.own, *(function.digest for function in dag.functions)}
    small = [digest for digest in parts if digest == wire.digest or digest in code]
    rides = sum(len(parts[digest]) for digest in small) <= config.inline_dag_bytes
    starts = first_invocations(dag, plan, identity.image)
    cuts: dict[str, str] = {}
    if not rides and not plan.orders and len(starts) <= MAX_CUTS:
        for start in starts:
            reach = reachable(dag, start.tasks)
            cut = encode(dag, placed, part_constant_bytes=config.part_constant_bytes, only=reach)
            if len(cut.structure) <= config.inline_dag_bytes:
                cuts[start.invocation] = cut.digest
                parts[cut.digest] = lab.seal(cut.structure)
    return RunSpec(
        run=identity.run,
        client=identity.client,
        structure=wire.digest,
        parts=parts,
        ride=tuple(small) if rides else (),
        sinks=tuple(dag.sinks),
        starts=starts,
        inline_input_bytes=config.inline_input_bytes if "inline_inputs" in plan.optimizations else 0,
        max_lapses=config.max_lapses,
        events=encode_events([RunSubmitted(identity.submitted_s, identity.run, len(dag), dag_bytes, identity.client)]),
        cuts=cuts,
        prewarms=tuple(
            EmptyInvocations(empty_name(-1, position), pool_of(identity.image, one.size_mib), one.delay_s, one.count)
            for position, one in enumerate(one for one in plan.instructions.prewarms if one.after is None)
        ),
        dated=bool(plan.instructions.duplicates),
    )


def first_invocations(dag: DAG, plan: Plan, image: str) -> tuple[Start, ...]:
    """Return the invocations that need no input: planned workers whose first task is a root, dynamic roots."""
    starts: list[Start] = []
    for task in dag.roots:
        assignment = plan.assignments[task]
        pool = pool_of(image, assignment.size_mib)
        if assignment.worker is None:
            starts.append(Start(f"{RUN_TIME}{task}", pool, (task,)))
        elif plan.orders[assignment.worker][0] == task:
            starts.append(Start(assignment.worker, pool))
    return tuple(starts)
