"""What the supervisor sees of its child: a few fields in shared memory, written without a system call."""

import mmap
import struct
import time
from dataclasses import dataclass

from faaslab.worker.actions import Execute

_FIELDS = struct.Struct("<QddqqqqHHH")
_SIZE = 4096
_TEXT_BYTES = 1200


@dataclass(frozen=True, slots=True)
class Work:
    """What a child is executing.

    Attributes:
        began_s: When it began, on the monotonic clock.
        timeout_s: Allowed time; infinite if there is no limit.
        log_start: Where its output begins in the log.
    """

    run: str
    invocation: str
    task_id: str
    task: int
    attempt: int
    retries: int
    began_s: float
    timeout_s: float
    log_start: int


class Board:
    """Anonymous memory shared by fork: the child writes, the supervisor reads.

    A sequence number is odd while fields are being written, so that a reader never takes half of an update.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _SIZE)
        self._sequence = 0

    def begin(self, action: Execute, log_start: int = 0) -> None:
        """Say what is executed from now on."""
        run, invocation = action.run.encode(), action.invocation.encode()
        task_id = action.task_id.encode()[:_TEXT_BYTES]
        self._set(self._sequence + 1)
        _FIELDS.pack_into(
            self._memory,
            8,
            1,
            time.monotonic(),
            action.timeout_s or float("inf"),
            action.task,
            action.attempt,
            action.retries,
            log_start,
            len(run),
            len(invocation),
            len(task_id),
        )
        text = run + invocation + task_id
        at = 8 + _FIELDS.size
        self._memory[at : at + len(text)] = text
        self._set(self._sequence + 1)

    def end(self) -> None:
        """Say that nothing is executed any more."""
        self._set(self._sequence + 1)
        self._memory[8:16] = bytes(8)
        self._set(self._sequence + 1)

    @property
    def used(self) -> bool:
        """Whether anything was ever executed."""
        return self._memory[:8] != bytes(8)

    def read(self) -> Work | None:
        """Return what the child is executing, None if nothing (or just now changing)."""
        for _ in range(3):
            before = self._memory[:8]
            executing, began_s, timeout_s, task, attempt, retries, log_start, *lengths = _FIELDS.unpack_from(
                self._memory, 8
            )
            at = 8 + _FIELDS.size
            texts = []
            for length in lengths:
                texts.append(self._memory[at : at + length])
                at += length
            if before == self._memory[:8] and before[0] % 2 == 0:
                if not executing:
                    return None
                run, invocation, task_id = (text.decode(errors="replace") for text in texts)
                return Work(run, invocation, task_id, task, attempt, retries, began_s, timeout_s, log_start)
        return None

    def _set(self, sequence: int) -> None:
        self._sequence = sequence
        self._memory[:8] = sequence.to_bytes(8, "little")
