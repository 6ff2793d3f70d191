"""What goes into a worker image is what a worker imports, and the same whenever it is packed."""

import io
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

import pytest

import faaslab as fl
from faaslab.errors import LauncherError
from faaslab.launchers.image_context import (
    PACKAGED,
    WORKER_DEPENDENCIES,
    digest,
    packaged_files,
    recipe_folder,
    write_context,
)
from tests.client.scene import process_lab, scene

PACKAGE = Path(fl.__file__).parent
OPTIONAL = {"typing_extensions"}
"""msgspec looks for it, and does without."""


@fl.task
def loaded() -> list[str]:
    """Return the files of all modules that a worker has loaded when it runs a task."""
    import sys

    return sorted(str(module.__file__) for module in list(sys.modules.values()) if getattr(module, "__file__", None))


def assert_packaged(files: list[str]) -> None:
    """Fail unless these modules are in the image, or in its Python."""
    of_package = {Path(file).relative_to(PACKAGE).parts[0] for file in files if file.startswith(f"{PACKAGE}/")}
    libraries = Path(sysconfig.get_path("purelib"))
    installed = {Path(file).relative_to(libraries).parts[0] for file in files if file.startswith(f"{libraries}/")}
    assert of_package - set(PACKAGED) == set()
    assert {name.partition(".")[0] for name in installed} - OPTIONAL == set(WORKER_DEPENDENCIES)


def test_a_running_task_has_loaded_no_more() -> None:
    """Whatever a worker process has imported when it runs a task is in the image."""
    with scene() as place, process_lab(place, limit=1) as lab:
        files: list[str] = lab.compute(loaded())
    assert any(file.endswith("launchers/supervisor.py") for file in files)
    assert_packaged(files)


def test_packaged_modules_need_no_more(tmp_path: Path) -> None:
    """The supervisor starts, and DAGs unpack, from the packaged files and the worker's dependencies alone."""
    for name, content in packaged_files().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    for name in WORKER_DEPENDENCIES:
        (tmp_path / name).symlink_to(Path(sysconfig.get_path("purelib")) / name)
    code = "import faaslab.launchers.supervisor, faaslab.graph.dag, cloudpickle, faaslab; print(faaslab.__file__)"
    done = subprocess.run(
        [sys.executable, "-S", "-P", "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert done.stdout.strip() == str(tmp_path / "faaslab" / "__init__.py")


def test_package_has_code_and_scripts() -> None:
    """Modules and Lua scripts of the running wing are packed; clients, figures and planners are not."""
    names = set(packaged_files())
    assert {"faaslab/__init__.py", "faaslab/storage/lua/lib.lua", "faaslab/launchers/supervisor.py"} <= names
    assert {name.split("/")[1] for name in names} == set(PACKAGED)
    assert {name.rpartition(".")[2] for name in names} == {"py", "lua"}


def test_equal_files_give_equal_contexts(tmp_path: Path) -> None:
    """A context does not tell when and by whom it was packed; caches and scripts of the client stay out."""
    packed = []
    for number in range(2):
        folder = tmp_path / str(number)
        for path in ("site/a/a.py", "site/a/__pycache__/a.pyc", "site-user/bin/tool", "site-user/.lock"):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(path)
        (folder / "site/a/a.py").touch(mode=0o600 + number)
        file = io.BytesIO()
        write_context(file, b"FROM x", {"faaslab/b.py": b"b"}, folder)
        packed.append(file.getvalue())
    assert packed[0] == packed[1]
    with tarfile.open(fileobj=io.BytesIO(packed[0])) as tar:
        modes = {entry.name: entry.mode for entry in tar}
    assert modes == {
        "Dockerfile": 0o644,
        "site": 0o755,
        "site/a/a.py": 0o644,
        "site-user": 0o755,
        "package": 0o755,
        "package/faaslab/b.py": 0o644,
    }


def test_digest_knows_the_borders() -> None:
    """Parts that only together are the same are different parts."""
    assert digest([b"ab", b"c"]) == digest([b"ab", b"c"])
    assert digest([b"ab", b"c"]) != digest([b"a", b"bc"])
    assert len(digest([])) == 12


def test_recipe_is_found() -> None:
    """The recipe of a checkout lies beside the package."""
    assert (recipe_folder() / "Dockerfile").is_file()
    assert (recipe_folder() / "make_base").is_file()


def test_recipe_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without the recipe says where it was looked for."""
    monkeypatch.setattr(fl, "__file__", str(tmp_path / "faaslab" / "__init__.py"))
    with pytest.raises(LauncherError, match="reinstall"):
        recipe_folder()
