"""FaaSLab: storage."""
