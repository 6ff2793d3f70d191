"""Plans as values, and the checker that every run passes."""

from faaslab.plan.checker import check_plan
from faaslab.plan.diff import PlanDiff
from faaslab.plan.plan import DEFAULT_OPTIMIZATIONS, OPTIMIZATIONS, Assignment, DagView, Plan
from faaslab.plan.predicted import Distribution, Predicted

__all__ = [
    "DEFAULT_OPTIMIZATIONS",
    "OPTIMIZATIONS",
    "Assignment",
    "DagView",
    "Distribution",
    "Plan",
    "PlanDiff",
    "Predicted",
    "check_plan",
]
