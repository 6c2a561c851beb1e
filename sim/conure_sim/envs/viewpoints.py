"""Cameras for people: the policy's own two at any size, and one that shows the whole arm."""

from typing import Any

import numpy as np

from conure_core.errors import unknown_name
from conure_sim.envs.sensors import TABLE, WRIST, wrist_camera
from conure_sim.physics.world import World
from conure_sim.vision.camera import AnyCamera, Camera, looking_at

OVERVIEW = "overview"
VIEWPOINTS = (OVERVIEW, TABLE, WRIST)
# From what is looked at to the eye; how far, in radii of what is to be seen; how much more than
# that is seen.
OVERVIEW_SIDE, OVERVIEW_RADII, OVERVIEW_MARGIN = np.array([0.72, -0.55, 0.42]), 4.5, 1.12


def viewpoint(env: Any, name: str, size_px: int) -> AnyCamera:
    """A camera of this name for square images of an environment after its reset.

    `table` and `wrist` are where, and zoomed as, the episode's randomization has them. Raises:
    ConfigError listing the valid names.
    """
    require_viewpoint(name)
    if name == OVERVIEW:
        return overview(env.world, size_px)
    table: Camera = env.world.camera
    camera: AnyCamera = (
        wrist_camera(env.robot, size_px)
        if name == WRIST
        else table.scaled(size_px / table.height_px)
    )
    displaced: AnyCamera = env.sample.displaced(camera)
    return displaced


def require_viewpoint(name: str) -> None:
    """Raises: ConfigError for an unknown viewpoint, listing the valid names."""
    if name not in VIEWPOINTS:
        raise unknown_name("camera", name, VIEWPOINTS)


def overview(world: World, size_px: int) -> Camera:
    """From beside the table: the whole arm, as it stands now, and its working area."""
    (x0, y0), (x1, y1) = world.simulation.region
    corners = [[x, y, world.robot.table_height_m] for x in (x0, x1) for y in (y0, y1)]
    links = range(world.client.getNumJoints(world.body))
    origins = [world.client.getLinkState(world.body, link)[4] for link in links]
    points = np.array([[0.0, 0.0, 0.0], *corners, *origins])
    gaze = (points.min(axis=0) + points.max(axis=0)) / 2
    radius_m = float(np.linalg.norm(points - gaze, axis=1).max())
    eye = gaze + OVERVIEW_RADII * radius_m * OVERVIEW_SIDE / np.linalg.norm(OVERVIEW_SIDE)
    return looking_at(
        eye, gaze, size_px, size_px, 2 * float(np.arcsin(OVERVIEW_MARGIN / OVERVIEW_RADII))
    )
