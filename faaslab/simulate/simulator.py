"""Simulating many plans of one DAG: flattened once, and compiled once that pays, where numba is installed."""

from collections.abc import Iterator, Sequence
from importlib.util import find_spec

from faaslab.model.estimates import Estimates
from faaslab.model.platform import Platform
from faaslab.plan import DagView, Plan
from faaslab.simulate import kernel
from faaslab.simulate.draws import Draws
from faaslab.simulate.flat import FlatDag, filled_list, listed
from faaslab.simulate.placement import Layout, Placement, arrange, place, place_layout
from faaslab.simulate.simulation import Simulation, run_columns

COMPILE_AFTER = 300_000
"""Simulated tasks that take plain Python about as long as it takes to load what numba has compiled before: whoever has
asked for so many is likely to ask for more."""


class Simulator:
    """Simulates plans of one DAG on one platform. What comes out does not depend on whether numba is there.

    Args:
        dag: The DAG.
        estimates: How long its tasks take and how large their outputs are.
        platform: Where they run.

    Attributes:
        platform: Where tasks run.
        flat: The DAG with its estimates.
        spent: How many tasks have been simulated.

    Raises:
        ConfigError: An estimate is negative or not a number.
    """

    def __init__(self, dag: DagView, estimates: Estimates, platform: Platform) -> None:
        self.platform = platform
        self.flat = FlatDag.of(dag, estimates)
        self.spent = 0
        self._expected = 0
        self._compiled: FlatDag | None = None

    def expect(self, tasks: int) -> None:
        """Say how many tasks are going to be simulated: compiling pays at once if they are many."""
        self._expected = max(self._expected, self.spent + tasks)

    def place(self, plan: Plan, *, runs: int = 1) -> Placement:
        """Return a plan as ``run`` takes it; that it can be run is not checked.

        Args:
            plan: The plan.
            runs: How often it is going to be run, for the choice of what runs it.

        Raises:
            ConfigError: An execution time is negative or not a number.
        """
        flat = self._flat((runs - 1) * len(plan))
        if flat is self.flat:
            return place(flat, plan, self.platform)
        from faaslab.simulate.compiled import place_compiled

        return place_compiled(flat, plan, self.platform)

    def place_layout(self, layout: Layout) -> Placement:
        """Return a layout as ``run`` takes it; its columns are lists or numpy arrays."""
        flat = self._flat()
        if flat is self.flat:
            return place_layout(flat, layout, self.platform, arrange, listed, filled_list)
        from faaslab.simulate.compiled import place_layout_compiled

        return place_layout_compiled(flat, layout, self.platform)

    def _flat(self, soon: int = 0) -> FlatDag:
        """Return the DAG as lists, or as arrays once that pays off, ``soon`` simulated tasks later."""
        spent = max(self.spent + soon, self._expected)
        if self._compiled is None and spent >= COMPILE_AFTER and find_spec("numba") is not None:
            from faaslab.simulate.compiled import compiled_dag

            self._compiled = compiled_dag(self.flat)
        return self.flat if self._compiled is None else self._compiled

    def run(self, placement: Placement, draws: Draws | None = None) -> Simulation:
        """Simulate one run of a placement that ``place`` has returned; see ``run_placement``."""
        return next(self.run_all(placement, [draws]))

    def run_all(self, placement: Placement, runs: Sequence[Draws | None]) -> Iterator[Simulation]:
        """Simulate a placement that ``place`` has returned with the luck of each run; see ``run_placement``."""
        self.spent += len(runs) * len(placement.worker_of)
        if isinstance(placement.exec_s, list):
            return run_columns(placement, runs, kernel.run_events, listed, filled_list)
        from faaslab.simulate.compiled import run_all_compiled

        return run_all_compiled(placement, runs)
