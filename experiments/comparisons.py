"""Tables of how one planner compares with others, from points of cost against makespan under hidden truths."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd

from experiments.fronts import Point, cost_ratios, front, makespan_ratios
from faaslab.model.scoring import holm
from faaslab.viz.stats import TOLERANCE, paired_ratios

COMPARISONS = {"makespan at equal cost": makespan_ratios, "cost at equal makespan": cost_ratios}
OTHERS = "all others"
PUBLISHED = "all but els"
"""The baselines that others have published: ``els`` is FaaSLab's own, and part of ``faaslab``."""
TOGETHER = (OTHERS, PUBLISHED)
CLUSTER = " (cluster)"
"""Ends the names of those whose plans ran on machines of one's own; they don't count among all others."""


def compare(points: pd.DataFrame, subject: str) -> pd.DataFrame:
    """Return what the subject has reached against each other planner and against all of them together.

    Of the subject's plans, and of those it is compared with, only the front as told counts, under every truth: what one
    would choose beforehand. Otherwise who has more plans would have more luck.

    A row is a workflow in a scenario at a sigma against somebody: the median ratio over the points of the other front
    under all truths, which parts of them are better and worse by more than a tie, and the worst. ``timed`` says
    whether planning time counts into makespans.

    Args:
        points: As ``planner_quality.run`` saves them.
        subject: Name of the planner that is compared.
    """
    rows = []
    known = points[points["error"].isna()]
    others = [name for name in dict.fromkeys(known["planner"]) if name != subject]
    groups = {name: [name] for name in others}
    groups[OTHERS] = [name for name in others if not name.endswith(CLUSTER)]
    groups[PUBLISHED] = [name for name in groups[OTHERS] if name != "els"]
    for (scenario, family, workflow), of_workflow in known.groupby(["scenario", "family", "workflow"], sort=False):
        about = {"scenario": scenario, "family": family, "workflow": workflow}
        for timed, (against, names) in product((False, True), groups.items()):
            own = chosen(of_workflow, [subject], timed)
            reference = chosen(of_workflow, names, timed)
            for sigma, measured in product(dict.fromkeys(sigma for sigma, _ in reference), COMPARISONS):
                ratios_of = COMPARISONS[measured]
                truths = [key for key in reference if key[0] == sigma]
                values = np.array([ratio for key in truths for ratio in ratios_of(own.get(key, []), reference[key])])
                rows.append(
                    about
                    | {
                        "sigma": sigma,
                        "against": against,
                        "timed": timed,
                        "measured": measured,
                        "ratio": float(np.median(values)),
                        "better": float((values < 1 / (1 + TOLERANCE)).mean()),
                        "worse": float((values > 1 + TOLERANCE).mean()),
                        "worst": float(values.max()),
                        "points": len(values),
                    }
                )
    return pd.DataFrame(rows)


def chosen(of_workflow: pd.DataFrame, planners: Sequence[str], timed: bool) -> dict[tuple[float, int], list[Point]]:
    """Return the points, by sigma and truth, of those plans of some planners that are on their front as told.

    Args:
        of_workflow: Points of one workflow in one scenario.
        planners: Names.
        timed: Whether planning time counts into makespans.
    """
    rows = of_workflow[of_workflow["planner"].isin(planners)]
    extra_s = rows["planning_s"] * float(timed)
    told = list(zip(rows["told_cost_usd"], rows["told_makespan_s"] + extra_s, strict=True))
    best = set(front(told))
    found: dict[tuple[float, int], dict[Point, Point]] = {}
    for sigma, truth, cost_usd, makespan_s, as_told in zip(
        rows["sigma"], rows["truth"], rows["cost_usd"], rows["makespan_s"] + extra_s, told, strict=True
    ):
        if as_told in best:
            # Plans that are alike as told are one choice.
            found.setdefault((sigma, truth), {}).setdefault(as_told, (cost_usd, makespan_s))
    return {key: list(of_truth.values()) for key, of_truth in found.items()}


def against_all(compared: pd.DataFrame) -> pd.DataFrame:
    """Return by family what the subject reaches against the front of all others together: medians over workflows.

    Args:
        compared: Made by ``compare``.
    """
    table = compared[compared["against"].isin(TOGETHER)]
    table = pd.concat([table, table.assign(family="all")])
    keys = ["scenario", "against", "sigma", "timed", "measured", "family"]
    return table.groupby(keys, sort=False).agg(
        workflows=("workflow", "nunique"),
        ratio=("ratio", "median"),
        better=("better", "mean"),
        worse=("worse", "mean"),
        worst=("worst", "max"),
    )


def by_family(compared: pd.DataFrame, against: Sequence[str]) -> pd.DataFrame:
    """Return by family what the subject reaches against some planners: median ratios over workflows, without planning.

    Args:
        compared: Made by ``compare``.
        against: Names; those that did not take part are left out.
    """
    table = compared[compared["against"].isin(against) & ~compared["timed"]]
    table = pd.concat([table, table.assign(family="all")])
    keys = ["scenario", "sigma", "measured", "family", "against"]
    return table.groupby(keys, sort=False)["ratio"].median().unstack("against", sort=False)


def against_each(compared: pd.DataFrame) -> pd.DataFrame:
    """Return statistics over workflows of what the subject reaches against each other planner; p by Holm over them.

    Args:
        compared: Made by ``compare``.
    """
    rows = []
    keys = ["scenario", "sigma", "timed", "measured"]
    for key, group in compared.groupby(keys, sort=False):
        found = {
            str(name): paired_ratios(of_planner["ratio"].tolist())
            for name, of_planner in group.groupby("against", sort=False)
        }
        tested = [name for name in found if name not in TOGETHER]
        adjusted = dict(zip(tested, holm([found[name].p_value for name in tested]), strict=True))
        for name, statistics in found.items():
            rows.append(
                dict(zip(keys, key, strict=True))
                | {
                    "against": name,
                    "workflows": statistics.median.n,
                    "ratio": statistics.median.estimate,
                    "low": statistics.median.low,
                    "high": statistics.median.high,
                    "geometric_mean": statistics.geometric_mean,
                    "p": adjusted.get(name, statistics.p_value),
                    "wins": statistics.wins,
                    "ties": statistics.ties,
                    "losses": statistics.losses,
                }
            )
    return pd.DataFrame(rows).set_index([*keys, "against"])


def planned_table(points: pd.DataFrame) -> pd.DataFrame:
    """Return for every workflow and planner the least makespan as told, or why there is no plan.

    Args:
        points: As ``planner_quality.run`` saves them.
    """
    keys = ["scenario", "workflow", "tasks", "planner"]
    told = points[points["sigma"] == 0].groupby(keys, sort=False)["makespan_s"].min().map("{:.4g}".format)
    failed = points[points["error"].notna()].groupby(keys, sort=False)["error"].first()
    table = pd.concat([told, failed])
    return table[~table.index.duplicated(keep="last")].unstack("planner", sort=False)  # type: ignore[no-any-return]
