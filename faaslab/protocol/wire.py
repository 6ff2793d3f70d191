"""The DAG on the wire: one small structure for all tasks, and parts by content hash for code and large constants.

::

    structure   msgpack, compressed: tables (functions' digests, kinds of tasks, options, workers), columns (one value
                for each task, task reference or constant use) and the small constants
    parts       digest -> bytes: the code of each distinct function, each constant above a threshold

Columns are arrays of the narrowest integers, as differences where those repeat, their bytes regrouped by significance.
A container remembers parts and structures by digest and is sent only what it lacks.
"""

import hashlib
import pickle
import sys
import zlib
from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any, Self

import msgspec

from faaslab.config import Config
from faaslab.errors import PayloadError
from faaslab.graph.arguments import Program, assemble, bind, slot_counts
from faaslab.graph.options import PLANNING_OPTIONS, TaskOptions

if TYPE_CHECKING:
    from faaslab.graph.dag import DAG

_VERSION = 3
_RAW, _DEFLATED = b"\0", b"\1"
_COMPRESS_WELL_BYTES = 1024 * 1024
"""Above this size (constants, then) speed counts more than size."""
_COMMON = b"".join(
    (
        b"".join(
            b"\x8c" + bytes((len(name),)) + name + b"\x94"
            for name in (
                b"append get items keys values join split lower strip format sorted zip map enumerate isinstance str "
                b"int float bool set list dict tuple min max abs sum len range open path math random json numpy "
                b"pandas shape reshape mean std axis dtype mode zeros ones arange zeros_like array sqrt exp clip copy "
                b"stack concatenate hstack vstack where pad astype uint8 float32 float64 text words result values data"
            ).split()
        ),
        b"\x8c\x08builtins\x94\x8c\x05slice\x94\x93\x94K\x00K\x01K\x02K\x03NN\x87\x94R\x94\x85\x94R\x94\x86\x94t\x94\x87\x94G?",
        b'}\x03}\x04D\x00]"d\x01d\x02\x85\x02f\x02\x19'
        + bytes(10)
        + b"z\x00\x00\x00z\x05\x00\x00z\x0a\x00\x00z\x0b\x00\x00",
        b"d\x01\xac\x02\xa6\x02\x00\x00\xab\x02" + bytes(8) + b"\xa6\x00\x00\x00\xab\x00" + bytes(8),
        b"t\x00" + bytes(10) + b"j\x03" + bytes(8) + b"t\x03" + bytes(10) + b"t\x01" + bytes(10) + b"j\x01" + bytes(8),
        b"|\x00\xa0\x02" + bytes(20) + b"|\x01d\x02\xa6\x01\x00\x00\xab\x01" + bytes(8) + b"S\x00\x94",
        b"\x80\x05\x95\x7e\x03"
        + bytes(6)
        + b"\x8c\x17cloudpickle.cloudpickle\x94\x8c\x0e_make_function\x94\x93\x94(h\x00",
        b"\x8c\r_builtin_type\x94\x93\x94\x8c\x08CodeType\x94\x85\x94R\x94(K\x02K\x00K\x00K\x02K\x05K\x03C\x97\x00t\x01(NK",
        b"\x8c\x02np\x94\x86\x94\x8c\x01x\x94\x8c\x01i\x94t\x94.py\x94\x8c\x04K\x16C\x0c\xe8\x00\xef\x06\xef\x00\xef\x00\xee\x00\xf0\x00",
        b"\x94C\x00\x94))t\x94R\x94}\x94(\x8c\x0b__package__\x94N\x8c\x08__name__\x94\x8c\x08__main__\x94\x8c\x08__file__\x94h",
        b"uNNNt\x94R\x94h\x00\x8c\x12_function_setstate\x94\x93\x94h\x1f}\x94}\x94(h\x1b\x8c\x0c__qualname__\x94\x8c",
        b"\x94\x8c\x0f__annotations__\x94}\x94\x8c\x0e__kwdefaults__\x94N\x8c\x0c__defaults__\x94N\x8c\n__module__\x94",
        b"\x8c\x08__main__\x94h\x1c\x8c\x07__doc__\x94N\x8c\x0b__closure__\x94N\x8c\x17_cloudpickle_submodules\x94]\x94",
        b"\x8c\x0b__globals__\x94}\x94h\nh\x00\x8c\tsubimport\x94\x93\x94\x8c\x05numpy\x94\x85\x94R\x94su\x86\x94\x86R0.",
    )
)
"""Preset dictionary of parts: names, instructions and the frame of pickled functions. Both sides must have the same."""


