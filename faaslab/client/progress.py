"""A progress bar while a run goes on: in a notebook or a terminal, nowhere else."""

import sys
from typing import Any

from faaslab.client.run import Run
from faaslab.trace.events import AnyEvent, RunEnded, TaskDuplicated, TaskExecuted

DELAY_S = 0.5
"""Runs shorter than this show none."""


def wanted() -> bool:
    """Return whether somebody can see a bar: a notebook, or a terminal."""
    shell = sys.modules.get("IPython")
    if shell is not None and shell.get_ipython() is not None:
        return True
    return sys.stderr.isatty()


def tell(line: str) -> None:
    """Tell what goes on before a run, where somebody can see it."""
    if wanted():
        from tqdm.auto import tqdm

        tqdm.write(line, file=sys.stderr)


def show(run: Run) -> None:
    """Show a bar that follows a run."""
    from tqdm.auto import tqdm

    bar: Any = tqdm(total=len(run.dag), desc=run.dag.name, unit="task", delay=DELAY_S, leave=False)
    seen: set[int] = set()

    def update(event: AnyEvent) -> None:
        if isinstance(event, TaskExecuted | TaskDuplicated) and event.task not in seen:
            seen.add(event.task)
            bar.update()
        elif isinstance(event, RunEnded):
            bar.close()

    run.listen(update)
