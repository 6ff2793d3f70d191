"""Plans for human eyes: the explanation of one task and the table a notebook shows."""

from dataclasses import fields, is_dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from faaslab.model.sizes import vcpus

if TYPE_CHECKING:
    from faaslab.plan.plan import Plan

_ROWS = 12
"""Workers and upstream tasks that are listed before the list is cut."""


def explain_task(plan: "Plan", task: int) -> str:
    """Return where a task runs, why, and what it waits for, as text.

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
    return "\n".join(lines)


def _whereabouts(plan: "Plan", upstream: int, worker: str | None) -> str:
    there = plan.assignments[upstream].worker
    if there is None:
        return "a worker decided at run time"
    if there == worker:
        return f"{there} (the same worker: its output is in memory)"
    return f"{there} (another worker: its output travels)"


def plan_html(plan: "Plan") -> str:
    """Return a small HTML table: one row for each worker, the first few only."""
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
        f"<table><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>"
    )


def policy_text(plan: "Plan") -> str:
    """Return what decides at run time, in a few words."""
    policy: Any = plan.policy
    if policy is None:
        return "become one, invoke the rest"
    settings = {f.name: getattr(policy, f.name) for f in fields(policy)} if is_dataclass(policy) else {}
    return f"{policy.name}({', '.join(f'{name}={value!r}' for name, value in settings.items())})"


def _sample(plan: "Plan", tasks: tuple[int, ...]) -> str:
    shown = ", ".join(plan.ids[task] for task in tasks[:4])
    return shown + (", …" if len(tasks) > 4 else "")


def _waits(plan: "Plan", order: tuple[int, ...]) -> str:
    leaving = sum(plan.assignments[task].wait == "leave" for task in order)
    return f"leaves before {leaving} of its tasks" if leaving else "stays"
