"""Which history is asked, and what it says of a DAG's tasks: the same for planning, simulating and comparing."""

from pathlib import Path
from typing import Literal, TypeAlias

from faaslab.config import Config
from faaslab.errors import ConfigError, PlanError
from faaslab.graph.dag import DAG
from faaslab.model.estimates import DeclaredEstimates, Estimates, TasksWithOptions
from faaslab.model.history import SAMPLES_FOLDER, History, Snapshot

HistoryLike: TypeAlias = History | Snapshot | str | Path | Literal[False] | None
"""A history, a snapshot of one, or a folder with one; None: the default one (``Config.history_dir``), if there is any;
False: none."""


def history_of(config: Config) -> Path | Literal[False]:
    """Return the folder of the history that a lab with these settings learns from; False: there is none (yet)."""
    folder = config.history_folder
    return folder if folder is not None and (folder / SAMPLES_FOLDER).is_dir() else False  # reading makes no folders


def snapshot_of(history: HistoryLike = None) -> Snapshot | None:
    """Return what a history holds now; None: there is none, or nothing in it.

    Args:
        history: See ``HistoryLike``.

    Raises:
        ConfigError: A folder that was named holds no history, or ``history`` is nothing of that kind.
    """
    if history is None:
        history = history_of(Config.from_env())
    if history is False:
        return None
    if isinstance(history, Snapshot):
        return history if len(history) else None
    if isinstance(history, (str, Path)):
        if not (Path(history) / SAMPLES_FOLDER).is_dir():
            raise ConfigError(f"there is no history in {history}: it has no folder {SAMPLES_FOLDER!r}")
        history = History(history)
    elif not isinstance(history, History):
        raise ConfigError(
            f"history is {history!r}, must be a History, a snapshot or folder of one, None (the default one) or False"
        )
    found = history.snapshot()
    return found if len(found) else None


def check_knowledge(dag: object, estimates: Estimates | None, history: HistoryLike) -> None:
    """Check that tasks' times can be had from what is given.

    Raises:
        PlanError: Both are given, or a history for something that has no functions by which to know its tasks.
    """
    if history is None or history is False:
        return
    if estimates is not None:
        raise PlanError("both estimates and history are given; tasks' times come from one of them")
    if not isinstance(dag, DAG):
        raise PlanError(f"a history knows tasks by their functions, which {type(dag).__name__} has not; plan a DAG")


def known_estimates(
    dag: TasksWithOptions,
    estimates: Estimates | None = None,
    history: HistoryLike = None,
    *,
    sizes_enforced: bool = True,
) -> Estimates:
    """Return what is known of the tasks of a DAG.

    Args:
        dag: What is planned or simulated.
        estimates: What is known of them, in place of what a history teaches.
        history: See ``HistoryLike``; what it does not know is as ``@task`` options declare.
        sizes_enforced: Whether workers will have the CPU of their size.

    Raises:
        ConfigError: See ``snapshot_of``.
        PlanError: See ``check_knowledge``.
    """
    check_knowledge(dag, estimates, history)
    if estimates is not None:
        return estimates
    snapshot = snapshot_of(history) if isinstance(dag, DAG) else None
    if snapshot is None:
        return DeclaredEstimates(dag)
    assert isinstance(dag, DAG)
    from faaslab.model.predictors import Predictor

    return Predictor.from_history(snapshot, sizes_enforced=sizes_enforced).estimates(dag)
