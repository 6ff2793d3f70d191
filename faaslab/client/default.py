"""``compute`` and ``submit`` without a lab of one's own: a default lab is made once and kept warm until ``close``."""

import atexit
import threading
from typing import Any

from faaslab.client.lab import Lab, Launcher, launcher_named
from faaslab.client.run import Run


class _DefaultLabs:
    """The labs that were made on the way, one for each launcher that was asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._labs: dict[Any, Lab] = {}

    def get(self, launcher: "str | Launcher") -> Lab:
        """Return the lab of a launcher, making it if need be."""
        chosen = launcher_named(launcher)
        key = chosen if not isinstance(launcher, str) else launcher
        with self._lock:
            if key not in self._labs:
                self._labs[key] = Lab(chosen)
            return self._labs[key]

    def close(self) -> None:
        """Close them all."""
        with self._lock:
            labs, self._labs = list(self._labs.values()), {}
        for lab in labs:
            lab.close()


_default = _DefaultLabs()
atexit.register(_default.close)


def compute(*outputs: Any, launcher: "str | Launcher" = "process", **settings: Any) -> Any:
    """Run tasks on the default lab and return their results; several outputs give a tuple in their order.

    Args:
        outputs: Tasks, a DAG, or containers of tasks.
        launcher: ``"process"``, ``"inline"``, ``"virtual"`` or a launcher object.
        settings: As for ``Lab.compute``: ``planner``, ``plan``, ``timeout_s``, ``sizes``, ``optimizations`` …

    Raises:
        FaaSLabError: See ``Lab.compute``.
    """
    return _default.get(launcher).compute(*outputs, **settings)


def submit(outputs: Any, *, launcher: "str | Launcher" = "process", **settings: Any) -> Run:
    """Start a run on the default lab and return at once; see ``Lab.submit``.

    Raises:
        FaaSLabError: See ``Lab.submit``.
    """
    return _default.get(launcher).submit(outputs, **settings)


def close() -> None:
    """End the default lab: its containers, its server, its lab host. The next run makes a new one."""
    _default.close()
