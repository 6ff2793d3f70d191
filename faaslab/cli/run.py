"""``faaslab run``: run a workflow of a module and print its result."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from faaslab.cli.plan import Optimizations, optimizations_of
from faaslab.cli.workflows import load_workflow
from faaslab.client import Lab
from faaslab.client.lab import LAUNCHERS, launcher_named


def run(
    workflow: Annotated[str, typer.Argument(help="module:workflow, a task, a DAG or a function that returns one.")],
    planner: Annotated[str, typer.Option(help="How to plan it.")] = "wukong",
    launcher: Annotated[str, typer.Option(help=f"Where to run it: {', '.join(LAUNCHERS)}.")] = "process",
    optimizations: Optimizations = "",
    requirements: Annotated[
        Path | None, typer.Option("--requirements", "-r", help="Requirements file: what its tasks import.")
    ] = None,
    timeout_s: Annotated[float | None, typer.Option("--timeout", help="Give up after so many seconds.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with the run's metrics.")] = False,
) -> None:
    """Run a workflow and print its result."""
    dag = load_workflow(workflow)
    needed = {} if requirements is None else {"requirements": str(requirements)}
    with Lab(launcher_named(launcher, **needed)) as lab:
        started = lab.submit(dag, planner=planner, **optimizations_of(optimizations))
        try:
            result = started.result(timeout_s)
        except TimeoutError:
            started.cancel()
            raise
        if not as_json:
            typer.echo(repr(result))
            return
        try:
            plain = msgspec.to_builtins(result)
        except TypeError:
            plain = repr(result)  # what JSON can't say is shown as Python would
        report = {
            "run": started.id,
            "status": started.status,
            "result": plain,
            "metrics": started.trace.metrics,
            "folder": str(started.saved() or ""),
        }
        typer.echo(msgspec.json.encode(report).decode())
