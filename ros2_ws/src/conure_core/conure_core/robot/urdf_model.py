"""The model that a URDF describes, in the base frame, and whether it is the arm that the robot's
file speaks of.
"""

from collections import Counter
from xml.etree import ElementTree

import numpy as np
import pinocchio as pin

from conure_core.errors import ConfigError, unknown_name
from conure_core.robot.description import RobotConfig
from conure_core.robot.urdf_file import locate_meshes, read_urdf

PRISMATIC = frozenset(
    {"JointModelPX", "JointModelPY", "JointModelPZ", "JointModelPrismaticUnaligned"}
)
TOLERANCE = 1e-6
"""Rad or m: what rounding in a URDF may add to a limit."""


def load_model(config: RobotConfig) -> tuple[pin.Model, pin.SE3]:
    """Load the URDF's whole model, placed so that its poses are in the base frame; and
    base_from_root.

    Raises:
        ConfigError: The URDF cannot be read or has another arm than the config says; names robot
            and key.
    """
    root = read_urdf(config.urdf)
    _require_joint_types(root, config)
    try:
        model = pin.buildModelFromXML(_text(root))
    except Exception as error:  # what Pinocchio raises differs from version to version
        raise ConfigError(
            f"{config.urdf} is not a readable URDF: {' '.join(str(error).split())[:300]}"
        ) from error
    _require_joints(model, config)
    _require_chain(model, config)
    _require_turning(model, config)
    _require_gripper(model, config)
    return model, _move_to_base(model, config)


def require_limits(model: pin.Model, config: RobotConfig) -> None:
    """Refuse limits of joints that are none, or that the config exceeds.

    Args:
        model: The model of the arm alone, its n joints in the order of `config.joint_names`.
        config: The robot: speeds, home pose and position margin are held against the model.

    Raises:
        ConfigError: Names the joint and the limit, in rad or rad/s.
    """
    for index, name in enumerate(config.joint_names):
        lower = float(model.lowerPositionLimit[index])
        upper = float(model.upperPositionLimit[index])
        speed = float(model.velocityLimit[index])
        if not (np.isfinite([lower, upper, speed]).all() and lower < upper and speed > 0.0):
            raise ConfigError(
                f"{config.urdf}: joint '{name}' needs <limit> with lower below upper and a"
                f" velocity, got {lower}, {upper}, {speed}"
            )
        if config.max_speed_rad_s[index] > speed + TOLERANCE:
            raise ConfigError(
                f"{config.name}: max_speed_rad_s of {name} must be at most the URDF's velocity"
                f" limit, {speed:.6g} rad/s, got {config.max_speed_rad_s[index]}"
            )
        lower += config.position_margin_rad
        upper -= config.position_margin_rad
        if not lower < upper:
            raise ConfigError(
                f"{config.name}: position_margin_rad {config.position_margin_rad} leaves no room to"
                f" {name}"
            )
        if not lower <= config.home_rad[index] <= upper:
            raise ConfigError(
                f"{config.name}: home_rad of {name} must be in [{lower:.6g}, {upper:.6g}], the"
                f" URDF's limits less position_margin_rad, got {config.home_rad[index]}"
            )


def load_shapes(model: pin.Model, config: RobotConfig) -> pin.GeometryModel:
    """Load the collision shapes of the model.

    Args:
        model: The URDF's whole model, in the base frame; see `load_model`.
        config: The robot whose URDF is read.

    Returns:
        One shape for each <collision>, placed in the frame of the joint that moves it.

    Raises:
        ConfigError: A mesh cannot be read, a shape is such that nothing can meet it, or no shape
            moves with the arm: no clearance could be kept, and nobody would notice.
    """
    root = read_urdf(config.urdf)
    locate_meshes(root, config.urdf)
    try:
        shapes = pin.buildGeomFromUrdfString(model, _text(root), pin.GeometryType.COLLISION)
    except Exception as error:  # as above
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"{config.urdf}: its collision shapes cannot be read ({reason}); simple shapes do"
        ) from error
    _require_all_shapes(shapes, model, config, root)
    for shape in shapes.geometryObjects:
        _require_solid(shape, config)
    if not any(shape.parentJoint for shape in shapes.geometryObjects):
        raise ConfigError(
            f"{config.urdf}: no link that moves has a <collision>; give each the shape that it must"
            " keep free"
        )
    return shapes


