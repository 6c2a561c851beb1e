"""Domain randomization."""
