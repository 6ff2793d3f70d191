"""History: what earlier runs taught, on disk, shared by planners, runs and processes.

::

    history/
        samples/<digest>.parquet    one file a run: the truth, for any tool that reads Parquet
        index.sqlite                the same samples for fast reading; made again from the files if it is lost

A file's name is the hash of its content, so a run that is recorded twice counts once, and a file that was damaged is
found out. Files appear and disappear as a whole and are never rewritten; therefore any number of processes may record
at the same time. Nothing is pickled.
"""

import hashlib
import os
import sqlite3
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

import msgspec

from faaslab.config import Config
from faaslab.errors import ConfigError, TraceError
from faaslab.model.samples import (
    COLUMN_TYPES,
    SIMULATED,
    Sample,
    SampleColumns,
    Source,
    encode_columns,
    samples_of,
    source_of,
)
from faaslab.trace.export import write_atomic
from faaslab.trace.trace import Trace

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from faaslab.graph.dag import DAG

T = TypeVar("T")

SCHEMA = 2
"""Version of files and index; others are not read."""
INDEX_FILE, SAMPLES_FOLDER = "index.sqlite", "samples"

_BUSY_S = 60.0
"""How long one process waits for the others' writes to the index, each of which takes milliseconds."""

_TABLES = f"""
CREATE TABLE files (
    name TEXT PRIMARY KEY, recorded_s REAL, source BLOB, rows INTEGER, {" BLOB, ".join(COLUMN_TYPES)} BLOB
);
CREATE INDEX by_time ON files (recorded_s, name);
CREATE TABLE functions (number INTEGER PRIMARY KEY, identity TEXT UNIQUE);
CREATE TABLE keys (key TEXT, recorded_s REAL, file TEXT, rows INTEGER);
CREATE INDEX by_key ON keys (key, recorded_s, file, rows);
CREATE INDEX by_file ON keys (file);
PRAGMA user_version = {SCHEMA};
"""

_DROP_SUPERSEDED = """
DELETE FROM keys WHERE rowid IN (
    SELECT row FROM (
        SELECT rowid AS row, SUM(rows) OVER (PARTITION BY key ORDER BY recorded_s DESC, file DESC) - rows AS newer
        FROM keys WHERE key IN (
            SELECT key FROM keys WHERE key IN (SELECT key FROM keys WHERE file = :file)
            GROUP BY key HAVING SUM(rows) > :keep
        )
    ) WHERE newer >= :keep
)
"""
_SUPERFLUOUS = """
SELECT name FROM files WHERE NOT EXISTS (SELECT 1 FROM keys WHERE file = name)
UNION
SELECT name FROM (SELECT name FROM files ORDER BY recorded_s DESC, name DESC LIMIT -1 OFFSET ?)
"""


@dataclass(frozen=True, eq=False, repr=False)
class Snapshot:
    """What a history held at one moment: immutable, whatever is recorded later.

    Attributes:
        digest: Hash of the content: equal for equal histories, on any machine.
        columns: The samples, oldest run first.
    """

    digest: str
    columns: SampleColumns

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Snapshot) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __len__(self) -> int:
        return len(self.columns)

    @cached_property
    def contended(self) -> int:
        """Number of samples that are left out when learning, because others had the CPU."""
        return int(self.columns.contended.sum())

    def only(self, **wanted: Any) -> "Snapshot":
        """Return the part of the samples whose runs have these values of ``Source`` fields, such as ``launcher=``.

        Raises:
            ConfigError: ``Source`` has no such field.
        """
        import numpy as np

        known = {field.name for field in fields(Source)}
        if unknown := sorted(set(wanted) - known):
            raise ConfigError(f"samples have no field {unknown[0]!r}; known: {', '.join(sorted(known))}")
        chosen = [all(getattr(source, name) == value for name, value in wanted.items()) for source in self.sources]
        rows = np.array(chosen, dtype=bool)[self.columns.source]
        digest = hashlib.sha256(f"{self.digest} {sorted(wanted.items())!r}".encode()).hexdigest()[:32]
        return Snapshot(digest, self.columns.take(rows))

    @property
    def sources(self) -> tuple[Source, ...]:
        """The runs, oldest first."""
        return self.columns.sources

    def __repr__(self) -> str:
        return (
            f"Snapshot({self.digest[:12]}: {len(self)} samples of {len(self.sources)} runs, {self.contended} contended)"
        )


