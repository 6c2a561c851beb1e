"""The robot's own files with what was measured: a URDF with joint and tool offsets, a YAML file."""

from typing import Any
from xml.etree import ElementTree

import numpy as np
import pinocchio as pin

from conure_calibration.apply.measured import Measured
from conure_calibration.poses import ROTATION, TRANSLATION, assembled, pose
from conure_core.config.yaml_fields import read_mapping
from conure_core.errors import ConfigError
from conure_core.robot.description import base_file, robot_file
from conure_core.robot.urdf_file import locate_meshes, read_urdf
from conure_core.types import Array

TOOL_AXES = ("x_m", "y_m", "z_m", "rotation_x_deg", "rotation_y_deg", "rotation_z_deg")
LARGEST_TILT_DEG = 1.0
"""Of the table, beyond which no height describes it."""


def calibrated_urdf(measured: Measured) -> str | None:
    """Turn each joint's zero by its offset, and put the tool frame where the tool is.

    An offset is the true angle minus the measured one: the joint's frame turns by it about the
    joint's axis, and its limits, which are those of true angles, move the other way.

    Returns:
        The URDF, meshes by absolute paths; None where nothing of it was measured.

    Raises:
        ConfigError: The tool's offset was measured, and a moving joint carries the tool frame.
    """
    offsets = {
        quantity.name.removeprefix("offset_").removesuffix("_deg"): quantity.value
        for quantity in measured.offsets
    }
    twist = [measured.value("joints", f"tool_offset_{axis}") for axis in TOOL_AXES]
    if not offsets and not any(twist):
        return None
    urdf = measured.robot.urdf
    root = read_urdf(urdf)
    locate_meshes(root, urdf, ("collision", "visual"))
    for joint in root.iterfind("./joint"):
        offset_deg = offsets.get(str(joint.get("name")))
        if offset_deg is not None:
            _turn(joint, float(np.radians(offset_deg)))
    if any(twist):
        turned = np.radians(twist[3:])
        _move(_tool_joint(root, measured), pose(np.concatenate([twist[:3], turned])))
    return ElementTree.tostring(root, encoding="unicode")


def _turn(joint: ElementTree.Element, offset_rad: float) -> None:
    """Turn a joint's zero about its axis, and move its limits."""
    axis = joint.find("axis")
    text = "1 0 0" if axis is None else axis.get("xyz", "1 0 0")
    direction = np.array([float(part) for part in text.split()])
    direction /= np.linalg.norm(direction)
    twist = np.concatenate([np.zeros(3), offset_rad * direction])
    _move(joint, pose(twist))
    limit = joint.find("limit")
    for end in ("lower", "upper"):
        if limit is not None and limit.get(end) is not None:
            limit.set(end, repr(float(limit.get(end, "0")) - offset_rad))


def _tool_joint(root: ElementTree.Element, measured: Measured) -> ElementTree.Element:
    """The fixed joint that carries the tool frame."""
    robot = measured.robot
    for joint in root.iterfind("./joint"):
        child = joint.find("child")
        carries = child is not None and child.get("link") == robot.tool_frame
        if carries and joint.get("type") == "fixed":
            return joint
    raise ConfigError(
        f"{robot.urdf}: no fixed joint carries tool_frame '{robot.tool_frame}', so that its"
        " measured offset has no place; add a fixed link to the URDF, or leave joints out of what="
    )


def _move(joint: ElementTree.Element, moved: Array) -> None:
    """Move what a joint carries, in the joint's frame."""
    origin = joint.find("origin")
    if origin is None:
        origin = ElementTree.SubElement(joint, "origin")
    xyz = [float(part) for part in origin.get("xyz", "0 0 0").split()]
    rpy = [float(part) for part in origin.get("rpy", "0 0 0").split()]
    placed = assembled(pin.rpy.rpyToMatrix(*rpy), np.array(xyz)) @ moved
    turned = pin.rpy.matrixToRpy(placed[ROTATION])
    origin.set("xyz", " ".join(repr(float(value)) for value in placed[TRANSLATION]))
    origin.set("rpy", " ".join(repr(float(value)) for value in turned))


def calibrated_fields(
    name: str,
    urdf: str | None,
    measured: Measured,
) -> dict[str, Any]:
    """The robot's YAML file with what was measured, complete.

    Args:
        name: Of the robot, or the path of its file.
        urdf: File name of the new URDF beside it; None: the old one.
        measured: For the height of the table.

    Raises:
        ConfigError: The table is tilted.
    """
    path = robot_file(name).resolve()
    fields = read_mapping(path)
    beside = path
    if "arm" in fields:
        beside = base_file(path, fields.pop("arm"), "arm")
        base = read_mapping(beside)
        for connection in ("bus", "ros2_control"):
            base.pop(connection, None)
        fields = {**base, **fields}
    fields["urdf"] = urdf or str(measured.robot.urdf)
    height = measured.find("scene", "table_height_m")
    if height is not None:
        tilt_deg = measured.value("scene", "table_tilt_deg")
        if tilt_deg > LARGEST_TILT_DEG:
            raise ConfigError(
                f"the table is tilted by {tilt_deg:.1f} degrees against the arm's base, at most"
                f" {LARGEST_TILT_DEG:g}; level it, and measure the scene again"
            )
        fields["table_height_m"] = height.value
    return fields
