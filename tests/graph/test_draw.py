"""The picture of a DAG is small, safe and shows its shape."""

import xml.etree.ElementTree as ET

import pytest

from faaslab.graph import DAG, generators
from faaslab.graph.draw import MOST_BOXES, layout


def _svg(dag: DAG) -> ET.Element:
    html = dag._repr_html_()
    return ET.fromstring(html[html.index("<svg") : html.index("</svg>") + len("</svg>")])


def test_every_task_and_edge_is_drawn() -> None:
    """A small DAG has one box for each task and one line for each dependency."""
    svg = _svg(DAG(generators.diamond()))
    assert len(svg.findall("{*}g")) == 4
    assert len(svg.findall("{*}path")) == 4
    assert svg.findtext("{*}g/{*}title") == "one#0"


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>", "a&b", '"quoted"', "</svg><script>x</script>"])
def test_names_are_escaped(name: str) -> None:
    """Names of tasks and DAGs can't inject markup."""
    dag = DAG(generators.one.with_options(name=name)(), name=name)
    html = dag._repr_html_()
    assert "<img" not in html
    assert "<script" not in html
    assert _svg(dag).findtext("{*}g/{*}title") == f"{name}#0"


@pytest.mark.parametrize("lazy", [generators.chain(3000), generators.fan(3000), generators.tree(1024)])
def test_large_dags_are_summarised(lazy: object) -> None:
    """Tasks of one name and level share a box, and the number of boxes is bounded."""
    dag = DAG(lazy)
    assert len(_svg(dag).findall("{*}g")) <= MOST_BOXES
    assert f"{len(dag):,} tasks" in dag._repr_html_()


def test_empty_dag_is_drawn() -> None:
    """A DAG without tasks has a picture without boxes."""
    assert _svg(DAG([])).findall("{*}g") == []


def test_layout_crosses_few_edges() -> None:
    """Parallel chains that were created in opposite orders are drawn without a crossing."""
    levels = [0, 0, 0, 1, 1, 1]
    upstreams = [[], [], [], [2], [1], [0]]
    rows = [row for _, row in layout(levels, upstreams)]
    assert sorted(range(3), key=rows.__getitem__) == [2 - (t - 3) for t in sorted(range(3, 6), key=rows.__getitem__)]
