"""FaaSLab: trace."""
