"""A Docker engine for the tests that need one, and base images of the session's own, removed with all on them."""

import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path

import docker
import pytest
import uv

from faaslab.errors import LauncherError
from faaslab.launchers import image
from faaslab.launchers.engine import connect
from faaslab.launchers.image import WorkerImage, base_image, ensure_image
from faaslab.launchers.image_context import packaged_files

MakeBase = Callable[..., str]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.docker)


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[docker.DockerClient]:
    """Return a client of the engine. What FaaSLab caches is kept apart, what uv caches is not."""
    uv_cache = subprocess.run([uv.find_uv_bin(), "cache", "dir"], capture_output=True, text=True, check=True).stdout
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("UV_CACHE_DIR", uv_cache.strip())
        files = packaged_files()
        patch.setattr(image, "packaged_files", lambda: files)  # code that is edited meanwhile means no other image
        with closing(connect()) as client:
            yield client


@pytest.fixture(scope="session")
def root_base(engine: docker.DockerClient) -> str:
    """The base image that users get."""
    try:
        return base_image(engine)
    except LauncherError as error:
        if os.environ.get("FAASLAB_CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def make_base(engine: docker.DockerClient, root_base: str) -> Iterator[MakeBase]:
    """Makes images that nobody else has, from instructions; they and all worker images built on them are removed."""
    made: list[str] = []

    def make(*instructions: str, base: str = "") -> str:
        tag = f"faaslab-test:{uuid.uuid4().hex[:12]}"
        lines = [f"FROM {base or root_base}", f"LABEL faaslab.test={tag}", *instructions]
        engine.images.build(fileobj=BytesIO("\n".join(lines).encode()), tag=tag, rm=True, forcerm=True)
        made.append(tag)
        return tag

    yield make
    for tag in reversed(made):
        # What is built on an image has its labels, the steps of a build that failed, too.
        for built in engine.api.images(filters={"label": f"faaslab.test={tag}"}):
            engine.images.remove(built["Id"], force=True)


@pytest.fixture(scope="session")
def own_base(make_base: MakeBase) -> str:
    """A base image of this session, so that a worker image on it is new."""
    return make_base()


@pytest.fixture(scope="session")
def worker_image(engine: docker.DockerClient, own_base: str) -> WorkerImage:
    """The worker image without requirements."""
    return ensure_image(engine, base=own_base)
