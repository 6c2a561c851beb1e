"""Hydra base files, one a verb. GROUPS: where else groups of options lie."""

GROUPS = ("conure_sim.conf",)
