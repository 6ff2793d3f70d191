"""Plans as values, and the checker that every run passes."""

from faaslab.plan.checker import check_plan
from faaslab.plan.diff import PlanDiff
from faaslab.plan.plan import DEFAULT_OPTIMIZATIONS, OPTIMIZATIONS, Assignment, DagView, Plan

__all__ = [
    "DEFAULT_OPTIMIZATIONS",
    "OPTIMIZATIONS",
    "Assignment",
    "DagView",
    "Plan",
    "PlanDiff",
    "check_plan",
]
