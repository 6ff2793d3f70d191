"""Requirement lines are read, compared with what is installed, and resolved by uv; packages come from a folder."""

import base64
import hashlib
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from faaslab.client.lab import Lab, launcher_named
from faaslab.errors import ConfigError, LauncherError
from faaslab.graph.generators import one
from faaslab.launchers import requirements
from faaslab.launchers.requirements import (
    check_installed,
    check_packages,
    packages_of,
    read_requirements,
    resolve,
    unpack,
)

NUMPY = f"numpy=={metadata.version('numpy')}"
TARGET = ("3.11.2", "x86_64-manylinux_2_36")


def make_wheel(folder: Path, name: str, version: str, *needs: str) -> None:
    """Write a wheel with one module."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        + "".join(f"Requires-Dist: {need}\n" for need in needs),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')},{len(text)}"
        for path, text in files.items()
    ]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all the packages that uv can get; answers are kept in a cache of the test's own."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    make_wheel(folder, "lower", "1.0")
    make_wheel(folder, "lower", "2.0")
    make_wheel(folder, "upper", "3.0", "lower")
    make_wheel(folder, "lasting", "1.0", "lower<2")
    make_wheel(folder, "newer_python", "1.0", "upper; python_full_version >= '3.11.3'")
    (tmp_path / "uv.toml").write_text(f'no-index = true\nfind-links = ["{folder}"]\n')
    monkeypatch.setenv("UV_CONFIG_FILE", str(tmp_path / "uv.toml"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(requirements, "client_packages", lambda: [])
    return folder


def test_lines_are_sorted_and_each_there_once() -> None:
    """Order, case and repetition of requirement lines don't matter."""
    assert read_requirements(["Zope_X>=2", "a-b==1", "zope.x >= 2"]) == ("a-b==1", "zope-x>=2")


def test_reading_again_changes_nothing() -> None:
    """What was read can be read again."""
    once = read_requirements(["numpy", "surely-not-installed", "x[extra]>=1; python_version >= '3'"])
    assert read_requirements(once) == once


def test_file_with_comments_and_includes(tmp_path: Path) -> None:
    """A requirements file may have comments and blank lines, and include others relative to itself."""
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "b.txt").write_text("b==2\n")
    (tmp_path / "more" / "a.txt").write_text("--requirement=b.txt\n")
    (tmp_path / "top.txt").write_text("# all\n\nc>=3  # newest\n-r more/a.txt\n")
    assert read_requirements(tmp_path / "top.txt") == ("b==2", "c>=3")
    assert read_requirements(str(tmp_path / "top.txt")) == ("b==2", "c>=3")


def test_file_that_includes_itself(tmp_path: Path) -> None:
    """A circle of includes is an error, not an endless read."""
    (tmp_path / "a.txt").write_text("-r b.txt\n")
    (tmp_path / "b.txt").write_text("-r a.txt\n")
    with pytest.raises(ConfigError, match=r"a\.txt includes itself"):
        read_requirements(tmp_path / "a.txt")


def test_line_in_place_of_a_file() -> None:
    """A package name where a file is expected is refused with how to write it."""
    with pytest.raises(ConfigError, match=r"can't read requirements file 'numpy'.*given as a list"):
        read_requirements("numpy")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--index-url x", "has option --index-url"),
        ("-e .", "has option -e"),
        ("a==1 --hash=sha256:00", "has option --hash"),
        ("a==", "is no requirement"),
        ("", "is no requirement"),
        ("./folder", "is no requirement"),
        ("a @ file:///a.whl", "names an address"),
    ],
)
def test_what_is_no_requirement(line: str, said: str, tmp_path: Path) -> None:
    """A line that is not understood is named with what is wrong about it, in a file with its number."""
    with pytest.raises(ConfigError, match=said) as caught:
        read_requirements([line])
    assert repr(line) in str(caught.value)
    if line:
        (tmp_path / "r.txt").write_text(f"b\n{line}\n")
        with pytest.raises(ConfigError, match=f"r.txt, line 2.*{said}"):
            read_requirements(tmp_path / "r.txt")


def test_no_version_means_the_clients() -> None:
    """A package that the client has gets the client's version, unless some line names one; others stay open."""
    assert read_requirements(["numpy", "surely-not-installed"]) == (NUMPY, "surely-not-installed")
    assert read_requirements(["numpy", "numpy>=1"]) == ("numpy", "numpy>=1")


def test_local_part_of_the_clients_version_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's 2.1+cpu is asked for as 2.1, which every index knows."""
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.1+cpu")
    assert read_requirements(["torch"]) == ("torch==2.1",)


def test_installed_requirements_pass() -> None:
    """Nothing happens where the client has what is asked for, or is not asked."""
    check_installed((NUMPY, "surely-not-installed; python_version < '3'"), "process")


def test_what_is_not_installed_is_named() -> None:
    """Missing packages and other versions are all named, with both versions and the command that helps."""
    with pytest.raises(LauncherError) as caught:
        check_installed(("numpy==1.0", "pytest", "surely-not-installed>=2"), "process")
    said = str(caught.value)
    assert "launcher 'process'" in said
    assert f"numpy is {metadata.version('numpy')}, required is ==1.0" in said
    assert "surely-not-installed is not installed" in said
    assert "pip install numpy==1.0 'surely-not-installed>=2'" in said


