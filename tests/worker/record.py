"""What tasks of tests did, noted in this process: functions import it in their bodies, so that it is never copied."""

from collections.abc import Callable

NOTES: list[object] = []
"""What was noted since ``clear``."""


def note(what: object) -> int:
    """Note something; returns how many notes there are now."""
    NOTES.append(what)
    return len(NOTES)


def clear() -> None:
    """Forget all notes."""
    NOTES.clear()


CLOCK: list[Callable[[], float]] = []
"""The clock of the run under test, if its tasks read one."""
