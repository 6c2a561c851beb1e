"""Collision and visual shapes that bodies are made of, and the triangles of a sphere."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pybullet
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from conure_core.types import Array
from conure_sim.objects.fixtures import BoxPart


def box_collision(client: Any, parts: Sequence[BoxPart]) -> int:
    """Make one collision shape of boxes.

    Args:
        client: PyBullet client that will own the shape.
        parts: Boxes in the body's frame, m.

    Returns:
        The id of the compound shape in this client.
    """
    shape: int = client.createCollisionShapeArray(
        [pybullet.GEOM_BOX] * len(parts),
        halfExtents=[list(part.half) for part in parts],
        collisionFramePositions=[list(part.centre) for part in parts],
        collisionFrameOrientations=[list(part.quaternion) for part in parts],
    )
    return shape


def box_visual(
    client: Any,
    parts: Sequence[BoxPart],
    colour: Sequence[float],
) -> int:
    """Make one visual shape of boxes.

    Args:
        client: PyBullet client that will own the shape.
        parts: Boxes in the body's frame, m.
        colour: Rgb in [0, 1] of the parts without a colour of their own.

    Returns:
        The id of the compound shape in this client.
    """
    shape: int = client.createVisualShapeArray(
        [pybullet.GEOM_BOX] * len(parts),
        halfExtents=[list(part.half) for part in parts],
        visualFramePositions=[list(part.centre) for part in parts],
        visualFrameOrientations=[list(part.quaternion) for part in parts],
        rgbaColors=[[*(part.colour or colour), 1.0] for part in parts],
    )
    return shape


def icosahedron(radius_m: float) -> tuple[Array, NDArray[np.int64]]:
    """Vertices (12, 3), m, on a sphere about the origin, and outward faces (20, 3)."""
    golden = (1 + 5**0.5) / 2
    corners = np.array([[0, a, b] for a in (-1.0, 1.0) for b in (-golden, golden)])
    vertices = np.vstack([corners, corners[:, [1, 2, 0]], corners[:, [2, 0, 1]]])
    vertices *= radius_m / np.linalg.norm(vertices[0])

    hull = ConvexHull(vertices)
    faces = hull.simplices.copy()
    first = vertices[faces[:, 0]]
    second = vertices[faces[:, 1]]
    third = vertices[faces[:, 2]]
    normals = np.cross(second - first, third - first)

    inward = (normals * hull.equations[:, :3]).sum(axis=1) < 0
    faces[inward] = faces[inward][:, ::-1]
    return vertices, faces
