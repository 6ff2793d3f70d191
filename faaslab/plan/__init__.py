"""Plans as values, and the checker that every run passes."""

from faaslab.plan.checker import check_plan
from faaslab.plan.diff import PlanDiff
from faaslab.plan.instructions import Duplicate, Instructions, Prewarm, Saving
from faaslab.plan.plan import DEFAULT_OPTIMIZATIONS, OPTIMIZATIONS, Assignment, DagView, Plan
from faaslab.plan.predicted import Distribution, Predicted

__all__ = [
    "DEFAULT_OPTIMIZATIONS",
    "OPTIMIZATIONS",
    "Assignment",
    "DagView",
    "Distribution",
    "Duplicate",
    "Instructions",
    "Plan",
    "PlanDiff",
    "Predicted",
    "Prewarm",
    "Saving",
    "check_plan",
]
