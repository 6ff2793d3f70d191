"""A lab: settings, store, launcher and warm containers that runs share."""

import os
import secrets
import threading
import time
import weakref
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

import msgspec

from faaslab.client import progress as bars
from faaslab.client.hosting import POOL_S, Host, new_id
from faaslab.client.run import Run
from faaslab.client.submission import RunIdentity, build_spec
from faaslab.config import Config
from faaslab.errors import FaaSLabError, LauncherError, RunError, StateLost, StorageError
from faaslab.graph import DAG
from faaslab.launchers.pool import Limits, fitting
from faaslab.model.knowledge import history_of
from faaslab.plan import Plan, check_plan
from faaslab.plan.report import policy_text
from faaslab.planners import Planner, plan_dag
from faaslab.protocol.launcher import IN_WORKER, RemoteLauncher
from faaslab.protocol.messages import pool_of
from faaslab.protocol.payload import Codec, run_key
from faaslab.protocol.storage import Storage
from faaslab.storage.redis import RedisStorage
from faaslab.trace import manifest as about


@runtime_checkable
class LocalLauncher(Protocol):
    """A launcher that drives a run to its end in this process: inline, virtual."""

    name: str

    def new_storage(self) -> Storage:
        """Return the store that its runs use."""
        ...

    def drive(self, storage: Storage, run: str, *, secret: bytes, config: Config) -> None:
        """Run until the run has ended."""
        ...


Launcher = RemoteLauncher | LocalLauncher


LAUNCHERS = {
    "process": "ProcessLauncher",
    "docker": "DockerLauncher",
    "inline": "InlineLauncher",
    "virtual": "VirtualLauncher",
}


def launcher_named(launcher: "str | Launcher", **settings: Any) -> Launcher:
    """Return a launcher by name, or the given one.

    Args:
        launcher: A name, or an object.
        settings: Of a launcher that is given by name; defaults for the rest.

    Raises:
        LauncherError: The name is unknown, or the object is no launcher.
        ConfigError: A setting is outside its range.
    """
    if isinstance(launcher, (RemoteLauncher, LocalLauncher)):
        return launcher
    if launcher not in LAUNCHERS:
        raise LauncherError(f"unknown launcher {launcher!r}; known: {', '.join(map(repr, LAUNCHERS))}, or an object")
    from faaslab import launchers

    made: Launcher = getattr(launchers, LAUNCHERS[launcher])(**settings)
    return made


