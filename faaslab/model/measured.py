"""Platforms as they were measured: what runs on a launcher have cost beside their tasks.

::

    submit ─► cold start ─► task: load │ fetch │ execute │ serialize, store │ report ─► next task
    submit_s  cold_start_s  task_s       in                out                 store_latency_s

A launcher is told from another by its name and by what it emulates. Numbers are those of its runs alone, and say of
how many samples they are; nothing is taken from a launcher that has not run.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

from faaslab.config import Config
from faaslab.errors import ConfigError
from faaslab.graph.dag import DAG
from faaslab.model.knowledge import HistoryLike, snapshot_of
from faaslab.model.ladder import Line
from faaslab.model.platform import Platform, platform_named, usable_cores
from faaslab.model.profiles import DEFAULT_KEEP_ALIVE_S, PlatformProfile
from faaslab.model.regression import LEAST_S
from faaslab.model.samples import MEASURED, WHATS, SampleColumns, What, emulated, model_name, samples_of, source_of
from faaslab.model.sizes import MIB_PER_VCPU
from faaslab.trace.trace import Trace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LAUNCHERS = {"process": "ProcessLauncher", "docker": "DockerLauncher"}
"""Names of launchers that can be planned for."""
ENOUGH_TRANSFERS = 6
"""With fewer transfers their latency and bandwidth say nothing."""
_NAMES: dict[What, str] = {
    "cold": "cold starts",
    "warm": "warm starts",
    "in": "inputs fetched",
    "out": "outputs stored",
    "task": "ways from task to task",
    "first": "first tasks",
    "submit": "submissions",
}
_CORE_STEP = 0.05
_LEAST_CORES = 0.25


class MeasuredLauncher(Protocol):
    """What has to be known of a launcher to predict for it; see ``launchers.settings.EmulatingLauncher``."""

    @property
    def name(self) -> str: ...
    @property
    def concurrency(self) -> int: ...
    @property
    def enforces_sizes(self) -> bool: ...
    @property
    def vcpu_budget(self) -> float: ...
    @property
    def memory_budget_mib(self) -> float: ...
    @property
    def keep_alive_in_force_s(self) -> float: ...
    @property
    def initial_pool(self) -> str: ...
    def settings(self) -> dict[str, Any]: ...


def platform_from(
    platform: "str | Platform | MeasuredLauncher", history: HistoryLike = None, dag: object = None
) -> Platform:
    """Return the platform that plans are made for.

    Args:
        platform: A platform; the name of a profile (``"lambda"``, ``"openwhisk"``, ``"this machine"``, ``"none"``); or
            a launcher, by name (``"process"``, ``"docker"``) or as an object: what its runs in the history have shown
            it to be.
        history: Where these runs are; see ``HistoryLike``.
        dag: What is planned: how long containers take to import what its tasks import is learnt from them alone, if
            they have run.

    Raises:
        ConfigError: There is no such platform, or the history has too few runs of the launcher.
    """
    if isinstance(platform, Platform):
        return platform
    if isinstance(platform, str):
        if platform not in LAUNCHERS:
            return platform_named(platform)
        from faaslab import launchers

        launcher: MeasuredLauncher = getattr(launchers, LAUNCHERS[platform])()
    elif callable(getattr(platform, "settings", None)) and hasattr(platform, "keep_alive_in_force_s"):
        launcher = platform
    else:
        raise ConfigError(f"platform is {platform!r}, must be a Platform, a launcher, or the name of one of them")
    return measured_platform(launcher, history, dag)


def measured_platform(launcher: MeasuredLauncher, history: HistoryLike = None, dag: object = None) -> Platform:
    """Return the platform that a launcher is, by its runs.

    The first containers of a run are predicted to start cold unless the launcher's ``initial_pool`` is ``"primed"``.

    Args:
        launcher: The launcher.
        history: Where its runs are; see ``HistoryLike``.
        dag: See ``platform_from``.

    Raises:
        ConfigError: There are too few.
    """
    emulates = emulated(launcher.settings())
    called = f"{launcher.name!r}" + (f" that emulates {emulates!r}" if emulates != "none" else "")
    snapshot = snapshot_of(history)
    columns = None if snapshot is None else _runs_of(snapshot.columns, launcher.name, emulates, dag)
    found = None if columns is None else _Measured.of(columns)
    lacks = found.lacks(ENOUGH_TRANSFERS) if found else "no run"
    if found is None or lacks:
        raise ConfigError(
            f"the history has {lacks} of launcher {called}: run the workflow on it, or "
            f"dag.profile(sizes, launcher=…), before planning for it; or plan for a profile such as 'this machine'"
        )
    assert columns is not None
    cores, budget = usable_cores(), launcher.vcpu_budget
    if launcher.enforces_sizes and math.isinf(budget):
        budget = float(max(1, cores - 1))  # not prepared yet: what it will find
    return Platform(
        found.profile(
            launcher.name,
            f"launcher {called}",
            keep_alive_s=launcher.keep_alive_in_force_s,
            primed=launcher.initial_pool == "primed",
        ),
        concurrency=launcher.concurrency,
        cores=_effective_cores(columns, launcher.enforces_sizes, float(cores)),
        vcpus=budget,
        memory_mib=launcher.memory_budget_mib,
        sizes_enforced=launcher.enforces_sizes,
    )


def platform_of_run(trace: Trace, dag: DAG) -> Platform:
    """Return the platform that a single run of a launcher has shown, to simulate that run again.

    Its executions were as long as they were, so no cores are shared.

    Args:
        trace: The run.
        dag: What was run.

    Raises:
        ConfigError: It has started no container, or stored no output.
    """
    samples = samples_of(trace, dag)
    found = _Measured.of(SampleColumns.of([(source_of(trace, 0.0), samples)]))
    lacks = found.lacks(1)
    if lacks:
        raise ConfigError(f"run {trace.manifest.run!r} has {lacks} to tell what its platform costs")
    settings = trace.manifest.settings.get("launcher")
    told = settings if isinstance(settings, dict) else {}
    profile = found.profile(
        f"run {trace.manifest.run}",
        f"run {trace.manifest.run}",
        keep_alive_s=float(told.get("keep_alive_s") or DEFAULT_KEEP_ALIVE_S),
        primed=False,
    )
    containers = len({record.container for record in trace.records.workers})
    return Platform(profile, concurrency=containers)


def _runs_of(columns: SampleColumns, launcher: str, emulates: str, dag: object) -> SampleColumns:
    """Return the samples of a launcher; of first tasks those of functions of the DAG, if there are any."""
    import numpy as np

    right = [
        source.kind == MEASURED and source.launcher == launcher and source.platform == emulates
        for source in columns.sources
    ]
    columns = columns.take(np.array(right, dtype=bool)[columns.source])
    if isinstance(dag, DAG):
        own = {model_name(dag.functions[kind.function].identity, kind.name) for kind in dag.kinds}
        is_own = np.array([name in own for name in columns.functions], dtype=bool)[columns.function]
        first = columns.what == WHATS.index("first")
        if (first & is_own).any():
            columns = columns.take(~first | is_own)
    return columns


@dataclass(frozen=True, slots=True)
class _Measured:
    """Samples by what they are of: bytes and seconds."""

    samples: "dict[What, tuple[Floats, Floats]]"

    @classmethod
    def of(cls, columns: SampleColumns) -> Self:
        import numpy as np

        usable = np.isfinite(columns.seconds) & (columns.seconds >= 0)
        rows = {what: usable & (columns.what == number) for number, what in enumerate(WHATS)}
        return cls(
            {
                what: (columns.bytes[mask].astype(float), np.maximum(LEAST_S, columns.seconds[mask]))
                for what, mask in rows.items()
            }
        )

    def count(self, what: What) -> int:
        return len(self.samples[what][1])

    def lacks(self, transfers: int) -> str:
        """Return what there is too little of; empty: of nothing.

        Args:
            transfers: How many stored outputs are enough.
        """
        needed: tuple[tuple[What, int], ...] = (("cold", 1), ("out", transfers))
        for what, least in needed:
            if self.count(what) < least:
                return f"{self.count(what)} {_NAMES[what]}, of which {least} are needed,"
        return ""

    def line(self, what: What) -> tuple[float, float]:
        """Return seconds, and seconds for each byte; both 0 if there is no sample.

        In total they are as much as was measured: a makespan is a sum of many.
        """
        sizes, seconds = self.samples[what]
        if not len(seconds):
            return 0.0, 0.0
        line = Line.fit(sizes, seconds)
        factor = float(seconds.sum() / line.at(sizes).sum())
        return line.intercept * factor, line.slope * factor

    def profile(self, name: str, called: str, *, keep_alive_s: float, primed: bool) -> PlatformProfile:
        """Return what was measured as a profile.

        Args:
            name: Its name.
            called: What was measured, in words.
            keep_alive_s: How long idle containers stay.
            primed: Whether containers are there before the run.
        """
        import numpy as np

        fetch_s, fetch_byte_s = self._fetching()
        store_s, store_byte_s = self.line("out")
        task_s, task_byte_s = self.line("task")
        submit_s, submit_byte_s = self.line("submit")
        large = float(np.mean(self.samples["out"][0] > Config().inline_output_bytes))
        # Storing is half a round trip, and a whole one before for what does not fit into a message.
        store_s = max(0.0, store_s - (0.5 + large) * fetch_s)
        assumed = []
        if not self.count("in"):
            fetch_s, fetch_byte_s = store_s / 1.5, store_byte_s
            assumed.append("fetching is taken to be as fast as storing")
        warm_s, warm_sigma = 0.0, 0.0
        if self.count("warm"):
            logs = np.log(self.samples["warm"][1])
            warm_s, warm_sigma = float(np.exp(np.median(logs))), float(logs.std())
        else:
            assumed.append("a warm start is taken to cost no more than a call of the store")
        logs = np.log(self.samples["cold"][1])
        cold_s, cold_sigma = float(np.exp(logs.mean())), float(logs.std())
        # A cold start as traces have it: two calls of the store, to register and to be given work, are part of it.
        cold_s = max(0.0, cold_s - 2 * fetch_s) + self._imports_s(task_s, task_byte_s)
        if primed:
            cold_s = cold_sigma = 0.0
            assumed.append("containers are there before the run")
        counts = ", ".join(f"{self.count(what)} {name}" for what, name in _NAMES.items())
        return PlatformProfile(
            name,
            "; ".join([f"measured on {called}: means of {counts}; median of warm starts", *assumed]),
            cold_start_s=cold_s,
            cold_start_sigma=cold_sigma,
            invocation_latency_s=warm_s,
            invocation_sigma=warm_sigma,
            keep_alive_s=keep_alive_s,
            upload_bytes_per_s=_per_s(store_byte_s),
            download_bytes_per_s=_per_s(fetch_byte_s),
            store_latency_s=fetch_s,
            store_s=store_s,
            task_s=task_s,
            task_bytes_per_s=_per_s(task_byte_s),
            submit_s=submit_s,
            submit_bytes_per_s=_per_s(submit_byte_s),
        )

    def _fetching(self) -> tuple[float, float]:
        """Return the latency of a call of the store, and seconds for each byte fetched.

        Inputs of about one size do not tell these apart, but every task calls the store, so that calls can't take
        longer than the shortest ways from task to task.
        """
        import numpy as np

        latency_s, byte_s = self.line("in")
        sizes, seconds = self.samples["in"]
        if self.count("task") and sizes.sum() > 0:
            shortest_s = float(np.quantile(self.samples["task"][1], 0.1))
            if shortest_s * len(seconds) < seconds.sum():
                latency_s, byte_s = shortest_s, float((seconds.sum() - len(seconds) * shortest_s) / sizes.sum())
        return latency_s, byte_s

    def _imports_s(self, task_s: float, task_byte_s: float) -> float:
        """Return how much longer a first task in a container takes than others: it imports what tasks import."""
        sizes, seconds = self.samples["first"]
        return max(0.0, float((seconds - task_s - task_byte_s * sizes).mean())) if len(seconds) else 0.0


def _per_s(byte_s: float) -> float:
    return 1 / byte_s if byte_s > 0 else 0.0


def _effective_cores(columns: SampleColumns, sizes_enforced: bool, cores: float) -> float:
    """Return how many cores tasks had between them: the machine's, less what the engine and others took.

    With ``n`` tasks at a time each takes ``max(1, n / cores)`` times as long as alone; the number of cores is that with
    the least squared error of the logarithm, of equals the largest.
    """
    import numpy as np

    rows = columns.what == WHATS.index("exec")
    seconds, alone_s = columns.seconds[rows], columns.seconds[rows] - columns.contention_s[rows]
    told = (alone_s > LEAST_S) & (columns.running[rows] > 0)
    if not told.any():
        return cores
    share = np.minimum(1.0, columns.size_mib[rows][told] / MIB_PER_VCPU) if sizes_enforced else 1.0
    load, slowdown = columns.running[rows][told] * share, np.log(seconds[told] / alone_s[told])
    weights = seconds[told]  # long tasks make the makespan, and tell most
    best, least = cores, math.inf
    for step in range(round(cores / _CORE_STEP), round(_LEAST_CORES / _CORE_STEP) - 1, -1):
        candidate = step * _CORE_STEP
        error = float((weights * (slowdown - np.log(np.maximum(1.0, load / candidate))) ** 2).sum())
        if error < least * (1 - 1e-9):
            best, least = candidate, error
    return best
