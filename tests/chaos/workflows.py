"""Workflows that take long enough to be shot at, with results known beforehand."""

from pathlib import Path

import faaslab as fl


@fl.task
def step(seconds: float, number: int, *inputs: int) -> int:
    """Take a while, then return a number that depends on all inputs."""
    import time

    time.sleep(seconds)
    result = number
    for value in inputs:
        result = (result * 31 + value + 1) % 2147483647
    return result


@fl.task
def announced(path: str, seconds: float) -> int:
    """Say where it runs, then take a while; a second attempt takes no time."""
    import os
    import time

    with open(path, "a") as file:
        file.write(f"{os.getpid()}\n")
    with open(path) as file:
        attempts = len(file.readlines())
    if attempts == 1:
        time.sleep(seconds)
    return attempts


def pids(path: Path) -> list[int]:
    """Return the processes in which ``announced`` began."""
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def mesh(layers: int, width: int, seconds: float) -> "fl.Task[int]":
    """Return layers of tasks that each take two of the layer before."""
    return _mesh(layers, width, lambda number, *inputs: step(seconds, number, *inputs))  # type: ignore[no-any-return]


def mesh_value(layers: int, width: int) -> int:
    """Return the value of ``mesh``."""
    return _mesh(layers, width, lambda number, *inputs: step.fn(0.0, number, *inputs))  # type: ignore[no-any-return]


def _mesh(layers, width, make):  # type: ignore[no-untyped-def]
    previous = [make(number) for number in range(width)]
    for layer in range(1, layers):
        previous = [
            make(layer * width + place, previous[place], previous[(place + layer) % width]) for place in range(width)
        ]
    return make(-1, *previous)
