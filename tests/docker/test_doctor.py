"""``faaslab doctor`` on a machine with an engine."""

import json
from collections import namedtuple
from pathlib import Path
from typing import Any

import docker
import pytest
from typer.testing import CliRunner

from faaslab.cli import doctor
from faaslab.cli.doctor import Status
from faaslab.cli.main import app
from faaslab.launchers.image import WorkerImage
from faaslab.model.profiles import profile_named

DiskUsage = namedtuple("DiskUsage", "total used free")


def checks() -> dict[str, dict[str, Any]]:
    """What doctor finds, by name."""
    result = CliRunner().invoke(app, ["doctor", "--json"])
    return {check["name"]: check for check in json.loads(result.stdout)["checks"]}


def test_engine_and_image(own_base: str, worker_image: WorkerImage, monkeypatch: pytest.MonkeyPatch) -> None:
    """With engine and image doctor shows the image's tag, its Python and its cloudpickle."""
    monkeypatch.setenv("FAASLAB_BASE_IMAGE", own_base)
    found = checks()
    assert found["docker"]["status"] == "ok"
    assert "cgroup v" in found["docker"]["found"]
    assert found["worker image"]["status"] == "ok"
    for what in (worker_image.tag, f"Python {worker_image.python}", f"cloudpickle {worker_image.cloudpickle}"):
        assert what in found["worker image"]["found"]


def test_image_is_not_built_yet(engine: docker.DockerClient, make_base: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image that the first run would build is missing, which is no failure, and looking builds none."""
    base = make_base()
    monkeypatch.setenv("FAASLAB_BASE_IMAGE", base)
    for _ in range(2):
        image = checks()["worker image"]
        assert image["status"] == "missing"
        assert "first run builds it" in image["fix"]
    assert not engine.images.list(filters={"label": f"faaslab.base={engine.images.get(base).id}"})


def test_base_image_that_does_not_exist(engine: docker.DockerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A base that would have to be pulled first is told as not built, too, and nothing is pulled."""
    monkeypatch.setenv("FAASLAB_BASE_IMAGE", "faaslab-test:nobody-has-this")
    assert checks()["worker image"]["found"] == "not built yet"


def test_full_engine_disk(engine: docker.DockerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little space for images is told, with the number and what removes some."""
    monkeypatch.setattr("shutil.disk_usage", lambda folder: DiskUsage(2**40, 2**40 - 2**30, 2**30))
    check = doctor.check_engine_space()
    assert check is not None
    assert (check.status, check.found.split()[0]) == (Status.MISSING, "1.0")
    assert "image prune" in check.fix


def test_calibration(
    engine: docker.DockerClient,
    own_base: str,
    worker_image: WorkerImage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A calibration measures what this machine does, saves it as a profile, and leaves no container."""
    monkeypatch.setenv("FAASLAB_BASE_IMAGE", own_base)
    monkeypatch.setenv("FAASLAB_PROFILE_DIR", str(tmp_path))
    result = CliRunner().invoke(app, ["doctor", "--calibrate", "--quick", "--json"])
    assert result.exit_code == 0, result.output
    saved = json.loads((tmp_path / "this_machine.json").read_text("utf-8"))
    assert saved == json.loads(result.stdout)
    profile = profile_named("this machine")
    # A container takes tens of milliseconds to start anywhere, a message to a warm one far less.
    assert 0.02 < profile.cold_start_s < 30
    assert profile.invocation_latency_s < profile.cold_start_s
    assert 1e6 < profile.upload_bytes_per_s < 1e11
    assert 1e6 < profile.download_bytes_per_s < 1e11
    measured = saved["measured"]
    sizes = [cold["size_mib"] for cold in measured["cold_starts"]]
    assert sizes == sorted(sizes)
    assert sizes[-1] == measured["largest_size_mib"]
    for cold in measured["cold_starts"]:
        assert sum(cold["phases_s"].values()) == pytest.approx(cold["seconds"]["median"], rel=0.1)
    assert engine.containers.list(all=True, filters={"ancestor": worker_image.tag}) == []
