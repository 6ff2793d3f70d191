"""The one entry into a worker: containers, processes and the Lambda handler all call it."""

import threading
from collections.abc import Callable
from typing import Any

from faaslab.errors import Fenced, PayloadError, StorageError
from faaslab.protocol.clock import Clock, WallClock
from faaslab.protocol.storage import Storage
from faaslab.worker.actions import Assist, Await, Call, ContainerSettings, Execute, Listen, Outcome, Sleep, Turn, Wait
from faaslab.worker.container import Container


class Worker:
    """Runs a container's state machine against a real store."""

    @staticmethod
    def start_worker_lifecycle(
        settings: ContainerSettings,
        storage: Storage,
        execute: Callable[[Execute], Outcome],
        *,
        turn: Callable[[Turn | None], object] = lambda _: None,
        clock: Clock | None = None,
        sleep: Callable[[float], object] | None = None,
    ) -> str:
        """Serve invocations until the container leaves.

        With ``keep_alive_s=0`` it serves what is pending now and leaves: what a platform without an inbox needs.

        Args:
            settings: What the launcher told the container.
            storage: The lab's store; used by this thread, and by one more while there is something to preload.
            execute: Runs user code.
            turn: Told which task everything is done for from now on; None: for none.
            clock: The container's clock.
            sleep: Waits for some seconds (emulated delays).

        Returns:
            Why it left: ``idle``, ``retired`` or ``forgotten``.

        Raises:
            StorageError: The store is gone.
        """
        clock = clock or WallClock()
        if sleep is None:
            import time

            sleep = time.sleep
        container = Container(settings, clock)
        life = container.life()
        answer: Any = None
        error: StorageError | None = None
        try:
            while True:
                action = life.send(answer) if error is None else life.throw(error)
                answer, error = None, None
                if isinstance(action, Call):
                    try:
                        answer = getattr(storage, action.method)(*action.args)
                    except (Fenced, PayloadError) as refused:
                        error = refused
                elif isinstance(action, Execute):
                    answer = execute(action)
                elif isinstance(action, Turn):
                    turn(action)
                elif isinstance(action, Listen):
                    turn(None)
                    answer = storage.listen(settings.container, action.cursor, action.wait_s)
                elif isinstance(action, Sleep):
                    sleep(max(0.0, action.until_s - container.now_s()))
                elif isinstance(action, Assist):
                    # A daemon: if this thread fails, the process ends with it.
                    threading.Thread(target=_assist, args=(action, storage), name="assistant", daemon=True).start()
                    answer = True
                elif isinstance(action, Await):
                    action.shelf.wait(action.version, action.wait_s)
                elif isinstance(action, Wait):
                    answer = getattr(storage, action.method)(*action.args, action.wait_s)
        except StopIteration as end:
            return str(end.value)


def _assist(assist: Assist, storage: Storage) -> None:
    """Perform the actions of an assistant, in a thread of its own; whatever it ends with, its shelf knows."""
    answer: Any = None
    refused: StorageError | None = None
    error: BaseException | None = None
    try:
        while True:
            action = assist.life.send(answer) if refused is None else assist.life.throw(refused)
            answer, refused = None, None
            if isinstance(action, Await):
                action.shelf.wait(action.version, action.wait_s)
                continue
            waits = (action.wait_s,) if isinstance(action, Wait) else ()
            assert isinstance(action, Call | Wait)
            try:
                answer = getattr(storage, action.method)(*action.args, *waits)
            except (Fenced, PayloadError) as told:
                refused = told
    except StopIteration:
        return
    except BaseException as raised:  # the machine raises it
        error = raised
    finally:
        assist.shelf.end(error)
