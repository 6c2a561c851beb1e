"""PyBullet environments for one arm on a table; importing this registers the ids `conure/NAME-v0`
with Gymnasium.

The names here are what a program needs first; `TabletopEnv` documents the settings of an
environment.

>>> env = TabletopEnv(task="Lift", arm="wx250s", image_size=48)  # or gymnasium.make
>>> observation, info = env.reset(seed=0)
>>> expert = env.task.expert(env.scene)
>>> observation, reward, terminated, truncated, info = env.step(expert.action())
"""

import gymnasium

from conure_sim.quiet import quiet

with quiet():
    import pybullet  # noqa: F401

from conure_sim.envs.tabletop import TabletopEnv
from conure_sim.envs.vector import make_vector
from conure_sim.tasks import TASKS

__all__ = ["TASKS", "TabletopEnv", "make_vector"]

for _name in TASKS:
    gymnasium.register(
        f"conure/{_name}-v0",
        entry_point="conure_sim.envs.tabletop:TabletopEnv",
        kwargs={"task": _name},
    )
