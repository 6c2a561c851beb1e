"""The MuJoCo model of one episode: table, arm, motors, lamp and bodies, as an MjSpec."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pinocchio as pin
from numpy.typing import NDArray

from conure_core.robot.description import RobotConfig
from conure_core.types import Array
from conure_sim.objects.fixtures import BoxPart
from conure_sim.physics.arm_simulation import ArmSimulation
from conure_sim.physics.mujoco.loading import load_mujoco
from conure_sim.physics.mujoco.motors import Motor
from conure_sim.physics.world import FLOOR, TABLE_FRICTION, TABLE_THICKNESS_M, WALL
from conure_sim.vision.rendering import Appearance
from conure_sim.vision.textures import texture_files

SUBSTEPS = 2
"""MuJoCo's steps in a step of 1 / PHYSICS_HZ; contacts as stiff as these need them short."""
CONTACT_TIME_S = 0.006
"""Time in which MuJoCo undoes a penetration. With these two a grip of 50 g slips 0.4 mm in 8 s."""
FRICTION_IMPEDANCE = 10.0
"""How much stiffer friction is than penetration (`impratio`)."""
TORSION_M = 0.005
ROLLING_M = 0.0001
VISIBLE = 1
"""Group of geoms that are drawn; the arm's collision shapes are in group 0."""
SHADOW_SIZE_PX = 1024
SHADOWED_SHARE = 0.6
SPECULAR = 0.05
LAMP_DISTANCE_M = 2.0
KEEP_EVERYTHING = (
    '<mujoco><compiler discardvisual="false" fusestatic="false" meshdir="{folder}"/></mujoco>'
)
Spec = Any
Body = Any


def start_model(urdf: Path, base_from_root: Array, step_s: float) -> tuple[Spec, Body]:
    """A model with nothing in it but the arm.

    Args:
        urdf: As PyBullet loads it.
        base_from_root: Pose (4, 4) of the URDF's root in the base frame.
        step_s: The step of the model is 1 / SUBSTEPS of it.

    Returns:
        The model, and the arm's root.
    """
    mujoco = load_mujoco()
    text = urdf.read_text()
    begin = text.index(">", text.index("<robot")) + 1
    extension = KEEP_EVERYTHING.format(folder=urdf.parent)
    spec = mujoco.MjSpec.from_string(text[:begin] + extension + text[begin:])

    spec.option.timestep = step_s / SUBSTEPS
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = FRICTION_IMPEDANCE
    spec.visual.quality.shadowsize = SHADOW_SIZE_PX
    spec.visual.quality.offsamples = 0  # more take 0.4 s an episode on a CPU

    root = spec.worldbody.first_body()
    root.pos = base_from_root[:3, 3]
    root.quat = pin.Quaternion(base_from_root[:3, :3]).coeffs()[[3, 0, 1, 2]]
    return spec, root


def add_motors(spec: Spec, names: Sequence[str], motors: Sequence[Motor]) -> None:
    """Drive joints by servos, in the order given.

    Args:
        spec: The model.
        names: Of the joints.
        motors: One for each.
    """
    mujoco = load_mujoco()
    for name, motor in zip(names, motors, strict=True):
        joint = spec.joint(name)
        joint.armature = motor.inertia
        joint.frictionloss = motor.friction
        joint.damping[0] = motor.bearing_damping
        actuator = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        actuator.biastype = mujoco.mjtBias.mjBIAS_AFFINE
        actuator.gainprm[0] = motor.stiffness
        actuator.biasprm[:3] = 0.0, -motor.stiffness, -motor.damping
        actuator.forcerange = -motor.force, motor.force
        actuator.forcelimited = 1


def make_arm_touch(robot: RobotConfig, root: Body, friction: float) -> None:
    """Let the arm's shapes collide with bodies and table, not with each other.

    Args:
        robot: The arm.
        root: Its root in the model.
        friction: Of the fingers with objects.
    """
    mujoco = load_mujoco()
    joints = {robot.gripper_joint, robot.gripper_mimic}
    for body in [root, *root.find_all(mujoco.mjtObj.mjOBJ_BODY)]:
        is_finger = any(joint.name in joints for joint in body.joints)
        for geom in body.geoms:
            if not geom.contype:
                continue
            geom.contype = 2
            geom.conaffinity = 1
            geom.solref[0] = CONTACT_TIME_S
            if is_finger:
                geom.friction = friction, TORSION_M, ROLLING_M
                geom.priority = 2
                geom.condim = 4


