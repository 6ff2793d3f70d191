"""FaaSLab: viz."""
