"""``faaslab trace export``: a saved run for other programs."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from faaslab.client import open_run

app = typer.Typer(no_args_is_help=True, help="Traces of earlier runs.")


@app.callback()
def _group() -> None:
    """Traces of earlier runs."""


class Format(StrEnum):
    """What a trace can be written as."""

    CHROME = "chrome"
    PARQUET = "parquet"


@app.command()
def export(
    run: Annotated[str, typer.Argument(help="Id of the run.")],
    form: Annotated[Format, typer.Option("--format", help="chrome: a JSON file for Perfetto; parquet: a folder.")],
    output: Annotated[Path | None, typer.Option(help="Where to; by default the run's id in this folder.")] = None,
    runs_dir: Annotated[Path | None, typer.Option(help="Folder of saved runs.")] = None,
) -> None:
    """Write a saved trace for other programs and print where it is."""
    trace = open_run(run, runs_dir)
    if form is Format.CHROME:
        typer.echo(str(trace.to_chrome(output or Path(f"{run}.json"))))
    else:
        typer.echo(str(trace.save(output or Path(run))))
