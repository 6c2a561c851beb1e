"""Bodies that PyBullet makes from fixtures' parts: fixed, carried and articulated ones, and
spheres.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pybullet

from conure_core.types import Array
from conure_sim.cached_files import mesh_file
from conure_sim.objects.fixtures import BoxPart, Colour
from conure_sim.orientation import turned
from conure_sim.physics.shapes import box_collision, box_visual, icosahedron
from conure_sim.physics.world import World

FRICTION = {"lateralFriction": 0.9, "rollingFriction": 0.0005, "spinningFriction": 0.0005}
SPHERE_FRICTION = {"lateralFriction": 0.3, "rollingFriction": 0.00005, "spinningFriction": 0.00005}


@dataclass(frozen=True)
class Slider:
    """A part that slides along `axis` of its body, from its place at 0 to `travel_m`; negative:
    against the axis.
    """

    parts: Sequence[BoxPart]
    position: Array
    axis: tuple[float, float, float]
    travel_m: float
    colour: Colour
    mass_kg: float


def add_carried(
    world: World,
    parts: Sequence[BoxPart],
    place: Array,
    yaw_rad: float,
    colour: Colour,
    mass_kg: float,
) -> int:
    """A body that can be moved, its origin at `place` (3,) m; returns its body."""
    shapes = box_collision(world.client, parts), box_visual(world.client, parts, colour)
    body: int = world.client.createMultiBody(mass_kg, *shapes, list(place), turned(yaw_rad))
    world.client.changeDynamics(body, -1, **FRICTION)
    return world.keep(body)


def add_mark(world: World, parts: Sequence[BoxPart], place: Array) -> int:
    """A body that is only seen: nothing touches it."""
    body: int = world.client.createMultiBody(
        0.0, -1, box_visual(world.client, parts, (1.0, 1.0, 1.0)), list(place)
    )
    return world.keep(body)


def add_sliding(
    world: World,
    parts: Sequence[BoxPart],
    place: Array,
    yaw_rad: float,
    colour: Colour,
    slider: Slider,
) -> int:
    """A fixed body with one prismatic joint, joint 0; returns its body."""
    body: int = world.client.createMultiBody(
        0.0,
        box_collision(world.client, parts),
        box_visual(world.client, parts, colour),
        list(place),
        turned(yaw_rad),
        linkMasses=[slider.mass_kg],
        linkCollisionShapeIndices=[box_collision(world.client, slider.parts)],
        linkVisualShapeIndices=[box_visual(world.client, slider.parts, slider.colour)],
        linkPositions=[list(slider.position)],
        linkOrientations=[[0, 0, 0, 1]],
        linkInertialFramePositions=[[0, 0, 0]],
        linkInertialFrameOrientations=[[0, 0, 0, 1]],
        linkParentIndices=[0],
        linkJointTypes=[pybullet.JOINT_PRISMATIC],
        linkJointAxis=[list(slider.axis)],
    )
    lower, upper = sorted((0.0, slider.travel_m))
    world.client.changeDynamics(body, 0, jointLowerLimit=lower, jointUpperLimit=upper, **FRICTION)
    world.client.changeDynamics(body, -1, **FRICTION)
    return world.keep(body)


def add_sphere(
    world: World, radius_m: float, position: Array, colour: Colour, mass_kg: float
) -> int:
    """A sphere, drawn with 20 triangles, its middle at `position` (3,) m; returns its body."""
    vertices, faces = icosahedron(radius_m)
    collision = world.client.createCollisionShape(pybullet.GEOM_SPHERE, radius=radius_m)
    visual = world.client.createVisualShape(
        pybullet.GEOM_MESH, fileName=str(mesh_file(vertices, faces)), rgbaColor=[*colour, 1.0]
    )
    body: int = world.client.createMultiBody(mass_kg, collision, visual, list(position))
    world.client.changeDynamics(body, -1, **SPHERE_FRICTION)
    return world.keep(body)
