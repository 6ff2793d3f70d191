"""The image that worker containers run: built from what the client has, found again by what it is made of.

::

    base image        python3, from a registry or made by worker_image/make_base
    site/             what a worker imports, in exactly the client's versions
    site-user/        the user's requirements
    package/          the part of FaaSLab that a worker can import

The tag is a hash of all of this, so an image that exists is the right one. Packages are resolved and unpacked on the
client with uv, for the Python and platform of the base; the build itself needs no network.
"""

import contextlib
import json
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import faaslab
from faaslab.errors import LauncherError
from faaslab.launchers.image_context import (
    WORKER_DEPENDENCIES,
    digest,
    packaged_files,
    recipe_folder,
    write_context,
)
from faaslab.launchers.requirements import cache_folder, packages_of, read_requirements, resolve, unpack

if TYPE_CHECKING:
    import docker

REPOSITORY = "faaslab-worker"
BASE_VARIABLE = "FAASLAB_BASE_IMAGE"

_BUILD_TIMEOUT_S = 1800
"""How long the engine may be silent during a build: one step compiles all requirements."""

_PROBE = (
    "import json, platform; print(json.dumps([platform.python_version(), platform.machine(), *platform.libc_ver()]))"
)
_PROBE_IMAGE = """
import json, platform
from importlib import metadata
import faaslab
found = {d.metadata["Name"].lower().replace("_", "-"): d.version for d in metadata.distributions()}
print(json.dumps([platform.python_version(), faaslab.__version__, found]))
"""


@dataclass(frozen=True, slots=True)
class WorkerImage:
    """An image that worker containers can run.

    Attributes:
        tag: How the engine knows it.
        python: Full version of its Python.
        cloudpickle: Version of its cloudpickle.
        packages: What is installed beside FaaSLab, as ``name==version``.
        built: Whether it was built now, and not found.
        build_s: How long that took.
    """

    tag: str
    python: str
    cloudpickle: str
    packages: tuple[str, ...]
    size_bytes: int
    built: bool = False
    build_s: float = 0.0


def _say_nothing(line: str) -> None:
    """Report to nobody."""


