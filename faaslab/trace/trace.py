"""A trace: the events of one run, real or simulated, as a value with tables and metrics."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from faaslab.trace.breakdown import SHARES, breakdown_ns, seconds, wall_ns
from faaslab.trace.dilation import dilation_of
from faaslab.trace.events import AnyEvent
from faaslab.trace.manifest import Manifest
from faaslab.trace.metrics import run_metrics
from faaslab.trace.records import Records, WorkerRecord, read_records

if TYPE_CHECKING:
    import pandas as pd


_WORKER_COLUMNS = (
    "invocation attempt container size_mib cold requested_s launched_s started_s ended_s wall_s reason tasks "
    "dag_bytes input_bytes"
)


@dataclass(frozen=True, repr=False)
class Trace:
    """The events of one run and what is needed to read them.

    Times in tables are seconds since the run was submitted; missing ones are NaN. A table is made anew at each use,
    so changing it changes nothing here. Seconds are virtual where the launcher dilated time (``trace.dilation``).
    """

    events: tuple[AnyEvent, ...]
    """In order of time."""
    manifest: Manifest

    @classmethod
    def from_events(cls, events: Iterable[AnyEvent], manifest: Manifest) -> Self:
        """Return the trace of a run.

        Args:
            events: Its events, in any order; the stream of a run that crashed, or still goes on, will do.
            manifest: What the run was.
        """
        return cls(tuple(sorted(events, key=lambda event: event.at_s)), manifest)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Return the trace that ``save`` wrote into ``folder``.

        Raises:
            TraceError: It is missing, damaged or of another schema.
        """
        from faaslab.trace.export import load

        return cls(*load(Path(folder)))

    def save(self, folder: str | Path) -> Path:
        """Write ``run.json``, ``events.parquet`` and ``tasks.parquet`` into ``folder``; return it.

        Each file appears as a whole or not at all; ``run.json`` comes last.
        """
        from faaslab.trace.export import save

        return save(self, Path(folder))

    def to_chrome(self, path: str | Path) -> Path:
        """Write this trace for Perfetto or ``chrome://tracing``; return the path."""
        from faaslab.trace.chrome import write_chrome

        return write_chrome(self, Path(path))

    def __repr__(self) -> str:
        return (
            f"Trace({self.manifest.run!r}: {self.manifest.dag_name!r} by {self.manifest.planner!r} on "
            f"{self.manifest.launcher!r}, {self.status or 'not ended'}, {self.metrics['makespan_s']:.3f} s, "
            f"{len(self.events)} events)"
        )

    @cached_property
    def records(self) -> Records:
        """The run as plain records, without pandas; read-only."""
        return read_records(self.events)

    @property
    def ids(self) -> tuple[str, ...]:
        """Task ids by task index."""
        return self.manifest.ids

    @property
    def status(self) -> str:
        """How the run ended; empty if it has not."""
        return self.manifest.status or self.records.status

    @property
    def metrics(self) -> dict[str, float]:
        """The run in numbers; see ``metrics.run_metrics`` for the keys."""
        return run_metrics(self.records, self.manifest.prices, dilation_of(self.manifest.settings))

    @property
    def tasks(self) -> "pd.DataFrame":
        """One row for each task attempt; ``counted`` flags the one whose output the run went on with."""
        rows = []
        for record in self.records.tasks:
            row = _fields(record)
            del row["kept"]
            task_id = self.task_id(record.task)
            rows.append(
                row
                | {
                    "task": task_id,
                    "index": record.task,
                    "function": task_id.rpartition("#")[0],
                    "outcome": record.outcome,
                    "contended": record.contended,
                    "start_s": self._since(record.start_s),
                    "end_s": self._since(record.end_s),
                }
            )
        return _frame(
            rows,
            "task index function attempt counted duplicate outcome invocation invocation_attempt container size_mib "
            "start_s fetch_s exec_s store_s end_s cpu_s throttled_s queued_s steal_s contended input_bytes "
            "output_bytes stored peak_rss_bytes error",
        )

    @property
    def workers(self) -> "pd.DataFrame":
        """One row for each worker: an attempt of an invocation that a container began."""
        return _frame([self._worker_row(worker) for worker in self.records.workers], _WORKER_COLUMNS)

    @property
    def containers(self) -> "pd.DataFrame":
        """One row for each container that this run used; ``started_s`` is NaN if it was there before."""
        rows = [
            {
                **_fields(record),
                "started_s": self._since(record.started_s),
                "exited_s": self._since(record.exited_s),
                "cold_start_s": sum(record.phases_s.values()),
            }
            for record in self.records.containers
        ]
        return _frame(rows, "container size_mib started_s exited_s reason cold_start_s phases_s workers busy_s")

    @property
    def transfers(self) -> "pd.DataFrame":
        """One row for each input that came (``in``) and each output that was stored (``out``)."""
        rows = [
            {
                **_fields(record),
                "task": self.task_id(record.task),
                "upstream": self.task_id(record.upstream),
                "start_s": self._since(record.start_s),
                "end_s": self._since(record.end_s),
                "duration_s": record.end_s - record.start_s,
            }
            for record in self.records.transfers
        ]
        return _frame(rows, "direction task upstream invocation container bytes source start_s end_s duration_s")

    @property
    def invocations(self) -> "pd.DataFrame":
        """One row for each request for a container; ``delay_s`` is from request to start, NaN if it never started."""
        rows = [
            {
                **_fields(record),
                "requested_s": self._since(record.requested_s),
                "started_s": self._since(record.started_s),
                "delay_s": float("nan") if record.started_s is None else record.started_s - record.requested_s,
            }
            for record in self.records.invocations
        ]
        return _frame(rows, "invocation attempt by size_mib tasks cold requested_s started_s delay_s")

    def breakdown(self) -> "pd.DataFrame":
        """Return each worker's wall time split into startup, fetch, exec, store, wait and other seconds."""
        rows = [
            {
                "invocation": worker.invocation,
                "attempt": worker.attempt,
                "container": worker.container,
                **{f"{share}_s": seconds(part) for share, part in breakdown_ns(worker).items()},
                "wall_s": seconds(wall_ns(worker)),
            }
            for worker in self.records.workers
        ]
        return _frame(rows, "invocation attempt container " + " ".join(f"{share}_s" for share in SHARES) + " wall_s")

    def task_id(self, task: int) -> str:
        """Return the id of a task; empty for -1 (no task), ``task <index>`` if the id table lacks it."""
        if task < 0:
            return ""
        return self.ids[task] if task < len(self.ids) else f"task {task}"

    def _since(self, at_s: float | None) -> float:
        return float("nan") if at_s is None else at_s - self.records.submitted_s

    def _worker_row(self, worker: WorkerRecord) -> dict[str, Any]:
        row = {name: getattr(worker, name) for name in _WORKER_COLUMNS.split()}
        times = {name: self._since(row[name]) for name in ("requested_s", "launched_s", "started_s", "ended_s")}
        return row | times


def _fields(record: Any) -> dict[str, Any]:
    """Return the fields of a record; ``dataclasses.asdict`` copies deeply, which is slow."""
    return {name: getattr(record, name) for name in record.__slots__}


def _frame(rows: Sequence[dict[str, Any]], columns: str) -> "pd.DataFrame":
    """Return a table; an empty one has its columns, too."""
    import pandas as pd

    return pd.DataFrame(rows, columns=columns.split())
