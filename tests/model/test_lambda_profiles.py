"""Execution times on a real platform: what is predicted at a size from measurements at all the others.

The profiles do not come with FaaSLab: these tests run where ``FAASLAB_SHARED_DATA`` names a folder with
``lambda_profiles/`` in it.
"""

import os
from pathlib import Path

import pytest

from experiments.lambda_profiles import LADDER, POOLED, errors, main, summary

FOLDER = Path(os.environ.get("FAASLAB_SHARED_DATA", "")) / "lambda_profiles"

pytestmark = pytest.mark.skipif(
    not os.environ.get("FAASLAB_SHARED_DATA") or not FOLDER.is_dir(),
    reason="FAASLAB_SHARED_DATA names no folder with lambda_profiles in it",
)


def test_sizes_never_seen_are_predicted(capsys: pytest.CaptureFixture[str]) -> None:
    """Mean error at most half of that of the pooled rule, median at most 5.5 %; the command prints both."""
    found = errors(FOLDER)
    table = summary(found)
    assert len(found) == 188
    assert table.loc[LADDER, "MAPE"] <= 0.5 * table.loc[POOLED, "MAPE"]
    assert table.loc[LADDER, "median"] <= 0.055
    assert table.loc[POOLED, "MAPE"] == pytest.approx(0.206, abs=0.005)
    main(FOLDER)
    first, _, ladder, _ = capsys.readouterr().out.splitlines()
    assert first.startswith("188 predictions of 8 stages")
    assert f"{table.loc[LADDER, 'MAPE']:.1%}" in ladder