def _require_all_shapes(
    shapes: pin.GeometryModel,
    model: pin.Model,
    config: RobotConfig,
    root: ElementTree.Element,
) -> None:
    """The URDF's parser leaves out a <collision> that it does not understand, as one with a size of
    "0,2 0.1 0.1".
    """
    found = Counter(model.frames[shape.parentFrame].name for shape in shapes.geometryObjects)
    for link in root.findall("./link"):
        name = str(link.get("name"))
        written = len(link.findall("collision"))
        if written != found[name]:
            raise ConfigError(
                f"{config.urdf}: link '{name}' has {written} <collision>, of which {found[name]}"
                " can be read; sizes, radius, length and origins are numbers with a point, and"
                " each needs its <geometry>"
            )


def _require_solid(shape: pin.GeometryObject, config: RobotConfig) -> None:
    shape.geometry.computeLocalAABB()
    lower = np.array(shape.geometry.aabb_local.min_)
    upper = np.array(shape.geometry.aabb_local.max_)
    flat = isinstance(shape.geometry, pin.hppfcl.BVHModelBase)
    with np.errstate(invalid="ignore"):
        if flat:
            thick = (upper >= lower).all() and upper.max() > lower.min()
        else:
            thick = (upper > lower).all()
    finite = np.isfinite([lower, upper]).all() and np.isfinite(shape.placement.homogeneous).all()
    if not (thick and finite):
        raise ConfigError(
            f"{config.urdf}: collision shape {shape.name} needs sizes above 0 and an origin, all"
            f" finite; it goes from {lower.tolist()} to {upper.tolist()} m at"
            f" {shape.placement.translation.tolist()} m"
        )


def require_home_in_box(base_from_tool: np.ndarray, config: RobotConfig) -> None:
    """Refuse a home pose outside the workspace box.

    Args:
        base_from_tool: Tool pose at `home_rad`, shape (4, 4), metres.
        config: The robot, for the box in the base frame.

    Raises:
        ConfigError: The tool lies outside the box; names where.
    """
    position = base_from_tool[:3, 3]
    lower = np.array(config.workspace_lower_m)
    upper = np.array(config.workspace_upper_m)
    if not ((lower <= position) & (position <= upper)).all():
        raise ConfigError(
            f"{config.name}: home_rad puts {config.tool_frame} at {np.round(position, 3).tolist()}"
            f" m in {config.base_frame}, outside the box of workspace_lower_m and"
            " workspace_upper_m; move one of them"
        )


def _text(root: ElementTree.Element) -> str:
    return ElementTree.tostring(root, encoding="unicode")


def _require_joint_types(root: ElementTree.Element, config: RobotConfig) -> None:
    for joint in root.findall("./joint"):
        name, kind = joint.get("name"), joint.get("type")
        if name in config.joint_names and kind not in ("revolute", "prismatic"):
            raise ConfigError(
                f"{config.urdf}: joint '{name}' is {kind}, and the gate keeps each joint of the arm"
                ' within limits; make it type="revolute" with <limit lower="-3.14" upper="3.14"'
                ' velocity="..."/>, or what the arm and its cables take, in rad'
            )


def _require_joints(model: pin.Model, config: RobotConfig) -> None:
    keys = [("joint_names", name) for name in config.joint_names]
    keys.append(("gripper_joint", config.gripper_joint))
    if config.gripper_mimic:
        keys.append(("gripper_mimic", config.gripper_mimic))
    for key, name in keys:
        if not model.existJointName(name):
            raise ConfigError(
                f"{config.name}: {key}: {unknown_name('joint', name, list(model.names)[1:])}"
            )
    links = _links(model)
    for key, name in (("base_frame", config.base_frame), ("tool_frame", config.tool_frame)):
        if name not in links:
            raise ConfigError(f"{config.name}: {key}: {unknown_name('link', name, links)}")


def _links(model: pin.Model) -> dict[str, int]:
    return {
        frame.name: index
        for index, frame in enumerate(model.frames)
        if frame.type == pin.FrameType.BODY
    }


