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
        trace = np.trace(turn)
        odd = turn - turn.T
        axial = np.array([odd[2, 1], odd[0, 2], odd[1, 0]])
        symmetric = np.zeros((4, 4))
        symmetric[:3, :3] = turn + turn.T - trace * np.eye(3)
        symmetric[:3, 3] = axial
        symmetric[3, :3] = axial
        symmetric[3, 3] = trace
        _, vectors = np.linalg.eigh(symmetric)
        return Transform(
            parent=parent,
            child=child,
            translation_m=pose[:3, 3],
            rotation_xyzw=vectors[:, -1],
        )


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
        translation_m = self.origin_m
        rotation_xyzw = self.origin_xyzw
        if self.kind in TURNING:
            turn = _about(self.axis, position)
            rotation_xyzw = multiply(rotation_xyzw, turn)
        elif self.kind in SLIDING:
            shift_m = rotate(rotation_xyzw, self.axis * position)
            translation_m = translation_m + shift_m
        return Transform(self.parent, self.child, translation_m, rotation_xyzw)

    def position_among(self, positions: Mapping[str, float]) -> float | None:
        """The joint's position, its own or that of the joint that it mimics; None: not known."""
        if self.name in positions:
            return positions[self.name]
        if self.mimic is None:
            return None
        leader, multiplier, offset = self.mimic
        if leader not in positions:
            return None
        return multiplier * positions[leader] + offset


def read_joints(path: Path) -> tuple[LinkJoint, ...]:
    """Read the joints of a URDF that one number places; others (floating, planar) are left out.
    Raises: ConfigError naming the file, the joint and what is wrong with it.
    """
    kinds = (*FIXED, *TURNING, *SLIDING)
    joints = []
    for element in read_urdf(path).iterfind("./joint"):
        if element.get("type") in kinds:
            joints.append(_read_joint(element, path))
    return tuple(joints)


def _read_joint(element: ElementTree.Element, path: Path) -> LinkJoint:
    name = element.get("name", "")
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
    return LinkJoint(
        name=name,
        kind=element.get("type", ""),
        parent=parent,
        child=child,
        origin_m=_vector(element, "origin", "xyz", "0 0 0", where),
        origin_xyzw=quaternion(roll, pitch, yaw),
        axis=axis / length,
        mimic=_read_mimic(element.find("./mimic"), where),
    )


def _read_mimic(
    element: ElementTree.Element | None,
    where: str,
) -> tuple[str, float, float] | None:
    if element is None:
        return None
    try:
        multiplier = float(element.get("multiplier", "1"))
        offset = float(element.get("offset", "0"))
    except ValueError as error:
        raise ConfigError(f"{where}: <mimic> needs numbers: {error}") from error
    return element.get("joint", ""), multiplier, offset


def _attribute(
    element: ElementTree.Element,
    part: str,
    name: str,
    default: str,
) -> str:
    found = element.find(f"./{part}")
    return default if found is None else found.get(name, default)


def _vector(
    element: ElementTree.Element,
    part: str,
    name: str,
    default: str,
    where: str,
) -> Array:
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
    x, y, z = np.eye(3)
    rolled = _about(x, roll)
    pitched = multiply(_about(y, pitch), rolled)
    return multiply(_about(z, yaw), pitched)


def _about(axis: Array, angle_rad: float) -> Array:
    """The quaternion (4,), xyzw, of a turn about a unit axis (3,)."""
    half = angle_rad / 2
    return np.append(axis * math.sin(half), math.cos(half))


def multiply(first: Array, second: Array) -> Array:
    """Chain two rotations: Hamilton product.

    Args:
        first: Quaternion, shape (4,), xyzw.
        second: Quaternion, shape (4,), xyzw; it is applied first.

    Returns:
        Quaternion, shape (4,), xyzw.
    """
    a = first[:3]
    b = second[:3]
    a_scalar = first[3]
    b_scalar = second[3]
    vector = a_scalar * b + b_scalar * a + np.cross(a, b)
    scalar = a_scalar * b_scalar - a @ b
    return np.append(vector, scalar)


def rotate(rotation: Array, vector: Array) -> Array:
    """Rotate a vector.

    Args:
        rotation: Unit quaternion, shape (4,), xyzw.
        vector: Shape (3,).

    Returns:
        The rotated vector, shape (3,).
    """
    axis = rotation[:3]
    scalar = rotation[3]
    twice = 2.0 * np.cross(axis, vector)
    return np.asarray(vector + scalar * twice + np.cross(axis, twice))
