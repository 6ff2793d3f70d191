"""Word count of a real corpus: the sources of the Python standard library, which are on every machine.

::

    text 0   text 1   text 2   text 3        chunks of the corpus, cut at line ends
      |        |        |        |
    count    count    count    count         count_words
       \\      /          \\      /
        merge              merge             merge_counts, a tree of ``merge_width``
             \\            /
                  merge

Chunks are constants of the DAG: their texts are stored once per run and fetched by the workers that count them, as a
function fetches its input from an object store. A task given paths would need the client's files on every worker,
which a container does not have.
"""

import re
import sysconfig
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import faaslab as fl
from experiments.workflows.workflow import Workflow, WrongResult

OPTIONAL_FOLDERS = frozenset({"distutils", "ensurepip", "idlelib", "lib2to3", "test", "tests", "tkinter", "turtledemo"})
"""Not in the corpus: parts of the library that some distributions leave out."""
PACKAGE_FOLDERS = frozenset({"dist-packages", "site-packages"})
"""Not in the corpus: no part of the library."""


@dataclass(frozen=True, slots=True)
class Params:
    """What is counted and how it is cut.

    Attributes:
        corpus_bytes: Size of the corpus: the first files, in order of their path, that reach it.
        chunks: Number of texts that are counted in parallel.
        merge_width: How many counts one task merges.

    Raises:
        fl.ConfigError: A number is out of its range.
    """

    corpus_bytes: int
    chunks: int
    merge_width: int = 4

    def __post_init__(self) -> None:
        for name, least in (("corpus_bytes", 1), ("chunks", 1), ("merge_width", 2)):
            if getattr(self, name) < least:
                raise fl.ConfigError(f"word_count: {name} is {getattr(self, name)}, must be at least {least}")


SMOKE = Params(corpus_bytes=200_000, chunks=4)
PAPER = Params(corpus_bytes=8_000_000, chunks=64)


@fl.task
def count_words(text: str) -> Counter[str]:
    """Count the words of a text; a word is a run of letters, in lower case."""
    return Counter(re.findall(r"[a-z]+", text.lower()))


@fl.task
def merge_counts(counts: Sequence[Counter[str]]) -> Counter[str]:
    """Add counts up."""
    total: Counter[str] = Counter()
    for part in counts:
        total.update(part)
    return total


def build(params: Params) -> Workflow:
    """Return the workflow.

    Raises:
        fl.ConfigError: This machine's standard library is smaller than the corpus should be.
    """
    corpus = read_corpus(params.corpus_bytes)
    level: list[fl.Task[Counter[str]]] = [count_words(text) for text in cut(corpus, params.chunks)]
    while len(level) > 1:
        groups = [level[start : start + params.merge_width] for start in range(0, len(level), params.merge_width)]
        level = [merge_counts(group) if len(group) > 1 else group[0] for group in groups]
    expected = Counter(re.findall(r"[a-z]+", corpus.lower()))

    def verify(result: Counter[str]) -> None:
        if result != expected:
            word = next(iter((result - expected) | (expected - result)))
            raise WrongResult(f"word_count: {word!r} was counted {result[word]} times, occurs {expected[word]} times")

    return Workflow(fl.DAG(level[0], name="word_count"), verify)


def read_corpus(corpus_bytes: int) -> str:
    """Return sources of the standard library, in order of their path: the first files that reach ``corpus_bytes``.

    Raises:
        fl.ConfigError: There are fewer.
    """
    root = Path(sysconfig.get_path("stdlib"))
    texts = []
    size_bytes = 0
    left_out = OPTIONAL_FOLDERS | PACKAGE_FOLDERS
    paths = [path for path in root.rglob("*.py") if left_out.isdisjoint(path.relative_to(root).parts)]
    for path in sorted(paths, key=lambda path: path.relative_to(root).as_posix()):
        content = path.read_bytes()
        texts.append(content.decode("utf-8", "replace"))
        size_bytes += len(content)
        if size_bytes >= corpus_bytes:
            return "".join(texts)
    raise fl.ConfigError(
        f"word_count: corpus_bytes is {corpus_bytes}, the sources of the standard library in {root} have {size_bytes}"
    )


def cut(text: str, chunks: int) -> list[str]:
    """Return ``chunks`` texts of about equal length that make up ``text``, cut at line ends."""
    pieces = []
    start = 0
    for number in range(1, chunks + 1):
        goal = len(text) * number // chunks
        end = len(text) if number == chunks else text.rfind("\n", start, goal) + 1 or start
        pieces.append(text[start:end])
        start = end
    return pieces
