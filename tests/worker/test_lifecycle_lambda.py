"""A handler for a platform without inboxes: each call serves what waits for a container and returns."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from faaslab.config import Config
from faaslab.graph import DAG, generators
from faaslab.planners import plan_dag
from faaslab.protocol.messages import size_of_pool
from faaslab.storage.embedded import EmbeddedServer
from faaslab.storage.redis import RedisStorage
from faaslab.trace.events import WorkerStarted
from faaslab.worker.actions import ContainerSettings
from faaslab.worker.board import Board
from faaslab.worker.execute import Executor
from faaslab.worker.lifecycle import Worker
from tests.worker.runs import SECRET, collect, submit


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with EmbeddedServer(tmp_path) as server:
        yield server.url


def handler(event: dict[str, str], context: object) -> dict[str, str]:
    """Be a Lambda function: the event says where the store is and what container this is."""
    storage = RedisStorage(event["url"], event["lab"])
    config = Config()
    settings = ContainerSettings.for_config(
        config,
        container=event["container"],
        pool=event["pool"],
        secret=SECRET,
        keep_alive_s=0.0,
        lease_s=60.0,
    )
    log = os.memfd_create("log")
    try:
        return {"left": Worker.start_worker_lifecycle(settings, storage, Executor(Board(), log, config.log_bytes))}
    finally:
        os.close(log)
        storage.close()


@pytest.mark.parametrize("planner", ["wukong", "per_task", "single_worker"])
def test_a_run_by_handler_calls(url: str, planner: str) -> None:
    """A gateway that only calls the handler, once for each pool that has something pending, finishes a run."""
    storage = RedisStorage(url, "lab")
    dag = DAG(generators.fork_join(2, 3))
    submit(storage, dag, plan_dag(dag, planner))
    calls = 0
    while pending := storage.demand().pending:
        for pool in pending:
            calls += 1
            left = handler({"url": url, "lab": "lab", "container": f"lambda-{calls}", "pool": pool}, None)
            assert left == {"left": "idle"}
            assert size_of_pool(pool) == 1769
    ended = collect(storage, dag)
    assert ended.value == 21
    assert ended.leftovers == []
    assert storage.demand().containers == {}
    began = ended.of(WorkerStarted)
    assert len([start for start in began if start.cold]) == calls
    storage.close()