def client_minor() -> str:
    """Return the Python minor that an image must have: functions travel as bytecode."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def base_image(client: "docker.DockerClient", base: str = "", *, report: Callable[[str], object] = _say_nothing) -> str:
    """Return the name of a base image that the engine has, after pulling it where it must.

    Args:
        base: The user's choice; empty: ``$FAASLAB_BASE_IMAGE``, else one made by ``worker_image/make_base``, else the
            official slim image of the client's Python minor.

    Raises:
        LauncherError: It can't be had; says why and what to do.
    """
    import docker.errors
    import requests

    minor = client_minor()
    base = base or os.environ.get(BASE_VARIABLE, "")
    with _engine_errors("can't look for a base image"):
        for name in [base] if base else [f"faaslab-base:python{minor}", f"python:{minor}-slim"]:
            with contextlib.suppress(docker.errors.ImageNotFound):
                client.images.get(name)
                return name
    wanted = base or f"python:{minor}-slim"
    report(f"pulling {wanted}")
    try:
        client.images.pull(wanted)
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise LauncherError(
            f"there is no base image {wanted!r}, and it can't be pulled: {_words(error)}. Either run "
            f"`docker pull {wanted}` where the registry can be reached, or make the base that is used when none is "
            f"named, without any registry: `{recipe_folder() / 'make_base'}` (as root, needs debootstrap)"
        ) from None
    return wanted


def ensure_image(
    client: "docker.DockerClient",
    requirements: Iterable[str] = (),
    *,
    base: str = "",
    report: Callable[[str], object] = _say_nothing,
) -> WorkerImage:
    """Return the worker image for some requirements, built if the engine has none.

    Args:
        requirements: Requirement lines, see ``read_requirements``.
        base: See ``base_image``.
        report: Told what goes on, a line at a time; nothing if the image exists.

    Raises:
        ConfigError: A requirement can't be understood.
        LauncherError: The image can't be made; says why.
    """
    started_s = time.monotonic()
    wanted = read_requirements(requirements)
    base = base_image(client, base, report=report)
    with _engine_errors(f"can't read base image {base!r}"):
        base_id = str(client.images.get(base).id)
        target = _target(client, base, base_id)
    pins = tuple(f"{name}=={metadata.version(name)}" for name in WORKER_DEPENDENCIES)
    worker_lock = resolve(pins, target.python, target.platform, client=False, report=report)
    user_lock = resolve(wanted, target.python, target.platform, constraints=pins, report=report)
    recipe, package = (recipe_folder() / "Dockerfile").read_bytes(), packaged_files()
    parts = [base_id, target.python, target.platform, worker_lock, user_lock, *package]
    tag = f"{REPOSITORY}:{digest([recipe, *map(str.encode, parts), *package.values()])}"
    with _engine_errors(f"can't look for image {tag}"):
        found = _find(client, tag)
    if found is not None:
        return found
    packages = packages_of(worker_lock) + packages_of(user_lock)
    labels = {
        "faaslab.image": "worker",
        "faaslab.version": faaslab.__version__,
        "faaslab.base": base_id,
        "faaslab.python": target.python,
        "faaslab.platform": target.platform,
        "faaslab.cloudpickle": metadata.version("cloudpickle"),
        "faaslab.requirements": json.dumps(packages),
    }
    with _one_build_at_a_time(report), tempfile.TemporaryDirectory(prefix="faaslab-image-") as name:
        with _engine_errors(f"can't look for image {tag}"):
            found = _find(client, tag)
        if found is not None:
            return found
        report(f"image {tag}: getting {len(packages)} packages for Python {target.python}, {target.platform}")
        folder = Path(name)
        unpack(worker_lock, folder / "site", target.python, target.platform)
        unpack(user_lock, folder / "site-user", target.python, target.platform)
        with tempfile.TemporaryFile() as context:
            write_context(context, recipe, package, folder)
            report(f"image {tag}: building on {base} from {context.tell() / 2**20:.0f} MiB")
            context.seek(0)
            with _engine_errors(f"can't build image {tag}"):
                _build(client, context, tag, base, labels, report)
                image = client.images.get(tag)
    build_s = time.monotonic() - started_s
    report(f"image {tag}: done in {build_s:.1f} s")
    return replace(_described(tag, image.labels, image.attrs["Size"]), built=True, build_s=build_s)


@dataclass(frozen=True, slots=True)
class _Target:
    """What packages are chosen for: a full Python version, and a platform as uv calls it."""

    python: str
    platform: str


def _target(client: "docker.DockerClient", base: str, base_id: str) -> _Target:
    """Return what a base image holds, as remembered by an image that was built on it, or by a look into it."""
    # Only what has our own tag: users build on worker images, change them, and the labels stay.
    built = client.api.images(REPOSITORY, filters={"label": f"faaslab.base={base_id}"})
    if built:
        python, platform_ = built[0]["Labels"]["faaslab.python"], built[0]["Labels"]["faaslab.platform"]
    else:
        python, platform_ = _look_into(client, base)
    if _minor(python) != client_minor():
        raise LauncherError(
            f"base image {base!r} has Python {python}, the client {platform.python_version()}: functions travel as "
            f"bytecode, so both must be {client_minor()}. Name another base, or start the client with Python "
            f"{_minor(python)}"
        )
    return _Target(python, platform_)


def _look_into(client: "docker.DockerClient", base: str) -> tuple[str, str]:
    python, machine, libc, version = _ask(client, base, _PROBE)
    # The newest that uv knows; wheels for an older glibc run on a newer.
    known = [minor for minor in (*range(40, 30, -1), 28, 17) if (2, minor) <= _numbers(version)]
    if libc != "glibc" or not known:
        raise LauncherError(f"base image {base!r} has {libc or 'no glibc'} {version}; wheels need glibc 2.17 or newer")
    return python, f"{machine}-manylinux_2_{known[0]}"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _minor(python: str) -> str:
    return ".".join(python.split(".")[:2])


def _ask(client: "docker.DockerClient", image: str, code: str) -> list[Any]:
    """Run Python code in an image; returns the JSON that it prints."""
    import docker.errors

    container = client.containers.create(image, ["-c", code], entrypoint=["python3"], network_mode="none")
    try:
        container.start()
        status = container.wait()["StatusCode"]
        said = container.logs(stdout=status == 0, stderr=status != 0).decode(errors="replace").strip()
    except docker.errors.APIError as error:
        status, said = 1, _words(error)
    finally:
        container.remove(force=True)
    if status != 0:
        raise LauncherError(
            f"image {image!r} can't be used: it has no python3 that runs, or lacks what it must have: "
            f"{said.splitlines()[-1] if said else 'it said nothing'}"
        )
    answer: list[Any] = json.loads(said)
    return answer


@contextlib.contextmanager
def _one_build_at_a_time(report: Callable[[str], object]) -> Iterator[None]:
    """Let other sessions wait, so that they find the image instead of building it once more."""
    import fcntl

    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "build.lock").open("w")
    except OSError as error:
        raise LauncherError(f"can't write to the cache {folder}: {error}; set XDG_CACHE_HOME") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("waiting for another session that builds an image")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(
    client: "docker.DockerClient",
    context: Any,
    tag: str,
    base: str,
    labels: dict[str, str],
    report: Callable[[str], object],
) -> None:
    lines = client.api.build(
        fileobj=context,
        custom_context=True,
        tag=tag,
        buildargs={"BASE": base},
        labels=labels,
        rm=True,
        forcerm=True,
        decode=True,
        timeout=_BUILD_TIMEOUT_S,
    )
    said: list[str] = []
    for line in lines:
        text = str(line.get("stream", "")).strip()
        if text:
            said.append(text)
        if step := re.match(r"Step (\d+)/(\d+) : ((?:FROM|COPY|RUN) .*)", text):  # the others take no time
            report(f"image {tag}: step {step[1]} of {step[2]}: {' '.join(step[3].split())}")
        if "error" in line:
            raise LauncherError(f"can't build image {tag} on {base!r}: {line['error']}: {' '.join(said[-5:])}")


@contextlib.contextmanager
def _engine_errors(failed: str) -> Iterator[None]:
    """Turn errors of the engine and of the way to it into ours."""
    import docker.errors
    import requests

    try:
        yield
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise LauncherError(f"{failed}: {_words(error)}") from error


def _words(error: Exception) -> str:
    """Return what the engine said, without the address it was asked at."""
    return str(getattr(error, "explanation", None) or error)


def _find(client: "docker.DockerClient", tag: str) -> WorkerImage | None:
    import docker.errors

    try:
        image = client.images.get(tag)
    except docker.errors.ImageNotFound:
        return None
    return _described(tag, image.labels, image.attrs["Size"])


def _described(tag: str, labels: Mapping[str, str], size_bytes: int) -> WorkerImage:
    """Return what the labels of an image tell."""
    packages = tuple(json.loads(labels["faaslab.requirements"]))
    return WorkerImage(tag, labels["faaslab.python"], labels["faaslab.cloudpickle"], packages, size_bytes)


def inspect_image(client: "docker.DockerClient", tag: str) -> WorkerImage:
    """Return what an image of the user's own holds, by its labels or, without these, by running Python in it.

    Raises:
        LauncherError: The engine has no such image, or it is no worker image of this version of FaaSLab.
    """
    import docker.errors

    with _engine_errors(f"can't read image {tag!r}"):
        try:
            image = client.images.get(tag)
        except docker.errors.ImageNotFound:
            raise LauncherError(
                f"there is no image {tag!r} on this engine; build or pull it, or leave image= out: one is built then"
            ) from None
        if image.labels.get("faaslab.image") == "worker":
            version, found = image.labels["faaslab.version"], _described(tag, image.labels, image.attrs["Size"])
        else:
            python, version, installed = _ask(client, tag, _PROBE_IMAGE)
            packages = tuple(f"{name}=={number}" for name, number in sorted(installed.items()))
            found = WorkerImage(tag, python, installed.get("cloudpickle", "none"), packages, image.attrs["Size"])
    if version != faaslab.__version__:
        raise LauncherError(f"image {tag!r} has FaaSLab {version}, the client {faaslab.__version__}; build it anew")
    return found


def check_image(image: WorkerImage) -> None:
    """Make sure that functions and objects can travel between the client and an image.

    Raises:
        LauncherError: Its Python minor or its cloudpickle is not the client's; names both versions.
    """
    if _minor(image.python) != client_minor():
        raise LauncherError(
            f"image {image.tag!r} has Python {image.python}, the client {platform.python_version()}: functions travel "
            f"as bytecode, so both must be {client_minor()}. Build it on a base with Python {client_minor()}"
        )
    cloudpickle = metadata.version("cloudpickle")
    if image.cloudpickle != cloudpickle:
        raise LauncherError(
            f"image {image.tag!r} has cloudpickle {image.cloudpickle}, the client {cloudpickle}; both must be the "
            f"same. Build it anew, or install cloudpickle=={image.cloudpickle} here"
        )


def list_images(client: "docker.DockerClient") -> list[WorkerImage]:
    """Return the worker images that were built on this engine, those that lost their tag by their id.

    Raises:
        LauncherError: The engine does not answer.
    """
    with _engine_errors("can't list images"):
        return [image for _, image in _built_images(client)]


def _built_images(client: "docker.DockerClient") -> Iterator[tuple[str, WorkerImage]]:
    """Yield worker images with their ids."""
    for found in client.api.images(filters={"label": "faaslab.image=worker"}):
        tags = [tag for tag in found["RepoTags"] or () if tag != "<none>:<none>"]
        # What users build on top of a worker image has its labels, too.
        for tag in [tag for tag in tags if tag.startswith(f"{REPOSITORY}:")] if tags else [found["Id"]]:
            yield found["Id"], _described(tag, found["Labels"], found["Size"])


def prune_images(client: "docker.DockerClient", keep: Iterable[str] = ()) -> list[WorkerImage]:
    """Remove worker images that no container uses and no other image is based on; returns those removed.

    Args:
        keep: Tags that stay.

    Raises:
        LauncherError: The engine does not answer.
    """
    import docker.errors

    keep = set(keep)
    removed = []
    with _engine_errors("can't remove images"):
        used = {container["ImageID"] for container in client.api.containers(all=True)}
        for image_id, image in list(_built_images(client)):
            if image.tag in keep or image_id in used:
                continue
            try:
                client.images.remove(image.tag)
            except docker.errors.ImageNotFound:
                continue  # somebody else was faster
            except docker.errors.APIError as error:
                if error.status_code != 409:  # a container or an image needs it since a moment ago
                    raise
            else:
                removed.append(image)
    return removed
