"""A place for labs under test: a temp folder and a mark on every process that is started there, so that leaks show."""

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from faaslab.client import Lab
from faaslab.config import Config
from faaslab.launchers.process import ProcessLauncher

MARK = "SCENE_OF_TEST"
CLEAN_S = 10.0
"""Processes that were killed are gone after this long on any machine."""


class Scene:
    """What was started since the scene was set.

    Attributes:
        folder: Temp folder of everything started here; short, since sockets live there.
    """

    def __init__(self, folder: Path, mark: str) -> None:
        self.folder = folder
        self._mark = mark

    def processes(self) -> list[psutil.Process]:
        """Return the living processes that were started here, this one excepted."""
        found = []
        for process in psutil.process_iter():
            if process.pid == os.getpid():
                continue
            try:
                # A server overwrites its environment with its title, but works in its folder.
                ours = process.environ().get(MARK) == self._mark or process.cwd().startswith(f"{self.folder}/")
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def supervisors(self) -> list[psutil.Process]:
        """Return the processes that look after workers."""
        found = [process for process in self.processes() if "faaslab.launchers.supervisor" in _command(process)]
        return [process for process in found if process.ppid() not in {other.pid for other in found}]

    def workers(self) -> list[psutil.Process]:
        """Return the processes that run user code."""
        return [child for supervisor in self.supervisors() for child in _children(supervisor)]

    def hosts(self) -> list[psutil.Process]:
        """Return the lab hosts."""
        return [process for process in self.processes() if "faaslab.client.host" in _command(process)]

    def labs(self) -> list[Path]:
        """Return the folders of labs."""
        return sorted(self.folder.glob("faaslab-*"))

    def assert_clean(self, within_s: float = CLEAN_S) -> None:
        """Fail unless everything that was started here has ended and tidied up, or does so in time."""
        _, left = psutil.wait_procs(self.processes(), within_s)
        assert [_command(process) for process in left] == []
        until(lambda: not self.labs(), within_s, "folders of labs are gone")


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children()
    except psutil.NoSuchProcess:
        return []


@contextmanager
def scene() -> Iterator[Scene]:
    """Set the scene; what was left behind fails the test and is killed."""
    folder = Path(tempfile.mkdtemp(prefix="scene-", dir="/tmp"))
    mark = uuid.uuid4().hex
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setenv(MARK, mark)
        patch.setattr(tempfile, "tempdir", None)
        patch.delenv("FAASLAB_REDIS_URL", raising=False)
        set_up = Scene(folder, mark)
        try:
            yield set_up
            set_up.assert_clean()
        finally:
            for process in set_up.processes():
                process.kill()
            shutil.rmtree(folder, ignore_errors=True)


def until(condition: Callable[[], Any], within_s: float, what: str) -> Any:
    """Wait for something that happens in another process; returns what the condition then is."""
    deadline_s = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline_s, f"not within {within_s:g} s: {what}"
        time.sleep(0.01)
    return found


def quick(folder: Path, **settings: Any) -> Config:
    """Return settings under which a lost worker is noticed soon."""
    return Config(
        **{
            "lease_s": 1.0,
            "heartbeat_s": 0.2,
            "client_lease_s": 2.0,
            "grace_s": 1.0,
            "runs_dir": str(folder / "runs"),
            "history_dir": "",
            **settings,
        }
    )


def process_lab(scene: Scene, storage: str | None = None, *, limit: int = 2, **settings: Any) -> Lab:
    """Return a lab on local processes."""
    return Lab(ProcessLauncher(limit=limit), storage, quick(scene.folder, **settings))