@dataclass(frozen=True, slots=True)
class Assignments:
    """The part of a plan that workers need.

    Attributes:
        workers: Names of the plan's workers.
        worker_of: For each task an index into ``workers``; -1: decided at run time.
        size_mib_of: For each task the memory of the container that runs it, in MiB.
        orders: For each worker its tasks in the order it runs them.
        leaves: Tasks that their planned workers don't wait for: they end and are invoked again.
        store_all: Store every output, also those that only their own worker needs (``skip_storage`` is off).
        policy: Pickle of what decides at run time about tasks without a worker; empty: the default.
        preload: Tasks whose inputs are fetched as they appear, while their planned worker executes others.
        stream: Tasks whose outputs are offered to workers that wait for them.
        duplicates: Task, index into ``workers``, and two predicted times (``plan.Duplicate``).
        prewarms: Task after which it is sent, -1: the submission; size in MiB, delay in seconds, count.
        own: Pickle of the list of optimizations of one's own; empty: there are none.
    """

    workers: tuple[str, ...]
    worker_of: tuple[int, ...]
    size_mib_of: tuple[int, ...]
    orders: tuple[tuple[int, ...], ...]
    leaves: tuple[int, ...] = ()
    store_all: bool = False
    policy: bytes = b""
    preload: tuple[int, ...] = ()
    stream: tuple[int, ...] = ()
    duplicates: tuple[tuple[int, int, float, float], ...] = ()
    prewarms: tuple[tuple[int, int, float, int], ...] = ()
    own: bytes = b""


@dataclass(frozen=True, slots=True)
class WireDag:
    """A DAG ready to travel.

    Attributes:
        digest: Hash of ``structure``, the key under which containers remember it.
        structure: Everything but code and large constants.
        parts: Code, large constants, the policy and own optimizations by digest.
        policy: Digest of the policy; empty: there is none.
        own: Digest of the optimizations of one's own; empty: there are none.
    """

    digest: str
    structure: bytes
    parts: dict[str, bytes]
    policy: str = ""
    own: str = ""

    @property
    def size_bytes(self) -> int:
        """Bytes that a container receives that knows nothing yet."""
        return len(self.structure) + sum(map(len, self.parts.values()))


