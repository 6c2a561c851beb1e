"""Distances between the arm's parts, and to the table. PyBullet measures where a cheap bound
requires it.

Every pose gets a lower bound for every pair: the distance of the capsules around the two shapes.
PyBullet measures only pairs whose bound is below `LOOK_M` plus the clearance. The height over the
table is exact for boxes, cylinders and spheres, and is computed for every pose without PyBullet.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from conure_core.types import Array
from conure_ros.faults.judge.description import TABLE, RobotDescription, lowest_m

LOOK_M = 0.005
"""Pairs surely further apart than their clearance plus this are not measured."""
FAR_M = 1.0
TOUCH_M = 1e-4
"""Shapes this near at home count as touching: PyBullet rounds edges by at most 1 mm.
"""


@dataclass(frozen=True)
class Nearness:
    """(k, pairs): clearance left, m; negative where a pair is too near, `inf` where it is surely
    far.
    """

    left_m: Array
    names: tuple[str, ...]
    measured: int


class Clearances:
    """Pairs that count: not those of one joint or of neighbouring joints, nor those that touch at
    home.
    """

    def __init__(self, robot: RobotDescription) -> None:
        import pybullet  # for developers only: nothing on a robot may need it

        self.robot, self._bullet = robot, pybullet
        self._client = pybullet.connect(pybullet.DIRECT)
        self._bodies = [self._body(number) for number in range(len(robot.shapes))]
        home = robot.home_rad[None]
        poses = robot.shape_poses(home)
        count, bodies = len(robot.shapes), [robot.moving_body(shape.link) for shape in robot.shapes]
        pairs = [(a, b) for a in range(count) for b in range(a) if abs(bodies[a] - bodies[b]) > 1]
        self.pairs = pairs
        rows, columns = np.zeros(len(pairs), dtype=int), np.arange(len(pairs))
        apart = self._distances(poses, rows, columns, FAR_M) > TOUCH_M
        self.pairs = [pair for pair, is_apart in zip(pairs, apart, strict=True) if is_apart]
        lowest = [
            float(lowest_m(shape, poses[:, index])[0]) for index, shape in enumerate(robot.shapes)
        ]
        self.over_table = [
            index for index, height_m in enumerate(lowest) if height_m - robot.table_m > TOUCH_M
        ]
        shapes = robot.shapes
        between = (f"{shapes[a].name} and {shapes[b].name}" for a, b in self.pairs)
        self.names = (*between, *(f"{shapes[index].name} and {TABLE}" for index in self.over_table))

    def close(self) -> None:
        self._bullet.disconnect(self._client)

    def _body(self, number: int) -> int:
        shape, bullet = self.robot.shapes[number], self._bullet
        radius, height = float(shape.half[0]), float(2 * shape.half[2])
        words: dict[str, Any] = {
            "box": {"shapeType": bullet.GEOM_BOX, "halfExtents": shape.half.tolist()},
            "sphere": {"shapeType": bullet.GEOM_SPHERE, "radius": radius},
            "cylinder": {"shapeType": bullet.GEOM_CYLINDER, "radius": radius, "height": height},
            "mesh": {"shapeType": bullet.GEOM_MESH, "vertices": shape.points.tolist()},
        }[shape.kind]
        made = bullet.createCollisionShape(**words, physicsClientId=self._client)
        return int(bullet.createMultiBody(0, made, physicsClientId=self._client))

    def near(self, joint_rad: Array) -> Nearness:
        """Compute the clearances for joint angles (k, n), rad."""
        poses = self.robot.shape_poses(joint_rad)
        clearance_m = self.robot.self_clearance_m
        bounds = self._bounds(poses)
        left_m = np.where(bounds > clearance_m + LOOK_M, np.inf, 0.0)
        rows, columns = np.nonzero(left_m == 0.0)
        distances = self._distances(poses, rows, columns, clearance_m + LOOK_M)
        left_m[rows, columns] = distances - clearance_m
        floor_m = self.robot.table_m + self.robot.table_clearance_m
        heights = [
            lowest_m(self.robot.shapes[index], poses[:, index]) - floor_m
            for index in self.over_table
        ]
        return Nearness(np.column_stack([left_m, *heights]), self.names, len(rows))

    def _distances(self, poses: Array, rows: Any, columns: Any, within_m: float) -> Array:
        """Distances, m, of pairs (columns) in poses (rows): negative where they overlap; infinite
        beyond `within_m`.
        """
        found = np.full(len(rows), np.inf)
        sides = np.array(self.pairs, dtype=int).reshape(-1, 2)[columns]
        placed = [poses[rows, sides[:, side]] for side in (0, 1)]
        turned = [quaternions(pose[:, :3, :3]).tolist() for pose in placed]
        points = [pose[:, :3, 3].tolist() for pose in placed]
        for number, pair in enumerate(sides.tolist()):
            bodies = [self._bodies[shape] for shape in pair]
            for side, body in enumerate(bodies):
                self._bullet.resetBasePositionAndOrientation(
                    body, points[side][number], turned[side][number], physicsClientId=self._client
                )
            near = self._bullet.getClosestPoints(*bodies, within_m, physicsClientId=self._client)
            found[number] = min((float(point[8]) for point in near), default=np.inf)
        return found

    @cached_property
    def _capsules(self) -> tuple[Array, Array, Array]:
        """Directions (shapes, 3), half lengths and radii (shapes,)."""
        capsules = [shape.capsule for shape in self.robot.shapes]
        directions, halves, radii = zip(*capsules, strict=True)
        return np.array(directions), np.array(halves), np.array(radii)

    def _bounds(self, poses: Array) -> Array:
        """(k, pairs), m: no pair is nearer."""
        directions, halves, radii = self._capsules
        axes = np.einsum("ksij,sj->ksi", poses[:, :, :3, :3], directions)
        centres = poses[:, :, :3, 3]
        first, second = (
            np.array([pair[side] for pair in self.pairs], dtype=int) for side in (0, 1)
        )
        between = segment_distance(
            centres[:, first],
            axes[:, first],
            halves[first],
            centres[:, second],
            axes[:, second],
            halves[second],
        )
        return between - radii[first] - radii[second]


def segment_distance(p: Array, u: Array, a: Array, q: Array, v: Array, b: Array) -> Array:
    """Distance of the segments p + s u, |s| <= a, and q + t v, |t| <= b.

    Args:
        p: Centres of the first segments, shape (..., 3), m.
        u: Their directions, unit vectors, shape (..., 3).
        a: Their half lengths, shape (...,), m.
        q: Centres of the second segments, shape (..., 3), m.
        v: Their directions, unit vectors, shape (..., 3).
        b: Their half lengths, shape (...,), m.

    Returns:
        Distances, shape (...,), m.

    Source: Ericson, Real-Time Collision Detection, 2005, 5.1.9, for segments given by centre and
    half length.
    """
    r = p - q
    c = (u * v).sum(axis=-1)
    d, e = (u * r).sum(axis=-1), (v * r).sum(axis=-1)
    slope = np.maximum(1.0 - c * c, 1e-9)
    s = np.clip((c * e - d) / slope, -a, a)
    t = np.clip(e + s * c, -b, b)
    s = np.clip(t * c - d, -a, a)
    return np.asarray(np.linalg.norm(r + s[..., None] * u - t[..., None] * v, axis=-1))


def quaternions(rotations: Array) -> Array:
    """x, y, z, w, (k, 4), of rotation matrices (k, 3, 3).

    Source: Shepperd, J. Guidance and Control 1(3), 1978: of four formulas, the one with the largest
    denominator.
    """
    m = rotations
    x, y, z = m[:, 0, 0], m[:, 1, 1], m[:, 2, 2]
    xy, xz, yz = m[:, 0, 1] + m[:, 1, 0], m[:, 0, 2] + m[:, 2, 0], m[:, 1, 2] + m[:, 2, 1]
    xw, yw, zw = m[:, 2, 1] - m[:, 1, 2], m[:, 0, 2] - m[:, 2, 0], m[:, 1, 0] - m[:, 0, 1]
    squares = np.stack([1 + x - y - z, 1 - x + y - z, 1 - x - y + z, 1 + x + y + z], axis=1)
    rows = [[squares[:, 0], xy, xz, xw], [xy, squares[:, 1], yz, yw], [xz, yz, squares[:, 2], zw]]
    rows += [[xw, yw, zw, squares[:, 3]]]
    formulas = np.array(rows).transpose(2, 0, 1)
    best = formulas[np.arange(len(m)), squares.argmax(axis=1)]
    return np.asarray(best / np.linalg.norm(best, axis=1, keepdims=True))
