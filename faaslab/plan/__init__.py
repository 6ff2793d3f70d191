"""Plans as values, and the checker that every run passes."""

from faaslab.plan.checker import LoweredPlan, check_plan, lower
from faaslab.plan.diff import PlanDiff
from faaslab.plan.plan import DEFAULT_OPTIMIZATIONS, OPTIMIZATIONS, Assignment, DagView, Plan

__all__ = [
    "DEFAULT_OPTIMIZATIONS",
    "OPTIMIZATIONS",
    "Assignment",
    "DagView",
    "LoweredPlan",
    "Plan",
    "PlanDiff",
    "check_plan",
    "lower",
]
