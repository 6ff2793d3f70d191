"""The workflow language as users write it, checked by mypy and not run.

A wrong use must be an error: strict mypy refuses an ignore comment that nothing needs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, assert_type

import faaslab as fl
from faaslab.graph import TaskItem


@fl.task
def split(text: str, n: int = 4) -> list[str]:
    return [text[start::n] for start in range(n)]


@fl.task(memory_mib=1024, retries=2, timeout_s=60, pure=True, name="count words", expected_s=1.5, output_bytes=100)
def count(chunk: str) -> dict[str, int]:
    return dict.fromkeys(chunk.split(), 1)


@fl.task
def merge(counts: list[dict[str, int]]) -> dict[str, int]:
    return {word: number for part in counts for word, number in part.items()}


@fl.task
def keyword_only(x: int, *, scale: float) -> float:
    return x * scale


@fl.task
def largest(*values: int) -> int:
    return max(values)


@fl.task
async def download(address: str) -> bytes:
    return address.encode()


@fl.task
def lines(text: str) -> Iterator[str]:
    yield from text.splitlines()


@fl.task
def nothing() -> None:
    pass


@fl.task
def seven(a: int, b: int, c: int, d: int, e: int, f: int, g: str) -> str:
    return g * (a + b + c + d + e + f)


@fl.task(outputs=2)
def divide(x: int, y: int) -> tuple[int, int]:
    return divmod(x, y)


class Model:
    """A class with a method that is a task."""

    @fl.task
    def predict(self, x: int) -> float:
        return float(x)


chunks = split("some text", 16)
assert_type(chunks, fl.Task[list[str]])
assert_type(split("some text"), fl.Task[list[str]])
assert_type(split("some text", n=3), fl.Task[list[str]])
assert_type(split.fn("some text", 16), list[str])
assert_type(split.with_options(retries=5)("some text"), fl.Task[list[str]])
assert_type(chunks.compute(), list[str])

counted = count("a chunk")
assert_type(counted, fl.Task[dict[str, int]])
assert_type(merge([count(part) for part in ("a", "b")]), fl.Task[dict[str, int]])
assert_type(merge([{"a": 1}]), fl.Task[dict[str, int]])
assert_type(keyword_only(1, scale=2.0), fl.Task[float])
assert_type(largest(1, largest(2, 3), 4, 5, 6, 7, 8), fl.Task[int])
assert_type(download("here"), fl.Task[bytes])
assert_type(count(lines("text").compute()[0]), fl.Task[dict[str, int]])
assert_type(lines("text"), fl.Task[list[str]])
assert_type(nothing(), fl.Task[None])
assert_type(seven(1, 2, 3, 4, 5, 6, "x"), fl.Task[str])
assert_type(fl.task(len)([1]), fl.Task[int])

quotient, remainder = divide(7, 2)
assert_type(quotient, TaskItem[Any])
largest(quotient, remainder)

dag = fl.DAG([chunks, counted], name="words")
assert_type(len(dag), int)
assert_type(dag.structure_hash, str)


class Neighbours:
    """A policy of one's own."""

    name = "neighbours"

    def choose(self, task: str, output_bytes: int, candidates: Sequence[fl.Candidate]) -> fl.Choice:
        return fl.Choice(take=2, first=[candidate for candidate in candidates if candidate.inputs == 1])


policy: fl.Policy = Neighbours()
planned: fl.Plan = replace(dag.plan("wukong"), policy=policy)
stays = fl.Assignment("w", 1769)
leaves = fl.Assignment("w", 1769, wait="leave")
fl.Assignment("w", 1769, wait="go")  # type: ignore[arg-type]

split(5)  # type: ignore[arg-type]
split(counted)  # type: ignore[arg-type]
split("text", 4, 5)  # type: ignore[call-arg]
count(1.5)  # type: ignore[arg-type]
for _part in chunks:  # type: ignore[attr-defined]
    pass
len(chunks)  # type: ignore[arg-type]
chunks[0]  # type: ignore[index]
chunks + chunks  # type: ignore[operator]
fl.task(memory="1 GiB")  # type: ignore[call-overload]
