"""Entry point of the ``faaslab`` command; each command lives in a module of its own."""

import sys
from typing import Annotated

import typer

from faaslab import __version__
from faaslab.cli import history, image, trace
from faaslab.cli.bench import bench
from faaslab.cli.doctor import doctor
from faaslab.cli.plan import plan, simulate
from faaslab.cli.run import run
from faaslab.errors import FaaSLabError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command()(doctor)
app.command()(run)
app.command()(plan)
app.command()(simulate)
app.command()(bench)
app.add_typer(image.app, name="image")
app.add_typer(trace.app, name="trace")
app.add_typer(history.app, name="history")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"faaslab {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Plan, run, watch and compare serverless (FaaS) DAG workflows."""


def main() -> None:
    """Run the command line; an error of ours is one line on stderr and exit code 1."""
    try:
        app()
    except FaaSLabError as error:
        typer.echo(f"{type(error).__name__}: {error}", err=True)
        sys.exit(1)
