"""The robot as its files describe it: limits, kinematics and collision shapes. Has its own YAML and
URDF reader.
"""

from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import yaml

import conure_core
from conure_core.errors import ConfigError
from conure_core.types import Array
from conure_ros.faults.judge.meshes import mesh_path, mesh_points

ROBOTS = Path(conure_core.__file__).parent / "robots"
CONNECTION = ("arm", "bus", "ros2_control")
TABLE = "table"


@dataclass(frozen=True)
class Joint:
    """One joint of the URDF, from its parent link to its child: `origin` (4, 4), then a rotation or
    shift along `axis`.
    """

    name: str
    kind: str
    parent: str
    child: str
    origin: Array
    axis: Array
    lower: float
    upper: float


@dataclass(frozen=True)
class Shape:
    """A collision shape. `half`: a box's half sides; for a cylinder or sphere: (radius, radius,
    half length).

    A mesh is replaced by its convex hull: `points` (k, 3) about the centre of its box, whose half
    sides are `half`.
    """

    name: str
    link: str
    kind: str
    half: Array
    origin: Array
    points: Array = field(default_factory=lambda: np.empty((0, 3)))

    @property
    def capsule(self) -> tuple[Array, float, float]:
        """A capsule around the shape: direction of its axis, half length of the axis and
        radius, m.
        """
        if self.kind == "sphere":
            return np.array([1.0, 0.0, 0.0]), 0.0, float(self.half[0])
        if self.kind == "cylinder":
            return np.array([0.0, 0.0, 1.0]), float(self.half[2]), float(self.half[0])
        longest = int(np.argmax(self.half))
        across = np.delete(self.half, longest)
        return np.eye(3)[longest], float(self.half[longest]), float(np.linalg.norm(across))