class _Structure(msgspec.Struct, frozen=True, array_like=True):
    version: int
    total: int
    present: bytes
    """Numbers of the tasks that are described; empty: all."""
    ordinals: bytes
    """The ``k`` of each id ``name#k``, where not all tasks are described."""
    functions: list[bytes]
    options: list[list[Any]]
    kinds: list[tuple[int, str, list[int], list[str], int]]
    """Function, name, program, keywords, options."""
    kind_of: bytes
    refs: bytes
    uses: bytes
    atoms: bytes
    constants: list[tuple[int, bytes, bool, bool]]
    """Index, pickle or digest, whether it is a digest, whether all uses may share the value."""
    sinks: bytes
    workers: list[str]
    worker_of: bytes
    size_mib_of: bytes
    order_lengths: bytes
    orders: bytes
    leaves: bytes
    store_all: bool
    policy: bytes
    preload: bytes
    stream: bytes
    duplicates: list[tuple[int, int, float, float]]
    prewarms: list[tuple[int, int, float, int]]
    own: bytes
    """Its digest; empty: there is none."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Structure)
_OPTION_FIELDS = tuple(field.name for field in fields(TaskOptions) if field.name not in PLANNING_OPTIONS)


def reachable(dag: "DAG", tasks: Iterable[int]) -> set[int]:
    """Return ``tasks`` and everything downstream of them: what a worker that starts there may have to run."""
    found = set(tasks)
    pending = list(found)
    while pending:
        for successor in dag.successors(pending.pop()):
            if successor not in found:
                found.add(successor)
                pending.append(successor)
    return found


def encode(
    dag: "DAG", assignments: Assignments, *, part_constant_bytes: int, only: Collection[int] | None = None
) -> WireDag:
    """Return a DAG and its assignments as bytes.

    Args:
        dag: The DAG.
        assignments: Where its tasks run.
        part_constant_bytes: Constants whose pickles are larger travel as parts of their own.
        only: Tasks that the receiver may have to run, closed under ``reachable``; None: all. Their fan-ins stay
            complete; a worker's order keeps only those.
    """
    from faaslab.graph.constants import Constant

    tasks = range(len(dag)) if only is None else sorted(only)
    partial = len(tasks) < len(dag)
    constant_numbers: dict[int, int] = {}
    uses = [constant_numbers.setdefault(c, len(constant_numbers)) for t in tasks for c in dag.uses[t]]
    parts: dict[str, bytes] = {}
    functions: dict[int, int] = {}
    options: dict[tuple[Any, ...], int] = {}
    kinds: dict[tuple[Any, ...], int] = {}
    kind_numbers: dict[int, int] = {}
    for number in dict.fromkeys([dag.kind_of[t] for t in tasks]):
        kind = dag.kinds[number]
        function = functions.setdefault(kind.function, len(functions))
        option = options.setdefault(tuple([getattr(kind.options, name) for name in _OPTION_FIELDS]), len(options))
        # Kinds that differ in what workers don't need are one.
        row = (function, kind.name, kind.program, kind.keywords, option)
        kind_numbers[number] = kinds.setdefault(row, len(kinds))
    kind_of = [kind_numbers[dag.kind_of[t]] for t in tasks]
    for number in functions:
        code = dag.functions[number]
        parts[code.digest] = pack_part(code.code)
    atoms: list[Any] = []
    constants = []
    for position, number in enumerate(constant_numbers):
        constant = dag.constants[number]
        if type(constant) is not Constant:
            atoms.append(constant)
            continue
        atoms.append(None)
        if len(constant.data) > part_constant_bytes:
            parts[constant.digest] = _RAW + constant.data
            constants.append((position, bytes.fromhex(constant.digest), True, constant.immutable))
        else:
            constants.append((position, constant.data, False, constant.immutable))
    included = set(tasks) if partial else None
    orders = [order if included is None else [t for t in order if t in included] for order in assignments.orders]
    policy, own = (_code_part(parts, code) for code in (assignments.policy, assignments.own))

    def column(tasks: Iterable[int]) -> bytes:
        return _pack([t for t in tasks if included is None or t in included], differences=True)

    structure = _encoder.encode(
        _Structure(
            version=_VERSION,
            total=len(dag),
            present=_pack(tasks, differences=True) if partial else b"",
            ordinals=_pack([int(dag.ids[t].rpartition("#")[2]) for t in tasks], differences=True) if partial else b"",
            functions=[bytes.fromhex(dag.functions[number].digest) for number in functions],
            options=[list(option) for option in options],
            kinds=list(kinds),
            kind_of=_pack(kind_of),
            refs=_pack([ref for t in tasks for ref in dag.refs[t]], differences=True),
            uses=_pack(uses, differences=True),
            atoms=pickle.dumps(atoms, 5),
            constants=constants,
            sinks=column(dag.sinks),
            workers=list(assignments.workers),
            worker_of=_pack([assignments.worker_of[t] for t in tasks]),
            size_mib_of=_pack([assignments.size_mib_of[t] for t in tasks]),
            order_lengths=_pack([len(order) for order in orders]),
            orders=_pack(list(chain.from_iterable(orders)), differences=True),
            leaves=column(assignments.leaves),
            store_all=assignments.store_all,
            policy=bytes.fromhex(policy),
            preload=column(assignments.preload),
            stream=column(assignments.stream),
            duplicates=list(assignments.duplicates),
            prewarms=list(assignments.prewarms),
            own=bytes.fromhex(own),
        )
    )
    data = zlib.compress(structure, 9 if len(structure) <= _COMPRESS_WELL_BYTES else 1)
    return WireDag(hashlib.sha256(data).hexdigest()[:32], data, parts, policy, own)


def _code_part(parts: dict[str, bytes], code: bytes) -> str:
    """Add pickled code of a plan to the parts; returns its digest, empty: there is none."""
    digest = hashlib.sha256(code).hexdigest()[:32] if code else ""
    if digest:
        parts[digest] = pack_part(code)
    return digest


def unplanned_size_bytes(dag: "DAG") -> int:
    """Return the size of a whole DAG's structure and code, with nothing assigned and without large constants."""
    free = Assignments((), (-1,) * len(dag), (0,) * len(dag), ())
    wire = encode(dag, free, part_constant_bytes=Config().part_constant_bytes)
    return len(wire.structure) + sum(len(wire.parts[function.digest]) for function in dag.functions)


