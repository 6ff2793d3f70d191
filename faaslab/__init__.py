"""FaaSLab: plan, run, watch and compare serverless (FaaS) DAG workflows.

Public names load on first use, so that a worker, which needs few of them, starts fast.
"""

from faaslab.errors import (
    ConfigError,
    ConstantError,
    CycleError,
    FaaSLabError,
    Fenced,
    GraphError,
    LauncherError,
    LazyTaskError,
    PayloadError,
    PlanError,
    PlannerUnavailable,
    RunCancelled,
    RunError,
    RunStalled,
    RunTimeout,
    StateLost,
    StorageError,
    StoreUnavailable,
    TaskFailed,
    TaskOutOfMemory,
    TaskTimeout,
    TraceError,
    WorkerLost,
)

__version__ = "0.1.0"

__all__ = [
    # workflows
    "task",
    "Task",
    "DAG",
    "from_wfformat",
    "to_wfformat",
    # plans
    "Plan",
    "Assignment",
    "Policy",
    "Choice",
    "Candidate",
    "Optimization",
    "Effect",
    "Instructions",
    "Prewarm",
    "Duplicate",
    "Platform",
    "Planner",
    "PlanContext",
    "compare",
    "pareto",
    "simulate",
    # runs
    "Config",
    "Lab",
    "Run",
    "compute",
    "submit",
    "open_run",
    "close",
    "Trace",
    "compare_runs",
    "ablation",
    "History",
    # stores
    "RedisStorage",
    "MemoryStorage",
    # launchers
    "InlineLauncher",
    "DockerLauncher",
    "ProcessLauncher",
    "VirtualLauncher",
    # errors
    "FaaSLabError",
    "GraphError",
    "CycleError",
    "LazyTaskError",
    "ConstantError",
    "PlanError",
    "PlannerUnavailable",
    "ConfigError",
    "RunError",
    "TaskFailed",
    "TaskTimeout",
    "TaskOutOfMemory",
    "WorkerLost",
    "RunStalled",
    "RunCancelled",
    "StateLost",
    "RunTimeout",
    "StorageError",
    "StoreUnavailable",
    "Fenced",
    "PayloadError",
    "LauncherError",
    "TraceError",
]

TYPE_CHECKING = False  # what type checkers take for true; typing.TYPE_CHECKING would cost the import of typing

if TYPE_CHECKING:
    from faaslab.client import Lab, Run, close, compute, open_run, submit
    from faaslab.config import Config
    from faaslab.graph import DAG, Task, task
    from faaslab.graph.wfformat import from_wfformat
    from faaslab.launchers import DockerLauncher, InlineLauncher, ProcessLauncher, VirtualLauncher
    from faaslab.model.history import History
    from faaslab.model.platform import Platform
    from faaslab.plan import Assignment, Duplicate, Instructions, Plan, Prewarm
    from faaslab.planners import PlanContext, Planner, compare, pareto
    from faaslab.policy.optimization import Effect, Optimization
    from faaslab.policy.run_time import Candidate, Choice, Policy
    from faaslab.simulate import simulate
    from faaslab.storage import MemoryStorage, RedisStorage
    from faaslab.trace import Trace
    from faaslab.trace.wfformat import to_wfformat
    from faaslab.viz.ablation import ablation
    from faaslab.viz.run_comparison import compare_runs
else:
    _MODULE_OF = {
        "task": "faaslab.graph",
        "Task": "faaslab.graph",
        "DAG": "faaslab.graph",
        "from_wfformat": "faaslab.graph.wfformat",
        "to_wfformat": "faaslab.trace.wfformat",
        "Plan": "faaslab.plan",
        "Assignment": "faaslab.plan",
        "Planner": "faaslab.planners",
        "PlanContext": "faaslab.planners",
        "Policy": "faaslab.policy.run_time",
        "Choice": "faaslab.policy.run_time",
        "Candidate": "faaslab.policy.run_time",
        "Optimization": "faaslab.policy.optimization",
        "Effect": "faaslab.policy.optimization",
        "Instructions": "faaslab.plan",
        "Prewarm": "faaslab.plan",
        "Duplicate": "faaslab.plan",
        "Platform": "faaslab.model.platform",
        "compare": "faaslab.planners",
        "pareto": "faaslab.planners",
        "simulate": "faaslab.simulate",
        "Config": "faaslab.config",
        "Lab": "faaslab.client",
        "Run": "faaslab.client",
        "compute": "faaslab.client",
        "submit": "faaslab.client",
        "open_run": "faaslab.client",
        "close": "faaslab.client",
        "Trace": "faaslab.trace",
        "compare_runs": "faaslab.viz.run_comparison",
        "ablation": "faaslab.viz.ablation",
        "History": "faaslab.model.history",
        "RedisStorage": "faaslab.storage",
        "MemoryStorage": "faaslab.storage",
        "InlineLauncher": "faaslab.launchers",
        "DockerLauncher": "faaslab.launchers",
        "ProcessLauncher": "faaslab.launchers",
        "VirtualLauncher": "faaslab.launchers",
    }

    def __getattr__(name):
        """Load a public name from the module that defines it (PEP 562)."""
        module = _MODULE_OF.get(name)
        if module is None:
            raise AttributeError(f"module 'faaslab' has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(module), name)
        globals()[name] = value
        return value

    def __dir__():
        """List public names before they are loaded, too."""
        return sorted({*globals(), *__all__})
