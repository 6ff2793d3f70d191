"""Task outputs as bytes: pickled with buffers out of band, framed, signed.

A frame is ``F1 | signature | pickle length | number of buffers | buffer lengths | pickle | buffers``. Only the pickle
is signed, with a key of the run: unpickling runs code, raw buffers are data. A large frame is written as a *blob* in
chunks and travels as a reference, ``R1 | key | chunks | bytes``.
"""

import hashlib
import hmac
import pickle
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from faaslab.errors import PayloadError

FRAME = b"F1"
REFERENCE = b"R1"
OWN = b"O1"
"""Before what an optimization of one's own made of a frame; its number among the plan's follows."""
SIGNATURE_BYTES = 16
_HEAD = struct.Struct("<2s16sQI")


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a large output lies: ``chunks`` pieces of blob ``key``, ``nbytes`` in all."""

    key: str
    chunks: int
    nbytes: int

    def encode(self) -> bytes:
        """Return the reference as bytes."""
        return b"|".join((REFERENCE, self.key.encode(), str(self.chunks).encode(), str(self.nbytes).encode()))


@dataclass(frozen=True, slots=True)
class Payload:
    """A serialized value; ``buffers`` are views of the value's own memory, nothing is copied yet."""

    head: bytes
    buffers: tuple[memoryview, ...]

    @property
    def nbytes(self) -> int:
        """Size of the frame."""
        return len(self.head) + sum(buffer.nbytes for buffer in self.buffers)

    def to_bytes(self) -> bytes:
        """Return the whole frame."""
        return b"".join((self.head, *self.buffers)) if self.buffers else self.head

    def chunks(self, size_bytes: int) -> Iterator[memoryview]:
        """Yield the frame in pieces of at most ``size_bytes``, without copying."""
        for piece in (memoryview(self.head), *self.buffers):
            yield from cut(piece, size_bytes)


class Codec:
    """Serializes and signs with one key.

    Args:
        key: Secret of a run (``run_key``) or of a lab; at most 64 bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._keyed = hashlib.blake2b(key=key, digest_size=SIGNATURE_BYTES)

    def signature(self, data: bytes | memoryview) -> bytes:
        """Return the keyed digest of ``data``."""
        digest = self._keyed.copy()
        digest.update(data)
        return digest.digest()

    def dumps(self, value: object) -> Payload:
        """Serialize a value.

        Raises:
            Exception: Whatever the value's own pickling raises; it can't be serialized.
        """
        buffers: list[pickle.PickleBuffer] = []
        try:
            data = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
        except (pickle.PicklingError, AttributeError, TypeError, ImportError):
            import cloudpickle  # only for classes and functions that live in no importable module

            buffers.clear()
            data = cloudpickle.dumps(value, protocol=5, buffer_callback=buffers.append)
        views = tuple(_raw(buffer) for buffer in buffers)
        lengths = struct.pack(f"<{len(views)}Q", *(view.nbytes for view in views))
        head = _HEAD.pack(FRAME, self.signature(data), len(data), len(views))
        return Payload(head + lengths + data, views)

    def loads(self, frame: bytes | memoryview) -> Any:
        """Return a private copy of the value in a frame; its buffers are writable and shared with nobody.

        Raises:
            PayloadError: The frame is damaged or was not signed with this key.
        """
        view = memoryview(frame)
        try:
            magic, signature, length, count = _HEAD.unpack_from(view)
            if magic != FRAME:
                raise PayloadError(f"not a payload: it begins with {bytes(view[:2])!r}")
            at = _HEAD.size
            lengths = struct.unpack_from(f"<{count}Q", view, at)
            at += 8 * count
        except struct.error as error:
            raise PayloadError(f"a payload of {view.nbytes} bytes is cut off: {error}") from None
        if view.nbytes != at + length + sum(lengths):
            raise PayloadError(f"a payload has {view.nbytes} bytes, its header says {at + length + sum(lengths)}")
        data = view[at : at + length]
        if not hmac.compare_digest(signature, self.signature(data)):
            raise PayloadError("a payload was not signed by this lab: it is not unpickled")
        at += length
        buffers = []
        for size in lengths:
            buffers.append(bytearray(view[at : at + size]))
            at += size
        return pickle.loads(data, buffers=buffers)

    def copy(self, payload: Payload) -> Any:
        """Return a private copy of the value of a payload."""
        _, _, length, count = _HEAD.unpack_from(payload.head)
        start = _HEAD.size + 8 * count
        data = memoryview(payload.head)[start : start + length]
        return pickle.loads(data, buffers=[bytearray(buffer) for buffer in payload.buffers])

    def seal(self, data: bytes) -> bytes:
        """Return ``data`` behind its signature (for code and structure, whose digests name their contents)."""
        return self.signature(data) + data

    def unseal(self, sealed: bytes) -> bytes:
        """Return what ``seal`` was given.

        Raises:
            PayloadError: It was not sealed with this key.
        """
        data = sealed[SIGNATURE_BYTES:]
        if not hmac.compare_digest(sealed[:SIGNATURE_BYTES], self.signature(data)):
            raise PayloadError("code was not signed by this lab: it is not loaded")
        return data


def _raw(buffer: pickle.PickleBuffer) -> memoryview:
    """Return a flat byte view of a buffer, copied only where it is not contiguous."""
    try:
        return buffer.raw()
    except BufferError:
        return memoryview(bytes(buffer))


def run_key(secret: bytes, run: str) -> bytes:
    """Return the key of a run, derived from its lab's secret."""
    return hashlib.blake2b(run.encode(), key=secret, digest_size=32).digest()


def read_reference(output: bytes) -> Reference | None:
    """Return the blob reference in a stored output, None if it is a frame itself."""
    if output[:2] != REFERENCE:
        return None
    _, key, chunks, nbytes = output.split(b"|")
    return Reference(key.decode(), int(chunks), int(nbytes))


def cut(data: bytes | memoryview, size_bytes: int) -> Iterator[memoryview]:
    """Yield views of ``data`` of at most ``size_bytes``."""
    view = memoryview(data)
    for start in range(0, view.nbytes, size_bytes):
        yield view[start : start + size_bytes]


def mark_own(number: int, data: bytes) -> bytes:
    """Return what an optimization of one's own made of a frame, marked as such.

    Args:
        number: Its place among those of the plan, below 256.
        data: What it made.
    """
    return b"".join((OWN, bytes((number,)), data))


def read_own(output: bytes | memoryview) -> tuple[int, bytes] | None:
    """Return the number of the optimization that made this of a frame, and what it made; None: it is a frame."""
    return (output[2], bytes(output[3:])) if output[:2] == OWN else None


def output_bytes(output: bytes) -> int:
    """Return the size of a stored output, wherever its bytes lie."""
    reference = read_reference(output)
    return len(output) if reference is None else reference.nbytes


def join(chunks: Sequence[bytes]) -> bytes:
    """Return the frame whose chunks these are."""
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
