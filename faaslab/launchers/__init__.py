"""Launchers: what turns invocations into running containers."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faaslab.launchers.docker import DockerLauncher
    from faaslab.launchers.inline import InlineLauncher
    from faaslab.launchers.process import ProcessLauncher
    from faaslab.launchers.virtual import VirtualLauncher

__all__ = ["DockerLauncher", "InlineLauncher", "ProcessLauncher", "VirtualLauncher"]

_HOMES = {
    "DockerLauncher": "docker",
    "InlineLauncher": "inline",
    "ProcessLauncher": "process",
    "VirtualLauncher": "virtual",
}


def __getattr__(name: str) -> Any:
    """Import a name's module when it is first asked for: a lab needs one of them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"faaslab.launchers.{_HOMES[name]}"), name)
