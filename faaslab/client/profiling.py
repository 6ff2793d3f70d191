"""``dag.profile``: run a workflow at several sizes, so that the history knows its tasks and the platform."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from faaslab.client.lab import Lab, Launcher, launcher_named
from faaslab.config import Config
from faaslab.errors import ConfigError
from faaslab.graph import DAG
from faaslab.model.history import History, Snapshot
from faaslab.model.knowledge import known_estimates
from faaslab.model.sizes import check_sizes
from faaslab.planners import plan_dag
from faaslab.protocol.launcher import RemoteLauncher
from faaslab.trace import Trace

if TYPE_CHECKING:
    import pandas as pd

PLANNERS = ("per_task", "wukong", "uniform")
"""Repeats take turns: every task in a worker of its own, workers that go on with what they have made ready, and planned
ones. What the engine needs from one task to the next differs between these, and so does what moves."""


@dataclass(frozen=True, slots=True, repr=False)
class Profile:
    """What was measured of a workflow; shows as a table in a notebook.

    Attributes:
        dag: The workflow.
        traces: Its runs.
        snapshot: The history with them.
        sizes_enforced: Whether workers had the CPU of their size.
    """

    dag: DAG
    traces: tuple[Trace, ...]
    snapshot: Snapshot
    sizes_enforced: bool

    @property
    def table(self) -> "pd.DataFrame":
        """One row for each function and size: execution times of these runs, and what a prediction now rests on."""
        import numpy as np
        import pandas as pd

        known = known_estimates(self.dag, None, self.snapshot, sizes_enforced=self.sizes_enforced)
        found: dict[tuple[str, int], list[Any]] = {}
        for trace in self.traces:
            for record in trace.records.tasks:
                if record.counted:
                    key = (self.dag.ids[record.task].rpartition("#")[0], record.size_mib)
                    found.setdefault(key, []).append(record)
        rows = []
        for (name, size_mib), records in sorted(found.items()):
            seconds = np.array([record.exec_s for record in records])
            bases = sorted({known.basis(task, size_mib) for task in {record.task for record in records}})
            rows.append(
                {
                    "function": name,
                    "size_mib": size_mib,
                    "median_s": float(np.median(seconds)),
                    "p10_s": float(np.quantile(seconds, 0.1)),
                    "p90_s": float(np.quantile(seconds, 0.9)),
                    "samples": len(records),
                    "contended": sum(record.contended for record in records),
                    "output_bytes": float(np.median([record.output_bytes for record in records])),
                    "basis": ", ".join(bases),
                }
            )
        return pd.DataFrame(rows).set_index(["function", "size_mib"])

    def __repr__(self) -> str:
        sizes = sorted({worker.size_mib for trace in self.traces for worker in trace.records.workers})
        return f"Profile({self.dag.name!r}: {len(self.traces)} runs at {', '.join(map(str, sizes))} MiB)"

    def _repr_html_(self) -> str:
        return str(self.table.to_html(float_format=lambda value: f"{value:.4g}"))


def profile(
    dag: DAG,
    sizes: Iterable[int],
    *,
    repeats: int = 3,
    launcher: "str | Launcher" = "process",
    history: "History | None" = None,
    storage: str | None = None,
    config: Config | None = None,
    progress: bool | None = None,
) -> Profile:
    """Run a workflow several times at each size, record the runs in the history, and return what they took.

    Args:
        dag: The workflow; its tasks really run.
        sizes: Worker sizes in MiB. Local processes do not enforce them: one is enough there.
        repeats: Runs at each size; they take turns between ``PLANNERS``.
        launcher: ``"process"``, ``"docker"`` or a launcher with settings of its own.
        history: Where runs are recorded; None: where ``config`` says.
        storage: URL of a store; None: as ``config`` says.
        config: All other settings; None: the defaults and ``FAASLAB_*`` variables.
        progress: Show a bar; None: in notebooks and terminals.

    Raises:
        ConfigError: There is no size, one that no worker can have, no repeat, no history, or the launcher starts no
            containers.
        PlanError: A task asks for more memory than a size, or the launcher can't have such containers.
        FaaSLabError: A run failed; those before it are recorded.
    """
    from tqdm.auto import tqdm

    from faaslab.client.progress import wanted

    chosen = check_sizes(sizes)
    asked: object = repeats
    if isinstance(asked, bool) or not isinstance(asked, int) or asked < 1:
        raise ConfigError(f"repeats is {repeats!r}, must be a whole number of 1 or more")
    where = launcher_named(launcher)
    if not isinstance(where, RemoteLauncher):
        raise ConfigError(
            f"launcher {where.name!r} starts no containers, so there is nothing to measure; profile on 'process' or "
            "'docker'"
        )
    settings = config or Config.from_env()
    if history is None:
        if settings.history_folder is None:
            raise ConfigError("there is no history to record in: history_dir is empty; pass history=fl.History(folder)")
        history = History(settings.history_folder)
    plans = [
        plan_dag(dag, PLANNERS[repeat % len(PLANNERS)], sizes=[size_mib], history=False)
        for repeat in range(repeats)
        for size_mib in chosen
    ]
    traces = []
    with Lab(where, storage, replace(settings, history_dir="")) as lab:
        shown = wanted() if progress is None else progress
        for plan in tqdm(plans, desc=f"profile {dag.name}", unit="run", disable=not shown):
            run = lab.submit(dag, plan=plan)
            run.result()
            history.record(run.trace, dag)
            traces.append(run.trace)
    return Profile(dag, tuple(traces), history.snapshot(), where.enforces_sizes)
