"""FaaSLab: protocol."""