def _require_chain(model: pin.Model, config: RobotConfig) -> None:
    """From base to tool there are the arm's joints and no other: one left out would be taken to
    stand still.
    """
    links = _links(model)
    above = model.frames[links[config.base_frame]].parentJoint
    if above:
        raise ConfigError(
            f"{config.name}: base_frame must be fixed to the URDF's root '{model.frames[1].name}',"
            f" and '{config.base_frame}' moves with joint '{model.names[above]}'"
        )
    chain = []
    joint = model.frames[links[config.tool_frame]].parentJoint
    while joint:
        chain.append(str(model.names[joint]))
        joint = model.parents[joint]
    if tuple(reversed(chain)) != config.joint_names:
        raise ConfigError(
            f"{config.name}: joint_names must be the joints from base_frame to tool_frame,"
            f" {chain[::-1]}, in this order, got {list(config.joint_names)}; make a joint that is"
            " not to move fixed in the URDF"
        )


def _require_turning(model: pin.Model, config: RobotConfig) -> None:
    """An axis without a length, or an origin that is no number, turns nothing into what the gate
    could judge.
    """
    data = model.createData()
    turned = pin.integrate(model, pin.neutral(model), np.ones(model.nv))
    pin.forwardKinematics(model, data, turned)
    for name in config.joint_names:
        placement = np.array(data.liMi[model.getJointId(name)].homogeneous)
        if not (np.isfinite(placement).all() and _is_rotation(placement[:3, :3])):
            raise ConfigError(
                f"{config.urdf}: joint '{name}' needs an <axis> other than 0 0 0 and an <origin>,"
                " all finite"
            )


def _is_rotation(matrix: np.ndarray) -> bool:
    error = matrix @ matrix.T - np.eye(3)
    return bool(np.abs(error).max() < TOLERANCE)


def _require_gripper(model: pin.Model, config: RobotConfig) -> None:
    """A finger slides, and has the stroke within its limits."""
    fingers = ("gripper_joint", config.gripper_joint), ("gripper_mimic", config.gripper_mimic)
    for (key, name), multiplier in zip(fingers, config.finger_multipliers, strict=False):
        joint = model.joints[model.getJointId(name)]
        if joint.shortname() not in PRISMATIC:
            raise ConfigError(
                f"{config.name}: {key} must be a prismatic joint, in m, and '{name}' is none; model"
                " the jaw as a joint that slides by the arc of its tip, as so101.urdf and lever_m"
                " do, and let the arm's driver turn one into the other"
            )
        lower = float(model.lowerPositionLimit[joint.idx_q])
        upper = float(model.upperPositionLimit[joint.idx_q])
        for end in ("gripper_closed_m", "gripper_open_m"):
            position = getattr(config, end) * multiplier
            if not lower - TOLERANCE <= position <= upper + TOLERANCE:
                raise ConfigError(
                    f"{config.name}: {end} must be within the URDF's limits of {name},"
                    f" [{lower:.6g}, {upper:.6g}] m, got {position:.6g}"
                )
    gripper = model.joints[model.getJointId(config.gripper_joint)]
    speed = float(model.velocityLimit[gripper.idx_v])
    if not config.gripper_speed_m_s <= speed + TOLERANCE:
        raise ConfigError(
            f"{config.name}: gripper_speed_m_s must be at most the URDF's velocity limit of"
            f" {config.gripper_joint}, {speed:.6g} m/s, got {config.gripper_speed_m_s}"
        )


def _move_to_base(model: pin.Model, config: RobotConfig) -> pin.SE3:
    """Place all that hangs on the root so that the base frame is the origin; base_from_root.

    Nothing is computed anew for every pose, and where the root is the base not a bit changes.
    """
    base_from_root = model.frames[_links(model)[config.base_frame]].placement.inverse()
    if base_from_root.isIdentity(0.0):
        return base_from_root
    for joint in range(1, model.njoints):
        if model.parents[joint] == 0:
            model.jointPlacements[joint] = base_from_root * model.jointPlacements[joint]
    for frame in model.frames:
        if frame.parentJoint == 0:
            frame.placement = base_from_root * frame.placement
    return base_from_root
