"""Objects beside the working area that are only to be seen: nothing collides with them."""

import numpy as np

from conure_sim.objects.primitives import ObjectModel
from conure_sim.physics.world import World

MARGIN_M = 0.07
REACH_BESIDE_M = 0.27
BESIDE_ARM_M = 0.15
TRIES = 50


def strew(world: World, pool: dict[str, ObjectModel], count: int, rng: np.random.Generator) -> None:
    """Put down up to `count` objects of the pool in random colours, away from the arm and the
    working area.
    """
    names, (lower, upper) = sorted(pool), world.simulation.region
    area_lower = np.array([0.0, lower[1] - REACH_BESIDE_M])
    area_upper = np.array([upper[0] + 0.05, upper[1] + REACH_BESIDE_M])
    for _ in range(count):
        model = pool[names[rng.integers(len(names))]]
        colour, yaw_rad = rng.uniform(0, 1, 3), rng.uniform(-np.pi, np.pi)
        for _ in range(TRIES):
            place = rng.uniform(area_lower, area_upper)
            outside = (place < lower - MARGIN_M) | (place > upper + MARGIN_M)
            if outside.any() and abs(place[1]) > BESIDE_ARM_M:
                world.add_clutter(
                    model, np.array([*place, world.robot.table_height_m]), yaw_rad, colour.tolist()
                )
                break
