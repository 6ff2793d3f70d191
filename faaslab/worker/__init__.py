"""FaaSLab: worker."""
