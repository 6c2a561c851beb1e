"""PyBullet environments for one arm on a table; importing this registers the ids `conure/NAME-v0` with Gymnasium."""

import gymnasium

from conure_sim.quiet import quiet

with quiet():
    import pybullet  # noqa: F401

from conure_sim.tasks import TASKS

for _name in TASKS:
    gymnasium.register(f"conure/{_name}-v0", entry_point="conure_sim.envs.tabletop:TabletopEnv", kwargs={"task": _name})
