"""FaaSLab: plan."""
