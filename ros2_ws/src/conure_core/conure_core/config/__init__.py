"""Configurations as frozen dataclasses, from Hydra or from a YAML file, every value checked."""
