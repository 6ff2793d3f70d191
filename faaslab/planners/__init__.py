"""FaaSLab: planners."""
