"""What a worker tells the client of a task that failed."""

import msgspec


def printable(text: str) -> str:
    """Return a text that can travel as UTF-8: names of files on Linux may hold bytes that are none."""
    return text.encode("utf-8", "backslashreplace").decode()


class ErrorReport(msgspec.Struct, frozen=True):
    """A failed task, as it travels: text for people, the exception itself where it can be pickled.

    Attributes:
        kind: ``raised``, ``serialization``, ``load`` (its code or arguments), ``policy``, ``optimization``
            (code of the plan), ``timeout``, ``memory``, ``exit`` or ``impure``.
        exception: Signed frame of the exception; empty where it can't be pickled.
        peak_bytes: The most memory that its container had used; 0: not known, or not the matter.
    """

    task: int
    kind: str
    attempt: int
    container: str
    size_mib: int
    message: str
    traceback: str = ""
    exception: bytes = b""
    logs: str = ""
    peak_bytes: int = 0

    def encode(self) -> bytes:
        """Return the report as bytes."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> "ErrorReport":
        """Return the report that ``encode`` made.

        Raises:
            msgspec.ValidationError: The bytes are no report.
        """
        return msgspec.msgpack.decode(data, type=cls)
