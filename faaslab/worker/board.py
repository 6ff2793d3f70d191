"""What the supervisor sees of its child: a few fields in shared memory, written without a system call."""

import mmap
import struct
import time
from dataclasses import dataclass

from faaslab.worker.actions import Execute, Turn

_FIELDS = struct.Struct("<QddqqqqqqHHH")
_IDLE, _TURNED, _EXECUTING = 0, 1, 2
_SIZE = 4096
_TEXT_BYTES = 1200


@dataclass(frozen=True, slots=True)
class Work:
    """What a child has in hand.

    Attributes:
        executing: Whether user code runs; otherwise inputs are loaded or an output is stored.
        began_s: When that began, on the monotonic clock.
        timeout_s: Allowed time; infinite if there is no limit.
        log_start: Where its output begins in the log.
        copy: Whether it is another worker's task, which does not fail here.
    """

    executing: bool
    run: str
    invocation: str
    task_id: str
    task: int
    attempt: int
    retries: int
    pure: bool
    began_s: float
    timeout_s: float
    log_start: int
    copy: bool = False


class Board:
    """Anonymous memory shared by fork: the child writes, the supervisor reads.

    A sequence number is odd while fields are being written, so that a reader never takes half of an update.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _SIZE)
        self._sequence = 0

    def turn(self, action: Turn, log_start: int = 0) -> None:
        """Say which task is in hand from now on."""
        self._write(_TURNED, action, log_start, float("inf"))

    def begin(self, action: Execute, log_start: int = 0) -> None:
        """Say what is executed from now on."""
        self._write(_EXECUTING, action, log_start, action.timeout_s or float("inf"))

    def _write(self, state: int, action: Turn | Execute, log_start: int, timeout_s: float) -> None:
        run, invocation = action.run.encode(), action.invocation.encode()
        task_id = action.task_id.encode()[:_TEXT_BYTES]
        self._set(self._sequence + 1)
        _FIELDS.pack_into(
            self._memory,
            8,
            state,
            time.monotonic(),
            timeout_s,
            action.task,
            action.attempt,
            action.retries,
            action.pure,
            isinstance(action, Execute) and action.copy,
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
        """Say that it is not executed any more but still in hand."""
        self._set(self._sequence + 1)
        self._memory[8:16] = _TURNED.to_bytes(8, "little")
        self._set(self._sequence + 1)

    def clear(self) -> None:
        """Say that nothing is in hand."""
        self._set(self._sequence + 1)
        self._memory[8:16] = bytes(8)
        self._set(self._sequence + 1)

    @property
    def used(self) -> bool:
        """Whether it ever had anything in hand."""
        return self._memory[:8] != bytes(8)

    def read(self) -> Work | None:
        """Return what the child has in hand, None if nothing (or just now changing)."""
        for _ in range(3):
            before = self._memory[:8]
            state, began_s, timeout_s, task, attempt, retries, pure, copy, log_start, *lengths = _FIELDS.unpack_from(
                self._memory, 8
            )
            at = 8 + _FIELDS.size
            texts = []
            for length in lengths:
                texts.append(self._memory[at : at + length])
                at += length
            if before == self._memory[:8] and before[0] % 2 == 0:
                if state == _IDLE:
                    return None
                run, invocation, task_id = (text.decode(errors="replace") for text in texts)
                executing = state == _EXECUTING
                limit_s = timeout_s if executing else float("inf")
                return Work(
                    executing,
                    run,
                    invocation,
                    task_id,
                    task,
                    attempt,
                    retries,
                    bool(pure),
                    began_s,
                    limit_s,
                    log_start,
                    bool(copy),
                )
        return None

    def _set(self, sequence: int) -> None:
        self._sequence = sequence
        self._memory[:8] = sequence.to_bytes(8, "little")
