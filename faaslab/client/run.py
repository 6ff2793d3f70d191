"""A run as its user holds it: status, result, trace, cancel."""

import asyncio

# Loaded now: pandas, which saving a trace needs, imports it, and it can't be while the interpreter shuts down.
import concurrent.futures.thread  # noqa: F401
import contextlib
import threading
import time
import warnings
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from faaslab.client.outcome import error_of, read_outputs
from faaslab.errors import FaaSLabError, PayloadError, RunError, RunTimeout, StateLost, StorageError
from faaslab.graph import DAG
from faaslab.plan import Plan
from faaslab.protocol.messages import RunStatus
from faaslab.protocol.payload import Codec
from faaslab.protocol.storage import Storage
from faaslab.trace.dilation import to_virtual
from faaslab.trace.events import (
    AnyEvent,
    RunEnded,
    RunSubmitted,
    TaskDuplicated,
    TaskExecuted,
    TaskLogged,
    decode_events,
)
from faaslab.trace.manifest import Manifest, git_commit

if TYPE_CHECKING:
    from faaslab.trace import Trace

SLICE_S = 0.5
"""A watcher asks whether the run still exists after this long without news."""
CANCEL_S = 5.0


class Run:
    """One run of a DAG. Made by ``submit``; ``await run`` gives its result as well.

    Attributes:
        id: Names the run in the store and on disk.
        dag: What runs.
        plan: How.
        folder: Where its trace is saved; None: nowhere.
    """

    def __init__(
        self,
        run_id: str,
        dag: DAG,
        plan: Plan,
        storage: Storage,
        codec: Codec,
        manifest: Manifest,
        *,
        dilation: float = 1.0,
        death: Callable[[], FaaSLabError | None],
        runs_dir: Path | None,
        history: Path | None = None,
    ) -> None:
        self.id = run_id
        self.dag = dag
        self.plan = plan
        self.folder = runs_dir / run_id if runs_dir is not None else None
        self._history = history
        self._storage = storage
        self._codec = codec
        self._manifest = manifest
        self._dilation = dilation
        self._origin_s = 0.0
        self._death = death
        self._events: list[AnyEvent] = []
        self._future: Future[Any] = Future()
        self._saved = threading.Event()
        self._save_error: Exception | None = None
        self._listeners: list[Callable[[AnyEvent], object]] = []
        self._watcher = threading.Thread(target=self._watch, name=f"faaslab-run-{run_id}", daemon=True)

    # -- for the user ---------------------------------------------------------------------------------------------

    @property
    def status(self) -> str:
        """``running``, ``finished``, ``failed`` or ``cancelled``."""
        if not self._future.done():
            return "running"
        error = self._future.exception()
        if error is None:
            return "finished"
        ended = [event.status for event in self._events if isinstance(event, RunEnded)]
        return "cancelled" if ended[-1:] == ["cancelled"] else "failed"

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the result.

        An interrupt (Ctrl-C, the notebook's Stop button) cancels the run before it goes on.

        Args:
            timeout: Seconds to wait; None: as long as the run takes, which its own deadlines bound.

        Raises:
            RunTimeout: It has not ended in time; it goes on.
            TaskFailed: User code failed.
            RunError: The run ended without result for another reason.
        """
        try:
            return self._future.result(timeout)
        except FutureTimeout:
            if self._future.done():
                raise
            raise RunTimeout(
                f"run {self.id} has not ended after {timeout:g} s ({self.done_tasks} of {len(self.dag)} tasks done); "
                "it goes on: call result() again, or cancel()"
            ) from None
        except KeyboardInterrupt:
            self.cancel()
            raise

    def cancel(self) -> bool:
        """End the run and its workers' work; False if it had ended already. Returns once the store knows."""
        if self._future.done():
            return False
        try:
            cancelled = self._storage.cancel_run(self.id, "cancelled", "by its user")
        except StorageError:
            return False  # the watcher finds out and says so
        self._watcher.join(CANCEL_S)
        return cancelled

    @property
    def done_tasks(self) -> int:
        """How many tasks have been executed so far."""
        return len({event.task for event in list(self._events) if isinstance(event, TaskExecuted | TaskDuplicated)})

    @property
    def trace(self) -> "Trace":
        """What has happened so far; complete once the run has ended."""
        from faaslab.trace import Trace

        return Trace.from_events(list(self._events), self._manifest)

    def logs(self, task_id: str | None = None) -> str:
        """Return what tasks printed, or what one task did (its end, if it was long)."""
        wanted = None if task_id is None else self.dag.index_of(task_id)
        lines = []
        for event in list(self._events):
            if isinstance(event, TaskLogged) and wanted in (None, event.task):
                dropped = f"[{event.dropped_bytes} bytes dropped]\n" if event.dropped_bytes else ""
                lines.append(dropped + event.text)
        return "".join(lines)

    def gantt(self, *, planned: bool = False) -> Any:
        """Return a Gantt chart of the run so far, as a matplotlib figure; marks what the plan is predicted to take.

        Args:
            planned: Draw what was planned above what happened, with a row for each worker.

        Raises:
            PlanError: ``planned``, and the plan has no prediction.
        """
        from faaslab.viz import gantt

        return gantt(
            self.trace,
            planned=self.plan.prediction.trace if planned else None,
            predicted=self.plan.predicted,
        )

    def saved(self, timeout: float = 60.0) -> Path | None:
        """Wait until the trace is on disk, and the history has learnt from it; returns its folder, None: not kept.

        Raises:
            RunTimeout: It is not there in time.
            Exception: It could not be written, or not be recorded.
        """
        if not self.wait_saved(timeout):
            raise RunTimeout(f"the trace of run {self.id} is not saved after {timeout:g} s")
        if self._save_error is not None:
            raise self._save_error
        return self.folder

    def wait_saved(self, timeout: float = 60.0) -> bool:
        """Wait until nothing is left to save; returns whether that is so. What went wrong is told by ``saved``."""
        return self._saved.wait(timeout)

    def __await__(self) -> Generator[Any, None, Any]:
        """Await the result in a running event loop; cancelling the awaiting task cancels the run."""
        return self._result_async().__await__()

    async def _result_async(self) -> Any:
        try:
            return await asyncio.shield(asyncio.wrap_future(self._future))
        except asyncio.CancelledError:
            await asyncio.to_thread(self.cancel)
            raise

    def __repr__(self) -> str:
        return f"<Run {self.id} of {self.dag.name!r}: {self.status}, {self.done_tasks} of {len(self.dag)} tasks>"

    # -- watching -------------------------------------------------------------------------------------------------

    def listen(self, listener: Callable[[AnyEvent], object]) -> None:
        """Have a function called with every event, from the watcher's thread; earlier ones first."""
        for event in list(self._events):
            listener(event)
        self._listeners.append(listener)

    def start(self) -> None:
        """Begin to watch."""
        self._watcher.start()

    def _watch(self) -> None:
        """Follow the run to its end, whatever that is; the future is always resolved."""
        try:
            try:
                result = self._follow()
            except FaaSLabError as error:
                self._abandon()
                self._settle(error)
            except BaseException as error:  # a result whose loading fails, or exits, must end the wait as well
                self._abandon()
                failure = RunError(f"the result of run {self.id} can't be read: {type(error).__name__}: {error}")
                failure.__cause__ = error
                self._settle(failure)
            else:
                self._settle(None, result)
        finally:
            self._save()

    def _abandon(self) -> None:
        """Leave nothing of a run behind that is not followed any more."""
        if self._death() is not None:
            return  # its store has gone with the lab host
        with contextlib.suppress(StorageError):  # there may be no store any more
            self._storage.cancel_run(self.id, "cancelled", "its client gave up")
            self._storage.delete_run(self.id)

    def _follow(self) -> Any:
        """Read events until the run has ended; returns its result."""
        cursor = "0"
        asked_s = time.monotonic()
        while True:
            try:
                cursor, batches = self._storage.read_events(self.id, cursor, SLICE_S)
                ended = self._take(batches)
                if not batches or ended or time.monotonic() > asked_s + 4 * SLICE_S:
                    # Never on events alone: the durable state decides, the events only say when to look.
                    asked_s = time.monotonic()
                    status = self._storage.run_status(self.id)
                    if status is None:
                        raise StateLost(f"the store has forgotten run {self.id}; was it restarted or flushed?")
                    if status.status != "running":
                        return self._finish(cursor, status)
            except PayloadError:
                raise
            except StorageError as error:
                raise self._death() or StateLost(f"run {self.id} is lost with its store: {error}") from error
            death = self._death()
            if death is not None:
                raise death

    def _take(self, batches: Sequence[bytes]) -> bool:
        """Record events; whether the run's end is among them."""
        ended = False
        for batch in batches:
            for event in decode_events(batch):
                if self._dilation != 1.0:
                    if isinstance(event, RunSubmitted):
                        self._origin_s = event.at_s
                    event = to_virtual(event, self._origin_s, self._dilation)
                self._events.append(event)
                ended = ended or isinstance(event, RunEnded)
                for listener in list(self._listeners):
                    self._tell(listener, event)
        return ended

    def _tell(self, listener: Callable[[AnyEvent], object], event: AnyEvent) -> None:
        """Call a listener; one that fails is called no more and must not take the run along."""
        try:
            listener(event)
        except Exception as error:
            self._listeners.remove(listener)
            warnings.warn(f"a listener of run {self.id} failed and is dropped: {error!r}", RuntimeWarning, stacklevel=1)

    def _finish(self, cursor: str, status: RunStatus) -> Any:
        """Return the result of a run that has ended and remove it from the store."""
        try:
            batches = [b""]
            while batches:  # a store hands out many events in several pieces
                cursor, batches = self._storage.read_events(self.id, cursor, 0.0)
                self._take(batches)
            if status.status != "finished":
                done = self.done_tasks
                states = {"done": done, "not done": len(self.dag) - done}
                raise error_of(self.id, status, self.dag.ids, self._codec, states)
            return self.dag.build_result(read_outputs(self._storage, self.id, self.dag.sinks, self._codec))
        finally:
            self._storage.delete_run(self.id)

    def _settle(self, error: FaaSLabError | None, result: Any = None) -> None:
        if error is not None and not any(isinstance(event, RunEnded) for event in self._events):
            ended = RunEnded(time.time(), "failed", str(error))
            self._events.append(to_virtual(ended, self._origin_s or ended.at_s, self._dilation))
        if error is None:
            self._future.set_result(result)
        else:
            self._future.set_exception(error)

    def _save(self) -> None:
        """Write the trace to disk and record it in the history, after the result is out."""
        try:
            if self.folder is not None:
                self._manifest = msgspec.structs.replace(self._manifest, git_commit=git_commit(Path.cwd()))
                self.trace.save(self.folder)
            if self._history is not None and self.status == "finished":
                from faaslab.model.history import History

                History(self._history).record(self.trace, self.dag)
        except Exception as error:  # told by ``saved``; a full disk must not take the result away
            self._save_error = error
        finally:
            self._saved.set()
