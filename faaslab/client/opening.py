"""Runs of the past: their traces on disk."""

from pathlib import Path
from typing import TYPE_CHECKING

from faaslab.config import Config
from faaslab.errors import ConfigError

if TYPE_CHECKING:
    from faaslab.trace import Trace


def open_run(run_id: str, runs_dir: str | Path | None = None) -> "Trace":
    """Return the trace of a run that was saved.

    Args:
        run_id: The run's id (``run.id``).
        runs_dir: Folder of saved runs; None: ``Config.runs_dir``.

    Raises:
        ConfigError: There is no such run there.
        TraceError: What is there can't be read.
    """
    from faaslab.trace import Trace

    folder = Path(runs_dir or Config.from_env().runs_dir) / run_id
    if not folder.is_dir():
        known = sorted(path.name for path in folder.parent.glob("*")) if folder.parent.is_dir() else []
        raise ConfigError(
            f"no run {run_id!r} in {folder.parent}; {len(known)} runs are saved there"
            + (f", last {known[-1]}" if known else "")
        )
    return Trace.load(folder)