class Lab:
    """What runs share. Starts its lab host with the first run that needs one; ``close`` ends everything it started.

    Args:
        launcher: ``"process"``, ``"docker"``, ``"inline"``, ``"virtual"`` or a launcher with settings of its own.
        storage: URL of a Redis-compatible server; None: ``config.redis_url``, else the embedded server.
        config: All other settings; None: the defaults and ``FAASLAB_*`` variables.

    Raises:
        LauncherError: The launcher is unknown.
        ConfigError: A ``FAASLAB_*`` variable can't be read.
    """

    def __init__(
        self,
        launcher: str | Launcher = "process",
        storage: "str | RedisStorage | None" = None,
        config: Config | None = None,
    ) -> None:
        self.launcher = launcher_named(launcher)
        self.config = config or Config.from_env()
        if storage is not None:
            url = storage if isinstance(storage, str) else storage.url
            self.config = replace(self.config, redis_url=url)
        self.id = new_id()
        self._client = f"client-{self.id}"
        self._process = os.getpid()
        self._secret = secrets.token_bytes(32)
        self._lock = threading.RLock()
        self._host: Host | None = None
        self._storage: Storage | None = None
        self._runs: weakref.WeakSet[Run] = weakref.WeakSet()
        self._asked_for = self.launcher
        self._prepared = False
        self._renewing = threading.Lock()
        self._closed = False

    # -- running --------------------------------------------------------------------------------------------------

    def submit(
        self,
        outputs: Any,
        *,
        plan: Plan | None = None,
        planner: "str | Planner" = "wukong",
        name: str | None = None,
        progress: bool = False,
        **planning: Any,
    ) -> Run:
        """Start a run and return at once (inline and virtual runs: when it has ended).

        Args:
            outputs: A DAG, a task, or any container of tasks and other values.
            plan: How to run it; None: what ``planner`` says.
            planner: Name of a planner or a planner object.
            name: Name of the workflow, if ``outputs`` is no DAG yet.
            progress: Show a bar.
            planning: Further arguments of planning: ``sizes``, ``optimizations``, ``seed``, ``history`` (by default
                what runs of this lab are recorded in) …; ``predict=True`` keeps with the run what was predicted of it.

        Raises:
            PlanError: The plan is for another DAG, or can't be run.
            GraphError: The workflow can't be built.
            StoreUnavailable: There is no store.
            LauncherError: No container can be started.
            RunError: Called inside a task.
        """
        if os.environ.get(IN_WORKER):
            raise RunError(
                "a task can't start a run of its own: it would hold its worker while it waits for others. Make the "
                "work tasks of the DAG instead"
            )
        dag = outputs if isinstance(outputs, DAG) else DAG(outputs, name=name)
        if plan is None:
            if "estimates" not in planning:
                planning.setdefault("history", history_of(self.config))
            plan = plan_dag(dag, planner, **planning)
        else:
            check_plan(dag, plan)
        if isinstance(self.launcher, RemoteLauncher):
            self._prepare().check_sizes(assignment.size_mib for assignment in plan.assignments)
        storage = self._open()
        run_id = new_id()
        image = self.launcher.pool_image if isinstance(self.launcher, RemoteLauncher) else self.launcher.name
        run = Run(
            run_id,
            dag,
            plan,
            storage,
            Codec(run_key(self._secret, run_id)),
            self._manifest(run_id, dag, plan),
            dilation=self.launcher.time_dilation if isinstance(self.launcher, RemoteLauncher) else 1.0,
            death=self._death,
            runs_dir=Path(self.config.runs_dir) if self.config.runs_dir else None,
            # Runs in this process are for trying out, and virtual ones take what a model says.
            history=self.config.history_folder if isinstance(self.launcher, RemoteLauncher) else None,
        )
        if progress:
            bars.show(run)
        if isinstance(self.launcher, RemoteLauncher):
            with self._renewing:
                self._renew_pool(plan, image)
                identity = RunIdentity(run_id, self._client, self._secret, image, storage.now_s())
                storage.create_run(build_spec(dag, plan, identity, self.config))
                self._runs.add(run)
            run.start()
        else:
            identity = RunIdentity(run_id, self._client, self._secret, image, storage.now_s())
            storage.renew_client(self._client, float("inf"))
            storage.create_run(build_spec(dag, plan, identity, self.config))
            self._runs.add(run)
            try:
                self.launcher.drive(storage, run_id, secret=self._secret, config=self.config)
            finally:
                # Interrupted or not: what the store knows of it by now is what it came to.
                storage.cancel_run(run_id, "cancelled", "interrupted")
                run.start()
        return run

    def compute(
        self, *outputs: Any, timeout_s: float | None = None, progress: bool | None = None, **settings: Any
    ) -> Any:
        """Run and return the result; several outputs give a tuple in their order.

        Args:
            outputs: As for ``submit``.
            timeout_s: The run is cancelled after this long; None: no limit.
            progress: Show a bar; None: in notebooks and terminals.
            settings: As for ``submit``.

        Raises:
            RunTimeout: ``timeout_s`` has passed.
            TaskFailed: User code failed.
            FaaSLabError: See ``submit`` and ``Run.result``.
        """
        wanted = outputs[0] if len(outputs) == 1 else outputs
        dag = wanted if isinstance(wanted, DAG) else DAG(wanted, name=settings.pop("name", None))
        if not len(dag):
            return dag.build_result({})
        run = self.submit(dag, progress=bars.wanted() if progress is None else progress, **settings)
        try:
            return run.result(timeout_s)
        except TimeoutError:
            run.cancel()
            raise

    # -- store and host -------------------------------------------------------------------------------------------

    def _prepare(self) -> RemoteLauncher:
        """Return the launcher, once made ready: an image may have to be built."""
        assert isinstance(self.launcher, RemoteLauncher)
        with self._lock:
            if not self._prepared:
                self.launcher = self.launcher.prepare(bars.tell)
                self._prepared = True
            return self.launcher

    def _renew_pool(self, plan: Plan, image: str) -> None:
        """See to it that a run finds the containers that the launcher's settings say."""
        initial = getattr(self.launcher, "initial_pool", "steady")
        if initial == "steady":
            return
        if any(run.status == "running" for run in self._runs):
            raise RunError(
                f"initial_pool={initial!r} renews all containers before a run, but another run of this lab is under "
                "way; wait for its result, or use a lab of its own"
            )
        assert isinstance(self.launcher, RemoteLauncher)
        assert self._host is not None
        workers = {(a.worker or task, a.size_mib) for task, a in enumerate(plan.assignments)}
        needed = Counter(pool_of(image, size_mib) for _, size_mib in workers) if initial == "primed" else {}
        within_s = POOL_S + self.launcher.slowest_start_s
        self._host.renew_pool(fitting(needed, Limits.of(self.launcher)), within_s)

    def _open(self) -> Storage:
        """Return the store, starting the lab host if it does not run."""
        with self._lock:
            if self._closed:
                raise RunError("this lab is closed; make a new one")
            if isinstance(self.launcher, LocalLauncher) and not isinstance(self.launcher, RemoteLauncher):
                if self._storage is None:
                    self._storage = self.launcher.new_storage()
                return self._storage
            if self._host is not None and not (self._host.alive and self._answers()):
                self._drop_host()
            if self._host is None:
                assert isinstance(self.launcher, RemoteLauncher)
                self._host = Host(self.launcher, self.config, lab=self.id, secret=self._secret, client=self._client)
                self._storage = RedisStorage(self._host.url, self.id, timeout_s=self.config.storage_timeout_s)
            assert self._storage is not None
            return self._storage

    def _answers(self) -> bool:
        """Return whether the store is there: a lab host whose server was killed takes a while to give up."""
        try:
            assert self._storage is not None
            self._storage.now_s()
        except StorageError:
            return False
        return True

    def _drop_host(self) -> None:
        if self._host is not None:
            self._host.close()
            self._host = None
        if self._storage is not None:
            self._storage.close()
            self._storage = None

    def _death(self) -> FaaSLabError | None:
        """Return what ended the lab, None while its host lives; brings the host back where the store outlived it."""
        with self._lock:
            host = self._host
            if host is None:
                return StateLost("the run's lab was closed") if self._closed else None
            if host.alive:
                return None
            kind, why = host.death()
            if kind == LauncherError.__name__:
                # Whatever it lacked, an image for instance, is looked for again before the next run.
                self.launcher, self._prepared = self._asked_for, False
                return LauncherError(why)
            if host.embedded or self._closed:
                return StateLost(f"the lab host died, and the store with it: {why}")
            try:
                host.restart()
            except FaaSLabError as error:
                return StateLost(f"the lab host died ({why}) and could not be started again: {error}")
            return None

    def _manifest(self, run_id: str, dag: DAG, plan: Plan) -> about.Manifest:
        settings: dict[str, Any] = {
            "optimizations": sorted(plan.optimizations),
            "plan": dict(plan.settings),
            "policy": policy_text(plan),
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }
        if isinstance(self.launcher, RemoteLauncher):
            settings["launcher"] = self.launcher.settings()
            settings["sizes_enforced"] = self.launcher.enforces_sizes
        if plan.predicted is not None and plan.predicted.promise is not None:
            settings["predicted"] = msgspec.to_builtins(plan.predicted.promise)
        return about.Manifest(
            run=run_id,
            dag_name=dag.name,
            structure_hash=dag.structure_hash,
            ids=tuple(dag.ids),
            planner=plan.planner,
            launcher=self.launcher.name,
            settings=settings,
            versions=about.versions(),
            host=about.host(),
        )

    @property
    def host_pid(self) -> int | None:
        """Process id of the lab host, None if none runs."""
        return self._host.pid if self._host is not None and self._host.alive else None

    def close(self) -> None:
        """Cancel what still runs and end containers, server and lab host; traces are saved before."""
        if os.getpid() != self._process:
            return  # a fork's copy: the lab belongs to the process that made it
        with self._lock:
            if self._closed:
                return
            self._closed = True
            runs = list(self._runs)
        # Without the lock, which watchers need to ask whether the lab host lives.
        for run in runs:
            run.cancel()
        with self._lock:
            self._drop_host()
        for run in runs:
            # What could not be written is told by ``saved`` and must not hide why the lab is closed.
            run.wait_saved()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
