"""FaaSLab: policy."""
