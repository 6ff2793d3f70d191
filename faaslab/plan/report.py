"""Plans for human eyes: the explanation of one task, and the tables that a notebook shows."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from faaslab.model.sizes import vcpus

if TYPE_CHECKING:
    from faaslab.plan.plan import Plan
    from faaslab.plan.predicted import Predicted

_ROWS = 12
"""Workers and upstream tasks that are listed before the list is cut."""


def explain_task(plan: "Plan", task: int) -> str:
    """Return where a task runs, why, what it waits for, and what is predicted of it, as text.

    Args:
        plan: The plan.
        task: Task index.
    """
    assignment = plan.assignments[task]
    worker, size_mib = assignment.worker, assignment.size_mib
    by_policy = "" if plan.policy is None else f" by policy {policy_text(plan)}"
    where = f"a worker decided at run time{by_policy}" if worker is None else f"worker {worker}"
    size = f"{size_mib} MiB ({vcpus(size_mib):.2f} vCPU)"
    lines = [f"{plan.ids[task]} runs on {where}, {size}, planned by {plan.planner}"]
    if plan.reasons:
        lines.append(f"why: {plan.reasons[task]}")
    if worker is not None:
        order = plan.orders[worker]
        position = order.index(task)
        turn = f"turn: {position + 1} of {len(order)} on {worker}"
        lines.append(turn + (f", after {plan.ids[order[position - 1]]}" if position else ""))
    upstreams = plan.upstreams[task]
    if not upstreams:
        lines.append("waits for: nothing; it is ready when the run starts")
    lines.extend(
        f"waits for: {plan.ids[upstream]} on {_whereabouts(plan, upstream, worker)}" for upstream in upstreams[:_ROWS]
    )
    if assignment.wait == "leave":
        lines.append(f"if they are not there: {worker} ends, unbilled, and is invoked again when they are")
    if len(upstreams) > _ROWS:
        local = sum(worker is not None and plan.assignments[upstream].worker == worker for upstream in upstreams)
        lines.append(f"… {len(upstreams)} tasks in all, {local} of them on the same worker")
    lines.extend(instructed(plan, task))
    if plan.predicted is not None:
        lines.extend(_predicted_lines(plan, plan.predicted, task))
    return "\n".join(lines)


def _predicted_lines(plan: "Plan", predicted: "Predicted", task: int) -> Iterator[str]:
    """Yield what is predicted of a task in the run in which everything takes its median."""
    records = {record.task: record for record in predicted.trace.records.tasks if record.counted}
    record = records.get(task)
    if record is None:
        return
    basis = predicted.basis_of[task] if predicted.basis_of else "unknown"
    yield (
        f"predicted: begins at {record.start_s:.4g} s, done at {record.end_s:.4g} s in a median run; executes "
        f"{record.exec_s:.4g} s ({basis})"
    )
    if predicted.why:
        yield f"begins no earlier because of: {_reason(plan, predicted.why[task])}"
    path = predicted.critical_path
    yield f"critical path: {'it is on it' if task in path else f'not on it; the {len(path)} tasks there decide'}"
    # What another place would save: the largest of the inputs that travel.
    here = plan.assignments[task].worker
    travelling = [
        (records[upstream].output_bytes, upstream)
        for upstream in plan.upstreams[task]
        if here is not None and plan.assignments[upstream].worker != here and upstream in records
    ]
    if travelling:
        size_bytes, upstream = max(travelling, key=lambda pair: (pair[0], -pair[1]))
        there = plan.assignments[upstream].worker
        if there is not None:
            yield (
                f"alternative: on {there} it would have the output of {plan.ids[upstream]} in memory "
                f"({size_bytes / 1e6:.3g} MB)"
            )


_REASONS = {
    "client": "nothing but its invocation; a container was there",
    "cold": "a new container that had to start",
    "queue": "its worker, or every container, that was busy with another task",
    "local": "an input that its own worker made",
}


def _reason(plan: "Plan", why: str) -> str:
    """Return one of ``Simulation.why`` in words."""
    kind, _, upstream = why.partition(":")
    return f"{plan.ids[int(upstream)]} on another worker" if kind == "remote" else _REASONS[kind]


def _whereabouts(plan: "Plan", upstream: int, worker: str | None) -> str:
    there = plan.assignments[upstream].worker
    if there is None:
        return "a worker decided at run time"
    if there == worker:
        return f"{there} (the same worker: its output is in memory)"
    return f"{there} (another worker: its output travels)"


def plan_html(plan: "Plan") -> str:
    """Return small HTML tables: what is predicted, and one row for each worker, the first few only."""
    rows = [
        (worker, f"{plan.assignments[order[0]].size_mib}", f"{len(order)}", _waits(plan, order), _sample(plan, order))
        for worker, order in list(plan.orders.items())[:_ROWS]
        if order
    ]
    hidden = len(plan.orders) - _ROWS
    if hidden > 0:
        rows.append((f"… {hidden} more", "", "", "", ""))
    free = [task for task, assignment in enumerate(plan.assignments) if assignment.worker is None]
    if free:
        sizes = ", ".join(str(size) for size in sorted({plan.assignments[task].size_mib for task in free}))
        rows.append(("decided at run time", sizes, f"{len(free)}", "never waits", _sample(plan, tuple(free))))
    names = ("worker", "MiB", "tasks", "while it waits", "in order")
    header = "".join(f"<th style='text-align:left'>{name}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td style='text-align:left'>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    optimizations = ", ".join(sorted(plan.optimizations)) or "none"
    policy = "" if plan.policy is None else f"; at run time: {escape(policy_text(plan))}"
    return (
        f"<p><b>{escape(plan.planner)}</b> plan of <b>{escape(plan.dag_name)}</b>: {len(plan)} tasks, "
        f"{len(plan.orders)} assigned workers; optimizations: {escape(optimizations)}{policy}</p>"
        f"{'' if plan.predicted is None else _predicted_html(plan, plan.predicted)}{_savings_html(plan)}"
        f"<table><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>"
    )


def _savings_html(plan: "Plan") -> str:
    """Return a table of what each optimization that was asked for should save; empty: none was."""
    savings = plan.instructions.savings
    if not savings:
        return ""
    rows = "".join(
        f"<tr><td style='text-align:left'>{escape(one.optimization)}</td><td>{one.tasks}</td>"
        f"<td>{one.makespan_s:+.4g}</td><td>{one.cost_usd:+.4g}</td>"
        f"<td style='text-align:left'>{escape(one.why)}</td></tr>"
        for one in savings
    )
    header = "".join(f"<th>{name}</th>" for name in ("optimization", "tasks", "saves s", "saves USD", ""))
    return f"<table><thead><tr>{header}</tr></thead><tbody>{rows}</tbody></table>"


def instructed(plan: "Plan", task: int) -> Iterator[str]:
    """Yield what optimizations do with a task, a line each."""
    told = plan.instructions
    if task in told.preload:
        yield "preload: its inputs are fetched as they appear, while its worker executes other tasks"
    if task in told.stream:
        yield "streaming: workers that wait for its output receive it while it is uploaded"
    for one in told.duplicates:
        if one.task == task:
            yield (
                f"task_dup: {one.worker} may compute it itself in {one.own_s:.4g} s rather than wait for its output, "
                f"expected {one.expected_s:.4g} s after its inputs are there"
            )
    for prewarm in told.prewarms:
        if prewarm.after == task:
            yield (f"prewarm: {prewarm.count} of {prewarm.size_mib} MiB {prewarm.delay_s:.4g} s after it has completed")


def policy_text(plan: "Plan") -> str:
    """Return what decides at run time, in a few words."""
    policy: Any = plan.policy
    if policy is None:
        return "become one, invoke the rest"
    settings = {f.name: getattr(policy, f.name) for f in fields(policy)} if is_dataclass(policy) else {}
    return f"{policy.name}({', '.join(f'{name}={value!r}' for name, value in settings.items())})"


def _predicted_html(plan: "Plan", predicted: "Predicted") -> str:
    """Return what a plan is predicted to come to: at the SLA, as quantiles, where from, and what decides."""
    makespan, cost = predicted.makespan.percentiles, predicted.cost.percentiles
    header = "".join(f"<th style='text-align:right'>{name}</th>" for name in ("", *makespan))
    rows = "".join(
        f"<tr><th style='text-align:left'>{name}</th>"
        + "".join(f"<td style='text-align:right'>{value:.4g}</td>" for value in values.values())
        + "</tr>"
        for name, values in (("makespan, s", makespan), ("cost, USD", cost))
    )
    counts = ", ".join(f"{count} {basis}" for basis, count in predicted.bases.items() if count)
    calibrated = f"; calibrated on {predicted.calibrated_on} earlier runs" if predicted.calibrated_on else ""
    path = predicted.critical_path
    shown = [plan.ids[task] for task in path[:_ROWS]] + ([f"… ({len(path)} tasks)"] if len(path) > _ROWS else [])
    return (
        f"<p>predicted ({predicted.sla.name}): <b>{predicted.makespan_s:.4g} s</b>, "
        f"<b>{predicted.cost_usd:.4g} USD</b>; times of tasks: {counts or 'none'}{calibrated}</p>"
        f"<table><thead><tr>{header}</tr></thead><tbody>{rows}</tbody></table>"
        f"<p>critical path: {escape(' → '.join(shown))}</p>"
    )


def _sample(plan: "Plan", tasks: tuple[int, ...]) -> str:
    shown = ", ".join(plan.ids[task] for task in tasks[:4])
    return shown + (", …" if len(tasks) > 4 else "")


def _waits(plan: "Plan", order: tuple[int, ...]) -> str:
    leaving = sum(plan.assignments[task].wait == "leave" for task in order)
    return f"leaves before {leaving} of its tasks" if leaving else "stays"
