"""The report on AWS Lambda's profiles, without them."""

import json
from pathlib import Path

import numpy as np
import pytest
import typer

from experiments import lambda_profiles as study


def write_profiles(folder: Path) -> None:
    """Write profiles of one stage each, whose times are input over vCPUs: half the size, twice the time."""
    for application, configs in study.CONFIGS.items():
        seconds = [[1e4 / size_mib / parts] for size_mib, parts in configs]
        profile = {"stage0": {"compute": [[[99.0]] * len(configs), seconds, seconds]}}
        (folder / f"{application}_profile.json").write_text(json.dumps(profile))
        (folder / f"{application}_workflow.json").write_text(json.dumps({"0": {"allow_parallel": "true"}}))


def test_errors_of_known_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where time is input over CPU, the ladder is nearly right, and the pooled rule is off as computed by hand."""
    write_profiles(tmp_path)
    found = study.errors(tmp_path)
    assert len(found) == sum(len(configs) for configs in study.CONFIGS.values())
    assert found[study.LADDER].max() < 0.05
    largest = found[(found["stage"] == "Video-Analytics stage0") & (found["size_mib"] == 8960)]
    others = np.array([1792, 3584, 5120, 6144, 7168])
    by_hand = float(np.mean((others / 8960) ** 0.3 / others)) * 8960 - 1
    assert largest[study.POOLED].tolist() == pytest.approx([by_hand] * 4)
    study.main(tmp_path)
    assert "47 predictions of 2 stages" in capsys.readouterr().out


def test_folder_without_profiles(tmp_path: Path) -> None:
    """A folder without the profiles is refused by the names that are missing."""
    with pytest.raises(typer.BadParameter, match=r"has no ML-Pipeline_profile\.json, Video-Analytics_profile\.json"):
        study.main(tmp_path)
