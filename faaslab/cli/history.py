"""``faaslab history``: what earlier runs taught."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from faaslab.errors import ConfigError
from faaslab.model.history import History
from faaslab.model.knowledge import snapshot_of
from faaslab.model.samples import COLUMN_TYPES, WHATS
from faaslab.trace.export import write_atomic

app = typer.Typer(no_args_is_help=True, help="What earlier runs taught.")
Folder = Annotated[Path | None, typer.Option("--history", help="Folder of the history; by default as settings say.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.callback()
def _group() -> None:
    """What earlier runs taught."""


@app.command("list")
def list_runs(history: Folder = None, as_json: AsJson = False) -> None:
    """List the runs that the history has samples of, oldest first."""
    snapshot = snapshot_of(history)
    rows = []
    if snapshot is not None:
        samples = [0] * len(snapshot.sources)
        for source in snapshot.columns.source.tolist():
            samples[source] += 1
        rows = [
            {
                "run": source.run,
                "kind": source.kind,
                "launcher": source.launcher,
                "platform": source.platform,
                "structure_hash": source.structure_hash,
                "recorded": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(source.recorded_s)),
                "samples": count,
            }
            for source, count in zip(snapshot.sources, samples, strict=True)
            if count
        ]
    if as_json:
        typer.echo(msgspec.json.encode({"digest": snapshot.digest if snapshot else "", "runs": rows}).decode())
        return
    for row in rows:
        typer.echo(
            f"{row['run']}  {row['recorded']}  {row['launcher']:8} {row['platform']:10} "
            f"{str(row['structure_hash'])[:12]}  {row['samples']} samples"
        )
    typer.echo(repr(snapshot) if snapshot is not None else "the history is empty")


@app.command()
def forget(run: Annotated[str, typer.Argument(help="Id of the run.")], history: Folder = None) -> None:
    """Drop what a run taught; its trace stays."""
    if snapshot_of(history) is None or not History(history).forget(run):
        raise ConfigError(f"the history has nothing of run {run!r}; `faaslab history list` shows the runs")
    typer.echo(f"forgot {run}")


@app.command()
def export(output: Annotated[Path, typer.Argument(help="Parquet file to write.")], history: Folder = None) -> None:
    """Write all samples into one Parquet file, a row each, with the run they are of."""
    snapshot = snapshot_of(history)
    if snapshot is None:
        raise ConfigError("the history is empty: there is nothing to export")
    import numpy as np
    import pandas as pd

    columns = snapshot.columns
    table = pd.DataFrame({name: getattr(columns, name) for name in COLUMN_TYPES})
    table["what"] = np.array(WHATS)[columns.what]
    table["function"] = np.array(columns.functions)[columns.function]
    sources = pd.DataFrame([asdict(source) for source in snapshot.sources]).take(columns.source.tolist())
    whole = pd.concat([sources.reset_index(drop=True), table], axis="columns")
    write_atomic(output, lambda path: whole.to_parquet(path, index=False))
    typer.echo(f"{output}: {len(whole)} samples")
