"""Experiments that need no simulation: each module has a configuration and `run` -> metrics."""
