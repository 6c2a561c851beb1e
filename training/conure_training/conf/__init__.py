"""Hydra base files, one a verb."""
