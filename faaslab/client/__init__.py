"""FaaSLab: client."""
