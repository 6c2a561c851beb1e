"""Where a URDF's links are, each seen from the one before it: what /tf says."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from conure_core.errors import ConfigError
from conure_core.robot.urdf_file import read_urdf
from conure_core.types import Array

TURNING = ("revolute", "continuous")
SLIDING = ("prismatic",)
FIXED = ("fixed",)


@dataclass(frozen=True)
class Transform:
    """Pose of a link in the frame of its parent: translation (3,), m, and quaternion (4,), xyzw."""

    parent: str
    child: str
    translation_m: Array
    rotation_xyzw: Array

    @staticmethod
    def of_pose(parent: str, child: str, pose: Array) -> "Transform":
        """Convert a homogeneous matrix.

        Args:
            parent: Name of the frame that the pose is in.
            child: Name of the frame that has this pose.
            pose: parent_from_child, shape (4, 4), m.

        Source of the quaternion: Bar-Itzhack, JGCD 23(6), 2000.
        """
        turn = pose[:3, :3]
        symmetric = np.zeros((4, 4))
        symmetric[:3, :3] = turn + turn.T - np.trace(turn) * np.eye(3)
        skew = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
        symmetric[:3, 3] = symmetric[3, :3] = skew
        symmetric[3, 3] = np.trace(turn)
        return Transform(parent, child, pose[:3, 3], np.linalg.eigh(symmetric)[1][:, -1])


@dataclass(frozen=True)
class LinkJoint:
    """One joint of a URDF.

    `origin_m` (3,) and `origin_xyzw` (4,): the joint in its parent's frame; `axis` (3,): unit
    vector in the joint's own frame. `mimic`: (joint, multiplier, offset) of a joint that follows
    another one.
    """

    name: str
    kind: str
    parent: str
    child: str
    origin_m: Array
    origin_xyzw: Array
    axis: Array
    mimic: tuple[str, float, float] | None

    @property
    def is_fixed(self) -> bool:
        """Whether the child never moves in its parent's frame."""
        return self.kind in FIXED

    def transform(self, position: float = 0.0) -> Transform:
        """Compute the child's pose in the parent's frame for the joint's position, rad or m."""
        translation_m, rotation_xyzw = self.origin_m, self.origin_xyzw
        if self.kind in TURNING:
            turn = np.append(self.axis * math.sin(position / 2), math.cos(position / 2))
            rotation_xyzw = multiply(rotation_xyzw, turn)
        elif self.kind in SLIDING:
            translation_m = translation_m + rotate(rotation_xyzw, self.axis * position)
        return Transform(self.parent, self.child, translation_m, rotation_xyzw)

    def position_among(self, positions: Mapping[str, float]) -> float | None:
        """The joint's position, its own or that of the joint that it mimics; None: not known."""
        if self.name in positions:
            return positions[self.name]
        if self.mimic is None or self.mimic[0] not in positions:
            return None
        leader, multiplier, offset = self.mimic
        return multiplier * positions[leader] + offset


def read_joints(path: Path) -> tuple[LinkJoint, ...]:
    """Read the joints of a URDF that one number places; others (floating, planar) are left out.
    Raises: ConfigError naming the file, the joint and what is wrong with it.
    """
    elements = read_urdf(path).iterfind("./joint")
    kinds = (*FIXED, *TURNING, *SLIDING)
    return tuple(_read_joint(element, path) for element in elements if element.get("type") in kinds)


def _read_joint(element: ElementTree.Element, path: Path) -> LinkJoint:
    name, kind = element.get("name", ""), element.get("type", "")
    where = f"{path}: joint '{name}'"
    parent = _attribute(element, "parent", "link", "")
    child = _attribute(element, "child", "link", "")
    if not (parent and child):
        raise ConfigError(f"{where} needs <parent link=...> and <child link=...>")
    axis = _vector(element, "axis", "xyz", "1 0 0", where)
    length = float(np.linalg.norm(axis))
    if length == 0.0:
        raise ConfigError(f"{where}: its <axis xyz> must not be zero")
    roll, pitch, yaw = _vector(element, "origin", "rpy", "0 0 0", where)
    mimic = element.find("./mimic")
    return LinkJoint(
        name,
        kind,
        parent,
        child,
        origin_m=_vector(element, "origin", "xyz", "0 0 0", where),
        origin_xyzw=quaternion(roll, pitch, yaw),
        axis=axis / length,
        mimic=None if mimic is None else _read_mimic(mimic, where),
    )


def _read_mimic(element: ElementTree.Element, where: str) -> tuple[str, float, float]:
    try:
        multiplier = float(element.get("multiplier", "1"))
        offset = float(element.get("offset", "0"))
    except ValueError as error:
        raise ConfigError(f"{where}: <mimic> needs numbers: {error}") from error
    return element.get("joint", ""), multiplier, offset


def _attribute(element: ElementTree.Element, part: str, name: str, default: str) -> str:
    found = element.find(f"./{part}")
    return default if found is None else found.get(name, default)


def _vector(element: ElementTree.Element, part: str, name: str, default: str, where: str) -> Array:
    text = _attribute(element, part, name, default)
    try:
        values = np.array([float(word) for word in text.split()])
    except ValueError:
        values = np.zeros(0)
    if values.shape != (3,) or not np.isfinite(values).all():
        raise ConfigError(f'{where}: <{part} {name}="{text}"> must have three finite numbers')
    return values


def quaternion(roll: float, pitch: float, yaw: float) -> Array:
    """Convert a URDF's rpy to a quaternion.

    Args:
        roll: First turn, about the fixed x axis, rad.
        pitch: Second turn, about the fixed y axis, rad.
        yaw: Third turn, about the fixed z axis, rad.

    Returns:
        Unit quaternion, shape (4,), xyzw.
    """
    turns = [
        np.append(np.eye(3)[axis] * math.sin(angle / 2), math.cos(angle / 2))
        for axis, angle in enumerate((roll, pitch, yaw))
    ]
    return multiply(turns[2], multiply(turns[1], turns[0]))


def multiply(first: Array, second: Array) -> Array:
    """Chain two rotations: Hamilton product.

    Args:
        first: Quaternion, shape (4,), xyzw.
        second: Quaternion, shape (4,), xyzw; it is applied first.

    Returns:
        Quaternion, shape (4,), xyzw.
    """
    vector = first[3] * second[:3] + second[3] * first[:3] + np.cross(first[:3], second[:3])
    return np.append(vector, first[3] * second[3] - first[:3] @ second[:3])


def rotate(rotation: Array, vector: Array) -> Array:
    """Rotate a vector.

    Args:
        rotation: Unit quaternion, shape (4,), xyzw.
        vector: Shape (3,).

    Returns:
        The rotated vector, shape (3,).
    """
    twice = 2.0 * np.cross(rotation[:3], vector)
    return np.asarray(vector + rotation[3] * twice + np.cross(rotation[:3], twice))