class RobotDescription:
    """Limits in the order of `joints`; poses in `base_frame`.

    >>> robot = describe("wx250s")
    >>> robot.tools(np.zeros((1, 6)))
    """

    def __init__(self, fields: dict[str, Any], urdf: Path) -> None:
        self.fields, self.urdf = fields, urdf
        self.joints = tuple(str(name) for name in fields["joint_names"])
        self.home_rad = np.array(fields["home_rad"], dtype=np.float64)
        self.period_s = float(fields["control_period_s"])
        self.settle_s = self.period_s * float(fields["settle_fraction"])
        self.speed_rad_s = np.array(fields["max_speed_rad_s"], dtype=np.float64)
        self.acceleration_rad_s2 = np.array(fields["max_acceleration_rad_s2"], dtype=np.float64)
        self.box_m = np.array(
            [fields["workspace_lower_m"], fields["workspace_upper_m"]], dtype=np.float64
        )
        self.table_m = float(fields["table_height_m"])
        self.table_clearance_m = float(fields["table_clearance_m"])
        self.self_clearance_m = float(fields["self_collision_margin_m"])
        root = ElementTree.parse(urdf).getroot()
        self.chain = {joint.child: joint for joint in map(_joint, root.findall("joint"))}
        self.by_name = {joint.name: joint for joint in self.chain.values()}
        self._mimic = {
            str(node.get("name")): (str(mimic.get("joint")), float(mimic.get("multiplier", "1")))
            for node in root.findall("joint")
            if (mimic := node.find("mimic")) is not None
        }
        margin = float(fields["position_margin_rad"])
        self.lower_rad = np.array([self.by_name[name].lower for name in self.joints]) + margin
        self.upper_rad = np.array([self.by_name[name].upper for name in self.joints]) - margin
        self.shapes = tuple(
            shape for link in root.findall("link") for shape in _shapes(link, urdf.parent)
        )

    @cached_property
    def fingers(self) -> dict[str, float]:
        """Positions of the gripper's joints: open."""
        grip = str(self.fields["gripper_joint"])
        open_m = float(self.fields["gripper_open_m"])
        return {grip: open_m} | {
            name: open_m * multiplier
            for name, (other, multiplier) in self._mimic.items()
            if other == grip
        }

    def link_poses(self, joint_rad: Array) -> dict[str, Array]:
        """base_from_link, (k, 4, 4), of every link, for joint angles (k, n)."""
        joint_rad = np.asarray(joint_rad, dtype=np.float64)
        count = len(joint_rad)
        poses: dict[str, Array] = {}

        def pose(link: str) -> Array:
            if link not in poses:
                joint = self.chain.get(link)
                fixed = np.broadcast_to(np.eye(4), (count, 4, 4))
                poses[link] = (
                    fixed
                    if joint is None
                    else pose(joint.parent) @ joint.origin @ self._motion(joint, joint_rad)
                )
            return poses[link]

        for link in (*self.chain, *(joint.parent for joint in self.chain.values())):
            pose(link)
        base = np.linalg.inv(pose(str(self.fields["base_frame"])))
        return {link: base @ root_from_link for link, root_from_link in poses.items()}

    def _motion(self, joint: Joint, joint_rad: Array) -> Array:
        """(k, 4, 4)"""
        if joint.kind == "fixed":
            return np.eye(4)[None]
        if joint.name in self.joints:
            values = joint_rad[:, self.joints.index(joint.name)]
        else:
            values = np.full(1, self.fingers.get(joint.name, 0.0))
        moved = np.tile(np.eye(4), (len(values), 1, 1))
        if joint.kind == "prismatic":
            moved[:, :3, 3] = values[:, None] * joint.axis
        else:
            moved[:, :3, :3] = _turned(joint.axis, values)
        return moved

    def tools(self, joint_rad: Array) -> Array:
        """Positions of the tool frame, (k, 3), m."""
        return np.asarray(self.link_poses(joint_rad)[str(self.fields["tool_frame"])][:, :3, 3])

    def outside_m(self, joint_rad: Array) -> Array:
        """Distance of the tool outside the box, (k,), m; inside, negative: the distance to the
        nearest side.
        """
        tools = self.tools(joint_rad)
        beyond = np.maximum(self.box_m[0] - tools, tools - self.box_m[1])
        distance = np.linalg.norm(np.maximum(beyond, 0.0), axis=1)
        return np.where(distance > 0.0, distance, beyond.max(axis=1))

    def shape_poses(self, joint_rad: Array) -> Array:
        """base_from_shape, (k, shapes, 4, 4)."""
        links = self.link_poses(joint_rad)
        count = len(joint_rad)
        return np.stack(
            [
                np.broadcast_to(links[shape.link] @ shape.origin, (count, 4, 4))
                for shape in self.shapes
            ],
            axis=1,
        )

    def moving_body(self, link: str) -> int:
        """The number of the arm's joints between the root and a link."""
        count = 0
        while (joint := self.chain.get(link)) is not None:
            count += joint.name in self.joints
            link = joint.parent
        return count


@cache
def describe(robot: str) -> RobotDescription:
    """The robot of this name, or in the YAML file at this path."""
    path = Path(robot) if robot.endswith((".yaml", ".yml")) else ROBOTS / f"{robot}.yaml"
    own = yaml.safe_load(path.read_text())
    base = path
    if "arm" in own:
        base = (path.parent / own["arm"]).resolve()
        own = {**yaml.safe_load(base.read_text()), **own}
    fields = {name: value for name, value in own.items() if name not in CONNECTION}
    return RobotDescription(fields, (base.parent / fields["urdf"]).resolve())


def _floats(text: str | None, default: str) -> Array:
    return np.array([float(word) for word in (text or default).split()])


