"""Every error FaaSLab raises on purpose.

::

    FaaSLabError
    ├── GraphError              a workflow that can't be built
    │   ├── CycleError          tasks that wait for each other
    │   ├── LazyTaskError       a lazy task used where a value is needed
    │   └── ConstantError       an argument or function that can't be serialized
    ├── PlanError               a plan that can't be run (incomplete, cyclic, for another DAG)
    │   └── PlannerUnavailable  a planner that can't be used here, or not for this DAG
    ├── ConfigError             a setting outside its range
    ├── RunError                a run that ended without its result
    │   ├── TaskFailed          user code raised, exited, or returned what can't be serialized
    │   │   ├── TaskTimeout     a task exceeded its ``timeout_s``
    │   │   └── TaskOutOfMemory a task needed more memory than its worker's size
    │   ├── WorkerLost          an invocation died more often than allowed
    │   ├── RunStalled          nothing runs, nothing is ready, no result
    │   ├── RunCancelled        cancelled by its user
    │   ├── StateLost           the store forgot the run
    │   └── RunTimeout          a deadline of the client passed
    ├── StorageError            the store refused or did not answer
    │   ├── StoreUnavailable    there is no store, or it can't be reached
    │   ├── Fenced              this caller no longer owns what it writes about
    │   └── PayloadError        bytes that are damaged or not signed by this lab
    ├── LauncherError           no container can be started
    └── TraceError              a saved trace that can't be read
"""


class FaaSLabError(Exception):
    """Base of all errors raised by FaaSLab."""


class GraphError(FaaSLabError):
    """A workflow that can't be built."""


class CycleError(GraphError):
    """Tasks that wait for each other; the message lists the cycle."""


class LazyTaskError(GraphError, TypeError):
    """A lazy task was used where only a value makes sense (``if x:``, ``for i in x``, ``x == 3``)."""


class ConstantError(GraphError):
    """A constant argument or a function that can't be serialized; names task and argument."""


class PlanError(FaaSLabError):
    """A plan that can't be run: incomplete, cyclic, infeasible sizes or made for another DAG."""


class PlannerUnavailable(PlanError):
    """A planner that can't be used: it needs what isn't installed, or the DAG is too large for it."""


class ConfigError(FaaSLabError, ValueError):
    """A setting outside its range; names the setting, its value and what is allowed."""


class RunError(FaaSLabError):
    """A run that ended without its result."""


class TaskFailed(RunError):
    """User code raised, exited, or returned something that can't be serialized.

    Attributes:
        task: Task id, ``name#index``.
        attempt: The attempt that failed last, from 1.
        worker: Container in which it failed.
        size_mib: Size of that container.
        remote_traceback: The traceback as text, as printed on the worker.
        logs: Last lines that the task printed.
    """

    def __init__(
        self,
        message: str,
        *,
        task: str = "",
        attempt: int = 0,
        worker: str = "",
        size_mib: int = 0,
        remote_traceback: str = "",
        logs: str = "",
    ) -> None:
        super().__init__(message)
        self.task = task
        self.attempt = attempt
        self.worker = worker
        self.size_mib = size_mib
        self.remote_traceback = remote_traceback
        self.logs = logs


class TaskTimeout(TaskFailed):
    """A task ran longer than its ``timeout_s`` and was killed."""


class TaskOutOfMemory(TaskFailed):
    """A task needed more memory than its worker's size and was killed by the kernel.

    Attributes:
        peak_bytes: The most that its container had used, all processes together; 0: the kernel does not say.
    """

    def __init__(
        self,
        message: str,
        *,
        task: str = "",
        attempt: int = 0,
        worker: str = "",
        size_mib: int = 0,
        remote_traceback: str = "",
        logs: str = "",
        peak_bytes: int = 0,
    ) -> None:
        super().__init__(
            message,
            task=task,
            attempt=attempt,
            worker=worker,
            size_mib=size_mib,
            remote_traceback=remote_traceback,
            logs=logs,
        )
        self.peak_bytes = peak_bytes


class WorkerLost(RunError):
    """An invocation died (killed, crashed, lease lapsed) more often than ``Config.max_lapses``."""


class RunStalled(RunError):
    """Nothing runs, nothing is pending, nothing is ready, and there is no result; lists task states."""


class RunCancelled(RunError):
    """The run was cancelled by its user."""


class StateLost(RunError):
    """The store came back without the run, or as another server."""


class RunTimeout(RunError, TimeoutError):
    """A deadline of the client passed before the run ended; the run goes on unless it is cancelled."""


class StorageError(FaaSLabError):
    """The store refused a call or did not answer in time."""


class StoreUnavailable(StorageError):
    """There is no store, or it can't be reached; says how to get one."""


class Fenced(StorageError):
    """The caller no longer owns what it writes about; it must drop everything and stop."""


class PayloadError(StorageError):
    """Bytes that are damaged, or not signed by this lab."""


class LauncherError(FaaSLabError):
    """No container can be started; says why and what to do."""


class TraceError(FaaSLabError):
    """A saved trace that is missing, damaged or of another schema; names the file."""
