"""What client and lab host tell each other when a lab opens, and where they meet on this machine."""

import os
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from faaslab.config import Config

ERROR_FILE = "error"
"""In the lab's folder: why the lab host died, if it could say."""
LOCK_FILE = "lock"
"""In the lab's folder: locked by the lab host while it lives."""


class HostConfig(msgspec.Struct, frozen=True):
    """What the client tells its lab host; ``launcher`` is ``module:class`` and the fields of its settings."""

    lab: str
    secret: bytes
    client: str
    folder: str
    launcher: tuple[str, dict[str, Any]]
    config: Config
    search_path: tuple[str, ...] = ()
    prefix: str = "c"
    """Begins the names of containers; another one for each host of a lab, whose containers may outlive it."""


class PoolWish(msgspec.Struct, frozen=True):
    """What the client wants of the pool before it starts a run: nothing in it but ``idle`` new containers, by pool.

    Numbered from 1; 0 withdraws the wish before.
    """

    number: int
    idle: dict[str, int] = {}


class PoolReady(msgspec.Struct, frozen=True):
    """The lab host's answer to a wish that has come true."""

    number: int


class Hello(msgspec.Struct, frozen=True):
    """The lab host's answer: where the store is and which server run it is, or why it can't start."""

    url: str = ""
    server: str = ""
    embedded: bool = False
    error: str = ""
    error_type: str = ""


def lab_folder(lab: str) -> Path:
    """Return the folder of a lab on this machine: socket, log, lock, error."""
    return Path(tempfile.gettempdir()) / f"faaslab-{os.getuid()}-{lab}"
