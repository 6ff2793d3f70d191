"""``.ci/run`` finds a Docker engine or starts one, and stops only what nobody uses. Scripts play the programs."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# An engine "answers" while the file exists that DOCKER_HOST names.
DOCKER = '#!/bin/sh\n[ -e "${DOCKER_HOST#unix://}" ]\n'
DOCKERD = """#!/bin/sh
while [ "$1" != --pidfile ]; do shift; done
echo $$ >"$2"
socket="${4#unix://}"
trap 'rm "$socket"; exit' TERM
echo started >>"$STARTS"
touch "$socket"
while :; do sleep 0.05; done
"""
TESTS = """#!/bin/sh
[ "$1" = test ] || exit 0
echo "engine: $DOCKER_HOST" >>"$SEEN"
while [ -e "$2" ]; do sleep 0.05; done
exit 3
"""
WAIT_S = 20.0


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that must come to pass soon."""
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


@dataclass(frozen=True, slots=True)
class Ci:
    """A clone, the programs that its ``.ci/run`` finds first, and the folder of its engine."""

    folder: Path

    @property
    def socket(self) -> Path:
        """Of the engine that is started."""
        return self.folder / "engine" / "docker.sock"

    def program(self, name: str, text: str = "#!/bin/sh\n") -> None:
        """Put a script on the path."""
        path = self.folder / "programs" / name
        path.write_text(text, "utf-8")
        path.chmod(0o755)

    def lines(self, name: str) -> list[str]:
        """What the scripts noted."""
        path = self.folder / name
        return path.read_text("utf-8").splitlines() if path.exists() else []

    def start(self, hold: Path, host: str = "") -> subprocess.Popen[str]:
        """Start ``.ci/run``, whose tests take as long as there is a file ``hold``."""
        env = os.environ | {
            "PATH": f"{self.folder}/programs:{os.environ['PATH']}",
            "FAASLAB_DOCKER_DATA": str(self.folder / "engine"),
            "DOCKER_HOST": host,
            "SEEN": str(self.folder / "seen"),
            "STARTS": str(self.folder / "starts"),
        }
        return subprocess.Popen(
            [self.folder / "clone" / ".ci" / "run", hold],
            env=env,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def ci(tmp_path: Path) -> Ci:
    for folder in ("clone/.ci", "clone/worker_image", "programs"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", tmp_path / "clone" / ".ci")
    ci = Ci(tmp_path)
    for name in ("redis-server", "chromium", "iptables", "debootstrap"):
        ci.program(name)
    ci.program("docker", DOCKER)
    ci.program("dockerd", DOCKERD)
    ci.program("id", "#!/bin/sh\necho 0\n")
    ci.program("run", TESTS)
    (tmp_path / "programs" / "run").rename(tmp_path / "clone" / "run")
    return ci


def end(run: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the end of a run: its code and what it said."""
    _, errors = run.communicate(timeout=WAIT_S)
    return run.returncode, errors


def test_starts_an_engine_and_stops_it(ci: Ci) -> None:
    """Where none answers an engine is started for the tests, whose exit code is kept, and stopped after them."""
    assert end(ci.start(ci.folder / "none")) == (3, "")
    assert ci.lines("seen") == [f"engine: unix://{ci.socket}"]
    assert not ci.socket.exists()


def test_uses_the_engine_that_is_there(ci: Ci) -> None:
    """An engine that answers is used and left alone."""
    theirs = ci.folder / "theirs.sock"
    theirs.touch()
    assert end(ci.start(ci.folder / "none", f"unix://{theirs}")) == (3, "")
    assert ci.lines("seen") == [f"engine: unix://{theirs}"]
    assert ci.lines("starts") == []


def test_the_last_one_stops_the_engine(ci: Ci) -> None:
    """Two runs at a time share one engine, which outlives the run that started it until the other ends."""
    holds = [ci.folder / "first", ci.folder / "second"]
    runs = []
    for number, hold in enumerate(holds):
        hold.touch()
        runs.append(ci.start(hold))
        until(lambda number=number: len(ci.lines("seen")) == number + 1)
    holds[0].unlink()
    assert end(runs[0]) == (3, "")
    assert ci.socket.exists()
    holds[1].unlink()
    assert end(runs[1]) == (3, "")
    assert not ci.socket.exists()
    assert ci.lines("starts") == ["started"]


def test_a_stopped_run_stops_its_engine(ci: Ci) -> None:
    """A run that is terminated leaves no engine behind."""
    hold = ci.folder / "hold"
    hold.touch()
    run = ci.start(hold)
    until(lambda: bool(ci.lines("seen")))
    run.send_signal(signal.SIGTERM)
    until(lambda: not ci.socket.exists())
    hold.unlink()
    assert end(run)[0] != 0


def test_engine_that_does_not_start(ci: Ci) -> None:
    """The end of a failed engine's log is shown."""
    ci.program("dockerd", "#!/bin/sh\necho no cgroups here\nexit 1\n")
    code, errors = end(ci.start(ci.folder / "none"))
    assert (code, ci.lines("seen")) == (1, [])
    assert errors.splitlines() == [
        "no cgroups here",
        ".ci/run: the Docker engine did not start; the end of its log is above",
    ]


def test_neither_engine_nor_root(ci: Ci) -> None:
    """Who may not start an engine is told so in one line."""
    ci.program("id", "#!/bin/sh\necho 1000\n")
    assert end(ci.start(ci.folder / "none", "unix:///none")) == (
        1,
        ".ci/run: no Docker engine answers at unix:///none, and only root can start one here\n",
    )
