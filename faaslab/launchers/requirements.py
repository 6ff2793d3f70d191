"""What tasks need beside the standard library: requirement lines, their exact versions, their files.

Pickles of numpy, pandas and the like load only where about the same version is installed. So a requirement that names
no version means the client's version where the client has that package, and packages that come along with a
requirement get the client's version where that is possible.
"""

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from faaslab.errors import ConfigError, LauncherError

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


def read_requirements(value: str | os.PathLike[str] | Iterable[str]) -> tuple[str, ...]:
    """Return requirement lines: checked, sorted, each once.

    Args:
        value: Path of a requirements file (comments, blank lines and ``-r`` are understood), or requirement lines. One
            without a version gets the client's version where the client has that package.

    Raises:
        ConfigError: A file can't be read, or a line is no requirement or has an option; names the line.
    """
    if isinstance(value, str | os.PathLike):
        lines = list(_lines_of(Path(value), ()))
    else:
        lines = [(line.strip(), "requirements") for line in value]
    found = [_parse(line, where) for line, where in lines]
    versioned = {requirement.name for requirement in found if requirement.specifier}
    for requirement in found:
        if requirement.name not in versioned:
            requirement.specifier &= _client_version(requirement.name)
    return tuple(sorted({str(requirement) for requirement in found}))


def _lines_of(path: Path, outer: tuple[Path, ...]) -> Iterator[tuple[str, str]]:
    """Yield the requirement lines of a file and of those it includes, each with where it stands."""
    if path.resolve() in outer:
        raise ConfigError(f"requirements file {path} includes itself")
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"can't read requirements file {str(path)!r}: {error}; requirement lines are given as a list, "
            f"for example ['numpy', 'pandas>=2']"
        ) from None
    for number, raw in enumerate(text.split("\n"), 1):
        line = re.sub(r"(^|\s)#.*", "", raw).strip()
        included = re.fullmatch(r"(?:-r|--requirement)[ =]?\s*(.+)", line)
        if included:
            yield from _lines_of(path.parent / included[1], (*outer, path.resolve()))
        elif line:
            yield line, f"{path}, line {number}"


def _parse(line: str, where: str) -> Requirement:
    option = re.search(r"(?:^|\s)(--?[A-Za-z][\w-]*)", line)
    if option:
        raise ConfigError(
            f"{where}: {line!r} has option {option[1]}; only -r in a file is understood. Where packages come from is "
            f"set for uv, by UV_INDEX or uv.toml"
        )
    try:
        requirement = Requirement(line)
    except InvalidRequirement as error:
        reason = str(error).split("\n")[0]
        raise ConfigError(f"{where}: {line!r} is no requirement such as 'numpy' or 'numpy>=2': {reason}") from None
    if requirement.url:
        raise ConfigError(f"{where}: {line!r} names an address; write name==version of a package that has wheels")
    requirement.name = canonicalize_name(requirement.name)
    return requirement


def _client_version(name: str) -> SpecifierSet:
    """Return the client's version as a specifier; an empty one where the client lacks the package."""
    try:
        # Without a local part such as +cpu, which only some indexes know; the specifier matches it all the same.
        return SpecifierSet(f"=={Version(metadata.version(name)).public}")
    except metadata.PackageNotFoundError:
        return SpecifierSet()


def check_installed(requirements: Iterable[str], launcher_name: str) -> None:
    """Make sure that this Python has the requirements, for launchers whose tasks run in it.

    Raises:
        LauncherError: A package is missing or has another version; names all of them, and the command to install them.
    """

    def version_of(name: str) -> str | None:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            return None

    wrong = _unmet(requirements, version_of)
    if wrong:
        raise LauncherError(
            f"launcher {launcher_name!r} runs tasks in the client's Python, which does not meet the requirements: "
            f"{'; '.join(wrong.values())}. Install them, `{shlex.join(['pip', 'install', *wrong])}`, or use launcher "
            "'docker'"
        )


def check_packages(requirements: Iterable[str], packages: Iterable[str], place: str) -> None:
    """Make sure that a set of packages meets the requirements.

    Args:
        requirements: Requirement lines.
        packages: What there is, as ``name==version``.
        place: Where it is, for the message.

    Raises:
        LauncherError: A package is missing or has another version; names all of them.
    """
    versions = {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in packages)}
    wrong = _unmet(requirements, lambda name: versions.get(canonicalize_name(name)))
    if wrong:
        raise LauncherError(f"{place} does not meet the requirements: {'; '.join(wrong.values())}")


def _unmet(requirements: Iterable[str], version_of: Callable[[str], str | None]) -> dict[str, str]:
    """Return the requirement lines that are not met, each with why."""
    wrong = {}
    for line in requirements:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        version = version_of(requirement.name)
        if version is None:
            wrong[line] = f"{requirement.name} is not installed"
        elif not requirement.specifier.contains(version, prereleases=True):
            wrong[line] = f"{requirement.name} is {version}, required is {requirement.specifier}"
    return wrong


