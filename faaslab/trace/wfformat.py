"""A run as a WfFormat 1.5 document, the format of WfCommons, so that other tools can read and simulate it.

A task writes one file, its output, as large as the run saw it; tasks that take it read that file. Machines are the
containers of the run. What the format has no word for (startup, transfers, waiting) stays in the trace.
"""

import json
import math
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faaslab.errors import TraceError
from faaslab.graph.wfformat.bodies import REFERENCE_MIB
from faaslab.graph.wfformat.validator import validate_wfformat
from faaslab.trace.export import write_atomic

if TYPE_CHECKING:
    from faaslab.graph import DAG
    from faaslab.trace.records import ContainerRecord, TaskRecord
    from faaslab.trace.trace import Trace

__all__ = ["to_wfformat", "validate_wfformat"]

VERSION = "1.5"
_SYSTEMS = {"Linux": "linux", "Darwin": "macos", "Windows": "windows"}
_ODD = re.compile(r"[^0-9a-zA-Z\-_.]")


def to_wfformat(dag: "DAG", trace: "Trace", path: str | Path | None = None) -> dict[str, Any]:
    """Return a run, real or simulated, as a WfFormat 1.5 document.

    Args:
        dag: What was run.
        trace: The run; every task must have finished.
        path: Where to write the document as JSON, too; None: nowhere.

    Raises:
        TraceError: The trace is of another DAG, or lacks a task.
    """
    if trace.manifest.structure_hash != dag.structure_hash:
        raise TraceError(
            f"run {trace.manifest.run!r} is of DAG {trace.manifest.dag_name!r} ({trace.manifest.structure_hash}), "
            f"not of {dag.name!r} ({dag.structure_hash}): pass the DAG that was run"
        )
    counted = {record.task: record for record in trace.records.tasks if record.counted}
    lacking = [dag.ids[t] for t in range(len(dag)) if t not in counted]
    if lacking:
        raise TraceError(
            f"run {trace.manifest.run!r} ({trace.status or 'not ended'}) lacks {len(lacking)} of {len(dag)} tasks "
            f"({', '.join(lacking[:3])}…): only a run that finished can be written as WfFormat"
        )
    document = _Writer(dag, trace, counted).document()
    validate_wfformat(document)
    if path is not None:
        text = json.dumps(document, indent=1).encode()
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(Path(path), lambda temporary: temporary.write_bytes(text))
    return document


class _Writer:
    """Puts the parts of a document together."""

    def __init__(self, dag: "DAG", trace: "Trace", counted: "dict[int, TaskRecord]") -> None:
        self._dag = dag
        self._trace = trace
        self._counted = counted
        self._names = [dag.kinds[kind].name for kind in dag.kind_of]
        # Numbered, so that they stay apart when characters that ids can't have are replaced.
        self._ids = [f"{_plain(name)}_{t:08d}" for t, name in enumerate(self._names)]
        self._machines = {
            record.container: f"{_plain(record.container)}-{number}".replace("_", "-")
            for number, record in enumerate(trace.records.containers)
        }

    def document(self) -> dict[str, Any]:
        """Return the whole document."""
        manifest = self._trace.manifest
        about = f"Run {manifest.run}, planned by {manifest.planner}, on launcher {manifest.launcher}"
        return {
            "name": self._dag.name,
            "description": about,
            "createdAt": _instant(self._trace.records.submitted_s),
            "schemaVersion": VERSION,
            "runtimeSystem": {"name": "FaaSLab", "version": manifest.versions.get("faaslab", "unknown")},
            "workflow": {"specification": self._specification(), "execution": self._execution()},
        }

    def _specification(self) -> dict[str, Any]:
        dag, ids = self._dag, self._ids
        files = [self._file(t) for t in range(len(dag))]
        tasks = [
            {
                "name": self._names[t],
                "id": ids[t],
                "parents": [ids[upstream] for upstream in dag.upstreams(t)],
                "children": [ids[successor] for successor in dag.successors(t)],
                "inputFiles": [files[upstream] for upstream in dag.upstreams(t)],
                "outputFiles": [files[t]],
            }
            for t in range(len(dag))
        ]
        sizes = [{"id": file, "sizeInBytes": self._counted[t].output_bytes} for t, file in enumerate(files)]
        return {"tasks": tasks, "files": sizes}

    def _execution(self) -> dict[str, Any]:
        records = self._trace.records
        return {
            "makespanInSeconds": records.ended_s - records.submitted_s,
            "executedAt": _instant(records.submitted_s),
            "tasks": [self._executed(t) for t in range(len(self._dag))],
            "machines": [self._machine(record) for record in records.containers],
        }

    def _executed(self, t: int) -> dict[str, Any]:
        record = self._counted[t]
        found: dict[str, Any] = {
            "id": self._ids[t],
            "runtimeInSeconds": record.exec_s,
            "executedAt": _instant(record.start_s + record.fetch_s),
            "command": {"program": self._names[t]},
            "coreCount": _cores(record.size_mib),
            "readBytes": record.input_bytes,
            "writtenBytes": record.output_bytes,
            "machines": [self._machines[record.container]] if record.container in self._machines else [],
        }
        if record.exec_s > 0:
            found["avgCPU"] = 100 * record.cpu_s / record.exec_s
        if record.peak_rss_bytes:
            found["memoryInBytes"] = record.peak_rss_bytes
        return found

    def _machine(self, record: "ContainerRecord") -> dict[str, Any]:
        host = self._trace.manifest.host
        found: dict[str, Any] = {
            "nodeName": self._machines[record.container],
            "memoryInBytes": record.size_mib * 2**20,
            "cpu": {"coreCount": _cores(record.size_mib)},
        }
        if host.get("system") in _SYSTEMS:
            found["system"] = _SYSTEMS[host["system"]]
        if host.get("machine"):
            found["architecture"] = str(host["machine"])
        return found

    def _file(self, t: int) -> str:
        return f"{self._ids[t]}.output"


def _plain(name: str) -> str:
    return _ODD.sub("-", name)


def _cores(size_mib: int) -> int:
    """Return how many cores a worker of a size can keep busy; the format knows no parts of cores."""
    return max(1, math.ceil(size_mib / REFERENCE_MIB))


def _instant(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat()
