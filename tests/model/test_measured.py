"""Platforms as launchers have shown themselves to be: numbers by hand, and what is refused."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

import faaslab as fl
from faaslab.launchers import DockerLauncher, ProcessLauncher
from faaslab.model.history import Snapshot
from faaslab.model.measured import measured_platform, platform_from
from faaslab.model.platform import platform_named
from faaslab.model.samples import Sample, SampleColumns, Source, What, emulated
from tests.plan.dags import FakeDag
from tests.simulate.scene import Known, plan_of

ONE = 1769


def snapshot(*runs: tuple[Source, list[Sample]]) -> Snapshot:
    """Return a snapshot of runs."""
    return Snapshot("digest", SampleColumns.of(runs))


def plain(**changes: Any) -> Source:
    """Return a run on plain local processes."""
    return replace(Source("r-1", launcher="process", platform="none", sizes_enforced=False), **changes)


def several(what: What, values: Iterable[tuple[float, int]], **more: Any) -> list[Sample]:
    """Return samples of seconds and bytes."""
    return [Sample(what, seconds, ONE, bytes=size, **more) for seconds, size in values]


def a_run() -> list[Sample]:
    """Return what a run taught on a platform whose every number is known.

    A call of the store takes 1 ms, and a fetched byte 10 ns; storing an output 1.5 ms beside its calls and 20 ns a
    byte; a task 1 ms, the first one in a container 50 ms more; a cold start 0.5 s, a submission 10 ms.
    """
    sizes = (100_000, 200_000, 400_000, 800_000) * 2
    return [
        *several("in", [(0.001 + 1e-8 * size, size) for size in sizes]),
        *several("out", [(0.003 + 2e-8 * size, size) for size in sizes]),
        *several("task", [(0.001, 0)] * 10),
        *several("first", [(0.051, 0)] * 2),
        *several("cold", [(0.5, 0)] * 2),
        *several("warm", [(0.002, 0)] * 3),
        *several("submit", [(0.01, 900)]),
    ]


def test_every_number_is_that_of_the_runs() -> None:
    """Times around tasks are found in samples that were made from them, and the source says of how many."""
    profile = measured_platform(ProcessLauncher(), snapshot((plain(), a_run()))).profile
    assert profile.name == "process"
    assert profile.store_latency_s == pytest.approx(0.001)
    assert profile.download_bytes_per_s == pytest.approx(1e8)
    assert profile.upload_bytes_per_s == pytest.approx(5e7)
    assert profile.store_s == pytest.approx(0.0015)
    assert profile.task_s == pytest.approx(0.001)
    assert profile.invocation_latency_s == pytest.approx(0.002)
    assert profile.submit_s == pytest.approx(0.01)
    # Two calls of the store are part of the start as traces have it; imports come on top.
    assert profile.cold_start_s == pytest.approx(0.5 - 2 * 0.001 + 0.05)
    assert "means of 2 cold starts, 3 warm starts, 8 inputs fetched, 8 outputs stored" in profile.source


def test_primed_containers_do_not_start() -> None:
    """Where containers are there before a run, nothing starts cold."""
    profile = measured_platform(ProcessLauncher(initial_pool="primed"), snapshot((plain(), a_run()))).profile
    assert profile.cold_start_s == 0.0
    assert "containers are there before the run" in profile.source


def test_imports_are_those_of_the_functions() -> None:
    """What a first task costs is learnt from the planned DAG's functions where they have run, else from all."""
    dag = fl.DAG(fl.task(len, name="mine")([1]))
    identity = dag.functions[0].identity
    mine = several("first", [(0.201, 0)] * 2, function=identity, task_id="mine#0")
    history = snapshot((plain(), a_run() + mine))
    assert measured_platform(ProcessLauncher(), history, dag).profile.cold_start_s == pytest.approx(0.498 + 0.2)
    other = fl.DAG(fl.task(sum, name="other")([1]))
    assert measured_platform(ProcessLauncher(), history, other).profile.cold_start_s == pytest.approx(0.498 + 0.125)


