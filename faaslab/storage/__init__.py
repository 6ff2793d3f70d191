"""Stores: in memory, on a Redis-compatible server, and the embedded server."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faaslab.storage.memory import MemoryStorage
    from faaslab.storage.redis import RedisStorage

__all__ = ["MemoryStorage", "RedisStorage"]


def __getattr__(name: str) -> Any:
    """Import a store when it is first asked for: a worker needs only one of them."""
    if name == "MemoryStorage":
        from faaslab.storage.memory import MemoryStorage

        return MemoryStorage
    if name == "RedisStorage":
        from faaslab.storage.redis import RedisStorage

        return RedisStorage
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
