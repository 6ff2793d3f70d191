"""Run a study through its notebook: ``python -m experiments.run demo``, ``… study NAME --scale paper -p repeats=5``.

Papermill executes ``notebooks/<study>.ipynb`` with the parameters; the executed notebook, its HTML and the figures are
written beside the results. A study without a notebook prints its tables, and saves them as CSV. Parameters that the
study does not have are refused before anything starts.
"""

import json
import os
import sys
from dataclasses import asdict, fields
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import msgspec
import typer

from experiments import ablation, optimality, planner_quality, planners, planning_time, sla_coverage
from experiments.saving import RESULTS, results_folder
from faaslab.errors import ConfigError, FaaSLabError, LauncherError

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
STUDIES: dict[str, ModuleType] = {module.STUDY: module for module in (planners, ablation)}
"""Studies with a notebook of their name."""
TABLE_STUDIES: dict[str, ModuleType] = {
    module.STUDY: module for module in (planner_quality, optimality, planning_time, sla_coverage)
}
"""Studies with tables only: ``tables`` returns them by title."""
CELL_TIMEOUT_S = 24 * 3600
"""A study's own deadlines are shorter; this ends a notebook that hangs."""
DEMO_TIMEOUT_S = 600

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def chosen_params(study: str, scale: str, overrides: dict[str, str]) -> Any:
    """Return a study's parameters: those of a scale with some overridden.

    Args:
        study: Name of the study.
        scale: Name of one of its scales.
        overrides: Values as text: JSON, or plain words; several words separated by commas.

    Raises:
        ConfigError: Study, scale or parameter is unknown, or a value has the wrong type.
    """
    studies = STUDIES | TABLE_STUDIES
    if study not in studies:
        raise ConfigError(f"unknown study {study!r}; known: {', '.join(studies)}")
    module = studies[study]
    if scale not in module.SCALES:
        raise ConfigError(f"study {study!r} has no scale {scale!r}; known: {', '.join(module.SCALES)}")
    known = {field.name: field.type for field in fields(module.Params)}
    values = asdict(module.SCALES[scale])
    for name, text in overrides.items():
        if name not in known:
            raise ConfigError(f"study {study!r} has no parameter {name!r}; known: {', '.join(known)}")
        value = _read(text)
        if isinstance(values[name], tuple) and isinstance(value, str):
            value = value.split(",")
        try:
            values[name] = msgspec.convert(value, known[name])
        except msgspec.ValidationError as error:
            raise ConfigError(f"parameter {name}={text!r} of study {study!r}: {error}") from None
    return module.Params(**values)


def check_notebook(path: Path, parameters: dict[str, Any]) -> None:
    """Check that a notebook declares exactly these parameters: papermill would inject unknown ones silently.

    Raises:
        ConfigError: It lacks some, or declares others.
    """
    import papermill

    declared = set(papermill.inspect_notebook(path))
    if declared != set(parameters):
        raise ConfigError(
            f"the parameters cell of {path.name} does not match what it is given; only in the notebook: "
            f"{sorted(declared - set(parameters))}, not in it: {sorted(set(parameters) - declared)}"
        )


def execute(study: str, params: Any, results: Path, *, cell_timeout_s: float = CELL_TIMEOUT_S) -> Path:
    """Execute a study's notebook and return the folder with the executed notebook, its HTML, data and figures.

    Raises:
        ConfigError: The notebook does not have these parameters.
        papermill.PapermillExecutionError: A cell has failed; the notebook is saved as far as it came.
    """
    import papermill

    # This environment's kernel, whatever kernels the user has installed for everything.
    os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")
    source = NOTEBOOKS / f"{study}.ipynb"
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(params).items()}
    values["results_dir"] = str(results.resolve())
    check_notebook(source, values)
    folder = results_folder(study, params, results)
    folder.mkdir(parents=True, exist_ok=True)
    executed = folder / "executed.ipynb"
    papermill.execute_notebook(
        source,
        executed,
        parameters=values,
        kernel_name="python3",
        cwd=str(NOTEBOOKS),
        progress_bar=False,  # the study shows one that knows more
        stderr_file=sys.stderr,
        execution_timeout=cell_timeout_s,
    )
    _write_html(executed)
    return folder


def print_tables(study: str, params: Any, results: Path) -> None:
    """Run a study that has tables only; print them and save each as ``tables/<number>.csv`` in its folder."""
    module = TABLE_STUDIES[study]
    folder = module.run(params, results)
    (folder / "tables").mkdir(exist_ok=True)
    for number, (title, table) in enumerate(module.tables(folder, params).items(), 1):
        table.to_csv(folder / "tables" / f"{number}.csv")
        print(f"{title}\n{table.to_string(float_format='{:.4g}'.format)}\n")
    print(f"results: {_shown(folder)}")


def _shown(folder: Path) -> Path:
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def _write_html(notebook: Path) -> None:
    from nbconvert import HTMLExporter
    from nbconvert.preprocessors import CoalesceStreamsPreprocessor

    exporter = HTMLExporter(  # type: ignore[no-untyped-call]
        preprocessors=[CoalesceStreamsPreprocessor],  # a progress bar is one line
        # Nothing in it needs formulas or widgets, and it shall be readable offline.
        mathjax_url="",
        require_js_url="",
        jquery_url="",
        embed_images=True,
    )
    body, _ = exporter.from_filename(str(notebook))
    notebook.with_suffix(".html").write_text(body, "utf-8")


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _report(folder: Path) -> None:
    shown = _shown(folder)
    print(f"results:  {shown}")
    print(f"notebook: {shown / 'executed.html'}")
    for figure in sorted((shown / "figures").glob("*.png")):
        print(f"figure:   {figure} (and .pdf)")


def _run(study: str, scale: str, overrides: dict[str, str], results: Path, cell_timeout_s: float) -> None:
    from papermill.exceptions import PapermillExecutionError

    try:
        params = chosen_params(study, scale, overrides)
        if study in TABLE_STUDIES:
            print_tables(study, params, results)
            return
        _report(execute(study, params, results, cell_timeout_s=cell_timeout_s))
    except (FaaSLabError, PapermillExecutionError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        raise typer.Exit(1) from error


ResultsDir = Annotated[Path, typer.Option(help="Folder under which the study's results go.")]


@app.command()
def demo(results_dir: ResultsDir = RESULTS) -> None:
    """Run the study of planners on real input: a minute on local processes, another where a Docker engine answers."""
    _run(planners.STUDY, "demo", {"launchers": ",".join(demo_launchers(planners.DEMO))}, results_dir, DEMO_TIMEOUT_S)


def demo_launchers(params: planners.Params) -> tuple[str, ...]:
    """Return what the demo runs on, and say why where that is not Docker; an image it needs is built here."""
    try:
        params.launcher("docker").prepare(print)
    except LauncherError as error:
        print(f"running on processes only: {' '.join(str(error).split())}")
        return ("process",)
    return ("process", "docker")


@app.command("study")
def run_study(
    name: Annotated[str, typer.Argument(help=f"One of: {', '.join(STUDIES | TABLE_STUDIES)}.")],
    scale: Annotated[str, typer.Option(help="One of the study's scales, for instance smoke or paper.")] = "smoke",
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", help="key=value; may be given several times.")
    ] = None,
    results_dir: ResultsDir = RESULTS,
) -> None:
    """Run a study at one of its scales, with some parameters overridden."""
    overrides = {}
    for text in parameter or []:
        key, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"{text!r} is not key=value")
        overrides[key] = value
    _run(name, scale, overrides, results_dir, CELL_TIMEOUT_S)


if __name__ == "__main__":
    app()
