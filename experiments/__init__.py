"""Workflows, studies of them, and the command that runs a study through its notebook."""
