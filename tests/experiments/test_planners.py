"""The study measures what its parameters say, verifies it, and does not measure twice."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import faaslab as fl
from experiments import planners as study
from experiments.workflows import Workflow, WrongResult, matrix_multiply, word_count

TINY = replace(study.SMOKE, workflows=("word_count",), planners=("single_worker", "wukong"), repeats=1)


def refuse(*args: object) -> None:
    """Stand in for measuring."""
    pytest.fail(f"measured again: {args[1]}")


def test_measures_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every point is a cold and a warm run with a saved trace; a second call reads them and gives the same table."""
    folder = study.run(TINY, tmp_path)
    runs = pd.read_parquet(folder / "runs.parquet")
    assert list(zip(runs["pool"], runs["planner"], strict=True)) == [
        ("cold", "single_worker"),
        ("cold", "wukong"),
        ("warm", "single_worker"),
        ("warm", "wukong"),
    ]
    assert (runs["status"] == "finished").all()
    cold = runs["pool"] == "cold"
    assert (runs.loc[cold, "cold_starts"] > 0).all()
    trace = fl.Trace.load(study.Point("process", "word_count", "wukong", 0).folder(folder, "cold"))
    assert trace.manifest.run in set(runs["run"])
    monkeypatch.setattr(study, "measure", refuse)
    assert study.run(TINY, tmp_path) == folder
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "runs.parquet"), runs)


def test_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an interruption, only what is missing is measured."""
    measured: list[study.Point] = []
    measure = study.measure

    def note(folder: Path, point: study.Point, workflow: Workflow, params: study.Params) -> pd.DataFrame:
        if len(measured) == 1 and not stopped:
            stopped.append(True)
            raise KeyboardInterrupt
        measured.append(point)
        return measure(folder, point, workflow, params)

    stopped: list[bool] = []
    monkeypatch.setattr(study, "measure", note)
    with pytest.raises(KeyboardInterrupt):
        study.run(TINY, tmp_path)
    study.run(TINY, tmp_path)
    assert measured == list(study.points(TINY))


def test_changed_workflow_is_measured_again(tmp_path: Path) -> None:
    """A saved trace of another version of the workflow does not count."""
    point = study.Point("process", "word_count", "wukong", 0)
    workflow = word_count.build(TINY.word_count)
    assert study.saved(tmp_path, point, workflow.dag) is None
    study.measure(tmp_path, point, workflow, TINY)
    assert study.saved(tmp_path, point, workflow.dag) is not None
    assert study.saved(tmp_path, point, word_count.build(word_count.Params(1000, 2)).dag) is None


def test_wrong_result_ends_the_study(tmp_path: Path) -> None:
    """A run with a wrong result is no data point: nothing of it is saved."""

    def wrong(result: object) -> None:
        raise WrongResult("wrong")

    workflow = Workflow(word_count.build(TINY.word_count).dag, wrong)
    with pytest.raises(WrongResult):
        study.measure(tmp_path, study.Point("process", "word_count", "wukong", 0), workflow, TINY)
    assert list(tmp_path.iterdir()) == []


def test_order_is_drawn_anew_for_each_repeat() -> None:
    """Each repeat has every combination once; the order differs between repeats and follows from the seed."""
    params = replace(study.SMOKE, launchers=("process", "docker"), repeats=10)
    found = [(point.repeat, point.launcher, point.workflow, point.planner) for point in study.points(params)]
    orders = [[rest for repeat, *rest in found if repeat == number] for number in range(10)]
    assert all(sorted(order) == sorted(orders[0]) and len(order) == 12 for order in orders)
    assert len({str(order) for order in orders}) > 5
    assert list(study.points(params)) == list(study.points(params))
    assert list(study.points(params)) != list(study.points(replace(params, seed=2)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: replace(TINY, planners=("wukong", "nobody")), "planners is .*nobody.* out of per_task"),
        (lambda: replace(TINY, launchers=("cloud",)), "launchers is .*cloud.* out of process, docker"),
        (lambda: replace(TINY, size_mib=10), "size is 10 MiB"),
        (lambda: replace(TINY, workflows=()), "workflows is .*must be distinct names"),
        (lambda: replace(TINY, planners=("wukong", "wukong")), "distinct"),
        (lambda: replace(TINY, repeats=0), "repeats is 0, must be at least 1"),
        (lambda: replace(TINY, containers=0), "containers is 0"),
        (lambda: replace(TINY, cold_start_s=-1.0), "cold_start_s is -1"),
        (lambda: replace(TINY, matrix_blocks=3), "can't be cut into 3 blocks"),
    ],
)
def test_impossible_parameters(change: Callable[[], study.Params], message: str) -> None:
    """Parameters that can't be run are refused when they are made, before a kernel starts."""
    with pytest.raises(fl.ConfigError, match=message):
        change()


def test_launchers_get_the_same_settings() -> None:
    """What both launchers know is the same for both, but for what they are."""
    process, docker = (study.DEMO.launcher(name, repeat=2) for name in ("process", "docker"))
    assert (process.limit, docker.limit) == (study.DEMO.containers,) * 2
    assert process.emulation == docker.emulation
    assert process.requirements == docker.requirements
    assert process.keep_alive_in_force_s == docker.keep_alive_in_force_s


def test_an_engine_that_is_not_there_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A study that names Docker does not go on without it, and says so before it measures anything."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    monkeypatch.setattr(study, "measure", refuse)
    with pytest.raises(fl.LauncherError, match="no Docker engine answers"):
        study.run(replace(TINY, launchers=("process", "docker")), tmp_path)


@pytest.mark.docker
def test_process_and_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both launchers are measured and told apart; what is saved is read without an engine."""
    params = replace(TINY, launchers=("process", "docker"), planners=("wukong",))
    folder = study.run(params, tmp_path)
    runs = pd.read_parquet(folder / "runs.parquet")
    assert list(zip(runs["pool"], runs["launcher"], strict=True)) == [
        ("cold", "process"),
        ("cold", "docker"),
        ("warm", "process"),
        ("warm", "docker"),
    ]
    assert (runs["status"] == "finished").all()
    for launcher in params.launchers:
        trace = fl.Trace.load(study.Point(launcher, "word_count", "wukong", 0).folder(folder, "warm"))
        assert trace.manifest.launcher == launcher
        assert set(trace.tasks["size_mib"]) == {params.size_mib}
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    monkeypatch.setattr(study, "measure", refuse)
    assert study.run(params, tmp_path) == folder
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "runs.parquet"), runs)


@pytest.mark.docker
def test_results_are_equal_on_process_and_docker() -> None:
    """Both workflows give the same result on either launcher, to the last bit."""
    workflows = {
        "word_count": word_count.build(study.SMOKE.word_count),
        "matrix_multiply": matrix_multiply.build(study.SMOKE.matrix_multiply),
    }
    found: dict[str, dict[str, object]] = {}
    for launcher in study.LAUNCHERS:
        with fl.Lab(study.SMOKE.launcher(launcher), config=fl.Config.from_env(runs_dir="")) as lab:
            found[launcher] = {
                name: lab.compute(workflow.dag, sizes=[study.SMOKE.size_mib], timeout_s=60)
                for name, workflow in workflows.items()
            }
    process, docker = found["process"], found["docker"]
    assert process["word_count"] == docker["word_count"]
    np.testing.assert_array_equal(np.block(process["matrix_multiply"]), np.block(docker["matrix_multiply"]))
    for name, workflow in workflows.items():
        workflow.verify(docker[name])