def test_launchers_are_told_apart() -> None:
    """Runs of another launcher, with other emulated delays, or virtual ones, say nothing; the error says what to do."""
    history = snapshot((plain(), a_run()))
    slow = ProcessLauncher(cold_start_s=0.4)
    assert emulated(slow.settings()) == "none cold_start_s=0.4"
    assert emulated(ProcessLauncher(profile="lambda").settings()) == "lambda"
    for launcher in (slow, ProcessLauncher(profile="lambda"), DockerLauncher()):
        with pytest.raises(fl.ConfigError, match=r"has 0 cold starts, of which 1 are needed, .* dag.profile\(sizes"):
            measured_platform(launcher, history)
    assert measured_platform(slow, snapshot((plain(platform="none cold_start_s=0.4"), a_run()))).profile.cold_start_s
    with pytest.raises(fl.ConfigError, match="0 cold starts"):
        measured_platform(ProcessLauncher(), snapshot((plain(kind="virtual"), a_run())))
    with pytest.raises(fl.ConfigError, match="has no run of launcher 'process'"):
        platform_from("process", False)


def test_too_few_transfers() -> None:
    """Bandwidth is not guessed from a handful of outputs."""
    few = [sample for sample in a_run() if sample.what != "out"] + several("out", [(0.1, 100)] * 5)
    with pytest.raises(fl.ConfigError, match="has 5 outputs stored, of which 6 are needed"):
        measured_platform(ProcessLauncher(), snapshot((plain(), few)))


def test_what_a_platform_can_be() -> None:
    """A platform stays itself, names stand for profiles and launchers; all else is refused."""
    lambda_ = platform_named("lambda")
    assert platform_from(lambda_) is lambda_
    assert platform_from("lambda") == lambda_
    assert platform_from("process", snapshot((plain(), a_run()))).name == "process"
    with pytest.raises(fl.ConfigError, match="unknown platform profile 'procces'"):
        platform_from("procces")
    with pytest.raises(fl.ConfigError, match="must be a Platform, a launcher"):
        platform_from(5)  # type: ignore[arg-type]


def executions(slowdown: float, running: float) -> list[Sample]:
    """Return executions of 1 s that took ``slowdown`` times as long while ``running`` ran."""
    return [
        Sample("exec", slowdown, ONE, function="f", task=0, task_id="f#0", queued_s=slowdown - 1, running=running)
        for _ in range(8)
    ]


@pytest.mark.parametrize(("slowdown", "running", "cores"), [(2.0, 4.0, 2.0), (1.25, 2.0, 1.6), (4.0, 4.0, 1.0)])
def test_cores_are_what_tasks_had(
    slowdown: float, running: float, cores: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks that took twice as long, four at a time, had two cores between them."""
    monkeypatch.setattr("faaslab.model.measured.usable_cores", lambda: 8)
    history = snapshot((plain(), a_run() + executions(slowdown, running)))
    assert measured_platform(ProcessLauncher(), history).cores == pytest.approx(cores, abs=0.03)


def test_tasks_that_were_not_held_up_have_all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """One task at a time does not tell how many cores there are: all of the machine's."""
    monkeypatch.setattr("faaslab.model.measured.usable_cores", lambda: 8)
    history = snapshot((plain(), a_run() + executions(1.0, 1.0)))
    assert measured_platform(ProcessLauncher(), history).cores == 8.0


def test_sixteen_workers_on_two_cores_are_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen tasks of 1 s each, all at once where no size is enforced: 8 s on two cores, whatever their size."""
    from faaslab.simulate import simulate_plan

    monkeypatch.setattr("faaslab.model.measured.usable_cores", lambda: 2)
    history = snapshot((plain(), a_run() + executions(2.0, 4.0)))
    platform = measured_platform(ProcessLauncher(limit=16), history)
    dag = FakeDag(((),) * 16)
    for size_mib in (512, ONE):
        plan = plan_of(dag, [None] * 16, [size_mib] * 16)
        makespan_s = simulate_plan(dag, plan, Known([1.0] * 16), platform).makespan_s
        assert 8.0 < makespan_s < 8.7


def test_docker_queues_what_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers have the CPU of their size, and as many at a time as the machine has cores, less one."""
    monkeypatch.setattr("faaslab.model.measured.usable_cores", lambda: 3)
    history = snapshot((plain(launcher="docker", sizes_enforced=True), a_run()))
    platform = measured_platform(DockerLauncher(), history)
    assert platform.sizes_enforced
    assert platform.vcpus == 2.0
