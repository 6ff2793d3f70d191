"""Prints how many fault schedules ran and how they ended, also when tests run in several processes."""

from collections import Counter
from typing import Any

import pytest


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Add up the outcomes that the tests of schedules recorded."""
    outcomes: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == "fault_outcomes" and getattr(report, "when", "") == "call":
                    outcomes.update(value)
    if outcomes:
        told = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
        terminalreporter.write_line(f"fault schedules: {sum(outcomes.values())} runs: {told}")
