"""The client: labs, runs, and the two functions most people need."""

from faaslab.client.default import close, compute, submit
from faaslab.client.lab import Lab
from faaslab.client.opening import open_run
from faaslab.client.run import Run

__all__ = ["Lab", "Run", "close", "compute", "open_run", "submit"]
