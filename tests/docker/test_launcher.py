"""The Docker launcher: what all launchers must do, and what only containers can."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import faaslab as fl
from faaslab.graph.generators import fan, one
from faaslab.launchers import engine
from faaslab.launchers.docker import DockerLauncher
from faaslab.protocol.launcher import RemoteLauncher
from faaslab.trace.events import InvocationRequested, TaskExecuted
from tests.client.scene import Scene, until
from tests.launchers.conformance import LauncherConformance, nap, starts

SMALL = 256


@fl.task
def about() -> dict[str, Any]:
    """Say what a container is like from inside."""
    import os
    import socket

    def can_write(folder: str) -> bool:
        try:
            with open(f"{folder}/x", "w") as file:
                file.write("x")
            os.unlink(f"{folder}/x")
        except OSError:
            return False
        return True

    with open("/proc/self/status") as status:
        rights = dict(line.split(":\t", 1) for line in status.read().splitlines() if ":\t" in line)
    return {
        "user": os.getuid(),
        "root": can_write("/"),
        "package": can_write(os.path.dirname(socket.__file__)),
        "tmp": can_write("/tmp"),
        "home": can_write(os.path.expanduser("~")),
        "socket": can_write("/run/faaslab"),
        "interfaces": sorted(name for _, name in socket.if_nameindex()),
        "engine": os.path.exists("/var/run/docker.sock"),
        "capabilities": int(rights["CapEff"], 16),
        "no new privileges": rights["NoNewPrivs"],
        "threads": os.environ["OMP_NUM_THREADS"],
    }


@fl.task
def burn(cpu_s: float) -> float:
    """Use a core for some CPU seconds; returns the wall time that took."""
    import time

    began_s, until_s = time.perf_counter(), time.process_time() + cpu_s
    while time.process_time() < until_s:
        pass
    return time.perf_counter() - began_s


@fl.task
def allocate(mib: int) -> int:
    """Fill memory."""
    return len(b"x" * (mib * 2**20))


@fl.task
def blob(mib: int) -> bytes:
    """Return a large value."""
    return bytes(mib * 2**20)


@fl.task
def length(data: bytes) -> int:
    """Need a large input."""
    return len(data)


class TestDockerLauncher(LauncherConformance):
    """Docker containers."""

    PHASES = frozenset(("create", "boot", "import", "ready"))

    def launcher(self, **settings: Any) -> RemoteLauncher:
        """See ``LauncherConformance``; how many fit on the cores of a test machine is not its subject."""
        return DockerLauncher(**{"allow_contention": True, **settings})

    def containers(self, scene: Scene) -> list[Any]:
        """See ``LauncherConformance``."""
        with closing(engine.connect()) as client:
            found = client.api.containers(all=True, filters={"label": engine.LOCK})
        return [
            container
            for container in found
            if container["Labels"][engine.LOCK].startswith(str(scene.folder)) and container["State"] != "removing"
        ]

    @pytest.fixture
    def scene(self) -> Iterator[Scene]:
        from tests.client.scene import scene as set_scene

        with set_scene() as made:
            yield made
            assert self.containers(made) == []

    def test_what_a_container_may(self, scene: Scene) -> None:
        """Nobody on a read-only root without network, capabilities or an engine; only /tmp can be written."""
        with self.lab(scene) as lab:
            found = lab.compute(about(), sizes=[512])
        assert found == {
            "user": os.getuid() or 65534,
            "root": False,
            "package": False,
            "tmp": True,
            "home": True,
            "socket": False,
            "interfaces": ["lo"],
            "engine": False,
            "capabilities": 0,
            "no new privileges": "1",
            "threads": "1",
        }

    def test_cpu_follows_the_size(self, scene: Scene) -> None:
        """A CPU-bound task takes 1 / vCPUs as long in a container smaller than one vCPU."""
        with self.lab(scene) as lab:
            for size_mib, factor in ((885, 2.0), (442, 4.0)):
                run = lab.submit(burn(0.3), sizes=[size_mib])
                run.result(60)
                (executed,) = [event for event in run.trace.events if isinstance(event, TaskExecuted)]
                assert executed.cpu_s == pytest.approx(0.3, rel=0.1)
                # Without what it waited for others on a busy machine.
                assert alone_s(executed) == pytest.approx(0.3 * factor, rel=0.15)
                assert executed.throttled_s + executed.queued_s > 0.2

    def test_out_of_memory(self, scene: Scene) -> None:
        """A task that fills its container is reported with size and peak; the lab goes on."""
        with self.lab(scene) as lab:
            with pytest.raises(fl.TaskOutOfMemory, match=r"allocate#0.*256 MiB") as caught:
                lab.compute(allocate(1024), sizes=[SMALL], timeout_s=60)
            assert caught.value.size_mib == SMALL
            assert 200 * 2**20 < caught.value.peak_bytes <= SMALL * 2**20
            assert lab.compute(one(), sizes=[SMALL]) == 1

    def test_out_of_memory_while_it_loads(self, scene: Scene) -> None:
        """An input that does not fit is the task's lack of memory, too, although its code has not begun."""
        with self.lab(scene) as lab:
            make = blob.with_options(memory_mib=1769)
            with pytest.raises(fl.TaskOutOfMemory, match=r"length#0"):
                lab.compute(length(make(300)), planner="per_task", sizes=[SMALL, 1769], timeout_s=60)

    def test_memory_escalation(self, scene: Scene) -> None:
        """A task that ran out of memory is tried at the next larger sizes until it fits; the rest of the run stays."""
        with self.lab(scene, memory_escalation=(512, 1536)) as lab:
            run = lab.submit(allocate(900), sizes=[SMALL])
            assert run.result(60) == 900 * 2**20
            sizes = [event.size_mib for event in run.trace.events if isinstance(event, InvocationRequested)]
            assert sizes == [256, 512, 1536]

    def test_impure_tasks_are_not_tried_again(self, scene: Scene) -> None:
        """A task with side effects that ran out of memory says so, and does not run a second time."""
        with self.lab(scene, memory_escalation=(512,)) as lab, pytest.raises(fl.TaskOutOfMemory, match="256 MiB"):
            lab.compute(allocate.with_options(pure=False)(300), sizes=[SMALL], timeout_s=60)

    def test_a_child_of_a_task_out_of_memory(self, scene: Scene) -> None:
        """A process that a task has started and that was killed is mentioned when the task fails of it."""

        @fl.task
        def parent() -> None:
            import subprocess
            import sys

            subprocess.run([sys.executable, "-c", "x = b'x' * 2**30"], check=True)

        with self.lab(scene) as lab, pytest.raises(fl.TaskFailed, match=r"killed 1 process.*want of memory"):
            lab.compute(parent(), sizes=[512], timeout_s=60)

    def test_memory_escalation_has_an_end(self, scene: Scene) -> None:
        """A task that does not fit the largest size fails there."""
        with self.lab(scene, memory_escalation=(512,)) as lab, pytest.raises(fl.TaskOutOfMemory, match="512 MiB"):
            lab.compute(allocate(600), sizes=[SMALL], timeout_s=60)

    def test_sizes_beyond_the_machine_are_refused(self, scene: Scene) -> None:
        """Before anything starts, naming the largest valid size."""
        with Refusing(self.lab(scene, allow_contention=False, cores=1)) as lab:
            with pytest.raises(fl.PlanError, match="largest valid size here is 1769 MiB"):
                lab.submit(one(), sizes=[1770])
            assert self.containers(scene) == []

    def test_contention_is_controlled(self, scene: Scene) -> None:
        """Together containers have no more vCPUs than there are cores for them; the rest queues."""
        with self.lab(scene, limit=8, allow_contention=False, cores=1) as lab:
            run = lab.submit([nap(0.2) for _ in range(6)], planner="per_task", sizes=[884])
            most = 0

            def ended() -> bool:
                nonlocal most
                most = max(most, len(self.containers(scene)))
                return run.status != "running"

            until(ended, 60, "the run has ended")
            assert run.result(0) == [0.2] * 6
            assert most == 2

    def test_dilation(self, scene: Scene) -> None:
        """Eight dilated vCPUs on a core: times and timeouts are in virtual seconds, CPU seconds stay what they are."""
        with self.lab(scene, limit=8, allow_contention=False, cores=1, dilation=8.0) as lab:
            lab.compute(one(), sizes=[1769])
            began_s = time.monotonic()
            run = lab.submit([burn(0.2) for _ in range(4)], planner="per_task", sizes=[1769])
            run.result(60)
            real_s = time.monotonic() - began_s
            executed = [event for event in run.trace.events if isinstance(event, TaskExecuted)]
            for event in executed:
                assert event.cpu_s == pytest.approx(0.2, rel=0.15)
                assert alone_s(event) == pytest.approx(0.2, rel=0.25)
            assert run.trace.metrics["makespan_s"] == pytest.approx(real_s / 8, rel=0.2)
            slept = lab.submit(nap(0.1))
            slept.result(60)
            (event,) = [event for event in slept.trace.events if isinstance(event, TaskExecuted)]
            assert event.duration_s == pytest.approx(0.1, rel=0.2)
            with pytest.raises(fl.TaskTimeout, match=r"timeout_s of 0\.5 s"):
                lab.compute(nap.with_options(timeout_s=0.5)(5.0), timeout_s=60)

    def test_initial_pool(self, scene: Scene) -> None:
        """A run finds no container, or new idle ones, or those of earlier runs, as its launcher is told."""
        cold = {"empty": [2, 2], "primed": [0, 0], "steady": [2, 0]}
        for initial, expected in cold.items():
            with self.lab(scene, initial_pool=initial) as lab:
                found = []
                for _ in range(2):
                    run = lab.submit([nap(1.0), nap(1.0)], planner="per_task", sizes=[SMALL])
                    run.result(60)
                    found.append(run.trace.metrics["cold_starts"])
                assert found == expected, initial

    def test_a_profile(self, scene: Scene) -> None:
        """A named platform's delays and its bandwidth are emulated and recorded; single ones can be overridden."""
        with self.lab(scene, profile="lambda", cold_start_s=0.7, sigma=0.0) as lab:
            run = lab.submit(length(blob(15)), planner="per_task", sizes=[1769])
            assert run.result(60) == 15 * 2**20
            told = run.trace.manifest.settings["launcher"]
            assert (told["profile"], told["cold_start_s"], told["upload_bytes_per_s"]) == ("lambda", 0.7, 75e6)
            assert all(start.at_s - start.requested_s >= 0.7 for start in starts(run) if start.cold)
            moved_s = {row.direction: row.duration_s for row in run.trace.transfers.itertuples() if row.bytes > 2**20}
            assert min(moved_s["in"], moved_s["out"]) >= 15 * 2**20 / 75e6

    def test_two_labs_on_one_engine(self, scene: Scene) -> None:
        """Closing one lab leaves the containers of another alone; so does opening a third."""
        with self.lab(scene) as first:
            assert first.compute(one(), sizes=[SMALL]) == 1
            (before,) = self.containers(scene)
            with self.lab(scene) as second:
                assert second.compute(one(), sizes=[SMALL]) == 1
                assert len(self.containers(scene)) == 2
            assert [container["Id"] for container in self.containers(scene)] == [before["Id"]]

    def test_a_killed_container(self, scene: Scene) -> None:
        """What it did is done again by another one."""
        with self.lab(scene, limit=1) as lab:
            run = lab.submit(nap(1.0), sizes=[SMALL])
            (container,) = until(lambda: self.containers(scene), 10, "there is a container")
            until(lambda: working(lab), 10, "it works")
            with closing(engine.connect()) as client:
                client.api.kill(container["Id"])
            assert run.result(60) == 1.0
            assert [start.attempt for start in starts(run)] == [2]

    def test_a_killed_lab_host(self, scene: Scene) -> None:
        """Its containers end by themselves and are removed by the engine."""
        with self.lab(scene) as lab:
            run = lab.submit(nap(60.0), sizes=[SMALL])
            until(lambda: working(lab), 10, "it works")
            assert lab.host_pid is not None
            os.kill(lab.host_pid, signal.SIGKILL)
            with pytest.raises(fl.StateLost):
                run.result(60)
            until(lambda: self.containers(scene) == [], 10, "the containers are gone")
            assert lab.compute(one(), sizes=[SMALL]) == 1

    def test_the_janitor(self, scene: Scene) -> None:
        """A container that a crash left behind is removed by the next lab of this machine, one in use is not."""
        with closing(engine.connect()) as client, self.lab(scene) as lab:
            assert lab.compute(one(), sizes=[SMALL]) == 1
            assert isinstance(lab.launcher, DockerLauncher)
            left = client.api.create_container(
                lab.launcher.image,
                labels={
                    engine.LAB: "gone",
                    engine.MACHINE: engine.machine(),
                    engine.LOCK: str(scene.folder / "faaslab-gone" / "lock"),
                },
            )["Id"]
            assert len(self.containers(scene)) == 2
            with self.lab(scene) as other:
                assert other.compute(one(), sizes=[SMALL]) == 1
                ids = {container["Id"] for container in self.containers(scene)}
                assert len(ids) == 2
                assert left not in ids

    def test_the_engine_goes_away(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        """The run ends with an error that names the engine, and the lab works again once it is back."""
        with proxied_engine(scene.folder) as (url, cut):
            monkeypatch.setenv("DOCKER_HOST", url)
            with self.lab(scene) as lab:
                run = lab.submit(nap(60.0), sizes=[SMALL])
                until(lambda: working(lab), 30, "it works")
                cut()
                with pytest.raises(fl.LauncherError, match="Docker engine"):
                    run.result(60)
                monkeypatch.undo()

    def test_an_unknown_network(self, scene: Scene) -> None:
        """It is refused before anything starts, with those that there are."""
        refused = pytest.raises(fl.LauncherError, match=r"no network 'nosuchnet'; it has bridge")
        with Refusing(self.lab(scene, network="nosuchnet")) as lab, refused:
            lab.submit(one())

    def test_a_missing_module_names_the_cure(self, scene: Scene) -> None:
        """A module that the image lacks is named, with ``requirements=``."""

        @fl.task
        def needs() -> int:
            import seaborn

            return len(seaborn.__version__)

        with self.lab(scene) as lab, pytest.raises(fl.TaskFailed, match=r"seaborn.*requirements="):
            lab.compute(needs(), timeout_s=60)

    def test_a_wide_run(self, scene: Scene) -> None:
        """A fan of many tasks on several containers gives the right sum."""
        with self.lab(scene, limit=3) as lab:
            assert lab.compute(fan(200), timeout_s=60) == 400


def alone_s(executed: TaskExecuted) -> float:
    """Return how long a task would have taken on an otherwise idle machine."""
    return executed.duration_s - executed.queued_s - executed.steal_s


def working(lab: fl.Lab) -> bool:
    """Return whether a container has an invocation."""
    storage = lab._storage
    return storage is not None and bool(storage.demand().assigned)


@contextmanager
def proxied_engine(folder: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield another way to the engine, and what cuts it for good."""
    real = os.environ.get("DOCKER_HOST", engine.USUAL_SOCKET).removeprefix("unix://")
    place = folder / "engine.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(place))
    listener.listen(64)
    ends: list[socket.socket] = []

    def pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def accept() -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(real)
                ends.extend((near, far))
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

    def cut() -> None:
        place.unlink(missing_ok=True)
        for end in (listener, *ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield f"unix://{place}", cut
    finally:
        cut()
        acceptor.join(5)
        for end in (listener, *ends):
            end.close()


class Refusing:
    """A lab that is not to start anything."""

    def __init__(self, lab: fl.Lab) -> None:
        self._lab = lab

    def __enter__(self) -> fl.Lab:
        return self._lab.__enter__()

    def __exit__(self, *error: Any) -> None:
        assert self._lab.host_pid is None
        self._lab.close()
