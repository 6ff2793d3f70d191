"""What is asked of an engine, as far as it needs none."""

import fcntl
from pathlib import Path

import pytest
import requests
from docker.errors import APIError

from faaslab.errors import LauncherError
from faaslab.launchers import engine


def test_whose_lock_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lab is dead if its lock is free or gone; one that may not be looked at is left alone."""
    lock = tmp_path / "lock"
    assert not engine._locked(lock)
    assert not engine._locked(lock / "below")
    lock.touch()
    assert not engine._locked(lock)
    with open(lock) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert engine._locked(lock)

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refused)
    assert engine._locked(lock)


def test_machines_are_told_apart_by_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks of another user can't be judged, so his containers count as another machine's."""
    mine = engine.machine()
    assert engine.machine() == mine
    monkeypatch.setattr("os.getuid", lambda: 12345)
    assert engine.machine() != mine


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (APIError("500 Server Error for http://engine/v1", explanation="no space left"), "failed: no space left;"),
        (requests.ConnectionError("Connection aborted."), "failed: Connection aborted.;"),
    ],
)
def test_errors_of_the_engine(error: Exception, said: str) -> None:
    """The SDK's errors and those of the way to it become ours, without addresses."""
    with pytest.raises(LauncherError, match=said), engine.talking():
        raise error
