"""What every launcher of containers must do, whatever its containers are."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import psutil
import pytest

import faaslab as fl
from faaslab.client import Lab, Run
from faaslab.graph import DAG, generators
from faaslab.graph.generators import one, total
from faaslab.plan import Assignment, Plan, Prewarm
from faaslab.protocol.launcher import RemoteLauncher
from faaslab.trace.events import InvocationRequested, Prewarmed, TaskExecuted, TaskStarted, WorkerExited, WorkerStarted
from tests.client.scene import Scene, quick, until
from tests.client.scene import scene as set_scene


@fl.task
def nap(seconds: float) -> float:
    """Take a while."""
    import time

    time.sleep(seconds)
    return seconds


@fl.task
def size() -> int:
    """Return the size that a worker is told it has."""
    import os

    return int(os.environ["FAASLAB_SIZE_MIB"])


def starts(run: Run) -> list[WorkerStarted]:
    """Return the invocations that a container began."""
    return [event for event in run.trace.events if isinstance(event, WorkerStarted)]


class LauncherConformance(ABC):
    """Tests of a launcher; a subclass says how one is made and what its containers are."""

    COLD_S = 5.0
    """A cold start takes less than this."""
    PHASES = frozenset(("boot", "import", "ready"))
    """What a cold start is split into."""

    @abstractmethod
    def launcher(self, **settings: Any) -> RemoteLauncher:
        """Return the launcher under test; every launcher has ``limit``, ``keep_alive_s`` and emulated delays."""

    @abstractmethod
    def containers(self, scene: Scene) -> list[Any]:
        """Return what there is of containers on the platform now."""

    @pytest.fixture
    def scene(self) -> Iterator[Scene]:
        with set_scene() as made:
            yield made

    def lab(self, scene: Scene, config: dict[str, Any] | None = None, **settings: Any) -> Lab:
        """Return a lab on the launcher."""
        return Lab(self.launcher(**{"limit": 2, **settings}), None, quick(scene.folder, **(config or {})))

    def test_cold_then_warm(self, scene: Scene) -> None:
        """A container is cold once: for its first invocation; later runs find it warm."""
        with self.lab(scene, limit=1) as lab:
            runs = [lab.submit(generators.fan(5), planner="per_task") for _ in range(3)]
            assert [run.result(60) for run in runs] == [10, 10, 10]
            began = [start for run in runs for start in starts(run)]
            assert [start.cold for start in sorted(began, key=lambda start: start.at_s)] == [True] + [False] * 20
            assert len({start.container for start in began}) == 1
            metrics = [run.trace.metrics for run in runs]
            assert [found["cold_starts"] for found in metrics] == [1, 0, 0]

    def test_phases_of_a_cold_start(self, scene: Scene) -> None:
        """A cold start is split into phases that add up to less than the time from request to start."""
        with self.lab(scene) as lab:
            run = lab.submit(one())
            run.result(60)
            (start,) = starts(run)
            assert set(start.phases_s) == self.PHASES
            assert all(0 <= seconds < self.COLD_S for seconds in start.phases_s.values())
            assert 0 < sum(start.phases_s.values()) <= start.at_s - start.requested_s + 0.05
            warm = lab.submit(one())
            warm.result(60)
            assert [dict(start.phases_s) for start in starts(warm)] == [{}]

    def test_keep_alive(self, scene: Scene) -> None:
        """An idle container leaves after its time; the next invocation is cold again."""
        with self.lab(scene, keep_alive_s=0.3) as lab:
            assert lab.compute(one()) == 1
            until(lambda: self.containers(scene) == [], 10, "the idle container has left")
            run = lab.submit(one())
            assert run.result(60) == 1
            assert [start.cold for start in starts(run)] == [True]

    def test_no_keep_alive(self, scene: Scene) -> None:
        """Without keep-alive containers serve what is there and leave; runs finish all the same."""
        with self.lab(scene, keep_alive_s=0.0) as lab:
            for planner in ("wukong", "per_task", "single_worker"):
                assert lab.compute(generators.fork_join(2, 3), planner=planner, timeout_s=60) == 21
            until(lambda: self.containers(scene) == [], 10, "the containers have left")

    def test_limit(self, scene: Scene) -> None:
        """Never more containers than the limit; what finds none waits its turn."""
        with self.lab(scene, limit=2) as lab:
            run = lab.submit(total([nap(0.1) for _ in range(6)]), planner="per_task")
            most = 0

            def ended() -> bool:
                nonlocal most
                most = max(most, len(self.containers(scene)))
                return run.status != "running"

            until(ended, 60, "the run has ended")
            assert run.result(0) == pytest.approx(0.6)
            assert most == 2
            assert len({start.container for start in starts(run)}) == 2

    def test_another_size_at_the_limit(self, scene: Scene) -> None:
        """At the limit an idle container of the wrong size makes room."""
        with self.lab(scene, limit=1) as lab:
            assert lab.compute(one(), sizes=[512]) == 1
            run = lab.submit(one(), sizes=[1024])
            assert run.result(60) == 1
            (start,) = starts(run)
            assert (start.cold, start.size_mib) == (True, 1024)
            assert len(self.containers(scene)) == 1

    def test_sizes_side_by_side(self, scene: Scene) -> None:
        """Invocations go to containers of their size."""
        with self.lab(scene, limit=2) as lab:
            small = nap.with_options(memory_mib=512)
            large = nap.with_options(memory_mib=3008)
            run = lab.submit([small(0.01), large(0.01)], planner="per_task", sizes=[512, 3008])
            assert run.result(60) == [0.01, 0.01]
            tasks = run.trace.tasks.set_index("task")["size_mib"]
            assert sorted(tasks) == [512, 3008]
            assert (
                lab.compute([size.with_options(memory_mib=512)(), size()], planner="per_task", sizes=[512]) == [512] * 2
            )
            dag = DAG([size(), size(), size()])
            sizes = [512, 1024, 512]
            places = [Assignment(worker, mib) for worker, mib in zip(("a", "b", None), sizes, strict=True)]
            assert lab.submit(dag, plan=Plan.for_dag(dag, "by hand", places)).result(60) == sizes

    def test_a_worker_that_leaves(self, scene: Scene) -> None:
        """It ends while its input is made elsewhere, its container stays warm, and it goes on with what it had."""
        first = one()
        dag = DAG(generators.add(generators.increment(first), nap(first)))
        owner = {"one#0": "a", "increment#0": "a", "nap#0": "b", "add#0": "a"}
        places = [Assignment(owner[task], 512, wait="leave") for task in dag.ids]
        napping = dag.index_of("nap#0")
        with self.lab(scene, limit=2) as lab:
            run = lab.submit(dag, plan=Plan.for_dag(dag, "leaving", places))
            assert run.result(60) == 3.0
            events = run.trace.events
            ended = {(e.invocation, e.attempt): e for e in events if isinstance(e, WorkerExited)}
            napped = next(event for event in events if isinstance(event, TaskExecuted) and event.task == napping)
            assert ended["a", 1].reason == "yielded"
            assert ended["a", 1].at_s < napped.at_s - 0.5
            started = {(start.invocation, start.attempt): start for start in starts(run)}
            assert started["a", 2].requested_s >= napped.at_s
            assert not started["a", 2].cold
            executed = sorted(event.task for event in events if isinstance(event, TaskExecuted))
            assert executed == [0, 1, 2, 3]
            assert run.trace.metrics["wait_s"] < 0.5

    def test_a_policy_of_ones_own(self, scene: Scene) -> None:
        """Code of the test decides on the workers: it takes the two successors that come last in the DAG."""

        class LastTwo:
            name = "last_two"

            def choose(self, task: str, output_bytes: int, candidates: Sequence[fl.Candidate]) -> fl.Choice:
                return fl.Choice(take=2, first=candidates[::-1])

        dag = DAG(generators.fan(4))
        assert dag.ids == ("one#0", *(f"increment#{number}" for number in range(4)), "total#0")
        plan = replace(dag.plan("wukong", sizes=[512]), policy=LastTwo())
        with self.lab(scene, limit=2) as lab:
            run = lab.submit(dag, plan=plan)
            assert run.result(60) == 8
            events = run.trace.events
            ran = [(e.invocation, e.task) for e in events if isinstance(e, TaskStarted)]
            assert [task for invocation, task in ran if invocation == "~0"][:3] == [0, 4, 3]
            invoked = [event.invocation for event in events if isinstance(event, InvocationRequested)]
            assert invoked == ["~0", "~2", "~1"]

    def test_a_policy_that_fails(self, scene: Scene) -> None:
        """A bug in a policy ends the run with an error that says what it raised."""

        class Broken:
            name = "broken"

            def choose(self, task: str, output_bytes: int, candidates: Sequence[fl.Candidate]) -> fl.Choice:
                raise ZeroDivisionError("none")

        dag = DAG(generators.chain(2))
        with self.lab(scene, limit=1) as lab, pytest.raises(fl.TaskFailed, match=r"policy.*ZeroDivisionError: none"):
            lab.submit(dag, plan=replace(dag.plan("wukong", sizes=[512]), policy=Broken())).result(60)

    def test_no_slot_deadlock(self, scene: Scene) -> None:
        """Workers that wait for each other's outputs give up the only slot in turn."""
        first, second = one(), one()
        left = generators.increment(first)
        middle = generators.add(left, second)
        last = generators.increment(middle)
        dag = DAG(last)
        owner = {"one#0": "a", "increment#0": "b", "one#1": "b", "add#0": "a", "increment#1": "b"}
        workers = [owner[task] for task in dag.ids]
        orders = {name: tuple(i for i, worker in enumerate(workers) if worker == name) for name in ("a", "b")}
        plan = Plan.for_dag(dag, "crossing", [Assignment(worker, 512) for worker in workers], orders=orders)
        with self.lab(scene, limit=1) as lab:
            run = lab.submit(dag, plan=plan)
            assert run.result(60) == 4
            reasons = [event.reason for event in run.trace.events if isinstance(event, WorkerExited)]
            assert "yielded" in reasons

    def test_emulated_delays(self, scene: Scene) -> None:
        """Emulated cold start and latency are at least what was asked for, and recorded with their seed."""
        with self.lab(scene, limit=1, cold_start_s=0.8, invocation_latency_s=0.1, seed=7) as lab:
            cold = lab.submit(one())
            assert cold.result(60) == 1
            warm = lab.submit(one())
            assert warm.result(60) == 1
            (first,), (second,) = starts(cold), starts(warm)
            assert 0.8 <= first.at_s - first.requested_s < 0.8 + self.COLD_S
            assert first.phases_s["emulated"] <= 0.8
            assert 0.1 <= second.at_s - second.requested_s < 0.5
            told = cold.trace.manifest.settings["launcher"]
            assert [told[name] for name in ("name", "limit", "cold_start_s", "invocation_latency_s", "seed")] == [
                *(self.launcher().name, 1, 0.8, 0.1, 7)
            ]

    def test_a_cold_start_is_hidden(self, scene: Scene) -> None:
        """A container that an empty invocation has started is warm when the worker of its size is wanted."""
        dag = DAG(nap(nap(2.5)))
        plain = Plan.for_dag(dag, "by hand", [Assignment("a", 512), Assignment("b", 1024)])
        told = replace(plain.instructions, prewarms=(Prewarm(1024, None, 0.1),))
        runs = []
        for plan in (plain, replace(plain, instructions=told)):
            with self.lab(scene, cold_start_s=1.0, sigma=0.0) as lab:
                runs.append(lab.submit(dag, plan=plan))
                assert runs[-1].result(60) == 2.5
        before, after = (run.trace.metrics for run in runs)
        assert [found["cold_starts"] for found in (before, after)] == [2, 1]
        assert [found["prewarms"] for found in (before, after)] == [0, 1]
        assert after["prewarms_used"] == 1
        assert after["wasted_prewarm_gb_seconds"] == 0 < after["prewarm_gb_seconds"]
        assert after["makespan_s"] < before["makespan_s"] - 0.7
        (warmed,) = (event for event in runs[1].trace.events if isinstance(event, Prewarmed))
        assert (warmed.how, warmed.size_mib) == ("started", 1024)
        used = next(start for start in starts(runs[1]) if start.invocation == "b")
        assert (used.container, used.cold, used.dag_bytes) == (warmed.container, False, 0)
        # The moment was kept to: neither the watchdog's next look nor that of the gateway was waited for.
        asked = next(e for e in runs[1].trace.events if isinstance(e, InvocationRequested) and e.by == "prewarm")
        assert 0.1 <= asked.at_s - runs[1].trace.records.submitted_s < 0.3

    def test_nothing_is_left(self, scene: Scene) -> None:
        """Closing the lab ends all containers, busy ones included."""
        with self.lab(scene) as lab:
            lab.submit([nap(60.0), nap(60.0)], planner="per_task")
            until(lambda: len(self.containers(scene)) == 2, 60, "both containers are there")
        psutil.wait_procs(scene.processes(), 5)
        assert self.containers(scene) == []
