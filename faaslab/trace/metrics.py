"""One run in numbers."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from faaslab.trace.breakdown import SHARES, breakdown_ns, seconds
from faaslab.trace.records import EMPTY, Records, WorkerRecord

if TYPE_CHECKING:
    from faaslab.model.prices import Prices


def run_metrics(records: Records, prices: Mapping[str, float | bool], dilation: float = 1.0) -> dict[str, float]:
    """Return the metrics of a run; the same keys for real, virtual and simulated ones.

    Cost is that of all workers, repeated work included, from launch to end. Bytes are ``stored`` by outputs written
    to storage, ``fetched`` by inputs read from it, ``streamed`` by inputs that came while their producers wrote them,
    ``inline`` by inputs that rode along with an invocation, ``local`` by inputs that were in memory already, and
    ``dag`` by the DAG and its code on their way to containers.

    ``workers`` and their starts are of those with tasks; ``invocations``, cost and ``worker_s`` count empty ones too.
    ``prewarms_used`` is the number of containers that these made warm and that served the run afterwards, and of those
    that were reserved while they started; ``wasted_prewarm_gb_seconds`` is what was billed for all others.

    ``tasks`` are those whose outputs the run went on with, whoever made them. ``duplicates`` is how many were computed
    by workers that waited for them, and ``skipped_tasks`` how many their own workers left out, or did not store, since
    nobody needed them any more.

    Of the tasks that counted, ``throttled_s`` were lost to CPU quotas, which is what sizes are for, and
    ``contention_s`` to others who had the CPUs: with any of the tasks contended (``records.TaskRecord``), times of the
    run are not those of the platform it stands for. ``overhead_s`` is all but execution and waiting;
    ``overhead_real_s`` is the same in the seconds that passed here, which differ if time was dilated.

    Args:
        records: The run.
        prices: Fields of ``Prices`` that differ from its defaults.
        dilation: How many real seconds one second of the run took.
    """
    from faaslab.model.prices import Prices

    price = Prices(**prices)  # type: ignore[arg-type]
    shares = dict.fromkeys(SHARES, 0)
    cost_usd = gb_seconds = 0.0
    for worker in records.workers:
        for share, nanoseconds in breakdown_ns(worker).items():
            shares[share] += nanoseconds
        billed_s = _billed_s(worker, price)
        gb_seconds += price.gb_seconds(worker.size_mib, billed_s)
        cost_usd += price.invocation_usd(worker.size_mib, billed_s)
    moved = {"store": 0, "preload": 0, "stream": 0, "inline": 0, "local": 0, "stored": 0}
    for transfer in records.transfers:
        if transfer.direction == "out" and transfer.source == "stream":
            continue  # its consumers tell
        source = transfer.source if transfer.direction == "in" else "stored"
        moved[source] = moved.get(source, 0) + transfer.bytes
    workers = [worker for worker in records.workers if not worker.empty]
    cold_starts = sum(worker.cold for worker in workers)
    wall_ns = sum(shares.values())
    counted = [task for task in records.tasks if task.counted]
    overhead_s = seconds(wall_ns - shares["exec"] - shares["wait"])
    return {
        "makespan_s": records.ended_s - records.submitted_s,
        "cost_usd": cost_usd,
        "gb_seconds": gb_seconds,
        "invocations": len(records.invocations),
        "workers": len(workers),
        "cold_starts": cold_starts,
        "warm_starts": len(workers) - cold_starts,
        "stored_bytes": moved["stored"],
        "fetched_bytes": moved["store"] + moved["preload"],
        "streamed_bytes": moved["stream"],
        "inline_bytes": moved["inline"],
        "local_bytes": moved["local"],
        "dag_bytes": sum(worker.dag_bytes for worker in records.workers),
        "dag_wire_bytes": records.dag_wire_bytes,
        **_prewarming(records, price),
        "tasks": len({task.task for task in counted} | {copy.task for copy in records.copies}),
        "duplicates": len(records.copies),
        "skipped_tasks": len(records.skipped),
        "failed_attempts": sum(task.outcome == "failed" for task in records.tasks),
        "repeated_exec_s": sum(task.exec_s for task in records.tasks if not task.counted),
        "worker_s": seconds(wall_ns),
        "overhead_s": overhead_s,
        "overhead_real_s": overhead_s * dilation,
        "throttled_s": sum(task.throttled_s for task in counted),
        "contention_s": sum(task.contention_s for task in counted),
        "contended_tasks": sum(task.contended for task in counted),
        **{f"{share}_s": seconds(shares[share]) for share in SHARES},
    }


def _prewarming(records: Records, price: "Prices") -> dict[str, float]:
    """Return what empty invocations came to."""
    served_s: dict[str, float] = {}
    for worker in records.workers:
        if not worker.empty:
            served_s[worker.container] = max(worker.started_s, served_s.get(worker.container, -math.inf))
    used, all_gb_s, wasted_gb_s = set[str](), 0.0, 0.0
    for worker in records.workers:
        if worker.empty:
            gb_s = price.gb_seconds(worker.size_mib, _billed_s(worker, price))
            all_gb_s += gb_s
            if served_s.get(worker.container, -math.inf) >= worker.started_s:
                used.add(worker.container)
            else:
                wasted_gb_s += gb_s
    return {
        "prewarms": sum(invocation.invocation.startswith(EMPTY) for invocation in records.invocations),
        "prewarms_used": len(used) + records.reserved,
        "prewarm_gb_seconds": all_gb_s,
        "wasted_prewarm_gb_seconds": wasted_gb_s,
    }


def _billed_s(worker: WorkerRecord, price: "Prices") -> float:
    return worker.ended_s - (worker.launched_s if price.bill_cold_start else worker.started_s)
