"""What a run finds in the pool: none, new or earlier containers; asked for by one client thread at a time."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

import faaslab as fl
from faaslab.client import hosting
from faaslab.client.lab import Lab
from faaslab.graph.generators import one
from faaslab.launchers.process import ProcessLauncher
from tests.client.scene import Scene, quick
from tests.launchers.conformance import nap


@fl.task
def meet(folder: str, name: str, other: str) -> None:
    """Wait for another task to run at the same time."""
    Path(folder, name).touch()
    until_s = time.monotonic() + 30
    while not Path(folder, other).exists():
        assert time.monotonic() < until_s
        time.sleep(0.01)


def pair(scene: Scene, name: str) -> list[Any]:
    """Return two tasks that need two containers, however slow these are."""
    folder = scene.folder / f"pair-{name}"
    folder.mkdir()
    return [meet(str(folder), "one", "other"), meet(str(folder), "other", "one")]


def primed(scene: Scene, **settings: Any) -> Lab:
    """Return a lab whose runs find two containers that have done nothing."""
    return Lab(ProcessLauncher(limit=2, initial_pool="primed", **settings), None, quick(scene.folder))


@pytest.mark.parametrize(("initial", "cold"), [("empty", [2, 2]), ("primed", [0, 0]), ("steady", [2, 0])])
def test_what_runs_find(scene: Scene, initial: Any, cold: list[int]) -> None:
    """Cold starts of two runs in a row."""
    with Lab(ProcessLauncher(limit=2, initial_pool=initial), None, quick(scene.folder)) as lab:
        found = []
        for number in range(2):
            run = lab.submit(pair(scene, f"{number}"), planner="per_task")
            run.result(60)
            found.append(run.trace.metrics["cold_starts"])
        assert found == cold


def test_an_interrupt_while_the_pool_is_renewed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wish is withdrawn, and its answer is not taken for that of the next."""
    with primed(scene) as lab:
        assert lab.compute(one(), planner="per_task") == 1
        answer = hosting.Host._answer

        def interrupted(self: hosting.Host, within_s: float, otherwise: str) -> bytes:
            monkeypatch.setattr(hosting.Host, "_answer", answer)
            raise KeyboardInterrupt

        monkeypatch.setattr(hosting.Host, "_answer", interrupted)
        with pytest.raises(KeyboardInterrupt):
            lab.compute(one(), planner="per_task")
        for number in range(2):
            run = lab.submit(pair(scene, f"{number}"), planner="per_task")
            run.result(60)
            assert run.trace.metrics["cold_starts"] == 0


def test_one_run_at_a_time(scene: Scene) -> None:
    """While a run is under way, another one that would renew its containers is refused, from any thread."""
    with primed(scene) as lab:
        lab.compute(one(), planner="per_task")
        outcomes: list[Any] = []

        def submit() -> None:
            try:
                outcomes.append(lab.submit(nap(0.5), planner="per_task").result(60))
            except fl.RunError as error:
                outcomes.append(str(error))

        threads = [threading.Thread(target=submit) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert outcomes.count(0.5) == 1
        assert sum("another run of this lab is under way" in str(outcome) for outcome in outcomes) == 2


def test_containers_that_do_not_come(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool that is not ready in time is an error; the lab host gives the wish up, and the next run works."""
    with primed(scene, cold_start_s=1.0) as lab:
        monkeypatch.setattr("faaslab.client.lab.POOL_S", -3.5)
        with pytest.raises(fl.LauncherError, match="did not have its containers ready"):
            lab.compute(one(), planner="per_task")
        monkeypatch.undo()
        assert lab.compute(one(), planner="per_task", timeout_s=60) == 1


def test_a_short_keep_alive_is_refused() -> None:
    """Containers that leave before the last one is ready would never all be there."""
    with pytest.raises(fl.ConfigError, match=r"keep_alive_s is 1, must be at least 30 for initial_pool='primed'"):
        ProcessLauncher(initial_pool="primed", keep_alive_s=1.0)
