"""``faaslab plan`` and ``faaslab simulate``: what a workflow would come to, without running it."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from faaslab.cli.workflows import load_workflow
from faaslab.errors import ConfigError
from faaslab.model.sla import Sla
from faaslab.plan import OPTIMIZATIONS, Predicted
from faaslab.planners import PLANNERS, compare

Workflow = Annotated[
    str, typer.Argument(help="module:workflow (a task, a DAG or a function that returns one), or a WfFormat file.")
]
PlannerName = Annotated[str, typer.Option(help=f"How to plan it: {', '.join(PLANNERS)}.")]
Sizes = Annotated[str, typer.Option(help="Allowed worker sizes in MiB, for instance 512,1024,2048.")]
PlatformName = Annotated[str, typer.Option(help="What it is for: lambda, openwhisk, this machine or none.")]
SlaName = Annotated[str, typer.Option("--sla", help="average, or the percentile of what is predicted, like p90.")]
Optimizations = Annotated[
    str,
    typer.Option(help=f"Those that may be used, separated by commas, 'all', or 'none': {', '.join(OPTIMIZATIONS)}."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def _sizes(text: str) -> dict[str, Any]:
    try:
        return {"sizes": [int(size) for size in text.split(",")]} if text else {}
    except ValueError:
        raise ConfigError(f"--sizes is {text!r}, must be whole numbers of MiB like 512,1024,2048") from None


def optimizations_of(text: str) -> dict[str, Any]:
    """Return the argument of planning that says which optimizations may be used; none: the two that are always on."""
    if not text:
        return {}
    return {"optimizations": [] if text == "none" else text if text == "all" else text.split(",")}


def _objective(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def plan(
    workflow: Workflow,
    planner: PlannerName = "all",
    sizes: Sizes = "",
    platform: PlatformName = "lambda",
    optimizations: Optimizations = "",
    objective: Annotated[
        str, typer.Option(help="makespan, cost, or how many seconds of makespan a dollar is worth.")
    ] = "makespan",
    deadline_s: Annotated[float | None, typer.Option("--deadline", help="Makespan that must be kept, seconds.")] = None,
    cost_cap_usd: Annotated[float | None, typer.Option("--cost-cap", help="Cost that must be kept, USD.")] = None,
    sla: SlaName = "average",
    seed: Annotated[int, typer.Option(help="Of the planner and of the simulated runs' luck.")] = 0,
    output: Annotated[Path | None, typer.Option(help="Write the plan of a single planner here, as JSON.")] = None,
    as_json: AsJson = False,
) -> None:
    """Plan a workflow with one planner or all that can be used, and tell what each plan is predicted to come to."""
    names = None if planner == "all" else [planner]
    if output is not None and names is None:
        raise ConfigError("--output takes the plan of one planner: name it with --planner")
    found = compare(
        load_workflow(workflow),
        names,
        **_sizes(sizes),
        **optimizations_of(optimizations),
        platform=platform,
        objective=_objective(objective),
        deadline_s=deadline_s,
        cost_cap_usd=cost_cap_usd,
        sla=sla,
        seed=seed,
    )
    if output is not None:
        output.write_text(found.plans[0].plan.to_json())
    table = found.table
    if as_json:
        rows = [
            {**row, **_percentiles(compared.predicted)}
            for row, compared in zip(table.reset_index().to_dict("records"), found.plans, strict=True)
        ]
        bounds = {"makespan_s": found.bounds.makespan_s, "cost_usd": found.bounds.cost_usd}
        told = {"sla": Sla.named(sla).name, "plans": rows, "bounds": bounds, "left_out": dict(found.left_out)}
        typer.echo(msgspec.json.encode(told).decode())
        return
    columns = "makespan_s cost_usd makespan_p50_s makespan_p90_s makespan_gap cost_gap workers cold_starts pareto"
    shown = table[columns.split()]
    typer.echo(shown.to_string(float_format=lambda value: f"{value:.4g}"))
    for reason in found.left_out.values():
        typer.echo(f"left out: {reason}")


def simulate(
    workflow: Workflow,
    planner: PlannerName = "wukong",
    sizes: Sizes = "",
    platform: PlatformName = "lambda",
    optimizations: Optimizations = "",
    sla: Annotated[
        str, typer.Option("--sla", help="Tell also what many runs come to: average, or a percentile like p90.")
    ] = "",
    seed: Annotated[
        int | None, typer.Option(help="Draw everything that scatters; without it everything takes its median.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Simulate one run of a workflow and print its metrics, the same as those of a real run."""
    from faaslab.simulate import simulate as simulated

    dag = load_workflow(workflow)
    predicting: dict[str, Any] = {"sla": sla, "predict": True} if sla else {"predict": False}
    planning = {**_sizes(sizes), **optimizations_of(optimizations), **predicting}
    chosen = dag.plan(planner, platform=platform, seed=seed or 0, **planning)
    metrics: dict[str, Any] = dict(simulated(dag, chosen, platform=platform, seed=seed).metrics)
    if as_json:
        if sla:
            predicted = {"makespan_s": chosen.predicted.makespan_s, "cost_usd": chosen.predicted.cost_usd}
            metrics["predicted"] = {"sla": Sla.named(sla).name, **predicted, **_percentiles(chosen.predicted)}
        typer.echo(msgspec.json.encode(metrics).decode())
        return
    if sla:
        name = Sla.named(sla).name
        metrics |= {f"{name} makespan_s": chosen.predicted.makespan_s, f"{name} cost_usd": chosen.predicted.cost_usd}
    width = max(map(len, metrics))
    for name, value in metrics.items():
        typer.echo(f"{name:{width}}  {value:.6g}")


def _percentiles(predicted: Predicted) -> dict[str, Any]:
    """Return what scripts are told of a prediction beside its values at the SLA."""
    return {
        "makespan_quantiles_s": predicted.makespan.percentiles,
        "cost_quantiles_usd": predicted.cost.percentiles,
        "bases": predicted.bases,
        "calibrated_on": predicted.calibrated_on,
    }
