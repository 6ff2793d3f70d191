"""Events, and traces made of them.

Workers import ``faaslab.trace.events`` from here, so ``Trace`` and what it needs load on first use.
"""

TYPE_CHECKING = False  # what type checkers take for true; typing.TYPE_CHECKING would cost the import of typing

__all__ = ["Manifest", "Trace"]

if TYPE_CHECKING:
    from faaslab.trace.manifest import Manifest
    from faaslab.trace.trace import Trace
else:

    def __getattr__(name):
        """Load a public name from the module that defines it (PEP 562)."""
        from importlib import import_module

        if name not in __all__:
            raise AttributeError(f"module 'faaslab.trace' has no attribute {name!r}")
        value = getattr(import_module(f"faaslab.trace.{name.lower()}"), name)
        globals()[name] = value
        return value
