"""What is to be seen in a figure, and predictions to draw."""

import io
import random

from matplotlib.figure import Figure
from matplotlib.text import Text

from faaslab.model.sla import Sla
from faaslab.plan import Plan
from faaslab.plan.predicted import Distribution, Predicted
from faaslab.simulate import simulate_plan
from faaslab.viz import paper_style
from tests.plan.dags import DIAMOND, FakeDag
from tests.simulate.scene import Known, plan_of, platform


def texts(figure: Figure) -> list[str]:
    """Return all visible texts of a figure."""
    return [text.get_text() for text in figure.findobj(Text) if text.get_visible() and text.get_text()]


def sticks_out_in(figure: Figure) -> float:
    """Return by how many inches anything drawn sticks out of a figure once it is laid out."""
    with paper_style():
        figure.savefig(io.BytesIO(), format="png", dpi=100)
        box = figure.get_tightbbox()
    width_in, height_in = figure.get_size_inches()
    return max(-box.x0, -box.y0, box.x1 - width_in, box.y1 - height_in)


def layered(width: int, depth: int) -> FakeDag:
    """Return a DAG of layers, each task of which takes two of the layer before."""
    wiring: list[tuple[int, ...]] = [()] * width
    for layer in range(1, depth):
        first = (layer - 1) * width
        wiring += [tuple(sorted({first + task, first + (task + 1) % width})) for task in range(width)]
    return FakeDag(tuple(wiring), name="layered")


def predicted_plan(
    dag: FakeDag = DIAMOND, workers: int = 2, *, sla: str = "p90", basis_of: tuple[str, ...] | None = None
) -> tuple[Plan, Predicted]:
    """Return a plan that deals tasks out to workers (0: all decided at run time), and a made-up prediction of it.

    A task takes one second and its median run what is simulated; other runs are spread around that.
    """
    names = [f"w{task % workers}" if workers else None for task in range(len(dag))]
    plan = plan_of(dag, names)
    simulation = simulate_plan(dag, plan, Known([1.0] * len(dag)), platform())
    rng = random.Random(0)
    factors = sorted(rng.lognormvariate(0.0, 0.2) for _ in range(200))
    return plan, Predicted(
        sla=Sla.named(sla),
        makespan=Distribution(tuple(simulation.makespan_s * factor for factor in factors)),
        cost=Distribution(tuple(simulation.cost_usd * factor for factor in factors)),
        trace=simulation.trace(),
        critical_path=simulation.critical_path(),
        why=simulation.why,
        basis_of=("measured",) * len(dag) if basis_of is None else basis_of,
    )