def _origin(node: ElementTree.Element | None) -> Array:
    """(4, 4), from an <origin>: roll about x, then pitch about y, then yaw about z, all in the
    parent's frame.
    """
    pose = np.eye(4)
    if node is not None:
        roll, pitch, yaw = _floats(node.get("rpy"), "0 0 0")
        turns = [
            _turned(axis, np.array([angle]))[0]
            for axis, angle in zip(np.eye(3), (roll, pitch, yaw), strict=True)
        ]
        pose[:3, :3] = turns[2] @ turns[1] @ turns[0]
        pose[:3, 3] = _floats(node.get("xyz"), "0 0 0")
    return pose


def _turned(axis: Array, angles: Array) -> Array:
    """Rotation matrices (k, 3, 3) about one axis. Source: Rodrigues's formula."""
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    sine, versine = np.sin(angles)[:, None, None], (1.0 - np.cos(angles))[:, None, None]
    return np.asarray(np.eye(3) + sine * cross + versine * (cross @ cross))


def _joint(node: ElementTree.Element) -> Joint:
    def of(name: str, key: str) -> str:
        child = node.find(name)
        return str(child.get(key)) if child is not None else ""

    limit, axis = node.find("limit"), node.find("axis")
    bounds = (
        float(limit.get(key, "0")) if limit is not None else 0.0 for key in ("lower", "upper")
    )
    direction = _floats(axis.get("xyz") if axis is not None else None, "1 0 0")
    kind, name = str(node.get("type")), str(node.get("name"))
    return Joint(
        name,
        kind,
        of("parent", "link"),
        of("child", "link"),
        _origin(node.find("origin")),
        direction,
        *bounds,
    )


def _shapes(link: ElementTree.Element, folder: Path) -> list[Shape]:
    shapes = []
    for number, node in enumerate(link.findall("collision")):
        geometry = node.find("geometry/*")
        if geometry is not None:
            shapes.append(
                _shape(
                    f"{link.get('name')}_{number}", str(link.get("name")), geometry, node, folder
                )
            )
    return shapes


def _shape(
    name: str,
    link: str,
    geometry: ElementTree.Element,
    collision: ElementTree.Element,
    folder: Path,
) -> Shape:
    """Raises: ConfigError for an unknown geometry, or a mesh that cannot be read."""
    origin, kind = _origin(collision.find("origin")), geometry.tag
    if kind == "mesh":
        scale = _floats(geometry.get("scale"), "1 1 1")
        points = scale * mesh_points(mesh_path(str(geometry.get("filename")), folder))
        centre = (points.min(axis=0) + points.max(axis=0)) / 2
        origin[:3, 3] += origin[:3, :3] @ centre
        return Shape(name, link, kind, np.ptp(points, axis=0) / 2, origin, points - centre)
    if kind == "box":
        return Shape(name, link, kind, _floats(geometry.get("size"), "0 0 0") / 2, origin)
    radius, length = float(geometry.get("radius", "0")), float(geometry.get("length", "0"))
    if kind == "sphere":
        return Shape(name, link, kind, np.full(3, radius), origin)
    if kind == "cylinder":
        return Shape(name, link, kind, np.array([radius, radius, length / 2]), origin)
    raise ConfigError(
        f"link {link}: the judge knows boxes, cylinders, spheres and meshes, got a {kind}"
    )


def lowest_m(shape: Shape, poses: Array) -> Array:
    """Compute the height of a shape's lowest point. Exact.

    Args:
        shape: The shape.
        poses: base_from_shape, shape (k, 4, 4), m.

    Returns:
        Heights in the base frame, shape (k,), m.
    """
    up = np.abs(poses[:, 2, :3])
    if shape.kind == "mesh":
        reach = -(poses[:, 2, :3] @ shape.points.T).min(axis=1)
    elif shape.kind == "box":
        reach = up @ shape.half
    elif shape.kind == "sphere":
        reach = np.full(len(poses), shape.half[0])
    else:
        tilt = np.sqrt(np.maximum(0.0, 1.0 - up[:, 2] ** 2))
        reach = up[:, 2] * shape.half[2] + tilt * shape.half[0]
    return np.asarray(poses[:, 2, 3] - reach)
