"""A picture of a DAG as dependency-free SVG: levels from left to right, few crossings, at most a few hundred boxes."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faaslab.graph.dag import DAG

MOST_BOXES = 250
_SWEEPS = 4
_COLUMN_PX, _ROW_PX = 150, 34
_BOX_WIDTH_PX, _BOX_HEIGHT_PX = 116, 24
_LABEL_CHARACTERS = 17


def layout(levels: Sequence[int], upstreams: Sequence[Sequence[int]]) -> list[tuple[int, float]]:
    """Return (column, row) of each task: columns are levels, rows are centred and ordered to cross few edges.

    Tasks move to the mean row of their neighbours, upstream and downstream in turn (barycentre heuristic of Sugiyama,
    Tagawa and Toda 1981).

    Args:
        levels: Level of each task.
        upstreams: Upstream tasks of each task, in smaller levels.
    """
    members: list[list[int]] = [[] for _ in range(max(levels, default=-1) + 1)]
    for task, level in enumerate(levels):
        members[level].append(task)
    successors: list[list[int]] = [[] for _ in levels]
    for task, ups in enumerate(upstreams):
        for upstream in ups:
            successors[upstream].append(task)
    row = [0.0] * len(levels)

    def place(column: list[int]) -> None:
        for position, task in enumerate(column):
            row[task] = position - (len(column) - 1) / 2

    for column in members:
        place(column)
    for sweep in range(_SWEEPS):
        neighbours: Sequence[Sequence[int]] = successors if sweep % 2 else upstreams
        for column in reversed(members) if sweep % 2 else members:
            wanted = {
                task: sum(row[n] for n in neighbours[task]) / len(neighbours[task]) if neighbours[task] else row[task]
                for task in column
            }
            column.sort(key=wanted.__getitem__)
            place(column)
    return list(zip(levels, row, strict=True))


def draw_html(dag: "DAG") -> str:
    """Return a DAG as an HTML fragment; a large one with tasks of one name and level as one box."""
    boxes = {t: t for t in range(len(dag))} if len(dag) <= MOST_BOXES else _groups(dag)
    labels: dict[int, str] = {}
    counts: dict[int, int] = {}
    for task, box in boxes.items():
        labels.setdefault(box, dag.ids[task])
        counts[box] = counts.get(box, 0) + 1
    caption = f"{len(dag):,} tasks, {len(dag.sinks):,} outputs, critical path {dag.critical_path_length:,} tasks"
    shown = list(labels)[:MOST_BOXES]
    if len(shown) < len(labels):
        caption += f"; the first {len(shown)} of {len(labels):,} groups are drawn"
    number = {box: index for index, box in enumerate(shown)}
    edges = _edges(dag, boxes, number)
    positions = layout([dag.levels[box] for box in shown], edges)
    sinks = {boxes[sink] for sink in dag.sinks}
    texts = [
        labels[box] if counts[box] == 1 else f"{labels[box].rpartition('#')[0]} ×{counts[box]:,}"  # noqa: RUF001
        for box in shown
    ]
    svg = _svg(positions, edges, texts, [box in sinks for box in shown])
    return f'<div class="faaslab-dag"><p><b>{escape(dag.name)}</b>: {caption}</p>{svg}</div>'


def _groups(dag: "DAG") -> dict[int, int]:
    """Return for each task the first task of its name and level."""
    first: dict[tuple[str, int], int] = {}
    return {t: first.setdefault((dag.kinds[dag.kind_of[t]].name, dag.levels[t]), t) for t in range(len(dag))}


def _edges(dag: "DAG", boxes: Mapping[int, int], number: Mapping[int, int]) -> list[list[int]]:
    """Return the boxes upstream of each shown box."""
    found: list[set[int]] = [set() for _ in number]
    for task, box in boxes.items():
        if box in number:
            found[number[box]].update(number[boxes[u]] for u in dag.upstreams(task) if boxes[u] in number)
    return [sorted(upstreams) for upstreams in found]


def _svg(
    positions: Sequence[tuple[int, float]],
    edges: Sequence[Sequence[int]],
    texts: Sequence[str],
    is_sink: Sequence[bool],
) -> str:
    columns = max((column for column, _ in positions), default=0) + 1
    top = min((row for _, row in positions), default=0.0)
    rows = max((row for _, row in positions), default=0.0) - top + 1
    width, height = columns * _COLUMN_PX, int(rows * _ROW_PX)
    corner = [(column * _COLUMN_PX + 8, (row - top) * _ROW_PX + 5) for column, row in positions]
    middle = _BOX_HEIGHT_PX / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="11" style="max-width:none">'
    ]
    for box, upstreams in enumerate(edges):
        x, y = corner[box]
        for upstream in upstreams:
            from_x, from_y = corner[upstream][0] + _BOX_WIDTH_PX, corner[upstream][1] + middle
            bend = (from_x + x) / 2
            parts.append(
                f'<path d="M{from_x:g} {from_y:g}C{bend:g} {from_y:g} {bend:g} {y + middle:g} {x:g} {y + middle:g}" '
                'fill="none" stroke="#9aa5b1"/>'
            )
    for (x, y), text, sink in zip(corner, texts, is_sink, strict=True):
        label = text if len(text) <= _LABEL_CHARACTERS else f"{text[: _LABEL_CHARACTERS - 1]}…"
        fill, stroke = ("#d7ecd9", "#2f7d3b") if sink else ("#e6effa", "#3a6ea5")
        parts.append(
            f'<g><title>{escape(text)}</title><rect x="{x:g}" y="{y:g}" width="{_BOX_WIDTH_PX}" '
            f'height="{_BOX_HEIGHT_PX}" rx="5" fill="{fill}" stroke="{stroke}"/>'
            f'<text x="{x + _BOX_WIDTH_PX / 2:g}" y="{y + middle + 4:g}" text-anchor="middle" fill="#1f2933">'
            f"{escape(label)}</text></g>"
        )
    return "".join([*parts, "</svg>"])
