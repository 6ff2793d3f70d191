"""The workflow language: tasks, nested arguments, DAGs."""

from faaslab.graph.options import TaskOptions
from faaslab.graph.tasks import Task, TaskFunction, TaskItem, task

__all__ = ["DAG", "Task", "TaskFunction", "TaskItem", "TaskOptions", "task"]

TYPE_CHECKING = False

if TYPE_CHECKING:
    from faaslab.graph.dag import DAG
else:

    def __getattr__(name: str) -> object:
        """Load what only clients need on first use: workers import this package too."""
        if name == "DAG":
            from faaslab.graph.dag import DAG

            globals()["DAG"] = DAG
            return DAG
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
