"""Runs for tests: a workflow and a plan made into a run, driven by a launcher, and its result or typed error."""

from dataclasses import dataclass, field
from typing import Any

from faaslab.client.submission import RunIdentity, build_spec
from faaslab.config import Config
from faaslab.errors import RunCancelled, RunError, RunStalled, StateLost, TaskFailed, TaskTimeout, WorkerLost
from faaslab.graph import DAG
from faaslab.plan import Plan
from faaslab.planners import Planner, plan_dag
from faaslab.protocol.messages import RunStatus
from faaslab.protocol.payload import Codec, join, read_reference, run_key
from faaslab.protocol.report import ErrorReport
from faaslab.protocol.storage import Storage
from faaslab.trace.events import AnyEvent, decode_events

SECRET = b"s" * 32
IMAGE = "image"
CLIENT = "client"
CONFIG = Config()


@dataclass
class Run:
    """How a run ended.

    Attributes:
        stored: Sizes of the outputs that were stored, by task.
        leftovers: What the store still had after the run was deleted.
    """

    dag: DAG
    status: RunStatus | None
    value: Any = None
    error: RunError | None = None
    events: list[AnyEvent] = field(default_factory=list)
    batches: list[bytes] = field(default_factory=list)
    stored: dict[int, int] = field(default_factory=dict)
    leftovers: list[str] = field(default_factory=list)

    def of(self, kind: type[Any]) -> list[Any]:
        """Return the events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]


def submit(storage: Storage, dag: DAG, plan: Plan, *, run: str = "run", config: Config = CONFIG) -> None:
    """Create a run."""
    storage.renew_client(CLIENT, config.client_lease_s)
    identity = RunIdentity(run, CLIENT, SECRET, IMAGE, storage.now_s())
    storage.create_run(build_spec(dag, plan, identity, config))


def collect(storage: Storage, dag: DAG, *, run: str = "run", delete: bool = True) -> Run:
    """Return how a run that has ended ended, and delete it."""
    status = storage.run_status(run)
    ended = Run(dag, status)
    _, ended.batches = storage.read_events(run, "0", 0.0)
    ended.events = [event for batch in ended.batches for event in decode_events(batch)]
    ended.stored = {task: len(output) for task, output in storage.fetch(run, range(len(dag))).items()}
    if status is not None and status.status == "finished":
        codec = Codec(run_key(SECRET, run))
        values = {}
        for task, output in storage.fetch(run, dag.sinks).items():
            reference = read_reference(output)
            frame = output if reference is None else join(storage.get_blob(run, reference.key, reference.chunks))
            values[task] = codec.loads(frame)
        ended.value = dag.build_result(values)
    else:
        ended.error = error_of(dag, status)
    if delete:
        storage.delete_run(run)
        ended.leftovers = storage.leftovers()
    return ended


def error_of(dag: DAG, status: RunStatus | None) -> RunError:
    """Return the typed error that a client raises for a run that did not finish."""
    if status is None:
        return StateLost("the store does not know the run")
    if status.status == "cancelled":
        return RunCancelled(status.reason)
    kind = status.reason.split("|")[0]
    if kind == "lost":
        return WorkerLost(status.reason)
    if kind == "stalled":
        return RunStalled(status.reason)
    if kind == "state lost":
        return StateLost(status.reason)
    if kind == "task failed":
        report = ErrorReport.decode(status.error)
        failed = TaskTimeout if report.kind == "timeout" else TaskFailed
        return failed(
            f"{report.kind}: {report.message}",
            task=dag.ids[report.task],
            attempt=report.attempt,
            worker=report.container,
            size_mib=report.size_mib,
            remote_traceback=report.traceback,
            logs=report.logs,
        )
    return RunError(f"{status.status}: {status.reason}")


def run_on(
    launcher: Any, outputs: Any, planner: str | Planner | Plan = "wukong", *, config: Config = CONFIG, **settings: Any
) -> Run:
    """Plan outputs (or a DAG), run them with a launcher that has ``drive``, and return how that ended."""
    dag = outputs if isinstance(outputs, DAG) else DAG(outputs)
    plan = planner if isinstance(planner, Plan) else plan_dag(dag, planner, **settings)
    storage = launcher.new_storage()
    submit(storage, dag, plan, config=config)
    launcher.drive(storage, "run", secret=SECRET, config=config)
    return collect(storage, dag)