def test_lock_has_exact_versions_and_hashes(shelf: Path) -> None:
    """All that a requirement needs is locked at one version, with hashes, and without where it came from."""
    lock = resolve(["upper"], *TARGET)
    assert packages_of(lock) == ("lower==2.0", "upper==3.0")
    assert lock.count("--hash=sha256:") == 2
    assert "://" not in lock
    assert str(shelf) not in lock


def test_nothing_to_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without requirements uv isn't asked."""
    monkeypatch.delattr(requirements, "_uv")
    assert resolve([], *TARGET) == ""
    assert packages_of("") == ()


def test_worker_has_it_already(shelf: Path) -> None:
    """What the constraints pin is used, and left out of the lock."""
    assert packages_of(resolve(["upper"], *TARGET, constraints=["lower==1.0"])) == ("upper==3.0",)


def test_conflict_is_told_in_uvs_words(shelf: Path) -> None:
    """Requirements that can't be met together name both sides."""
    with pytest.raises(
        LauncherError, match=r"lower==2.0 given the worker's own lower==1.0.*require lower==2.0"
    ) as caught:
        resolve(["lower==2.0"], *TARGET, constraints=["lower==1.0"])
    assert caught.value.args[0].isascii()


def test_unknown_package_is_told(shelf: Path) -> None:
    """A package that is nowhere is named."""
    with pytest.raises(LauncherError, match="nowhere-to-be-found was not found"):
        resolve(["nowhere-to-be-found"], *TARGET)


def test_source_packages_are_refused(shelf: Path) -> None:
    """A package without wheels would have to run code on the client; it is refused."""
    (shelf / "raw-1.0.tar.gz").write_bytes(b"")
    with pytest.raises(LauncherError, match="raw"):
        resolve(["raw"], *TARGET)


def test_clients_versions_are_preferred(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes along with a requirement gets the client's version where that fits."""
    monkeypatch.setattr(requirements, "client_packages", lambda: ["lower==1.0", "unrelated==7"])
    assert packages_of(resolve(["upper"], *TARGET)) == ("lower==1.0", "upper==3.0")
    monkeypatch.setattr(requirements, "client_packages", lambda: ["lower==2.0"])
    assert packages_of(resolve(["lasting"], *TARGET)) == ("lasting==1.0", "lower==1.0")


def test_client_packages_are_found_by_their_folders() -> None:
    """The quick look at what is installed agrees with the metadata."""
    found = requirements.client_packages()
    assert NUMPY in found
    assert f"typing-extensions=={metadata.version('typing-extensions')}" in found


def test_markers_are_those_of_the_target(shelf: Path) -> None:
    """Conditions on the full Python version are decided for the image, not for the client."""
    assert packages_of(resolve(["newer-python"], "3.11.2", TARGET[1])) == ("newer-python==1.0",)
    assert len(packages_of(resolve(["newer-python"], "3.11.7", TARGET[1]))) == 3


def test_unchanged_requirement_means_the_same(shelf: Path) -> None:
    """A newer version that appears later changes nothing until the requirement or the client does."""
    told: list[str] = []
    lock = resolve(["upper"], *TARGET, report=told.append)
    make_wheel(shelf, "upper", "4.0")
    assert resolve(["upper"], *TARGET, report=told.append) == lock
    assert told == [f"resolving upper for Python {TARGET[0]}, {TARGET[1]}"]
    assert packages_of(resolve(["upper>3"], *TARGET))[-1] == "upper==4.0"


def test_cache_that_can_not_be_written(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache folder that can't be made is an error that says which variable moves it."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(LauncherError, match="XDG_CACHE_HOME"):
        resolve(["upper"], *TARGET)


def test_unpacked_files_can_be_imported(shelf: Path, tmp_path: Path) -> None:
    """The files of a lock are imported from one folder."""
    folder = tmp_path / "site"
    unpack(resolve(["lasting"], *TARGET), folder, *TARGET)
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); import lasting, lower; print(lower.VERSION)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "1.0\n"


def test_nothing_to_unpack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty lock is an empty folder."""
    monkeypatch.delattr(requirements, "_uv")
    unpack("", tmp_path / "site", *TARGET)
    assert list((tmp_path / "site").iterdir()) == []


def test_files_that_are_not_those_of_the_lock(shelf: Path, tmp_path: Path) -> None:
    """A package whose files changed since it was locked is refused."""
    lock = resolve(["lower==1.0"], *TARGET).replace("sha256:", "sha256:" + 8 * "0", 1)
    lock = lock[: lock.index("00000000") + 64] + "\n"
    with pytest.raises(LauncherError, match=r"can't get lower==1\.0.*[Hh]ash"):
        unpack(lock, tmp_path / "site", *TARGET)


@pytest.mark.parametrize("launcher", ["process", "inline", "virtual"])
def test_launchers_that_install_nothing(launcher: str) -> None:
    """What is not installed here is refused before anything starts, naming launcher and package; what is, works."""
    with pytest.raises(LauncherError, match=rf"launcher '{launcher}' .*no-such-package is not installed"):
        Lab(launcher_named(launcher, requirements=["no-such-package"])).submit(one())
    assert launcher_named(launcher, requirements=["numpy"])


def test_what_packages_meet() -> None:
    """A set of packages is checked like an environment: names in any spelling, versions, all that is wrong at once."""
    packages = ["numpy==2.1.0", "Typing_Extensions==4.12.0"]
    check_packages(["numpy>=2", "typing-extensions"], packages, "image x")
    with pytest.raises(LauncherError, match=r"image x does not meet.*numpy is 2\.1\.0, required is >=3; toolz is not"):
        check_packages(["numpy>=3", "toolz"], packages, "image x")
