"""FaaSLab: model."""
