"""Functions as a DAG holds them, and how a worker calls one.

Light on purpose: workers import it. Serialization is in ``pickling``, the identity in ``identity``.
"""

import inspect
import io
import sys
import types
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Function:
    """One entry of a DAG's function table.

    Attributes:
        name: The function's own name; tasks may be shown under another one.
        digest: Hash of ``code``, the key under which containers remember it.
        identity: Hash of what the function does (normalized code, closure, referenced globals), equal across kernels
            and machines.
        code: The pickled function.
    """

    name: str
    digest: str
    identity: str
    code: bytes


def call(fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], outputs: int = 1) -> Any:
    """Call a task's function and return a value that can be kept.

    A coroutine is awaited, in an event loop of its own. Generators and all other iterators (``map``, ``zip``, a reader)
    are turned into a list: an iterator can be read once, a task's output by many.

    Args:
        fn: The function.
        args: Positional arguments.
        kwargs: Keyword arguments.
        outputs: Number of outputs that the task declares.

    Raises:
        TypeError: The result is an open file, or not a tuple of ``outputs`` elements.
    """
    result = fn(*args, **kwargs)
    if inspect.isawaitable(result) or isinstance(result, AsyncIterator):
        result = _await(result)
    if isinstance(result, io.IOBase):
        result.close()  # nobody else can
        raise TypeError(f"the task returned an open file ({type(result).__name__}); return its content or its path")
    if isinstance(result, Iterator):
        result = list(result)
    if outputs > 1 and not (isinstance(result, (tuple, list)) and len(result) == outputs):
        size = f" of {len(result)}" if isinstance(result, (tuple, list)) else ""
        raise TypeError(f"the task declares outputs={outputs} but returned a {type(result).__name__}{size}")
    return result


def _await(result: Any) -> Any:
    """Run a coroutine, another awaitable or an asynchronous iterator to its end."""
    import asyncio
    import threading

    async def finish() -> Any:
        if isinstance(result, AsyncIterator):
            return [element async for element in result]
        return await result

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(finish())
    # Called inside a notebook's running loop (inline launcher): a second loop needs a thread of its own.
    ended: list[Any] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            ended.append(asyncio.run(finish()))
        except BaseException as error:  # carried to the calling thread, which raises it
            failed.append(error)

    thread = threading.Thread(target=run, name="faaslab-async-task")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return ended[0]


def installed_function(module: str, qualname: str) -> Callable[..., Any]:
    """Return the plain function of a task function that an installed module defines (a pickle refers to it so)."""
    __import__(module)
    found: Any = sys.modules[module]
    for part in qualname.split("."):
        found = getattr(found, part)
    return found.fn  # type: ignore[no-any-return]


def empty_module(name: str) -> types.ModuleType:
    """Return a module for the pickled content of a local one; it stays out of ``sys.modules``."""
    return types.ModuleType(name)


def fill_module(module: types.ModuleType, content: dict[str, Any]) -> None:
    """Give a module made by ``empty_module`` its content."""
    module.__dict__.update(content)