class History:
    """Traces of earlier runs, bounded, in a folder.

    Args:
        folder: Where; it is made if it does not exist. None: where ``Config`` says, by default ``.faaslab/history``.
        keep_samples: The newest so many samples of each kind are kept: same measurement, function, size, launcher and
            platform.
        keep_runs: Runs that are older than the newest so many are dropped.
        clock: Tells when a run is recorded, in seconds since the epoch.

    Raises:
        ConfigError: A bound is below 1, or the folder can't be made.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        keep_samples: int = 2_000,
        keep_runs: int = 10_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if keep_samples < 1 or keep_runs < 1:
            raise ConfigError(f"History keeps {keep_samples} samples and {keep_runs} runs, both must be 1 or more")
        if folder is None:
            folder = Config.from_env().history_folder or Config().history_folder
        assert folder is not None  # the defaults name one
        self.folder = Path(folder)
        self.keep_samples = keep_samples
        self.keep_runs = keep_runs
        self._clock = clock
        try:
            self._samples.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"the history can't be in {self.folder}: {error}; choose another folder") from error

    @property
    def _samples(self) -> Path:
        return self.folder / SAMPLES_FOLDER

    def record(self, trace: Trace, dag: "DAG", *, simulated: bool = False) -> Path | None:
        """Keep what a run teaches; return the file, None if nothing ran.

        Args:
            trace: The run; a run that failed teaches what its finished tasks did.
            dag: What was run.
            simulated: Allow a simulated run, which teaches only what was predicted before.

        Raises:
            TraceError: The trace is of another DAG, or is simulated and that was not allowed.
        """
        source = source_of(trace, self._clock())
        if source.structure_hash != dag.structure_hash:
            raise TraceError(
                f"run {source.run!r} is of a DAG with structure hash {source.structure_hash}, not of {dag.name!r} with "
                f"{dag.structure_hash}: record it with the DAG that was run"
            )
        if source.kind == SIMULATED and not simulated:
            raise TraceError(
                f"run {source.run!r} was simulated: its times are predictions, from which predictions can't be learnt; "
                "pass simulated=True if that is wanted"
            )
        return self.add(source, samples_of(trace, dag))

    def add(self, source: Source, samples: Sequence[Sample]) -> Path | None:
        """Keep samples of one run; return their file, None if there are none."""
        if not samples:
            return None
        path = self._samples / f"{_digest(source, samples)}.parquet"
        _write(path, source, samples)

        def insert(index: sqlite3.Connection) -> list[str]:
            with _transaction(index):
                self._insert(index, path.name, source, samples)
                index.execute(_DROP_SUPERSEDED, {"file": path.name, "keep": self.keep_samples})
                superfluous = [name for (name,) in index.execute(_SUPERFLUOUS, (self.keep_runs,))]
                _delete(index, superfluous)
            return superfluous

        self._unlink(self._use_index(insert))
        return path

    def forget(self, run: str) -> int:
        """Drop the samples of a run; return how many files that were."""

        def delete(index: sqlite3.Connection) -> list[str]:
            self._synchronize(index)
            found = index.execute("SELECT name, source FROM files").fetchall()
            names = [name for name, source in found if msgspec.json.decode(source, type=Source).run == run]
            with _transaction(index):
                _delete(index, names)
            return names

        names = self._use_index(delete)
        self._unlink(names)
        return len(names)

    def snapshot(self) -> Snapshot:
        """Return what is known now; a file that can't be read is left out with a warning that names it."""
        import numpy as np

        def read(index: sqlite3.Connection) -> tuple[list[Any], list[Any]]:
            self._synchronize(index)
            with _transaction(index, write=False):
                files = f"SELECT name, source, rows, {', '.join(COLUMN_TYPES)} FROM files ORDER BY recorded_s, name"
                return index.execute(files).fetchall(), index.execute(
                    "SELECT number, identity FROM functions"
                ).fetchall()

        rows, numbers = self._use_index(read)
        functions = [""] * (1 + max([number for number, _ in numbers], default=-1))
        for number, identity in numbers:
            functions[number] = identity
        columns = SampleColumns(
            sources=tuple([msgspec.json.decode(row[1], type=Source) for row in rows]),
            functions=tuple(functions),
            source=np.repeat(np.arange(len(rows), dtype=np.int32), [row[2] for row in rows]),
            **{
                name: np.frombuffer(b"".join([row[3 + position] for row in rows]), dtype=kind)
                for position, (name, kind) in enumerate(COLUMN_TYPES.items())
            },
        )
        digest = hashlib.sha256(f"{SCHEMA} {self.keep_samples} {sorted([row[0] for row in rows])}".encode())
        return Snapshot(digest.hexdigest()[:32], columns.take(_newest(columns, self.keep_samples)))

    def __repr__(self) -> str:
        return f"History({str(self.folder)!r})"

    def _synchronize(self, index: sqlite3.Connection) -> None:
        """Make the index follow the files: some may have come or gone without it."""
        known = {name for (name,) in index.execute("SELECT name FROM files")}
        present = {entry.name for entry in os.scandir(self._samples) if entry.name.endswith(".parquet")}
        present = {name for name in present if not name.startswith(".")}
        found = []
        for name in sorted(present - known):
            path = self._samples / name
            try:
                found.append((name, *_read(path)))
            except FileNotFoundError:
                continue  # another process has dropped it meanwhile
            except Exception as error:  # what a damaged Parquet file raises is not documented
                warnings.warn(f"{path} is left out of the history: {error}; delete it", stacklevel=4)
        if not found and known <= present:
            return
        with _transaction(index):
            _delete(index, sorted(known - present))
            for name, source, samples in found:
                self._insert(index, name, source, samples)

    def _insert(self, index: sqlite3.Connection, name: str, source: Source, samples: Sequence[Sample]) -> None:
        identities = sorted({sample.model for sample in samples})
        index.executemany("INSERT OR IGNORE INTO functions (identity) VALUES (?)", [(text,) for text in identities])
        functions = {}
        for text in identities:
            (functions[text],) = index.execute("SELECT number FROM functions WHERE identity = ?", (text,)).fetchone()
        parts = encode_columns(samples, functions)
        _delete(index, [name])
        index.execute(
            f"INSERT INTO files VALUES (?, ?, ?, ?{', ?' * len(parts)})",
            (name, source.recorded_s, msgspec.json.encode(source), len(samples), *parts.values()),
        )
        index.executemany(
            "INSERT INTO keys VALUES (?, ?, ?, ?)",
            [(key, source.recorded_s, name, rows) for key, rows in _keys(source, samples).items()],
        )

    def _unlink(self, names: Iterable[str]) -> None:
        for name in names:
            (self._samples / name).unlink(missing_ok=True)

    def _use_index(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do something with the index, and again with one made anew if it turns out to be damaged."""
        path = self.folder / INDEX_FILE

        def attempt() -> T:
            if not path.exists():
                self._make_index(path)
            with closing(_connect(path)) as index:
                return work(index)

        try:
            return attempt()
        except sqlite3.OperationalError:  # a full disk, a lock: the index is fine
            raise
        except sqlite3.DatabaseError:
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            return attempt()

    def _make_index(self, path: Path) -> None:
        """Make an empty index, whole before anybody can see it; of several makers, the first one's stays."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            fresh = Path(folder) / INDEX_FILE
            with closing(sqlite3.connect(fresh, isolation_level=None)) as index:
                index.execute("PRAGMA journal_mode = WAL")
                index.executescript(_TABLES)
            try:
                os.link(fresh, path)
            except FileExistsError:
                pass


def _connect(path: Path) -> sqlite3.Connection:
    """Open an index.

    Raises:
        sqlite3.DatabaseError: It is damaged, or of another version.
    """
    index = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
    try:
        # What a crash of the machine may lose of the index is still in the files.
        index.execute("PRAGMA synchronous = NORMAL")
        (version,) = index.execute("PRAGMA user_version").fetchone()
        if version != SCHEMA:
            raise sqlite3.DatabaseError(f"the index has schema {version}, this version of FaaSLab reads {SCHEMA}")
        index.execute("SELECT COUNT(*) FROM files").fetchone()
    except BaseException:
        index.close()
        raise
    return index


@contextmanager
def _transaction(index: sqlite3.Connection, *, write: bool = True) -> Iterator[None]:
    index.execute("BEGIN IMMEDIATE" if write else "BEGIN")
    try:
        yield
    except BaseException:
        index.execute("ROLLBACK")
        raise
    index.execute("COMMIT")


def _delete(index: sqlite3.Connection, names: Iterable[str]) -> None:
    rows = [(name,) for name in names]
    index.executemany("DELETE FROM files WHERE name = ?", rows)
    index.executemany("DELETE FROM keys WHERE file = ?", rows)


def _circumstances(source: Source) -> tuple[Any, ...]:
    """Return what must be equal for samples to replace each other."""
    return source.kind, source.launcher, source.platform, source.image, source.sizes_enforced


def _keys(source: Source, samples: Iterable[Sample]) -> dict[str, int]:
    """Return how many samples there are of each key."""
    counts = Counter([(sample.what, sample.model, sample.size_mib) for sample in samples])
    around = _circumstances(source)
    return {
        hashlib.blake2b(repr((key, around)).encode(), digest_size=12).hexdigest(): rows for key, rows in counts.items()
    }


def _newest(columns: SampleColumns, keep: int) -> "NDArray[np.int64]":
    """Return the rows, in their order, that are among the newest ``keep`` of their key."""
    import numpy as np

    kinds: dict[tuple[Any, ...], int] = {}
    around = np.array([kinds.setdefault(_circumstances(s), len(kinds)) for s in columns.sources], dtype=np.int64)
    _, size = np.unique(columns.size_mib, return_inverse=True)
    key = columns.what.astype(np.int64) * len(columns.functions) + columns.function
    key = (key * (1 + size.max(initial=0)) + size) * (1 + len(kinds)) + around[columns.source]
    _, group, counts = np.unique(key, return_inverse=True, return_counts=True)
    if counts.max(initial=0) <= keep:
        return np.arange(len(columns))
    newest_first = np.argsort(group[::-1], kind="stable")
    rank = np.empty(len(columns), dtype=np.int64)
    rank[newest_first] = np.arange(len(columns)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.flatnonzero(rank[::-1] < keep)


def _digest(source: Source, samples: Sequence[Sample]) -> str:
    """Return the hash of what was measured, whenever it was recorded."""
    content = (asdict(replace(source, recorded_s=0.0)), samples)
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()[:32]


def _schema() -> "pa.Schema":
    import pyarrow as pa

    plain = {int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    columns = []
    for record in (Source, Sample):
        hints = get_type_hints(record)
        columns += [(field.name, plain.get(hints[field.name], pa.string())) for field in fields(record)]
    return pa.schema(columns, metadata={"faaslab.history": str(SCHEMA)})


def _write(path: Path, source: Source, samples: Sequence[Sample]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema()
    columns = {name: [value] * len(samples) for name, value in asdict(source).items()}
    columns |= {field.name: [getattr(sample, field.name) for sample in samples] for field in fields(Sample)}
    table = pa.table([pa.array(columns[field.name], field.type) for field in schema], schema=schema)
    write_atomic(path, lambda where: pq.write_table(table, where, compression="zstd"))


def _read(path: Path) -> tuple[Source, list[Sample]]:
    """Return the samples of a file.

    Raises:
        Exception: It is damaged or of another schema.
    """
    import pyarrow.parquet as pq

    table = pq.ParquetFile(path).read()
    version = (table.schema.metadata or {}).get(b"faaslab.history", b"").decode(errors="replace")
    if version != str(SCHEMA):
        raise ValueError(f"it has schema {version or 'none'}, this version of FaaSLab reads {SCHEMA}")
    rows = table.to_pylist()
    source = msgspec.convert({field.name: rows[0][field.name] for field in fields(Source)}, Source)
    names = [field.name for field in fields(Sample)]
    samples = [msgspec.convert({name: row[name] for name in names}, Sample) for row in rows]
    if _digest(source, samples) != path.stem:
        raise ValueError("its content is not what was written")
    return source, samples
