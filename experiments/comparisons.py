"""Tables of how one planner compares with others, from points of cost against makespan under hidden truths."""

from itertools import product

import numpy as np
import pandas as pd

from experiments.fronts import Point, cost_ratios, front, makespan_ratios
from faaslab.viz.stats import TOLERANCE, holm, paired_ratios

COMPARISONS = {"makespan at equal cost": makespan_ratios, "cost at equal makespan": cost_ratios}
OTHERS = "all others"


def compare(points: pd.DataFrame, subject: str) -> pd.DataFrame:
    """Return what the subject has reached against each other planner and against all of them together.

    A row is a workflow in a scenario at a sigma against somebody: the median ratio over the points of the other front
    under all truths, which parts of them are better and worse by more than a tie, and the worst. ``timed`` says
    whether planning time counts into makespans.

    Args:
        points: As ``run`` saves them.
        subject: Name of the planner that is compared.
    """
    rows = []
    known = points[points["error"].isna()]
    others = [name for name in dict.fromkeys(known["planner"]) if name != subject]
    keys = ["scenario", "family", "workflow", "sigma"]
    for key, of_workflow in known.groupby(keys, sort=False):
        for timed, (measured, ratios_of), against in product((False, True), COMPARISONS.items(), [OTHERS, *others]):
            ratios: list[float] = []
            for _, of_truth in of_workflow.groupby("truth", sort=False):
                by_planner = fronts(of_truth, timed)
                reference = [p for name in others if against in (OTHERS, name) for p in by_planner.get(name, ())]
                ratios += ratios_of(by_planner.get(subject, ()), reference)
            if ratios:
                values = np.array(ratios)
                rows.append(
                    dict(zip(keys, key, strict=True))
                    | {
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


def fronts(of_truth: pd.DataFrame, timed: bool) -> dict[str, list[Point]]:
    """Return the front of each planner under one truth, with or without planning time."""
    makespan_s = of_truth["makespan_s"] + (of_truth["planning_s"] if timed else 0.0)
    found: dict[str, list[Point]] = {}
    for name, cost_usd, makespan in zip(of_truth["planner"], of_truth["cost_usd"], makespan_s, strict=True):
        found.setdefault(name, []).append((cost_usd, makespan))
    return {name: front(of_planner) for name, of_planner in found.items()}


def against_all(compared: pd.DataFrame) -> pd.DataFrame:
    """Return by family what the subject reaches against the front of all others: medians over workflows.

    Args:
        compared: Made by ``compare``.
    """
    table = compared[compared["against"] == OTHERS]
    table = pd.concat([table, table.assign(family="all")])
    keys = ["scenario", "sigma", "timed", "measured", "family"]
    return table.groupby(keys, sort=False).agg(
        workflows=("workflow", "nunique"),
        ratio=("ratio", "median"),
        better=("better", "mean"),
        worse=("worse", "mean"),
        worst=("worst", "max"),
    )


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
        adjusted = holm({name: statistics.p_value for name, statistics in found.items() if name != OTHERS})
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
