"""Cameras for people: the policy's own two at any size, and one that shows the whole arm."""

from typing import Any

import numpy as np

from conure_core.errors import unknown_name
from conure_sim.envs.sensors import TABLE, WRIST, wrist_camera
from conure_sim.physics.world import World
from conure_sim.vision.camera import AnyCamera, Camera, looking_at

OVERVIEW = "overview"
VIEWPOINTS = (OVERVIEW, TABLE, WRIST)
OVERVIEW_SIDE = np.array([0.72, -0.55, 0.42])
"""Direction from what is looked at to the eye, base frame."""
OVERVIEW_RADII = 4.5
"""Distance of the eye, in radii of what is to be seen."""
OVERVIEW_MARGIN = 1.12
"""Factor by which the view is larger than that."""


def viewpoint(
    env: Any,
    name: str,
    size_px: int,
) -> AnyCamera:
    """A camera for square images of an environment after its reset.

    Args:
        env: A TabletopEnv. `table` and `wrist` are where, and zoomed as, the episode's
            randomization has them.
        name: One of VIEWPOINTS.
        size_px: Width and height of the images, px.

    Returns:
        The camera.

    Raises:
        ConfigError: The name is unknown; lists the valid names.
    """
    require_viewpoint(name)
    if name == OVERVIEW:
        return overview(env.world, size_px)
    table: Camera = env.world.camera
    camera: AnyCamera = table.scaled(size_px / table.height_px)
    if name == WRIST:
        camera = wrist_camera(env.robot, size_px)
    displaced: AnyCamera = env.sample.displace(camera)
    return displaced


def require_viewpoint(name: str) -> None:
    """Raises: ConfigError for an unknown viewpoint, listing the valid names."""
    if name not in VIEWPOINTS:
        raise unknown_name("camera", name, VIEWPOINTS)


def overview(world: World, size_px: int) -> Camera:
    """A camera beside the table that sees the whole arm and its working area.

    Args:
        world: The arm counts as it stands now.
        size_px: Width and height of the images, px.

    Returns:
        The camera in the base frame.
    """
    (x0, y0), (x1, y1) = world.simulation.region
    corners = [[x, y, world.robot.table_height_m] for x in (x0, x1) for y in (y0, y1)]
    points = np.array([[0.0, 0.0, 0.0], *corners, *world.link_origins()])

    gaze = (points.min(axis=0) + points.max(axis=0)) / 2
    radius_m = float(np.linalg.norm(points - gaze, axis=1).max())
    distance_m = OVERVIEW_RADII * radius_m
    eye = gaze + distance_m * OVERVIEW_SIDE / np.linalg.norm(OVERVIEW_SIDE)
    field_of_view_rad = 2 * float(np.arcsin(OVERVIEW_MARGIN / OVERVIEW_RADII))
    return looking_at(eye, gaze, size_px, size_px, field_of_view_rad)
