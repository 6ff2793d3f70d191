"""Optimizations on Docker containers."""

import docker

import faaslab as fl
from tests.optimizations.test_own import Compression, text, workflow


def test_an_optimization_of_ones_own(engine: docker.DockerClient, root_base: str) -> None:
    """It is planned, simulated, measured and ablated on containers, which have never seen its module."""
    launcher = fl.DockerLauncher(
        base=root_base, limit=2, initial_pool="empty", upload_bytes_per_s=4e6, download_bytes_per_s=4e6
    )
    with fl.Lab(launcher, config=fl.Config.from_env(runs_dir="", history_dir="")) as lab:

        def right(result: int) -> None:
            assert result == 3 * len(text.fn(0))

        found = fl.ablation(workflow(), "per_task", [Compression()], lab=lab, repeats=2, check=right, sizes=[256])
    assert found.table.loc["+ compression", "stored_bytes"] < 0.1 * found.table.loc["none", "stored_bytes"]
    assert found.effects.loc[("compression", "alone"), "makespan_predicted"] < 0
