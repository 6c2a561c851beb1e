"""Hydra base files, one a verb, and the group `method`, one file a method of `conure rl`."""

from conure_training.conf.renamed import RENAMED

__all__ = ["GROUPS", "RENAMED", "SCHEMAS"]

GROUPS = ("conure_sim.conf",)
"""Where else groups of options lie."""

SCHEMAS = {"method": "conure_training.rl.registry:config_class"}
"""Groups whose options have a dataclass each: the function that gives an option's."""