def resolve(
    requirements: Iterable[str],
    python: str,
    platform: str,
    *,
    constraints: Iterable[str] = (),
    client: bool = True,
    report: Callable[[str], object] = lambda line: None,
) -> str:
    """Return a lock: exact versions of the requirements and of all they need, with hashes.

    The answer is kept in the user's cache, so that an unchanged requirement means the same versions from then on.

    Args:
        requirements: Requirement lines.
        python: Full version of the Python that will import them.
        platform: What uv calls its platform, as ``x86_64-manylinux_2_28``.
        constraints: Pins that hold whatever the requirements say; these packages are left out of the lock.
        client: Whether the client's versions are preferred.
        report: Told when uv has to be asked.

    Raises:
        LauncherError: There is no such set of versions, in uv's own words.
    """
    requirements, constraints = sorted(requirements), sorted(constraints)
    if not requirements:
        return ""
    preferred = client_packages() if client else []
    question = json.dumps([requirements, python, platform, constraints, preferred])
    kept = cache_folder() / "locks" / f"{hashlib.sha256(question.encode()).hexdigest()[:32]}.txt"
    if kept.is_file():
        return kept.read_text("utf-8")
    report(f"resolving {', '.join(requirements)} for Python {python}, {platform}")
    with tempfile.TemporaryDirectory(prefix="faaslab-lock-") as name:
        folder = Path(name)
        (folder / "wanted.txt").write_text("\n".join(requirements), "utf-8")
        (folder / "constraints.txt").write_text("\n".join(constraints), "utf-8")
        lock = folder / "lock.txt"
        lock.write_text("\n".join(preferred), "utf-8")  # uv keeps to versions that it finds in its output file
        command = ["pip", "compile", "--generate-hashes", "--no-header", "--no-annotate", "--output-file", str(lock)]
        command += ["--constraints", str(folder / "constraints.txt"), str(folder / "wanted.txt")]
        _uv(command, python, platform, f"can't find versions for {', '.join(requirements)}{_given(constraints)}")
        text = _without(lock.read_text("utf-8"), {name for name, _ in _PIN.findall("\n".join(constraints))})
        _keep(kept, text)
    return text


def _given(constraints: Collection[str]) -> str:
    return f" given the worker's own {', '.join(constraints)}" if constraints else ""


def _without(lock: str, names: Collection[str]) -> str:
    """Return a lock without some packages."""
    entries = re.split(r"^(?=\S)", lock, flags=re.MULTILINE)
    return "".join(entry for entry in entries if (pin := _PIN.match(entry)) and pin[1] not in names)


def packages_of(lock: str) -> tuple[str, ...]:
    """Return the ``name==version`` of a lock."""
    return tuple(f"{name}=={version}" for name, version in _PIN.findall(lock))


def unpack(lock: str, folder: Path, python: str, platform: str) -> None:
    """Put the files of a lock's packages into a new folder, as they are imported from.

    Raises:
        LauncherError: One can't be had, in uv's own words.
    """
    folder.mkdir()
    if not lock:
        return
    with tempfile.NamedTemporaryFile("w", prefix="faaslab-lock-", suffix=".txt", encoding="utf-8") as file:
        file.write(lock)
        file.flush()
        command = ["pip", "install", "--no-deps", "--require-hashes", "--no-compile-bytecode", "--target", str(folder)]
        _uv([*command, "--requirements", file.name], python, platform, f"can't get {', '.join(packages_of(lock))}")


def _uv(command: list[str], python: str, platform: str, failed: str) -> None:
    """Run uv for another machine."""
    import uv

    target = ["--python-version", python, "--python-platform", platform, "--only-binary", ":all:"]
    # The interpreter matters to uv, though the version above is what counts.
    started = [uv.find_uv_bin(), *command, *target, "--python", sys.executable, "--quiet"]
    done = subprocess.run(
        started, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    if done.returncode != 0:
        # The words without the tree that is drawn beside them.
        words = " ".join(re.sub(r"[^\x00-\x7f]", " ", done.stderr).split()).removeprefix("error: ")
        raise LauncherError(f"{failed} (Python {python}, {platform}): {words}")


def client_packages() -> list[str]:
    """Return what the client has installed, as ``name==version``."""
    # Read off the names of folders: opening a few hundred metadata files would take longer than all else together.
    found: dict[str, str] = {}
    for folder in reversed(sys.path):
        for path in Path(folder).glob("*.dist-info"):
            name, _, version = path.stem.partition("-")
            found[canonicalize_name(name)] = version
    return [f"{name}=={version}" for name, version in sorted(found.items())]


def cache_folder() -> Path:
    """Return where answers are kept between sessions."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "faaslab"


def _keep(path: Path, text: str) -> None:
    """Write a file of the cache in one step."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            file.write(text)
        os.replace(file.name, path)
    except OSError as error:
        raise LauncherError(f"can't write to the cache {path.parent}: {error}; set XDG_CACHE_HOME") from None
