"""Experiments that need no simulation: each module has a frozen configuration and `run(config)` ->
figures.
"""
