"""From names of tasks and files to edges, upstream tasks first."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from faaslab.errors import CycleError
from faaslab.graph.wfformat.document import Document, Draft
from faaslab.graph.wfformat.instance import WfEdge, WfFile, WfTask

_SHOWN = 10
"""How many tasks of a cycle a message lists."""


class Resolver:
    """Turns names of tasks and files into edges, and puts upstream tasks first."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._drafts = document.drafts

    def resolved(self) -> tuple[tuple[WfTask, ...], tuple[WfFile, ...], tuple[WfEdge, ...]]:
        """Return tasks, files and edges."""
        document, drafts = self._document, self._drafts
        waits = self._declared()
        files, number_of, external = self._moved(waits)
        order = self._order(waits)
        place = {number: t for t, number in enumerate(order)}
        tasks = tuple(
            WfTask(
                id=draft.id,
                name=draft.name,
                kind=draft.kind,
                runtime_s=draft.runtime_s,
                cores=draft.cores,
                memory_bytes=draft.memory_bytes,
                machines=draft.machines,
                outputs=tuple([number_of[name] for name in dict.fromkeys(draft.outputs)]),
                external=tuple([number_of[name] for name in external[number]]),
            )
            for number in order
            for draft in (drafts[number],)
        )
        edges = tuple(
            WfEdge(upstream, t, tuple([number_of[name] for name in names]))
            for t, number in enumerate(order)
            for upstream, names in sorted((place[one], names) for one, names in waits[number].items())
        )
        unsaid = [name for name in number_of if name not in document.sizes]
        if unsaid:
            few = ", ".join(repr(name) for name in unsaid[:3])
            document.notes.append(f"{len(unsaid)} files have no size: taken as 0 bytes ({few}…)")
        return tasks, files, edges

    def _declared(self) -> list[dict[int, list[str]]]:
        """Return what each task waits for by parents and children; the lists are for files."""
        waits: list[dict[int, list[str]]] = [{} for _ in self._drafts]
        for number, draft in enumerate(self._drafts):
            for key, names in (("parents", draft.parents), ("children", draft.children)):
                for name in names:
                    other = self._task(name, draft, key)
                    if other == number:
                        raise CycleError(
                            f"{self._document.source}: {draft.where}.{key}: task {name!r} waits for itself"
                        )
                    waiting, upstream = (number, other) if key == "parents" else (other, number)
                    waits[waiting].setdefault(upstream, [])
        return waits

    @cached_property
    def _by_name(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for number, draft in enumerate(self._drafts):
            found.setdefault(draft.name, []).append(number)
        return found

    def _task(self, name: str, draft: Draft, key: str) -> int:
        number = self._document.by_id.get(name)
        if number is not None:
            return number
        named = self._by_name.get(name, ())
        if len(named) == 1:
            return named[0]
        where = f"{draft.where}.{key}"
        if named:
            self._document.fail(where, f"{name!r} is the name of {len(named)} tasks and the id of none")
        self._document.fail(where, f"there is no task {name!r}")

    def _moved(self, waits: list[dict[int, list[str]]]) -> tuple[tuple[WfFile, ...], dict[str, int], list[list[str]]]:
        """Add to ``waits`` the files that move; return all files, their numbers, and each task's external ones."""
        sizes = self._document.sizes
        number_of = {name: number for number, name in enumerate(sizes)}
        writers: dict[str, list[int]] = {}
        for number, draft in enumerate(self._drafts):
            for name in dict.fromkeys(draft.outputs):
                number_of.setdefault(name, len(number_of))
                writers.setdefault(name, []).append(number)
        external: list[list[str]] = []
        for number, draft in enumerate(self._drafts):
            own: list[str] = []
            for name in dict.fromkeys(draft.inputs):
                number_of.setdefault(name, len(number_of))
                # A task that reads what it writes itself updates a file that is there before.
                found = [writer for writer in writers.get(name, ()) if writer != number]
                if len(found) > 1:
                    found = self._parents_among(found, waits[number], name, draft)
                for writer in found:
                    waits[number].setdefault(writer, []).append(name)
                if not found:
                    own.append(name)
            external.append(own)
        return tuple([WfFile(name, sizes.get(name, 0)) for name in number_of]), number_of, external

    def _parents_among(self, writers: list[int], waits: Iterable[int], name: str, draft: Draft) -> list[int]:
        parents = set(waits)
        found = [writer for writer in writers if writer in parents]
        if not found:
            ids = ", ".join(repr(self._drafts[writer].id) for writer in writers[:3])
            self._document.fail(
                f"{draft.where}.{draft.reads}",
                f"file {name!r} is written by {len(writers)} tasks ({ids}…), none of them a parent: which is meant?",
            )
        return found

    def _order(self, waits: Sequence[Mapping[int, Any]]) -> list[int]:
        """Return the tasks, upstream ones first, otherwise as listed."""
        missing = [len(upstreams) for upstreams in waits]
        successors: list[list[int]] = [[] for _ in waits]
        for number, upstreams in enumerate(waits):
            for upstream in upstreams:
                successors[upstream].append(number)
        ready = [number for number, count in enumerate(missing) if not count]
        order: list[int] = []
        while ready:
            number = heapq.heappop(ready)
            order.append(number)
            for successor in successors[number]:
                missing[successor] -= 1
                if not missing[successor]:
                    heapq.heappush(ready, successor)
        if len(order) < len(waits):
            raise self._cycle(waits, missing)
        return order

    def _cycle(self, waits: Sequence[Mapping[int, Any]], missing: Sequence[int]) -> CycleError:
        """Follow unfinished upstream tasks until one comes up again."""
        path: dict[int, None] = {}
        number = next(number for number, count in enumerate(missing) if count)
        while number not in path:
            path[number] = None
            number = next(upstream for upstream in waits[number] if missing[upstream])
        steps = list(path)
        cycle = steps[steps.index(number) :][::-1]
        ids = [self._drafts[step].id for step in cycle]
        shown = [*ids[:_SHOWN], "…"] if len(ids) > _SHOWN else ids
        return CycleError(
            f"{self._document.source}: {self._drafts[cycle[0]].where}: tasks wait for each other in a cycle of length "
            f"{len(ids)}: {' → '.join([*shown, ids[0]])}"
        )
