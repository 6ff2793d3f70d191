"""Execution times on a real platform: what is predicted at a size from measurements at all the others.

The profiles (Jolteon's artifact, Zhang et al., NSDI 2024, Apache-2.0) do not come with FaaSLab: these tests run where
``FAASLAB_SHARED_DATA`` names a folder with ``lambda_profiles/`` in it.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from faaslab.model.ladder import Ladder

FOLDER = Path(os.environ.get("FAASLAB_SHARED_DATA", "")) / "lambda_profiles"

pytestmark = pytest.mark.skipif(
    not os.environ.get("FAASLAB_SHARED_DATA") or not FOLDER.is_dir(),
    reason="FAASLAB_SHARED_DATA names no folder with lambda_profiles in it",
)

CONFIGS = {
    "ML-Pipeline": [(1024, p) for p in (8, 16, 32)]
    + [(m, p) for m in (1792, 3584, 5120, 6144, 7168) for p in (4, 8, 16, 32)],
    "Video-Analytics": [(m, p) for m in (1792, 3584, 5120, 6144, 7168, 8960) for p in (4, 8, 16, 32)],
}
"""Memory and parallelism of the columns of each file."""

WARM = (1, 2)
"""Epochs without cold starts."""


def stages() -> Iterator[np.ndarray]:
    """Yield for each stage its measurements: size, input, and seconds of both warm repeats."""
    for name, configs in CONFIGS.items():
        profile = json.loads((FOLDER / f"{name}_profile.json").read_text())
        workflow = json.loads((FOLDER / f"{name}_workflow.json").read_text())
        for number, steps in enumerate(profile.values()):
            whole = workflow[str(number)].get("allow_parallel") == "false"
            yield np.array(
                [
                    (size, 1e8 if whole else 1e8 / parts, *[steps["compute"][epoch][column][0] for epoch in WARM])
                    for column, (size, parts) in enumerate(configs)
                ]
            )


def pooled(others: np.ndarray, size_mib: float) -> float:
    """Return what one exponent for everything predicts: time falls with memory to the power of 0.3."""
    return float(np.mean(others[:, 2:].mean(axis=1) * (others[:, 0] / size_mib) ** 0.3))


def errors() -> tuple[np.ndarray, np.ndarray]:
    """Return relative errors at each configuration, of the ladder and of the pooled rule, its size left out."""
    ladders, rules = [], []
    for rows in stages():
        for size in np.unique(rows[:, 0]):
            others = rows[rows[:, 0] != size]
            ladder = Ladder.fit(
                np.repeat(others[:, 0], 2).astype(np.int32), np.repeat(others[:, 1], 2), others[:, 2:].ravel()
            )
            for _, size_bytes, *repeats in rows[rows[:, 0] == size]:
                actual = np.mean(repeats)
                predicted = ladder.predict(np.array([size_bytes]), int(size))[0]
                ladders.append(abs(predicted / actual - 1))
                rules.append(abs(pooled(others[others[:, 1] == size_bytes], size) / actual - 1))
    return np.array(ladders), np.array(rules)


def test_sizes_never_seen_are_predicted() -> None:
    """Mean error at most half of that of the pooled rule, median at most 5.5 %."""
    ladder, rule = errors()
    assert len(ladder) == 188
    assert ladder.mean() <= 0.5 * rule.mean()
    assert np.median(ladder) <= 0.055
    assert rule.mean() == pytest.approx(0.206, abs=0.005)
