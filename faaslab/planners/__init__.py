"""Planners, one file each, and the registry of their names."""

from faaslab.planners.comparison import Comparison, compare
from faaslab.planners.front import Front, pareto
from faaslab.planners.planner import PlanContext, Planner
from faaslab.planners.registry import PLANNERS, get_planner, plan_dag

__all__ = ["PLANNERS", "Comparison", "Front", "PlanContext", "Planner", "compare", "get_planner", "pareto", "plan_dag"]