def add_surroundings(
    spec: Spec, simulation: ArmSimulation, table_height_m: float, look: Appearance
) -> tuple[Body, list[Body]]:
    """Add the table, the lamp, and floor and wall if there are any.

    Args:
        spec: The model.
        simulation: Where the table is.
        table_height_m: Height of its top, base frame.
        look: Light and colours.

    Returns:
        The table, and what surrounds it.
    """
    half = [*(side_m / 2 for side_m in simulation.table_size_m), TABLE_THICKNESS_M / 2]
    centre = [*simulation.table_centre_m, table_height_m - TABLE_THICKNESS_M / 2]
    table = spec.worldbody.add_body(pos=centre)
    top = _add_panel(spec, table, half, look.table_colour, look.table_texture)
    top.contype = 1
    top.conaffinity = 3
    top.friction = TABLE_FRICTION, TORSION_M, ROLLING_M
    top.solref[0] = CONTACT_TIME_S

    add_lamp(spec, look)
    return table, _add_background(spec, look)


def add_lamp(spec: Spec, look: Appearance) -> None:
    """Add the lamp; shadows get the ambient light and a share of the lamp's, as from walls."""
    mujoco = load_mujoco()
    colour = np.array(look.light_colour)
    spec.visual.headlight.ambient = look.ambient * colour
    spec.visual.headlight.diffuse = [0.0] * 3
    spec.visual.headlight.specular = [0.0] * 3
    direction = np.array(look.light_direction) / np.linalg.norm(look.light_direction)
    for shadow, share in ((True, SHADOWED_SHARE), (False, 1 - SHADOWED_SHARE)):
        spec.worldbody.add_light(
            type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
            pos=LAMP_DISTANCE_M * direction,
            dir=-direction,
            diffuse=share * look.diffuse * colour,
            ambient=[0.0] * 3,
            specular=[SPECULAR * share] * 3,
            castshadow=shadow and look.shadow,
        )


def _add_background(spec: Spec, look: Appearance) -> list[Body]:
    mujoco = load_mujoco()
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT,
        rgb1=[1.0] * 3,
        rgb2=[1.0] * 3,
        width=8,
        height=8,
    )
    found: list[Body] = []
    if look.background_colour is not None:
        for half, centre in (FLOOR, WALL):
            body = spec.worldbody.add_body(pos=centre)
            _add_panel(spec, body, half, look.background_colour, look.background_texture)
            found.append(body)
    return found


def _add_panel(
    spec: Spec, body: Body, half: Sequence[float], colour: Sequence[float], texture: int | None
) -> Any:
    """A box that is only seen, with a texture if there is one."""
    mujoco = load_mujoco()
    geom = body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=half,
        rgba=[*colour, 1.0],
        group=VISIBLE,
        contype=0,
        conaffinity=0,
    )
    if texture is not None:
        name = f"texture{texture}"
        if spec.material(name) is None:
            file = str(texture_files()[texture])
            spec.add_texture(name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, file=file)
            material = spec.add_material(name=name)
            material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
        geom.material = name
    return geom


def add_boxes(
    body: Body, parts: Sequence[BoxPart], colour: Sequence[float], touches: bool = True
) -> None:
    """Add boxes to a body.

    Args:
        body: Of the model.
        parts: Boxes in the body's frame, m.
        colour: Rgb in [0, 1] of the parts without a colour of their own.
        touches: Whether anything collides with them.
    """
    mujoco = load_mujoco()
    for part in parts:
        x, y, z, w = part.quaternion
        geom = body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=part.half,
            pos=part.centre,
            quat=[w, x, y, z],
            rgba=[*(part.colour or colour), 1.0],
        )
        set_contact(geom, touches)


def add_mesh(
    spec: Spec, body: Body, vertices: Array, faces: NDArray[np.int64], colour: Sequence[float]
) -> Any:
    """Add a convex mesh to a body.

    Args:
        spec: The model.
        body: Of the model.
        vertices: In the body's frame, (n, 3) m.
        faces: Triangles, (m, 3), counter-clockwise from outside.
        colour: Rgb in [0, 1].

    Returns:
        The geom, which touches nothing yet.
    """
    mujoco = load_mujoco()
    name = f"mesh{len(spec.meshes)}"
    spec.add_mesh(
        name=name,
        uservert=vertices.ravel(),
        userface=faces.ravel(),
        inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX,
    )
    return body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_MESH, meshname=name, rgba=[*colour, 1.0], group=VISIBLE
    )


def set_contact(geom: Any, touches: bool, friction: float = TABLE_FRICTION) -> None:
    """Draw a geom, and let everything collide with it or nothing.

    Friction with an object is the object's own; with a finger the finger's: MuJoCo takes one of
    two values and multiplies none.

    Args:
        geom: Of a body.
        touches: Whether anything collides with it.
        friction: Lateral.
    """
    geom.group = VISIBLE
    geom.contype = int(touches)
    geom.conaffinity = 3 * int(touches)
    geom.friction = friction, TORSION_M, ROLLING_M
    geom.solref[0] = CONTACT_TIME_S
    geom.condim = 4
    geom.priority = 1
