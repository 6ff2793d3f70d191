"""Worker images, built on a real engine."""

import json
import os
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from importlib import metadata
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

import faaslab
from faaslab.errors import LauncherError
from faaslab.launchers import requirements
from faaslab.launchers.image import (
    WorkerImage,
    base_image,
    check_image,
    client_minor,
    ensure_image,
    inspect_image,
    list_images,
    prune_images,
)
from tests.docker.conftest import MakeBase

PURE, NUMPY = f"iniconfig=={metadata.version('iniconfig')}", f"numpy=={metadata.version('numpy')}"
CLOUDPICKLE = metadata.version("cloudpickle")
REUSE_S = 0.3


def say(engine: docker.DockerClient, image: str, code: str, **how: object) -> str:
    """Return what Python code prints in a container without network, as a user who may write nowhere."""
    settings = {"user": "1000:1000", "read_only": True, "network_mode": "none", "remove": True, **how}
    printed = engine.containers.run(image, ["-P", "-c", code], entrypoint=["python3"], **settings)
    return str(printed.decode()).strip()


def pretending(*answer: str) -> str:
    """Return an instruction for a Python that says of itself what it is told, and runs no module."""
    script = f"#!/bin/sh\n[ $1 = -c ] && echo '{json.dumps(answer)}'\n"
    encoded = b64encode(script.encode()).decode()
    return f"RUN echo {encoded} | base64 -d >/usr/local/bin/python3 && chmod 755 /usr/local/bin/python3"


@pytest.fixture(scope="session")
def rich_image(engine: docker.DockerClient, own_base: str) -> WorkerImage:
    """A worker image with requirements."""
    return ensure_image(engine, ["numpy", "iniconfig"], base=own_base)


@pytest.fixture
def waiting(engine: docker.DockerClient, worker_image: WorkerImage) -> Iterator[Container]:
    """A container of the worker image that is never started."""
    container = engine.containers.create(worker_image.tag)
    yield container
    container.remove(force=True)


@pytest.fixture
def temp_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files that only this test uses."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_image_is_built(engine: docker.DockerClient, make_base: MakeBase, temp_folder: Path) -> None:
    """A build tells what it does, says what the image holds, and leaves no file behind."""
    told: list[str] = []
    image = ensure_image(engine, base=make_base(), report=told.append)
    labels = engine.images.get(image.tag).labels
    assert image.built
    assert 0 < image.build_s < 60
    assert image.python.startswith(client_minor())
    assert image.cloudpickle == labels["faaslab.cloudpickle"] == CLOUDPICKLE
    assert [package.partition("==")[0] for package in image.packages] == ["cloudpickle", "hiredis", "msgspec"]
    assert json.loads(labels["faaslab.requirements"]) == list(image.packages)
    assert (labels["faaslab.image"], labels["faaslab.version"]) == ("worker", faaslab.__version__)
    assert any(f"getting 3 packages for Python {image.python}" in line for line in told)
    assert any("COPY site " in line for line in told)
    assert told[-1].endswith(f"done in {image.build_s:.1f} s")
    assert list(temp_folder.iterdir()) == []