def pack_part(data: bytes) -> bytes:
    """Return a pickle as a part: compressed with what most functions' pickles contain as a preset dictionary."""
    compressor = zlib.compressobj(9, zdict=_COMMON)
    return _DEFLATED + compressor.compress(data) + compressor.flush()


def load_part(part: bytes) -> Any:
    """Return the function or constant of a part, as a new object.

    Raises:
        PayloadError: The bytes are no part.
    """
    if part[:1] == _RAW:
        return pickle.loads(memoryview(part)[1:])
    if part[:1] == _DEFLATED:
        return pickle.loads(zlib.decompressobj(zdict=_COMMON).decompress(memoryview(part)[1:]))
    raise PayloadError(f"a part of the DAG begins with {part[:1]!r}, which this version does not know")


class WorkerDag:
    """A decoded DAG as workers use it; tasks are decoded one by one when they are needed.

    Attributes:
        n: Number of tasks of the whole DAG.
        store_all: Whether every output has to be stored, whoever needs it.
        policy: Digest of the part that holds what decides at run time; empty: there is none.
        own: Digest of the part that holds the optimizations of one's own; empty: there are none.
    """

    def __init__(self, structure: _Structure) -> None:
        self.n = structure.total
        self.store_all = structure.store_all
        self.policy = structure.policy.hex()
        self.own = structure.own.hex()
        self._wide: dict[int, tuple[int, ...]] = {}
        self._structure = structure
        present = _unpack(structure.present, differences=True) if structure.present else None
        self._tasks: Sequence[int] = range(self.n) if present is None else present
        self._row = None if present is None else {t: row for row, t in enumerate(present)}
        self._kind_of = _unpack(structure.kind_of)
        self._refs = _unpack(structure.refs, differences=True)
        self._uses = _unpack(structure.uses, differences=True)
        self._worker_of = _unpack(structure.worker_of)
        self._size_mib_of = _unpack(structure.size_mib_of)
        self._sinks = frozenset(_unpack(structure.sinks, differences=True))
        self._leaves = frozenset(_unpack(structure.leaves, differences=True))
        self._preload = frozenset(_unpack(structure.preload, differences=True))
        self._stream = frozenset(_unpack(structure.stream, differences=True))
        self._duplicates = {
            (structure.workers[worker], task): (own_s, expected_s)
            for task, worker, own_s, expected_s in structure.duplicates
        }
        self._duplicable = frozenset(task for task, *_ in structure.duplicates)
        self._prewarms: dict[int, list[tuple[int, float, int]]] = {}
        for after, *prewarm in structure.prewarms:
            self._prewarms.setdefault(after, []).append(tuple(prewarm))  # type: ignore[arg-type]
        self._programs: list[Program] = [tuple(kind[2]) for kind in structure.kinds]
        counts = [slot_counts(program) for program in self._programs]
        self._first_ref = _offsets(self._kind_of, [tasks for tasks, _ in counts])
        self._first_use = _offsets(self._kind_of, [constants for _, constants in counts])
        self._options = [TaskOptions(**dict(zip(_OPTION_FIELDS, row, strict=True))) for row in structure.options]
        self._digests = [digest.hex() for digest in structure.functions]
        self._atoms: list[Any] = pickle.loads(structure.atoms)
        self._boxed = {constant[0]: constant[1:] for constant in structure.constants}
        self._ordinals: Sequence[int] | None = None
        self._successor_lists: dict[int, list[int]] | None = None
        ends = list(accumulate(_unpack(structure.order_lengths)))
        orders = _unpack(structure.orders, differences=True)
        self._orders = {
            worker: tuple(orders[start:end])
            for worker, start, end in zip(structure.workers, [0, *ends], ends, strict=False)
        }

    @classmethod
    def decode(cls, structure: bytes) -> Self:
        """Return the DAG of an encoded structure.

        Raises:
            PayloadError: The bytes are damaged or of another version.
        """
        try:
            decoded = _decoder.decode(zlib.decompress(structure))
        except (zlib.error, msgspec.MsgspecError) as error:
            raise PayloadError(f"the structure of a DAG ({len(structure)} bytes) can't be read: {error}") from error
        if decoded.version != _VERSION:
            raise PayloadError(f"the DAG has wire format {decoded.version}, this container reads {_VERSION}")
        return cls(decoded)

    @property
    def tasks(self) -> Sequence[int]:
        """The tasks that are described, ascending; all if the DAG was sent whole."""
        return self._tasks

    @property
    def sinks(self) -> frozenset[int]:
        """Described tasks whose outputs the client asked for."""
        return self._sinks

    def id_of(self, t: int) -> str:
        """Return a task's id, ``name#k``."""
        if self._ordinals is None:
            self._ordinals = self._count_names()
        row = self._row_of(t)
        return f"{self._structure.kinds[self._kind_of[row]][1]}#{self._ordinals[row]}"

    def upstreams(self, t: int) -> tuple[int, ...]:
        """Return the distinct tasks whose outputs a task takes, ascending."""
        wide = self._wide.get(t)
        if wide is not None:
            return wide
        refs = self._refs_of(self._row_of(t))
        if len(refs) < 8:
            return tuple(refs) if len(refs) < 2 else tuple(sorted(set(refs)))
        # Every upstream of a wide fan-in asks for this list: cut it out and sort it once.
        self._wide[t] = wide = tuple(sorted(set(refs)))
        return wide

    def successors(self, t: int) -> tuple[int, ...]:
        """Return the distinct tasks that take a task's output, ascending."""
        if self._successor_lists is None:
            self._successor_lists = self._invert()
        return tuple(self._successor_lists.get(t, ()))

    def is_sink(self, t: int) -> bool:
        """Return whether the client asked for a task's output."""
        return t in self._sinks

    def options(self, t: int) -> TaskOptions:
        """Return a task's options."""
        return self._options[self._structure.kinds[self._kind_of[self._row_of(t)]][4]]

    def assigned_to(self, t: int) -> str | None:
        """Return the planned worker of a task; None: decided at run time."""
        worker = self._worker_of[self._row_of(t)]
        return None if worker < 0 else self._structure.workers[worker]

    def size_mib(self, t: int) -> int:
        """Return the memory of the container that a task is planned for, in MiB."""
        return self._size_mib_of[self._row_of(t)]

    def leaves(self, t: int) -> bool:
        """Return whether the planned worker of a task ends rather than wait for its inputs."""
        return t in self._leaves

    def preloads(self, t: int) -> bool:
        """Return whether the inputs of a task are fetched as they appear, while its worker executes others."""
        return t in self._preload

    def streams(self, t: int) -> bool:
        """Return whether the output of a task is offered to workers that wait for it."""
        return t in self._stream

    @property
    def has_streams(self) -> bool:
        """Whether the output of any described task may be streamed."""
        return bool(self._stream)

    def duplicable(self, t: int) -> bool:
        """Return whether some worker may compute a task of another one itself."""
        return t in self._duplicable

    def duplicate(self, worker: str, t: int) -> tuple[float, float] | None:
        """Return the predicted times of computing a task on a worker that waits for it (``plan.Duplicate``).

        None: it must not.
        """
        return self._duplicates.get((worker, t))

    def prewarms(self, after: int) -> Sequence[tuple[int, float, int]]:
        """Return size in MiB, delay in seconds and count of the empty invocations that follow a task."""
        return self._prewarms.get(after, ())

    def digests_at(self, size_mib: int) -> tuple[str, ...]:
        """Return the digests of all code that containers of a size may need: functions, policy, own optimizations."""
        kinds = {kind: None for kind, size in zip(self._kind_of, self._size_mib_of, strict=True) if size == size_mib}
        functions = [self._digests[self._structure.kinds[kind][0]] for kind in kinds]
        return tuple(dict.fromkeys((*functions, *filter(None, (self.policy, self.own)))))

    def order(self, worker: str) -> tuple[int, ...]:
        """Return a planned worker's tasks in the order it runs them."""
        return self._orders[worker]

    def function_digest(self, t: int) -> str:
        """Return the digest of the part that holds a task's function."""
        return self._digests[self._structure.kinds[self._kind_of[self._row_of(t)]][0]]

    def part_digests(self, t: int) -> tuple[str, ...]:
        """Return the digests of all parts that a task needs: its function, then its large constants."""
        large = [
            self._boxed[use][0].hex()
            for use in self._uses_of(self._row_of(t))
            if use in self._boxed and self._boxed[use][1]
        ]
        return tuple(dict.fromkeys((self.function_digest(t), *large)))

    def call(
        self, t: int, parts: Mapping[str, bytes], inputs: Mapping[int, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the positional and keyword arguments of a task.

        Mutable constants are new objects on each call; outputs of upstream tasks are put in as they are.

        Args:
            t: The task.
            parts: Large constants, at least those in ``part_digests``.
            inputs: Output of every upstream task.
        """
        row = self._row_of(t)
        kind = self._kind_of[row]
        values = assemble(
            self._programs[kind],
            [inputs[ref] for ref in self._refs_of(row)],
            [self._constant(use, parts) for use in self._uses_of(row)],
        )
        return bind(values, self._structure.kinds[kind][3])

    def _constant(self, use: int, parts: Mapping[str, bytes]) -> Any:
        boxed = self._boxed.get(use)
        if boxed is None:
            return self._atoms[use]
        data, is_digest, immutable = boxed
        if is_digest:
            return load_part(parts[data.hex()])
        value = pickle.loads(data)
        if immutable:
            self._atoms[use] = value
            del self._boxed[use]
        return value

    def _row_of(self, t: int) -> int:
        return t if self._row is None else self._row[t]

    def _refs_of(self, row: int) -> Sequence[int]:
        return self._refs[self._first_ref[row] : self._first_ref[row + 1]]

    def _uses_of(self, row: int) -> Sequence[int]:
        return self._uses[self._first_use[row] : self._first_use[row + 1]]

    def _count_names(self) -> Sequence[int]:
        if self._structure.ordinals:
            return _unpack(self._structure.ordinals, differences=True)
        names = [kind[1] for kind in self._structure.kinds]
        count = dict.fromkeys(names, 0)
        ordinals = []
        for kind in self._kind_of:
            name = names[kind]
            ordinals.append(count[name])
            count[name] += 1
        return ordinals

    def _invert(self) -> dict[int, list[int]]:
        successors: dict[int, list[int]] = {}
        start = 0
        for t, end in zip(self._tasks, self._first_ref[1:], strict=True):
            for ref in self._refs[start:end]:
                known = successors.setdefault(ref, [])
                if not known or known[-1] != t:
                    known.append(t)
            start = end
        return successors


def _offsets(kind_of: Sequence[int], count_of_kind: Sequence[int]) -> list[int]:
    return list(accumulate(map(count_of_kind.__getitem__, kind_of), initial=0))


def _pack(values: Sequence[int], *, differences: bool = False) -> bytes:
    """Return a column: width, then the bytes of its integers, regrouped so that the first of all come first."""
    if differences:
        values = [after - before for before, after in zip(chain((0,), values), values, strict=False)]
    least, most = min(values, default=0), max(values, default=0)
    code = next(
        code for code, bits in (("b", 7), ("h", 15), ("i", 31), ("q", 63)) if -1 << bits <= least and most < 1 << bits
    )
    column = array(code, values)
    if sys.byteorder == "big":
        column.byteswap()
    raw = column.tobytes()
    return code.encode() + b"".join([raw[place :: column.itemsize] for place in range(column.itemsize)])


def _unpack(data: bytes, *, differences: bool = False) -> list[int]:
    column = array(data[:1].decode())
    width = column.itemsize
    raw = bytearray(len(data) - 1)
    length = len(raw) // width
    for place in range(width):
        raw[place::width] = data[1 + place * length : 1 + (place + 1) * length]
    column.frombytes(raw)
    if sys.byteorder == "big":
        column.byteswap()
    return list(accumulate(column)) if differences else column.tolist()
