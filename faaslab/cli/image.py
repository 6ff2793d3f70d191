"""``faaslab image``: build, list and remove the images that worker containers run."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from faaslab.launchers.image import WorkerImage, ensure_image, list_images, prune_images
from faaslab.launchers.requirements import read_requirements

if TYPE_CHECKING:
    import docker

app = typer.Typer(no_args_is_help=True, help="Images that worker containers run.")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.callback()
def _group() -> None:
    """Images that worker containers run."""


@contextmanager
def _engine() -> Iterator["docker.DockerClient"]:
    from faaslab.launchers.engine import connect  # other commands start without the Docker SDK

    with closing(connect()) as client:
        yield client


def _line(image: WorkerImage) -> str:
    """Return an image as a line for people."""
    packages = " ".join(image.packages)
    return f"{image.tag}  Python {image.python}  {image.size_bytes / 1e6:.0f} MB  {packages}"


@app.command()
def build(
    requirements: Annotated[
        list[str] | None, typer.Argument(help="What tasks import, as numpy or 'pandas>=2'.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--requirements", "-r", help="A requirements file.")] = None,
    base: Annotated[str, typer.Option(help="Image to build on; by default one with this Python.")] = "",
    as_json: AsJson = False,
) -> None:
    """Build the image for some requirements, if there is none yet, and print its tag."""
    wanted = [*(read_requirements(file) if file else ()), *(requirements or ())]
    with _engine() as client:
        image = ensure_image(client, wanted, base=base, report=lambda line: typer.echo(line, err=True))
    typer.echo(msgspec.json.encode(asdict(image)).decode() if as_json else _line(image))


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List the worker images of this engine."""
    with _engine() as client:
        images = list_images(client)
    if as_json:
        typer.echo(msgspec.json.encode({"images": [asdict(image) for image in images]}).decode())
        return
    for image in images:
        typer.echo(_line(image))


@app.command()
def prune(
    keep: Annotated[
        list[str] | None, typer.Option(help="Tag of an image that stays; may be given several times.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Remove the worker images that no container uses."""
    with _engine() as client:
        removed = prune_images(client, set(keep or ()))
    if as_json:
        typer.echo(msgspec.json.encode({"removed": [image.tag for image in removed]}).decode())
        return
    for image in removed:
        typer.echo(f"removed {image.tag}")
