"""Ablation: what each optimization does by itself, and what is missing without it; predicted, and measured on runs.

All variants share one plan's assignments, so that they differ in optimizations alone. Measured runs take turns: in each
repeat every variant runs once, in an order drawn anew, and effects are ratios within a repeat, so that drift of the
machine hits both sides.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from html import escape
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from matplotlib.lines import Line2D

from faaslab.client.lab import Lab
from faaslab.errors import ConfigError, PlanError
from faaslab.graph import DAG
from faaslab.model.history import History
from faaslab.plan import DEFAULT_OPTIMIZATIONS, OPTIMIZATIONS, Plan, Predicted
from faaslab.planners import Planner, plan_dag
from faaslab.planners.composer import assemble, tasks_of
from faaslab.planners.registry import asked_for, plan_context
from faaslab.policy.optimization import Optimization
from faaslab.protocol.launcher import RemoteLauncher
from faaslab.trace import Trace
from faaslab.viz.stats import CONFIDENCE, Interval, bootstrap
from faaslab.viz.theme import (
    COLUMN_IN,
    DOUBLE_COLUMN_IN,
    PALETTE,
    PHASE_COLORS,
    PHASE_HATCHES,
    PHASE_LABELS,
    PHASES,
    PaperFigure,
    figure_html,
    legend_above,
    paper_style,
)

if TYPE_CHECKING:
    import pandas as pd

NONE, ALL = "none", "all"
_ROW_IN = 0.34
_PLACE = {"alone": -0.17, "left out": 0.17}
_COLOR = {"alone": PALETTE[0], "left out": PALETTE[1]}


@dataclass(frozen=True)
class Variant:
    """One plan of an ablation.

    Attributes:
        name: ``none``, ``all``, ``+ <optimization>`` (alone) or ``- <optimization>`` (left out).
        plan: What runs.
        tasks: To how many tasks each of its optimizations is applied.
        predicted: What the plan is predicted to come to.
        traces: Its runs, one for each repeat; none if nothing ran.
    """

    name: str
    plan: Plan
    tasks: Mapping[str, int]
    predicted: Predicted
    traces: tuple[Trace, ...] = field(default=(), repr=False)

    def measured(self, metric: str) -> list[float]:
        """Return a metric of all runs, repeat by repeat."""
        return [float(trace.metrics[metric]) for trace in self.traces]

    @property
    def predicted_metrics(self) -> dict[str, float]:
        """Metrics of the run in which everything takes its median."""
        return self.predicted.trace.metrics


@dataclass(frozen=True, repr=False)
class Ablation:
    """The variants of an ablation; shows as tables and a figure in a notebook.

    Attributes:
        dag_name: The workflow.
        planner: Whose plan it was.
        launcher: Where it ran; empty: nothing ran.
        optimizations: Names, in order.
        variants: By name.
    """

    dag_name: str
    planner: str
    launcher: str
    optimizations: tuple[str, ...]
    variants: Mapping[str, Variant]

    def __repr__(self) -> str:
        where = f"on {self.launcher!r}" if self.launcher else "not run"
        return f"Ablation({self.dag_name!r} by {self.planner!r}, {where}: {', '.join(self.optimizations)})"

    def pairs(self) -> list[tuple[str, str, Variant, Variant]]:
        """Return optimization, ``alone`` or ``left out``, the variant without it, and the one with it."""
        found = []
        for name in self.optimizations:
            found.append((name, "alone", self.variants[NONE], self.variants[f"+ {name}"]))
            if f"- {name}" in self.variants:
                found.append((name, "left out", self.variants[f"- {name}"], self.variants[ALL]))
        return found

    def effect(self, without: Variant, using: Variant, metric: str = "makespan_s") -> tuple[float, Interval | None]:
        """Return predicted and measured ratio of a metric with an optimization to that without it; below 1: it helps.

        The measured one is the median over repeats with its bootstrap confidence interval, None if nothing ran. A ratio
        to nothing is NaN.
        """
        base = _median_of(without, metric)
        predicted = _median_of(using, metric) / base if base else float("nan")
        ratios = [
            one / other for one, other in zip(using.measured(metric), without.measured(metric), strict=True) if other
        ]
        return predicted, bootstrap(ratios) if ratios else None

    @cached_property
    def effects(self) -> "pd.DataFrame":
        """One row for each optimization, alone and left out: what it changes, in percent; negative is better.

        ``low`` and ``high`` bound the confidence interval of the measured median.
        """
        import pandas as pd

        rows = []
        for name, how, without, using in self.pairs():
            row: dict[str, Any] = {"optimization": name, "how": how, "tasks": using.tasks.get(name, 0)}
            for metric, short in (("makespan_s", "makespan"), ("cost_usd", "cost")):
                predicted, measured = self.effect(without, using, metric)
                row[f"{short}_predicted"] = 100 * (predicted - 1)
                if measured is not None:
                    row[f"{short}_measured"] = 100 * (measured.estimate - 1)
                    row[f"{short}_low"] = 100 * (measured.low - 1)
                    row[f"{short}_high"] = 100 * (measured.high - 1)
            rows.append(row)
        return pd.DataFrame(rows).set_index(["optimization", "how"])

    @cached_property
    def table(self) -> "pd.DataFrame":
        """One row for each variant: predicted and measured medians, and how far the prediction was off."""
        import pandas as pd

        rows = []
        for variant in self.variants.values():
            row: dict[str, Any] = {
                "variant": variant.name,
                "predicted_s": variant.predicted.makespan.quantile(0.5),
                "predicted_usd": variant.predicted.cost.quantile(0.5),
            }
            if variant.traces:
                for metric in ("makespan_s", "cost_usd", "stored_bytes", "fetched_bytes", "cold_starts"):
                    row[metric] = bootstrap(variant.measured(metric)).estimate
                row["error"] = row["predicted_s"] / row["makespan_s"] - 1
            else:
                for metric in ("stored_bytes", "fetched_bytes", "cold_starts"):
                    row[metric] = variant.predicted_metrics[metric]
            rows.append(row)
        return pd.DataFrame(rows).set_index("variant")

    @property
    def median_error(self) -> float:
        """Median over variants of how far the predicted median makespan is from the measured one, as a part of it.

        Raises:
            ConfigError: Nothing ran.
        """
        if not self.launcher:
            raise ConfigError("nothing ran in this ablation, so there is no error; pass lab=")
        return float(self.table["error"].abs().median())

    def plot(self) -> PaperFigure:
        """Return what each optimization changes about makespan and cost, alone and left out, as a figure."""
        return ablation_figure(self.effects, title=f"{self.dag_name}, {self.planner}")

    def _repr_html_(self) -> str:
        shown = self.effects.to_html(float_format=lambda value: f"{value:+.1f}")
        variants = self.table.to_html(float_format=lambda value: f"{value:.4g}")
        title = f"<p><b>{escape(self.planner)}</b> plan of <b>{escape(self.dag_name)}</b>: effects in percent</p>"
        return title + shown + variants + figure_html(self.plot(), "what each optimization changes")


def _median_of(variant: Variant, metric: str) -> float:
    if metric == "makespan_s":
        return variant.predicted.makespan.quantile(0.5)
    if metric == "cost_usd":
        return variant.predicted.cost.quantile(0.5)
    return variant.predicted_metrics[metric]


def ablation(
    dag: DAG,
    planner: str | Planner = "faaslab",
    optimizations: Iterable[str | Optimization] | str = "all",
    *,
    lab: Lab | None = None,
    repeats: int = 5,
    training: int = 3,
    seed: int = 0,
    check: Callable[[Any], object] | None = None,
    progress: bool | None = None,
    **planning: Any,
) -> Ablation:
    """Compare a plan without optimizations, with each alone, with all, and with each left out.

    Args:
        dag: The workflow.
        planner: Name or object; all variants have the assignments of its plan without optimizations.
        optimizations: Names, or optimizations of one's own; ``"all"``: all that are shipped. They are used also where
            they are predicted to do harm.
        lab: Where all variants run; None: they are only predicted. Its launcher must start every run without
            containers (``initial_pool="empty"``), as predictions do.
        repeats: Runs of each variant.
        training: Runs before all, from which the predictor learns unless ``history`` or ``estimates`` are given.
        seed: Of the order of runs, and of predictions.
        check: Called with the result of every run; raises if it is wrong.
        progress: Show a bar; None: in notebooks and terminals.
        planning: As for ``dag.plan``: ``sizes``, ``platform`` (by default the lab's launcher), ``history`` …

    Raises:
        ConfigError: The lab's launcher starts no containers of its own, or keeps those of earlier runs.
        PlanError: There is no optimization to compare, or one is unknown.
        FaaSLabError: A run failed.
        Exception: What ``check`` raises.
    """
    from tqdm.auto import tqdm

    from faaslab.client.progress import wanted

    names = _names(optimizations)
    shown = wanted() if progress is None else progress
    if lab is not None:
        _check(lab, repeats, training)
        planning.setdefault("platform", lab.launcher)
    with TemporaryDirectory() as folder:
        if lab is not None and "history" not in planning and "estimates" not in planning:
            planning["history"] = _trained(dag, planner, lab, training, folder, planning, shown)
        variants = _planned(dag, planner, optimizations, names, seed, planning)
    if lab is not None:
        order = random.Random(seed)
        traces: dict[str, list[Trace]] = {name: [] for name in variants}
        turns = [name for _ in range(repeats) for name in order.sample(list(variants), len(variants))]
        for name in tqdm(turns, desc=f"ablation of {dag.name}", unit="run", disable=not shown):
            run = lab.submit(dag, plan=variants[name].plan)
            result = run.result()
            if check is not None:
                check(result)
            traces[name].append(run.trace)
        variants = {name: replace(variant, traces=tuple(traces[name])) for name, variant in variants.items()}
    base = variants[NONE].plan
    return Ablation(dag.name, base.planner, "" if lab is None else lab.launcher.name, names, variants)


def _names(optimizations: Iterable[str | Optimization] | str) -> tuple[str, ...]:
    if isinstance(optimizations, str):
        given = [name for name in OPTIMIZATIONS if name not in DEFAULT_OPTIMIZATIONS]
        if optimizations != ALL:
            raise PlanError(
                f"optimizations is the text {optimizations!r}, must be 'all' or a list: [{optimizations!r}]"
            )
        return tuple(given)
    names = tuple(one if isinstance(one, str) else one.name for one in optimizations)
    if not names or set(names) & DEFAULT_OPTIMIZATIONS:
        always = ", ".join(sorted(DEFAULT_OPTIMIZATIONS))
        raise PlanError(
            f"the optimizations to compare are {list(names)}; name at least one, and none that is always on ({always})"
        )
    return names


def _check(lab: Lab, repeats: int, training: int) -> None:
    if not isinstance(lab.launcher, RemoteLauncher):
        raise ConfigError(f"launcher {lab.launcher.name!r} starts no containers; measure on 'process' or 'docker'")
    initial = getattr(lab.launcher, "initial_pool", "empty")
    if initial != "empty":
        raise ConfigError(
            f"the lab's launcher has initial_pool={initial!r}: a run would find what the one before it has left, which "
            "is not predicted; make it with initial_pool='empty'"
        )
    for name, count in (("repeats", repeats), ("training", training)):
        if count < 1:
            raise ConfigError(f"{name} is {count!r}, must be 1 or more")


def _trained(
    dag: DAG, planner: str | Planner, lab: Lab, training: int, folder: str, planning: dict[str, Any], shown: bool
) -> Any:
    """Return what runs without optimizations teach; they take turns between this planner and what moves all data."""
    from tqdm.auto import tqdm

    history = History(folder)
    told = {name: value for name, value in planning.items() if name in ("sizes", "seed")}
    plans = [plan_dag(dag, one, history=False, **told) for one in ("per_task", planner)]
    for number in tqdm(range(training), desc=f"training on {dag.name}", unit="run", disable=not shown):
        run = lab.submit(dag, plan=plans[number % len(plans)])
        run.result()
        history.record(run.trace, dag)
    return history.snapshot()


def _planned(
    dag: DAG,
    planner: str | Planner,
    optimizations: Iterable[str | Optimization] | str,
    names: Sequence[str],
    seed: int,
    planning: dict[str, Any],
) -> dict[str, Variant]:
    """Return all variants, with what they are predicted to come to."""
    ctx = plan_context(dag, optimizations=optimizations, seed=seed, keep_harmful=True, **planning)
    plain = replace(ctx, optimizations=DEFAULT_OPTIMIZATIONS, own=())
    base = asked_for(planner, dag, plain)
    sets = {NONE: (), **{f"+ {name}": (name,) for name in names}}
    if len(names) > 1:
        sets[ALL] = tuple(names)
        sets |= {f"- {name}": tuple(other for other in names if other != name) for name in names}
    variants = {}
    for name, chosen in sets.items():
        plan = assemble(dag, base, chosen, ctx)
        tasks = {one: tasks_of(dag, plan, one, ctx) for one in chosen}
        variants[name] = Variant(name, plan, tasks, ctx.predict(dag, plan))
    return variants


def ablation_figure(effects: "pd.DataFrame", *, title: str = "", width_in: float = DOUBLE_COLUMN_IN) -> PaperFigure:
    """Return what each optimization changes about makespan and cost in percent, alone and left out.

    Diamonds are predictions; dots measured medians, the bars their confidence intervals. Left of zero it helps.

    Args:
        effects: See ``Ablation.effects``.
        title: Over the figure.
        width_in: Width of the figure in inches.
    """
    names = list(dict.fromkeys(effects.index.get_level_values("optimization")))
    measured = "makespan_measured" in effects
    with paper_style():
        figure = PaperFigure(figsize=(width_in, _ROW_IN * len(names) + 0.95))
        panels = figure.subplots(1, 2, sharey=True)
        for axes, label in zip(panels, ("makespan", "cost"), strict=True):
            axes.grid(visible=True, axis="x")
            axes.axvline(0, color="#555555", lw=0.8)
            rows: Any = effects.iterrows()
            for (name, how), row in rows:
                at = names.index(name) + _PLACE[how]
                color = _COLOR[how]
                axes.plot([row[f"{label}_predicted"]], [at], "D", ms=4, mfc="white", mec=color, mew=0.9, clip_on=False)
                if measured:
                    axes.plot([row[f"{label}_low"], row[f"{label}_high"]], [at, at], color=color, lw=1.4)
                    axes.plot([row[f"{label}_measured"]], [at], "o", ms=3.2, color=color, clip_on=False)
            axes.set_xlabel(f"change of {label} (%)")
            axes.margins(x=0.08)
        panels[0].set_yticks(range(len(names)), names)
        panels[0].set_ylim(len(names) - 0.5, -0.5)
        panels[0].set_title(title, loc="left", fontweight="bold")
        keys = [Line2D([], [], color=_COLOR[how], marker="s", ls="", ms=4, label=how) for how in _PLACE]
        keys.append(Line2D([], [], color="black", marker="D", mfc="white", ls="", ms=4, label="predicted"))
        if measured:
            keys.append(Line2D([], [], color="black", marker="o", ms=3.2, label=f"measured, {CONFIDENCE:.0%} CI"))
        figure.legend(handles=keys, loc="outside upper center", ncols=len(keys))
    return figure


def overhead_figure(breakdowns: "pd.DataFrame", *, title: str = "", width_in: float = COLUMN_IN) -> PaperFigure:
    """Return where the billed time of each variant's workers goes: a stack of mean seconds for each.

    Args:
        breakdowns: One row for each run: ``variant``, and seconds of all workers in ``<phase>_s``, ``other_s`` among
            them.
        title: Over the figure.
        width_in: Width of the figure in inches.
    """
    variants = list(dict.fromkeys(breakdowns["variant"]))
    phases = {phase: (PHASE_LABELS[phase], PHASE_COLORS[phase], PHASE_HATCHES[phase]) for phase in PHASES}
    phases["other"] = ("other", "#f0f0f0", "")
    means = breakdowns.groupby("variant")[[f"{phase}_s" for phase in phases]].mean()
    with paper_style():
        figure = PaperFigure(figsize=(width_in, 0.22 * len(variants) + 0.95))
        axes = figure.subplots()
        axes.grid(visible=True, axis="x")
        left = [0.0] * len(variants)
        for phase, (label, color, hatch) in phases.items():
            spans = [float(means.loc[variant, f"{phase}_s"]) for variant in variants]
            look: dict[str, Any] = {"color": color, "hatch": hatch, "ec": "#999999", "lw": 0.3}
            axes.barh(range(len(variants)), spans, left=left, height=0.7, label=label, **look)
            left = [start + span for start, span in zip(left, spans, strict=True)]
        axes.set_yticks(range(len(variants)), variants)
        axes.set_ylim(len(variants) - 0.5, -0.5)
        axes.set_xlabel("time of all workers (s), mean of runs")
        axes.set_title(title, loc="left", fontweight="bold")
        legend_above(figure, axes.get_legend_handles_labels()[0])
    return figure
