"""What tasks of a recorded workflow do when they are run again: burn CPU or sleep, and write files of the right size.

Light on purpose: workers import it.
"""

import os
import pickle
import random
import time
from collections.abc import Iterable
from typing import Any

from faaslab.config import SIZE_VARIABLE

REFERENCE_MIB = 1769
"""Size of a worker on which a task takes as long as recorded: one vCPU, ``faaslab.model.sizes.MIB_PER_VCPU``."""
_PIECE_BYTES = 2**24
"""Files are made in pieces: ``random`` makes at most 256 MiB at once."""
_BLOCK = bytes(2**14)

FileSizes = tuple[tuple[str, int], ...]
"""Names and sizes of files."""


class File:
    """A file that a task writes: bytes that can't be compressed, the same ones for the same name.

    Attributes:
        name: Its name in the recorded workflow.
        data: What is in it.
    """

    __slots__ = ("data", "name")

    def __init__(self, name: str, data: bytes | bytearray) -> None:
        self.name = name
        self.data = data

    @classmethod
    def made(cls, name: str, size_bytes: int) -> "File":
        """Return a new file."""
        return cls(name, bytearray().join(_pieces(name, size_bytes)))

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # Out of band where the pickler can: the engine then sends the bytes without copying them.
        return File, (self.name, pickle.PickleBuffer(self.data) if protocol >= 5 else self.data)

    def __repr__(self) -> str:
        return f"<file {self.name!r}, {len(self.data)} bytes>"


def burn(seconds: float, outputs: FileSizes, *inputs: Any) -> Any:
    """Use the CPU for ``seconds`` of CPU time of this thread, so that it takes longer where CPU is short.

    Args:
        seconds: CPU time, in which files are made, too.
        outputs: Files to return.
        inputs: What upstream tasks returned; that they are here is enough.

    Returns:
        None, a file, or a tuple of files.
    """
    end_s = time.thread_time() + seconds
    files = _outputs(outputs)
    import hashlib

    digest = hashlib.sha256()
    while time.thread_time() < end_s:
        digest.update(_BLOCK)  # hashing lets other threads run, as a process of its own would
    return files


def pause(seconds: float, elasticity: float, outputs: FileSizes, *inputs: Any) -> Any:
    """Sleep as long as a task would take on a worker of this size: ``seconds * (1769 / size) ** elasticity``.

    Args:
        seconds: Time on a worker of 1,769 MiB, in which files are made, too.
        elasticity: 0: size does not matter; 1: twice the size takes half the time. Where no worker tells its size
            (inline and virtual launcher), it does not matter.
        outputs: Files to return.
        inputs: What upstream tasks returned; that they are here is enough.

    Returns:
        None, a file, or a tuple of files.
    """
    began_s = time.perf_counter()
    size_mib = float(os.environ.get(SIZE_VARIABLE) or REFERENCE_MIB)
    files = _outputs(outputs)
    left_s = began_s + seconds * (REFERENCE_MIB / size_mib) ** elasticity - time.perf_counter()
    if left_s > 0:
        time.sleep(left_s)
    return files


def _outputs(outputs: FileSizes) -> Any:
    files = tuple([File.made(name, size_bytes) for name, size_bytes in outputs])
    return files if len(files) > 1 else files[0] if files else None


def _pieces(name: str, size_bytes: int) -> Iterable[bytes]:
    source = random.Random(name.encode("utf-8", "surrogatepass"))
    for start in range(0, size_bytes, _PIECE_BYTES):
        yield source.randbytes(min(_PIECE_BYTES, size_bytes - start))
