"""WfFormat, the workflow format of WfCommons: recorded workflows as values and as DAGs that run.

``instance`` is the value, ``reader`` reads versions 1.3 to 1.6 (with ``document``, its fields, and ``edges``),
``validator`` checks them, ``workflow`` makes a DAG, ``bodies`` is what its tasks do. Only ``bodies`` is for workers, so
the others load on first use. ``faaslab.trace.wfformat`` writes runs.

Source: github.com/wfcommons/WfFormat, ``wfcommons-schema.json`` at tags v1.3, v1.4 and v1.5; WfCommons 1.6 writes
``schemaVersion`` 1.6, which is laid out like 1.5.
"""

TYPE_CHECKING = False  # what type checkers take for true; typing.TYPE_CHECKING would cost the import of typing

__all__ = ["WfEdge", "WfFile", "WfInstance", "WfMachine", "WfTask", "from_wfformat", "read_wfformat"]

if TYPE_CHECKING:
    from faaslab.graph.wfformat.instance import WfEdge, WfFile, WfInstance, WfMachine, WfTask
    from faaslab.graph.wfformat.reader import read_wfformat
    from faaslab.graph.wfformat.workflow import from_wfformat
else:
    _MODULE_OF = {"read_wfformat": "reader", "from_wfformat": "workflow"}

    def __getattr__(name):
        """Load a public name from the module that defines it (PEP 562)."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_MODULE_OF.get(name, 'instance')}"), name)
