"""An optimization of one's own, for instance written in a notebook cell: what it adds to a plan, what workers do, and
how the simulator accounts for it.

::

    class Compression(fl.Optimization):
        name = "compression"

        def outgoing(self, task, frame):                # worker: what is stored in place of an output
            return zlib.compress(frame, 1) if len(frame) > 100_000 else None

        def incoming(self, task, data):                 # worker: and back again
            return zlib.decompress(data)

        def effect(self, task, output_bytes):           # simulator: what that changes
            if output_bytes <= 100_000:
                return None
            return fl.Effect(output_bytes / 4, outgoing_s=output_bytes / 100e6, incoming_s=output_bytes / 400e6)

    plan = dag.plan("heft", optimizations=["preload", Compression()])

It travels to real workers by value, like the code of tasks. ``plan`` may change anything in a plan: assignments,
the run-time policy, or the instructions of shipped optimizations (``faaslab.plan.Instructions``).
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Effect:
    """What an optimization changes about an output on its way through the store, for the simulator.

    Attributes:
        stored_bytes: What is stored and fetched in place of it.
        outgoing_s: Seconds that its worker takes to make that.
        incoming_s: Seconds that each worker that fetches it takes to undo that.
    """

    stored_bytes: float
    outgoing_s: float = 0.0
    incoming_s: float = 0.0


class Optimization:
    """Base class of optimizations; each part by default does nothing.

    Attributes:
        name: Name that plans and traces show; set it in the class.
    """

    name: str = ""

    def plan(self, dag: Any, plan: Any, ctx: Any, /) -> Any:
        """Return the plan with what this optimization adds to it.

        Args:
            dag: The DAG (``faaslab.plan.DagView``).
            plan: The plan so far (``faaslab.Plan``).
            ctx: What planners are told (``faaslab.PlanContext``): sizes, predictor, ``simulate``.
        """
        return plan

    def outgoing(self, task: str, frame: bytes, /) -> bytes | None:
        """Return what is stored in place of an output's serialized form; None: that itself.

        Asked by the worker that stores it. Outputs that the client asked for are stored as they are.
        """
        return None

    def incoming(self, task: str, data: bytes, /) -> bytes:
        """Return the serialized form of an output from what ``outgoing`` made of it."""
        return data

    def effect(self, task: str, output_bytes: float, /) -> Effect | None:
        """Return what ``outgoing`` and ``incoming`` change about an output of a task; None: nothing."""
        return None


def works(optimization: Optimization) -> bool:
    """Return whether workers or the simulator have anything to do for an optimization, beyond what a plan says."""
    parts = ("outgoing", "incoming", "effect")
    return any(getattr(type(optimization), name) is not getattr(Optimization, name) for name in parts)
