"""Ablations: variants, effects and their figure."""

from typing import Any

import pytest

import faaslab as fl
from tests.optimizations.test_own import Compression, workflow
from tests.viz.looking import sticks_out_in, texts

SLOW = {"upload_bytes_per_s": 4e6, "download_bytes_per_s": 4e6, "cold_start_s": 0.0}


class Again(fl.Optimization):
    """Does nothing."""

    name = "again"


def test_predicted_only() -> None:
    """Without a lab nothing runs; all variants have the same assignments."""
    found = fl.ablation(workflow(), "per_task", [Compression(), Again()], platform="lambda")
    assert list(found.variants) == ["none", "+ compression", "+ again", "all", "- compression", "- again"]
    assert len({variant.plan.assignments for variant in found.variants.values()}) == 1
    assert found.effects.loc[("again", "alone"), "makespan_predicted"] == 0
    assert found.effects.loc[("compression", "alone"), "makespan_predicted"] < 0
    assert found.effects.loc[("compression", "left out"), "tasks"] == 3
    assert "makespan_measured" not in found.effects
    with pytest.raises(fl.ConfigError, match="nothing ran"):
        _ = found.median_error
    figure = found.plot()
    assert {"compression", "again", "predicted", "left out"} <= set(texts(figure))
    assert not any("measured" in text for text in texts(figure))
    assert sticks_out_in(figure) < 0.01
    assert "compression" in found._repr_html_()


def test_measured_on_real_workers() -> None:
    """Each variant runs as often; what compression does to stored bytes and to the makespan is measured."""
    launcher = fl.ProcessLauncher(limit=2, initial_pool="empty", **SLOW)
    with fl.Lab(launcher, config=fl.Config.from_env(runs_dir="", history_dir="")) as lab:
        found = fl.ablation(workflow(), "per_task", [Compression()], lab=lab, repeats=2)
    assert list(found.variants) == ["none", "+ compression"]
    assert all(len(variant.traces) == 2 for variant in found.variants.values())
    assert found.table.loc["+ compression", "stored_bytes"] < 0.1 * found.table.loc["none", "stored_bytes"]
    row = found.effects.loc[("compression", "alone")]
    assert row["makespan_measured"] < 0
    assert row["makespan_predicted"] < 0
    assert row["makespan_low"] <= row["makespan_measured"] <= row["makespan_high"]
    assert any("measured" in text for text in texts(found.plot()))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"optimizations": []}, "name at least one"),
        ({"optimizations": ["skip_storage"]}, "always on"),
        ({"optimizations": "preload"}, "must be 'all' or a list"),
        ({"lab": fl.Lab("inline")}, "starts no containers"),
        ({"lab": fl.Lab(fl.ProcessLauncher())}, "initial_pool='steady'"),
        ({"lab": fl.Lab(fl.ProcessLauncher(initial_pool="empty")), "repeats": 0}, "repeats is 0"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(arguments: dict[str, Any], words: str) -> None:
    """With what to do instead."""
    with pytest.raises(fl.FaaSLabError, match=words):
        fl.ablation(workflow(), "per_task", **{"optimizations": [Again()], **arguments})


def test_overhead_is_stacked_by_variant() -> None:
    """Each variant has a bar whose parts are the means of its runs, the engine's own time among them."""
    import pandas as pd

    from faaslab.viz import overhead_figure

    shares = ("startup_s", "fetch_s", "exec_s", "store_s", "wait_s", "other_s")
    rows = [
        {"variant": variant, **dict.fromkeys(shares, seconds)}
        for variant, seconds in (("none", 1.0), ("none", 3.0), ("all", 1.0))
    ]
    figure = overhead_figure(pd.DataFrame(rows), title="somewhere")
    (axes,) = figure.axes
    ends = {patch.get_y(): 0.0 for patch in axes.patches}
    for patch in axes.patches:
        ends[patch.get_y()] = max(ends[patch.get_y()], patch.get_x() + patch.get_width())
    assert sorted(ends.values()) == pytest.approx([6.0, 12.0])
    assert {"none", "all", "other", "cold start", "somewhere"} <= set(texts(figure))
    assert sticks_out_in(figure) < 0.01
