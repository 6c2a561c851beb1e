"""Bodies made from fixtures' parts: fixed, free and articulated ones, and spheres."""

from collections.abc import Sequence
from dataclasses import dataclass

import pybullet

from conure_core.types import Array
from conure_sim.cached_files import mesh_file
from conure_sim.objects.fixtures import BoxPart, Colour
from conure_sim.orientation import quaternion_from_yaw
from conure_sim.physics.shapes import box_collision, box_visual, icosahedron
from conure_sim.physics.world import World

FRICTION = {"lateralFriction": 0.9, "rollingFriction": 0.0005, "spinningFriction": 0.0005}
SPHERE_FRICTION = {"lateralFriction": 0.3, "rollingFriction": 0.00005, "spinningFriction": 0.00005}


@dataclass(frozen=True)
class Slider:
    """A part on a prismatic joint."""

    parts: Sequence[BoxPart]
    """Boxes in the slider's own frame."""
    position: Array
    """The slider's origin in the body's frame with the joint at 0, (3,) m."""
    axis: tuple[float, float, float]
    """Direction of travel in the body's frame, a unit vector."""
    travel_m: float
    """Range of the joint, from 0 to here; negative: against the axis."""
    colour: Colour
    """Rgb in [0, 1] of the parts without a colour of their own."""
    mass_kg: float


def add_carried(
    world: World,
    parts: Sequence[BoxPart],
    place: Array,
    yaw_rad: float,
    colour: Colour,
    mass_kg: float,
) -> int:
    """Add a free body that can be picked up.

    Args:
        world: Where to add it.
        parts: Boxes in the body's frame, m.
        place: The body's origin in the base frame, (3,) m.
        yaw_rad: Its angle about the vertical, rad.
        colour: Rgb in [0, 1] of the parts without a colour of their own.
        mass_kg: Mass of the whole body, above zero.

    Returns:
        The body's id.
    """
    collision = box_collision(world.client, parts)
    visual = box_visual(world.client, parts, colour)
    orientation = quaternion_from_yaw(yaw_rad)
    body: int = world.client.createMultiBody(mass_kg, collision, visual, list(place), orientation)
    world.client.changeDynamics(body, -1, **FRICTION)
    return world.register_body(body)


def add_mark(
    world: World,
    parts: Sequence[BoxPart],
    place: Array,
) -> int:
    """Add a body that is seen and that nothing collides with.

    Args:
        world: Where to add it.
        parts: Boxes in the body's frame, m; those without a colour are white.
        place: The body's origin in the base frame, (3,) m.

    Returns:
        The body's id.
    """
    visual = box_visual(world.client, parts, (1.0, 1.0, 1.0))
    body: int = world.client.createMultiBody(0.0, -1, visual, list(place))
    return world.register_body(body)


def add_sliding(
    world: World,
    parts: Sequence[BoxPart],
    place: Array,
    yaw_rad: float,
    colour: Colour,
    slider: Slider,
) -> int:
    """Add a fixed body with one prismatic joint, joint 0.

    Args:
        world: Where to add it.
        parts: Boxes of the fixed part in the body's frame, m.
        place: The body's origin in the base frame, (3,) m.
        yaw_rad: Its angle about the vertical, rad.
        colour: Rgb in [0, 1] of the fixed parts without a colour of their own.
        slider: The moving part and its range.

    Returns:
        The body's id.
    """
    body: int = world.client.createMultiBody(
        0.0,
        box_collision(world.client, parts),
        box_visual(world.client, parts, colour),
        list(place),
        quaternion_from_yaw(yaw_rad),
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
    return world.register_body(body)


def add_sphere(
    world: World, radius_m: float, position: Array, colour: Colour, mass_kg: float
) -> int:
    """Add a free sphere, drawn with 20 triangles.

    Args:
        world: Where to add it.
        radius_m: Its radius, m.
        position: Its centre in the base frame, (3,) m.
        colour: Rgb in [0, 1].
        mass_kg: Its mass, above zero.

    Returns:
        The body's id.
    """
    vertices, faces = icosahedron(radius_m)
    mesh = str(mesh_file(vertices, faces))
    collision = world.client.createCollisionShape(pybullet.GEOM_SPHERE, radius=radius_m)
    visual = world.client.createVisualShape(
        pybullet.GEOM_MESH, fileName=mesh, rgbaColor=[*colour, 1.0]
    )
    body: int = world.client.createMultiBody(mass_kg, collision, visual, list(position))
    world.client.changeDynamics(body, -1, **SPHERE_FRICTION)
    return world.register_body(body)
