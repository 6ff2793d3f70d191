"""``faaslab bench``: how long synthetic workflows take, beside other engines in the same run."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from faaslab.cli.contest import PEERS, Row, Sample, Workload, machine, measure, summary

WORKLOADS = ("tree:64", "tree:512", "tree:4096", "fan:1000", "chain:1000")


def bench(
    workloads: Annotated[list[str] | None, typer.Argument(help=f"For instance {' '.join(WORKLOADS)}.")] = None,
    peers: Annotated[
        list[str] | None, typer.Option(help=f"Another engine to compare with: {', '.join(PEERS)}.")
    ] = None,
    planner: Annotated[list[str] | None, typer.Option(help="Planner to use; by default those that suit.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often each engine runs each workload, in turn.")] = 5,
    output: Annotated[Path | None, typer.Option(help="Parquet file for all single times.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Time synthetic workflows of tiny tasks on warm local workers, in turn with other engines."""
    chosen = [Workload.parse(text) for text in workloads or WORKLOADS]
    about = machine(peers or ())
    samples = measure(chosen, planner or (), peers or (), rounds)
    rows = summary(samples, peers or ())
    if output is not None:
        write_samples(samples, about, output)
    if as_json:
        typer.echo(msgspec.json.encode({"machine": about, "rows": [asdict(row) for row in rows]}).decode())
        return
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    typer.echo(f"{about['processor']}, {about['cores']} cores, load {about['load_1min']}; {versions}")
    typer.echo(f"{'workload':<12}{'tasks':>6}  {'engine':<14}{'median':>10}  {'min - max':<20}")
    for row in rows:
        typer.echo(_line(row))


def _line(row: Row) -> str:
    spread = f"{1000 * row.min_s:.1f} - {1000 * row.max_s:.1f}"
    line = f"{row.workload:<12}{row.tasks:>6}  {row.engine:<14}{1000 * row.median_s:>7.1f} ms  {spread:<20}"
    ratios = [
        f"{peer} takes {median:.1f} [{least:.1f} - {most:.1f}] times as long"
        for peer, (median, least, most) in row.ratios.items()
    ]
    return (line + "  ".join(ratios)).rstrip()


def write_samples(samples: list[Sample], about: dict[str, Any], path: Path) -> None:
    """Write all single times as Parquet, with the machine in the file's metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from faaslab.trace.export import write_atomic

    table = pa.Table.from_pylist([asdict(sample) for sample in samples])
    table = table.replace_schema_metadata({"machine": msgspec.json.encode(about)})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, lambda temporary: pq.write_table(table, temporary))
