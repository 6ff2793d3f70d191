"""Traces on disk: ``run.json`` (manifest and metrics), ``events.parquet`` (one row an event), ``tasks.parquet``.

The columns of ``events.parquet`` are the fields of all events, typed as these are and empty where an event has no such
field, so that any tool can query runs without knowing FaaSLab. Nothing is pickled.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

import msgspec

from faaslab.errors import TraceError
from faaslab.trace import events
from faaslab.trace.events import AnyEvent
from faaslab.trace.manifest import Manifest, manifest_json, read_manifest

if TYPE_CHECKING:
    import pyarrow as pa

    from faaslab.trace.trace import Trace

RUN_FILE, EVENTS_FILE, TASKS_FILE = "run.json", "events.parquet", "tasks.parquet"

_COMPRESSION = "zstd"
_KINDS = {kind.__name__: kind for kind in get_args(AnyEvent)}
_RENAMED = {("RunSubmitted", "tasks"): "task_count"}
"""Columns of fields whose name means something else, of another type, in another event."""
_MAPS = ("phases_s",)
"""Fields that are dicts; Arrow gives them back as lists of pairs."""


def save(trace: "Trace", folder: Path) -> Path:
    """Write a trace into ``folder`` and return it; ``run.json``, written last, says that it is complete."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    table = _events_table(trace.events)
    tasks = pa.Table.from_pandas(trace.tasks, preserve_index=False)
    write_atomic(folder / EVENTS_FILE, lambda path: pq.write_table(table, path, compression=_COMPRESSION))
    write_atomic(folder / TASKS_FILE, lambda path: pq.write_table(tasks, path, compression=_COMPRESSION))
    text = manifest_json(trace.manifest, trace.metrics)
    write_atomic(folder / RUN_FILE, lambda path: path.write_bytes(text))
    return folder


def load(folder: Path) -> tuple[tuple[AnyEvent, ...], Manifest]:
    """Return the events and the manifest saved in ``folder``.

    Raises:
        TraceError: They are missing, damaged or of another schema.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / RUN_FILE
    try:
        manifest = read_manifest(path.read_bytes())
        path = folder / EVENTS_FILE
        return _read_events(pq.read_table(path)), manifest
    except FileNotFoundError:
        raise TraceError(f"no trace in {folder}: {path.name} is missing") from None
    except (ValueError, KeyError, OSError, pa.ArrowException) as error:  # msgspec's errors are ValueErrors
        raise TraceError(f"the trace in {folder} can't be read: {path.name}: {error}") from error


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file as a whole or not at all: beside it first, then renamed.

    Args:
        path: Where the file shall be; its folder exists.
        write: Writes the file to the path that it is given.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        temporary.chmod(0o644)  # what mkstemp makes is for its owner alone
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _column(kind: str, name: str) -> str:
    return _RENAMED.get((kind, name), name)


def _arrow_type(hint: Any) -> "pa.DataType":
    import pyarrow as pa

    plain = {int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_()}
    if get_origin(hint) is tuple:
        return pa.list_(plain[get_args(hint)[0]])
    if get_origin(hint) is dict:
        key, value = get_args(hint)
        return pa.map_(plain[key], plain[value])
    return plain[hint]


def _schema() -> "pa.Schema":
    """Return the columns of all events: ``kind``, ``at_s``, then fields as they first appear in the vocabulary."""
    import pyarrow as pa

    columns = {"kind": pa.string()}
    for kind, struct in _KINDS.items():
        hints = get_type_hints(struct, vars(events))
        for name in struct.__struct_fields__:
            column, found = _column(kind, name), _arrow_type(hints[name])
            if columns.setdefault(column, found) != found:
                raise TypeError(f"{kind}.{name} is {found}, but {column!r} is {columns[column]} in another event")
    return pa.schema(list(columns.items()))


def _events_table(records: tuple[AnyEvent, ...]) -> "pa.Table":
    import pyarrow as pa

    schema = _schema()
    values: dict[str, list[Any]] = {name: [None] * len(records) for name in schema.names}
    for row, event in enumerate(records):
        kind = type(event).__name__
        values["kind"][row] = kind
        for name in event.__struct_fields__:
            value = getattr(event, name)
            values[_column(kind, name)][row] = list(value.items()) if isinstance(value, dict) else value
    return pa.table([pa.array(values[field.name], field.type) for field in schema], schema=schema)


def _read_events(table: "pa.Table") -> tuple[AnyEvent, ...]:
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    read: list[AnyEvent] = []
    for row, kind in enumerate(columns["kind"]):
        struct = _KINDS.get(kind)
        if struct is None:
            raise ValueError(f"unknown event {kind!r} in row {row}")
        found: dict[str, Any] = {}
        for name in struct.__struct_fields__:
            column = columns.get(_column(kind, name))
            if column is not None and column[row] is not None:
                found[name] = dict(column[row]) if name in _MAPS else column[row]
        read.append(msgspec.convert(found, struct))
    return tuple(read)
