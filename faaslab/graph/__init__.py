"""FaaSLab: graph."""
