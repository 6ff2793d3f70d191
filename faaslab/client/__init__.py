"""The client: labs, runs, and the two functions most people need."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faaslab.client.default import close, compute, submit
    from faaslab.client.lab import Lab
    from faaslab.client.opening import open_run
    from faaslab.client.profiling import profile
    from faaslab.client.run import Run

__all__ = ["Lab", "Run", "close", "compute", "open_run", "profile", "submit"]

_HOMES = {
    "Lab": "lab",
    "Run": "run",
    "close": "default",
    "compute": "default",
    "open_run": "opening",
    "profile": "profiling",
    "submit": "default",
}


def __getattr__(name: str) -> Any:
    """Import a name's module when it is first asked for: the lab host needs none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"faaslab.client.{_HOMES[name]}"), name)
