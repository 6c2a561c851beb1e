"""PyBullet bodies made from fixtures' parts: fixed, free and articulated ones, and spheres."""

from collections.abc import Sequence
from typing import Any

import pybullet

from conure_core.types import Array
from conure_sim.cached_files import mesh_file
from conure_sim.objects.fixtures import BoxPart
from conure_sim.orientation import quaternion_from_yaw
from conure_sim.physics.shapes import box_collision, box_visual, icosahedron
from conure_sim.physics.slider import Slider

FRICTION = {"lateralFriction": 0.9, "rollingFriction": 0.0005, "spinningFriction": 0.0005}
SPHERE_FRICTION = {"lateralFriction": 0.3, "rollingFriction": 0.00005, "spinningFriction": 0.00005}


def add_carried(
    client: Any,
    parts: Sequence[BoxPart],
    place: Array,
    yaw_rad: float,
    colour: Sequence[float],
    mass_kg: float,
) -> int:
    """Add a free body that can be picked up.

    Args:
        client: PyBullet client.
        parts: Boxes in the body's frame, m.
        place: The body's origin in the base frame, (3,) m.
        yaw_rad: Its angle about the vertical, rad.
        colour: Rgb in [0, 1] of the parts without a colour of their own.
        mass_kg: Mass of the whole body, above zero.

    Returns:
        The body's id.
    """
    collision = box_collision(client, parts)
    visual = box_visual(client, parts, colour)
    orientation = quaternion_from_yaw(yaw_rad)
    body: int = client.createMultiBody(mass_kg, collision, visual, list(place), orientation)
    client.changeDynamics(body, -1, **FRICTION)
    return body


def add_mark(
    client: Any,
    parts: Sequence[BoxPart],
    place: Array,
) -> int:
    """Add a body that is seen and that nothing collides with.

    Args:
        client: PyBullet client.
        parts: Boxes in the body's frame, m; those without a colour are white.
        place: The body's origin in the base frame, (3,) m.

    Returns:
        The body's id.
    """
    visual = box_visual(client, parts, (1.0, 1.0, 1.0))
    body: int = client.createMultiBody(0.0, -1, visual, list(place))
    return body


def add_sliding(
    client: Any,
    parts: Sequence[BoxPart],
    place: Array,
    yaw_rad: float,
    colour: Sequence[float],
    slider: Slider,
) -> int:
    """Add a fixed body with one prismatic joint, joint 0.

    Args:
        client: PyBullet client.
        parts: Boxes of the fixed part in the body's frame, m.
        place: The body's origin in the base frame, (3,) m.
        yaw_rad: Its angle about the vertical, rad.
        colour: Rgb in [0, 1] of the fixed parts without a colour of their own.
        slider: The moving part and its range.

    Returns:
        The body's id.
    """
    body: int = client.createMultiBody(
        0.0,
        box_collision(client, parts),
        box_visual(client, parts, colour),
        list(place),
        quaternion_from_yaw(yaw_rad),
        linkMasses=[slider.mass_kg],
        linkCollisionShapeIndices=[box_collision(client, slider.parts)],
        linkVisualShapeIndices=[box_visual(client, slider.parts, slider.colour)],
        linkPositions=[list(slider.position)],
        linkOrientations=[[0, 0, 0, 1]],
        linkInertialFramePositions=[[0, 0, 0]],
        linkInertialFrameOrientations=[[0, 0, 0, 1]],
        linkParentIndices=[0],
        linkJointTypes=[pybullet.JOINT_PRISMATIC],
        linkJointAxis=[list(slider.axis)],
    )
    lower, upper = sorted((0.0, slider.travel_m))
    client.changeDynamics(body, 0, jointLowerLimit=lower, jointUpperLimit=upper, **FRICTION)
    client.changeDynamics(body, -1, **FRICTION)
    control = pybullet.POSITION_CONTROL if slider.springs_back else pybullet.VELOCITY_CONTROL
    client.setJointMotorControl2(body, 0, control, force=slider.force_n)
    return body


def add_sphere(
    client: Any, radius_m: float, position: Array, colour: Sequence[float], mass_kg: float
) -> int:
    """Add a free sphere, drawn with 20 triangles.

    Args:
        client: PyBullet client.
        radius_m: Its radius, m.
        position: Its centre in the base frame, (3,) m.
        colour: Rgb in [0, 1].
        mass_kg: Its mass, above zero.

    Returns:
        The body's id.
    """
    vertices, faces = icosahedron(radius_m)
    mesh = str(mesh_file(vertices, faces))
    collision = client.createCollisionShape(pybullet.GEOM_SPHERE, radius=radius_m)
    visual = client.createVisualShape(pybullet.GEOM_MESH, fileName=mesh, rgbaColor=[*colour, 1.0])
    body: int = client.createMultiBody(mass_kg, collision, visual, list(position))
    client.changeDynamics(body, -1, **SPHERE_FRICTION)
    return body
