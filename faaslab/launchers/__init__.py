"""FaaSLab: launchers."""
