"""Hydra configurations of the verbs of conure_ros."""
