"""Execution times on AWS Lambda: predicted at a size from measurements at all the others.

``python -m experiments.lambda_profiles FOLDER`` prints the errors. FOLDER has the stage profiles of Jolteon's artifact
(Zhang et al., NSDI 2024, Apache-2.0; they do not come with FaaSLab): ``<application>_profile.json`` and
``<application>_workflow.json``. A stage has been measured at several sizes with several numbers of parallel tasks,
which share its input.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from numpy.typing import NDArray

from faaslab.errors import ConfigError
from faaslab.model.ladder import Ladder

CONFIGS = {
    "ML-Pipeline": [(1024, p) for p in (8, 16, 32)]
    + [(m, p) for m in (1792, 3584, 5120, 6144, 7168) for p in (4, 8, 16, 32)],
    "Video-Analytics": [(m, p) for m in (1792, 3584, 5120, 6144, 7168, 8960) for p in (4, 8, 16, 32)],
}
"""Memory and parallelism of the columns of each file."""

WARM = (1, 2)
"""Repeats without cold starts."""
INPUT_BYTES = 1e8
"""Of each stage: profiles don't tell; only that parallel tasks share it matters."""

LADDER, POOLED = "ladder", "memory^0.3"
"""What is compared: our rules, and one exponent for everything."""


def stages(folder: Path) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Yield each stage's name and its measurements: size, input, and seconds of both warm repeats."""
    for application, configs in CONFIGS.items():
        profile = json.loads((folder / f"{application}_profile.json").read_text("utf-8"))
        workflow = json.loads((folder / f"{application}_workflow.json").read_text("utf-8"))
        for number, (stage, steps) in enumerate(profile.items()):
            whole = workflow[str(number)].get("allow_parallel") == "false"
            rows = [
                (
                    size_mib,
                    INPUT_BYTES if whole else INPUT_BYTES / parts,
                    *[steps["compute"][repeat][column][0] for repeat in WARM],
                )
                for column, (size_mib, parts) in enumerate(configs)
            ]
            yield f"{application} {stage}", np.array(rows, dtype=float)


def pooled_s(others: NDArray[np.float64], size_mib: float) -> float:
    """Return what one exponent for everything predicts: time falls with memory to the power of 0.3."""
    return float(np.mean(others[:, 2:].mean(axis=1) * (others[:, 0] / size_mib) ** 0.3))


def errors(folder: Path) -> pd.DataFrame:
    """Return the relative error of each rule for each configuration, predicted without its size.

    Raises:
        ConfigError: The profiles are not there.
    """
    missing = [name for name in CONFIGS if not (folder / f"{name}_profile.json").is_file()]
    if missing:
        raise ConfigError(f"{folder} has no {', '.join(f'{name}_profile.json' for name in missing)}")
    found = []
    for stage, rows in stages(folder):
        for size_mib in np.unique(rows[:, 0]):
            others = rows[rows[:, 0] != size_mib]
            ladder = Ladder.fit(
                np.repeat(others[:, 0], 2).astype(np.int32), np.repeat(others[:, 1], 2), others[:, 2:].ravel()
            )
            for _, size_bytes, *repeats in rows[rows[:, 0] == size_mib]:
                actual_s = np.mean(repeats)
                predicted_s = float(ladder.predict(np.array([size_bytes]), int(size_mib))[0])
                rule_s = pooled_s(others[others[:, 1] == size_bytes], size_mib)
                about = {"stage": stage, "size_mib": int(size_mib)}
                found.append(about | {LADDER: abs(predicted_s / actual_s - 1), POOLED: abs(rule_s / actual_s - 1)})
    return pd.DataFrame(found)


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """Return mean, median and 90th percentile of the errors of each rule."""
    rules = found[[LADDER, POOLED]]
    return pd.DataFrame({"MAPE": rules.mean(), "median": rules.median(), "p90": rules.quantile(0.9)})


def main(folder: Annotated[Path, typer.Argument(help="Folder of the profiles.")]) -> None:
    """Print the errors of both rules, size by size left out."""
    try:
        found = errors(folder)
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from error
    print(f"{len(found)} predictions of {found['stage'].nunique()} stages, each from all other sizes")
    print(summary(found).map("{:.1%}".format).to_string())


if __name__ == "__main__":
    typer.run(main)
