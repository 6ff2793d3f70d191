"""The ``faaslab`` command."""
