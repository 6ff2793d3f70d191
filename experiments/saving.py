"""Where a study's results go, and what is written beside them so that a figure can be traced back."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faaslab.trace.export import write_atomic
from faaslab.trace.manifest import git_commit, host, versions

if TYPE_CHECKING:
    import pandas as pd
    from _typeshed import DataclassInstance

RESULTS = Path(__file__).parent / "results"
PARAMS_FILE, RUNS_FILE = "params.json", "runs.parquet"


def results_folder(study: str, params: "DataclassInstance", root: Path) -> Path:
    """Return the folder of a study's results under ``root``: the same parameters always have the same."""
    return root / study / sha256(_params_json(params).encode()).hexdigest()[:12]


def start_results(study: str, params: "DataclassInstance", root: Path) -> Path:
    """Make the folder of a study's results, with its parameters in it, and return it."""
    folder = results_folder(study, params, root)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / PARAMS_FILE, lambda path: path.write_text(_params_json(params), "utf-8"))
    return folder


def save_table(table: "pd.DataFrame", path: Path) -> None:
    """Write a table as Parquet, whole or not at all."""
    write_atomic(path, lambda fresh: table.to_parquet(fresh, index=False))


def provenance(study: str, params: "DataclassInstance", runs: Iterable[str]) -> dict[str, Any]:
    """Return what made a figure: study, parameters, ids of the runs, commit, versions and machine; JSON values only."""
    return {
        "study": study,
        "params": json.loads(_params_json(params)),
        "runs": sorted(runs),
        "git_commit": git_commit(Path(__file__).parent),
        "versions": versions(),
        "host": host(),
    }


def _params_json(params: "DataclassInstance") -> str:
    return json.dumps(asdict(params), indent=2, sort_keys=True) + "\n"
