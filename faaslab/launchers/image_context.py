"""What a worker image is built from: the recipe, the part of FaaSLab that a worker imports, and unpacked packages."""

import hashlib
import io
import os
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

import faaslab
from faaslab.errors import LauncherError

WORKER_DEPENDENCIES = ("cloudpickle", "hiredis", "msgspec")
"""All that the supervisor, the worker and their store connection import beside the standard library."""

PACKAGED = (
    "__init__.py",
    "config.py",
    "errors.py",
    "graph",
    "launchers",
    "model",
    "plan",
    "policy",
    "protocol",
    "storage",
    "trace",
    "worker",
)
"""The part of FaaSLab that a worker can import."""


def recipe_folder() -> Path:
    """Return the folder of the Dockerfile: in an installed package inside it, in a checkout beside it."""
    package = Path(faaslab.__file__).parent
    for folder in (package / "worker_image", package.parent / "worker_image"):
        if (folder / "Dockerfile").is_file():
            return folder
    raise LauncherError(f"the recipe worker_image/Dockerfile is neither in {package} nor beside it; reinstall faaslab")


def packaged_files() -> dict[str, bytes]:
    """Return the files of FaaSLab that go into the image, by their path in it."""
    package = Path(faaslab.__file__).parent
    found: dict[str, bytes] = {}
    for name in PACKAGED:
        path = package / name
        files = [path] if path.is_file() else sorted((*path.rglob("*.py"), *path.rglob("*.lua")))
        found |= {f"faaslab/{file.relative_to(package).as_posix()}": file.read_bytes() for file in files}
    return found


def digest(parts: Iterable[bytes]) -> str:
    """Return a hash over parts, each hashed by itself so that their borders count."""
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:12]


def write_context(file: IO[bytes], recipe: bytes, package: Mapping[str, bytes], folder: Path) -> None:
    """Write what the engine builds from; equal files give equal bytes, whoever builds and whenever.

    Args:
        file: Where to, as a tar file.
        recipe: The Dockerfile.
        package: Files of FaaSLab by their path.
        folder: Has the unpacked packages in ``site`` and ``site-user``.
    """
    with tarfile.open(fileobj=file, mode="w") as tar:
        _add(tar, "Dockerfile", recipe)
        for layer in ("site", "site-user"):
            _add_folder(tar, layer)
            for path in sorted((folder / layer).rglob("*")):
                within = path.relative_to(folder / layer)
                # uv's own lock, and scripts: these begin with the path of the client's Python.
                if path.is_file() and within.parts[0] not in ("bin", ".lock") and "__pycache__" not in within.parts:
                    _add(tar, f"{layer}/{within.as_posix()}", path.read_bytes(), executable=os.access(path, os.X_OK))
        _add_folder(tar, "package")
        for name, content in package.items():
            _add(tar, f"package/{name}", content)


def _add_folder(tar: tarfile.TarFile, name: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type = tarfile.DIRTYPE
    entry.mode = 0o755
    tar.addfile(entry)


def _add(tar: tarfile.TarFile, name: str, content: bytes, *, executable: bool = False) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = 0o755 if executable else 0o644  # any user can read them: containers don't run as root
    tar.addfile(entry, io.BytesIO(content))
