"""The process launcher: what all launchers must do, its settings, broken starts."""

import os
from typing import Any

import pytest

import faaslab as fl
from faaslab.errors import ConfigError
from faaslab.graph.generators import one
from faaslab.launchers.process import ProcessLauncher
from faaslab.protocol.launcher import RemoteLauncher
from tests.client.scene import Scene, process_lab
from tests.launchers.conformance import LauncherConformance


class TestProcessLauncher(LauncherConformance):
    """Local processes as containers."""

    def launcher(self, **settings: Any) -> RemoteLauncher:
        """See ``LauncherConformance``."""
        return ProcessLauncher(**settings)

    def containers(self, scene: Scene) -> list[Any]:
        """See ``LauncherConformance``."""
        return scene.supervisors()

    def test_containers_that_cannot_start(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        """Containers that die before they are ready, again and again, end the run with the launcher's error."""
        (scene.folder / "sitecustomize.py").write_text(
            "import os, sys\nif 'faaslab.launchers.supervisor' in sys.orig_argv: os._exit(9)"
        )
        monkeypatch.setenv("PYTHONPATH", str(scene.folder))
        with process_lab(scene) as lab:
            with pytest.raises(fl.LauncherError, match=r"containers in a row ended before they were ready.*doctor"):
                lab.compute(one(), timeout_s=30)
            monkeypatch.delenv("PYTHONPATH")
            assert lab.compute(one(), timeout_s=30) == 1

    def test_threads_follow_the_size(self, scene: Scene) -> None:
        """Numeric libraries are told to use as many threads as the size has vCPUs."""

        @fl.task
        def threads() -> str | None:
            import os

            return os.environ.get("OMP_NUM_THREADS")

        with process_lab(scene) as lab:
            assert lab.compute(threads(), sizes=[512]) == "1"
            assert lab.compute(threads(), sizes=[7076]) == "4"


@pytest.mark.parametrize(
    "settings", [{"limit": 0}, {"keep_alive_s": -1.0}, {"cold_start_s": -0.1}, {"sigma": float("nan")}]
)
def test_settings_are_checked(settings: dict[str, float]) -> None:
    """A setting outside its range is refused by name."""
    with pytest.raises(ConfigError, match=next(iter(settings))):
        ProcessLauncher(**settings)  # type: ignore[arg-type]


def test_default_limit() -> None:
    """Without a limit there is one container for each usable core."""
    assert ProcessLauncher().concurrency == len(os.sched_getaffinity(0))
