"""Objects beside the working area that are only seen: nothing collides with them."""

import numpy as np

from conure_sim.objects.primitives import ObjectModel
from conure_sim.physics.world import World

MARGIN_M = 0.07
REACH_BESIDE_M = 0.27
BESIDE_ARM_M = 0.15
TRIES = 50


def scatter_clutter(
    world: World, pool: dict[str, ObjectModel], count: int, rng: np.random.Generator
) -> None:
    """Scatter objects in random colours, away from the arm and the working area.

    Args:
        world: Where to add them.
        pool: Objects to choose from, by name; one may come twice.
        count: How many to add; fewer where there is no free place in TRIES draws.
        rng: Where models, colours, yaws and places are drawn from.
    """
    names = sorted(pool)
    lower, upper = world.simulation.region
    area_lower = np.array([0.0, lower[1] - REACH_BESIDE_M])
    area_upper = np.array([upper[0] + 0.05, upper[1] + REACH_BESIDE_M])
    table_m = world.robot.table_height_m

    for _ in range(count):
        model = pool[names[rng.integers(len(names))]]
        colour = rng.uniform(0, 1, 3)
        yaw_rad = rng.uniform(-np.pi, np.pi)
        for _ in range(TRIES):
            place = rng.uniform(area_lower, area_upper)
            outside = (place < lower - MARGIN_M) | (place > upper + MARGIN_M)
            if outside.any() and abs(place[1]) > BESIDE_ARM_M:
                position = np.array([*place, table_m])
                world.add_clutter(model, position, yaw_rad, colour.tolist())
                break
