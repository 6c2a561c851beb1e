"""Hydra base files: `results` of the runner, and one an experiment that is not a verb."""