def test_image_is_used_again(
    engine: docker.DockerClient, worker_image: WorkerImage, own_base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What exists is found at once: nothing is resolved, uploaded or built."""
    before = engine.images.get(worker_image.tag)
    monkeypatch.delattr(requirements, "_uv")
    monkeypatch.delattr(docker.api.build.BuildApiMixin, "build")
    began_s = time.perf_counter()
    image = ensure_image(engine, base=own_base, report=pytest.fail)
    took_s = time.perf_counter() - began_s
    after = engine.images.get(worker_image.tag)
    assert not image.built
    assert image.tag == worker_image.tag
    assert (after.id, after.attrs["RootFS"]) == (before.id, before.attrs["RootFS"])
    assert took_s < REUSE_S


def test_requirements_are_part_of_the_tag(
    engine: docker.DockerClient, worker_image: WorkerImage, rich_image: WorkerImage, own_base: str
) -> None:
    """Other requirements mean another image; the same in other words the same."""
    assert rich_image.tag != worker_image.tag
    again = ensure_image(engine, [NUMPY, "INIconfig", "numpy"], base=own_base)
    assert (again.tag, again.built) == (rich_image.tag, False)


def test_requirements_can_be_imported(engine: docker.DockerClient, rich_image: WorkerImage) -> None:
    """Tasks find the requirements in the client's versions, without any network."""
    code = """
from importlib.metadata import version
import iniconfig, numpy
print(f"iniconfig=={version('iniconfig')} numpy=={numpy.__version__} {numpy.ones(3).sum()}")
"""
    assert {PURE, NUMPY} <= set(rich_image.packages)
    assert say(engine, rich_image.tag, code) == f"{PURE} {NUMPY} 3.0"


def test_what_the_worker_has_is_not_there_twice(engine: docker.DockerClient, own_base: str) -> None:
    """A requirement that the worker has anyway adds nothing to the image."""
    image = ensure_image(engine, ["cloudpickle", "msgspec>=0.1"], base=own_base)
    assert [package.partition("==")[0] for package in image.packages] == ["cloudpickle", "hiredis", "msgspec"]
    assert say(engine, image.tag, "import os; print(os.listdir('/opt/faaslab/site-user'))") == "[]"


def test_conflict_with_the_worker(engine: docker.DockerClient, own_base: str) -> None:
    """Another cloudpickle than the client's is refused with both versions."""
    with pytest.raises(LauncherError, match=f"cloudpickle==2.2.1 and cloudpickle=={CLOUDPICKLE}"):
        ensure_image(engine, ["cloudpickle==2.2.1"], base=own_base)


def test_unknown_package(engine: docker.DockerClient, own_base: str) -> None:
    """A package that doesn't exist is refused by its name."""
    with pytest.raises(LauncherError, match="faaslab-no-such-package"):
        ensure_image(engine, ["faaslab-no-such-package"], base=own_base)


def test_worker_starts_as_nobody(engine: docker.DockerClient, worker_image: WorkerImage) -> None:
    """The supervisor starts without root, network and a place to write, and gets as far as reading its launch."""
    how = {"user": "1000:1000", "read_only": True, "network_mode": "none", "stdin_open": True}
    container = engine.containers.create(worker_image.tag, **how)
    try:
        with closing(container.attach_socket(params={"stdin": 1, "stream": 1})) as channel:
            container.start()
            channel._sock.sendall(b'{"no": "launch"}\n')
            assert container.wait(timeout=30)["StatusCode"] == 1
            channel._sock.close()
        assert "msgspec.ValidationError: Object missing required field" in container.logs().decode()
    finally:
        container.remove(force=True)


def test_everything_is_compiled(engine: docker.DockerClient, rich_image: WorkerImage) -> None:
    """Modules load from bytecode that is not checked against its source."""
    code = """
import cloudpickle, iniconfig, faaslab.launchers.supervisor as supervisor, faaslab.graph.dag as dag
for module in (cloudpickle, iniconfig, supervisor, dag):
    with open(module.__spec__.cached, "rb") as file:
        assert file.read(8)[4:] == bytes([1, 0, 0, 0]), module
print("ok")
"""
    assert say(engine, rich_image.tag, code) == "ok"


def test_image_is_slim(
    engine: docker.DockerClient, worker_image: WorkerImage, own_base: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An image without requirements has little more than its base: no notebook, no client, no figures."""
    added_bytes = worker_image.size_bytes - engine.images.get(own_base).attrs["Size"]
    with capsys.disabled():
        sys.stdout.write(
            f"\nworker image: {worker_image.size_bytes / 1e6:.0f} MB, {added_bytes / 1e6:.1f} over its base\n"
        )
    code = """
from importlib.util import find_spec
import faaslab
names = ["jupyterlab", "pandas", "numpy", "docker", "faaslab.client", "faaslab.viz", "faaslab.cli", "faaslab.planners"]
print([name for name in names if find_spec(name)])
"""
    assert say(engine, worker_image.tag, code) == "[]"
    assert added_bytes < 8e6


def test_image_of_the_users_own(engine: docker.DockerClient, worker_image: WorkerImage, make_base: MakeBase) -> None:
    """An image is known by its labels, one without these by a look into it; both tell the same."""
    by_labels = inspect_image(engine, worker_image.tag)
    probed = inspect_image(engine, make_base("LABEL faaslab.image=", base=worker_image.tag))
    assert by_labels.packages == worker_image.packages
    assert set(worker_image.packages) <= set(probed.packages)
    for image in (by_labels, probed):
        assert (image.python, image.cloudpickle, image.built) == (worker_image.python, CLOUDPICKLE, False)
        check_image(image)


def test_image_that_is_not_there(engine: docker.DockerClient) -> None:
    """An image that the engine lacks is named."""
    with pytest.raises(LauncherError, match="no image 'faaslab-test:none'"):
        inspect_image(engine, "faaslab-test:none")


def test_image_without_faaslab(engine: docker.DockerClient, own_base: str) -> None:
    """An image in which workers can't start is refused with what it lacks."""
    with pytest.raises(LauncherError, match="No module named 'faaslab'"):
        inspect_image(engine, own_base)


def test_image_of_another_python(engine: docker.DockerClient, worker_image: WorkerImage, make_base: MakeBase) -> None:
    """An image with another Python minor is refused with both versions."""
    other = inspect_image(engine, make_base("LABEL faaslab.python=3.9.1", base=worker_image.tag))
    with pytest.raises(LauncherError, match=f"has Python 3.9.1, the client {client_minor()}"):
        check_image(other)


def test_image_of_another_cloudpickle(
    engine: docker.DockerClient, worker_image: WorkerImage, make_base: MakeBase
) -> None:
    """An image with another cloudpickle is refused with both versions."""
    other = inspect_image(engine, make_base("LABEL faaslab.cloudpickle=1.0", base=worker_image.tag))
    with pytest.raises(LauncherError, match=f"has cloudpickle 1.0, the client {CLOUDPICKLE}"):
        check_image(other)


def test_image_of_another_faaslab(engine: docker.DockerClient, worker_image: WorkerImage, make_base: MakeBase) -> None:
    """An image of another FaaSLab is refused with both versions."""
    with pytest.raises(LauncherError, match=rf"has FaaSLab 0\.0\.1, the client {faaslab.__version__}"):
        inspect_image(engine, make_base("LABEL faaslab.version=0.0.1", base=worker_image.tag))


def test_base_of_another_python(engine: docker.DockerClient, make_base: MakeBase) -> None:
    """A base with another Python minor is refused with both versions."""
    base = make_base(pretending("3.9.1", "x86_64", "glibc", "2.36"))
    with pytest.raises(LauncherError, match=f"has Python 3.9.1, the client {client_minor()}"):
        ensure_image(engine, base=base)


def test_base_without_glibc(engine: docker.DockerClient, make_base: MakeBase) -> None:
    """A base for which there are no wheels is refused."""
    base = make_base(pretending(f"{client_minor()}.1", "x86_64", "", ""))
    with pytest.raises(LauncherError, match="has no glibc"):
        ensure_image(engine, base=base)


def test_base_without_python(engine: docker.DockerClient, make_base: MakeBase) -> None:
    """A base in which no Python can be started is refused, and the container that tried is gone."""
    base = make_base("ENV PATH=/nowhere")
    with pytest.raises(LauncherError, match="no python3 that runs"):
        ensure_image(engine, base=base)
    assert engine.containers.list(all=True, filters={"ancestor": base}) == []


def test_build_that_fails(engine: docker.DockerClient, make_base: MakeBase, temp_folder: Path) -> None:
    """A build that fails ends in our error with the step, and leaves no worker image, container or file behind."""
    base = make_base(pretending(f"{client_minor()}.1", "x86_64", "glibc", "2.36"))
    with pytest.raises(LauncherError, match=r"can't build image faaslab-worker:.*compileall"):
        ensure_image(engine, base=base)
    assert engine.images.list(filters={"label": f"faaslab.base={engine.images.get(base).id}"}) == []
    assert engine.containers.list(all=True, filters={"ancestor": base}) == []
    assert list(temp_folder.iterdir()) == []


def test_base_that_can_not_be_had(engine: docker.DockerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A base that is neither here nor in a registry is refused with both ways to get one."""
    monkeypatch.setenv("FAASLAB_BASE_IMAGE", "registry.invalid/nothing:here")
    with pytest.raises(LauncherError) as caught:
        base_image(engine)
    assert "docker pull registry.invalid/nothing:here" in str(caught.value)
    assert "worker_image/make_base" in str(caught.value)


def test_base_is_chosen(engine: docker.DockerClient, own_base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The base is the one that is named, else the one of the environment, else one with the client's Python."""
    monkeypatch.delenv("FAASLAB_BASE_IMAGE", raising=False)
    assert f"python{client_minor()}" in base_image(engine).replace("python:", "python")
    monkeypatch.setenv("FAASLAB_BASE_IMAGE", own_base)
    assert base_image(engine) == own_base
    monkeypatch.setenv("FAASLAB_BASE_IMAGE", "registry.invalid/nothing:here")
    assert base_image(engine, own_base) == own_base


BUILD = """
import sys, docker
from faaslab.launchers.image import ensure_image
client = docker.from_env()
image = ensure_image(client, base=sys.argv[1])
print(image.tag, image.built)
client.close()
"""


@pytest.mark.parametrize("share", [True, False], ids=["one cache", "two caches"])
def test_two_sessions_build_at_once(
    engine: docker.DockerClient, make_base: MakeBase, share: bool, tmp_path: Path
) -> None:
    """Two sessions that want the same new image both get it; on one machine it is built once."""
    base = make_base()
    started = []
    for number in range(2):
        env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / ("0" if share else str(number)))}
        command = [sys.executable, "-c", BUILD, base]
        started.append(subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    said = []
    for process in started:
        out, err = process.communicate(timeout=90)
        assert process.returncode == 0, err
        said.append(out.split())
    assert said[0][0] == said[1][0]
    if share:
        assert sorted(built for _, built in said) == ["False", "True"]


def test_images_are_listed(
    engine: docker.DockerClient, worker_image: WorkerImage, rich_image: WorkerImage, make_base: MakeBase
) -> None:
    """The list has what was built, and not what users build upon it."""
    derived = make_base(base=worker_image.tag)
    listed = {image.tag: image for image in list_images(engine)}
    assert {worker_image.tag, rich_image.tag} <= set(listed)
    assert derived not in listed
    assert listed[rich_image.tag].packages == rich_image.packages


def test_only_unused_images_are_removed(
    engine: docker.DockerClient,
    worker_image: WorkerImage,
    rich_image: WorkerImage,
    make_base: MakeBase,
    waiting: Container,
) -> None:
    """An image that a container uses, and one to keep, survive; others go."""
    unused = ensure_image(engine, base=make_base())
    keep = {image.tag for image in list_images(engine)} - {unused.tag, worker_image.tag}
    assert rich_image.tag in keep
    assert [image.tag for image in prune_images(engine, keep)] == [unused.tag]
    left = {image.tag for image in list_images(engine)}
    assert {worker_image.tag, rich_image.tag} <= left
    assert unused.tag not in left
