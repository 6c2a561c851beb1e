"""Graspable objects: primitives made here and the convex hulls of `pybullet_data/random_urdfs`,
split by object.

Every object is one convex, low-polygon mesh, because vertices set the cost of rendering and
convexity that of contact; random_urdfs are laid on their largest face. Lengths m, angles rad.
"""

import re
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import pybullet_data
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from conure_core.errors import unknown_name
from conure_core.types import Array
from conure_sim.cached_files import mesh_file

HEIGHT_RANGE_M = (0.018, 0.045)
WIDTH_RANGE_M = (0.022, 0.034)
MAX_LENGTH_M = 0.055
HULL_DIRECTIONS = 40
RANDOM_URDFS_PER_SPLIT = {"train": range(0, 60), "test": range(900, 912)}
PALETTE = (
    (0.85, 0.15, 0.12), (0.95, 0.55, 0.10), (0.93, 0.85, 0.15), (0.25, 0.70, 0.20),
    (0.10, 0.60, 0.60), (0.15, 0.30, 0.85), (0.50, 0.20, 0.70), (0.90, 0.40, 0.65),
    (0.92, 0.92, 0.90), (0.20, 0.85, 0.90),
)  # fmt: skip
# Width (m) and colour, by the colour's name.
BLOCKS: dict[str, dict[str, tuple[float, tuple[float, float, float]]]] = {
    "train": {
        "red": (0.030, (0.85, 0.15, 0.12)),
        "orange": (0.033, (0.95, 0.55, 0.10)),
        "yellow": (0.028, (0.93, 0.85, 0.15)),
        "green": (0.032, (0.25, 0.70, 0.20)),
        "blue": (0.034, (0.15, 0.30, 0.85)),
    },
    "test": {
        "teal": (0.031, (0.10, 0.60, 0.60)),
        "purple": (0.029, (0.50, 0.20, 0.70)),
        "pink": (0.033, (0.90, 0.40, 0.65)),
        "white": (0.030, (0.92, 0.92, 0.90)),
    },
}


@dataclass(frozen=True)
class ObjectModel:
    """A convex object at rest: its lowest point at z = 0, its centre of volume above the origin.

    vertices (n, 3) m; faces (m, 3) indices, counter-clockwise from outside; colour rgb in [0, 1].
    `normals` (n, 3), where it is to be drawn with sharp edges; without them it is shaded as if it
    were round. `grasp_yaw_rad`: the direction, in the object's frame, along which it is narrowest;
    `width_m`: how narrow.
    """

    name: str
    vertices: Array
    faces: NDArray[np.int64]
    colour: tuple[float, float, float]
    width_m: float
    height_m: float
    grasp_yaw_rad: float
    normals: Array | None = None

    @cached_property
    def mesh(self) -> str:
        """The file that PyBullet reads this shape from."""
        return str(mesh_file(self.vertices, self.faces, self.normals))

    @property
    def radius_m(self) -> float:
        """How far it reaches from the vertical through its origin."""
        return float(np.linalg.norm(self.vertices[:, :2], axis=1).max())


@cache
def built_in_set(split: str) -> dict[str, ObjectModel]:
    """Primitives and random_urdfs of a split, 'train' or 'test', by name. Raises: ConfigError for
    another split.
    """
    if split not in RANDOM_URDFS_PER_SPLIT:
        raise unknown_name("object set", split, [*RANDOM_URDFS_PER_SPLIT, "/path/of/a/folder"])
    models = [
        *_primitives(split),
        *(_random_urdf(index) for index in RANDOM_URDFS_PER_SPLIT[split]),
    ]
    return {
        model.name: model
        for model in models
        if np.ptp(model.vertices, axis=0).max() <= MAX_LENGTH_M
    }


@cache
def block_set(split: str) -> dict[str, ObjectModel]:
    """Cubes ('block_') and cylinders ('can_') in plain colours, by name. Raises: ConfigError for an
    unknown split.
    """
    if split not in BLOCKS:
        raise unknown_name("block set", split, BLOCKS)
    cube = np.array([[x, y, z] for x in (0.0, 1.0) for y in (0.0, 1.0) for z in (0.0, 1.0)])
    angles = np.arange(10) * 2 * np.pi / 10
    ring = 0.5 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    can = np.vstack([np.c_[ring, np.full(10, z)] for z in (0.0, 1.1)])
    models = [
        faceted(make_object(f"{kind}_{colour}", points, rgb, width_m))
        for colour, (width_m, rgb) in BLOCKS[split].items()
        for kind, points in (("block", cube), ("can", can))
    ]
    return {model.name: model for model in models}


def make_object(
    name: str, points: Array, colour: tuple[float, float, float], width_m: float
) -> ObjectModel:
    """The convex hull of points (n, 3), scaled to be `width_m` wide where narrowest.

    An object that would be lower or taller than `HEIGHT_RANGE_M` is stretched in height alone.
    """
    vertices = _hull_vertices(points)
    vertices = vertices * (width_m / _narrowest(vertices[:, :2])[0])
    vertices[:, 2] *= np.clip(np.ptp(vertices[:, 2]), *HEIGHT_RANGE_M) / np.ptp(vertices[:, 2])
    return resting(name, vertices, colour)


def resting(name: str, points: Array, colour: tuple[float, float, float]) -> ObjectModel:
    """The convex hull of points (n, 3) at their own size, its lowest point at z = 0, its middle
    above the origin.
    """
    vertices = _hull_vertices(points)
    vertices = vertices - [*_hull_centre(vertices)[:2], vertices[:, 2].min()]
    width_m, yaw = _narrowest(vertices[:, :2])
    return ObjectModel(
        name,
        vertices,
        _outward_faces(vertices),
        colour,
        width_m,
        float(np.ptp(vertices[:, 2])),
        yaw,
    )


def faceted(model: ObjectModel) -> ObjectModel:
    """The same object drawn with sharp edges: every face has vertices of its own, and so a normal
    of its own.
    """
    corners = model.vertices[model.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.repeat(normals / np.linalg.norm(normals, axis=1, keepdims=True), 3, axis=0)
    faces = np.arange(3 * len(model.faces)).reshape(-1, 3)
    return replace(model, vertices=corners.reshape(-1, 3), faces=faces, normals=normals)


def _primitives(split: str) -> list[ObjectModel]:
    """Boxes, cylinders, prisms and pyramids of several proportions; the two splits share no
    shape.
    """
    rng = np.random.default_rng({"train": 11, "test": 12}[split])
    models = []
    for index in range(40 if split == "train" else 8):
        kind = ("box", "cylinder", "prism", "wedge")[index % 4]
        colour = PALETTE[(index * 3 + index // 10) % len(PALETTE)]
        points = _primitive_points(kind, rng)
        models.append(
            make_object(f"{kind}_{split}_{index:02d}", points, colour, rng.uniform(*WIDTH_RANGE_M))
        )
    return models


def _primitive_points(kind: str, rng: np.random.Generator) -> Array:
    length, height = rng.uniform(1.0, 1.7), rng.uniform(0.8, 1.3)
    if kind == "box":
        return np.array(
            [[x, y, z] for x in (0, length) for y in (0, 1) for z in (0, height)], dtype=np.float64
        )
    sides = {"cylinder": 10, "prism": 6, "wedge": 4}[kind]
    angles = np.arange(sides) * 2 * np.pi / sides
    ring = 0.5 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    top = ring * (rng.uniform(0.7, 0.9) if kind == "wedge" else 1.0)
    return np.vstack([np.c_[ring, np.zeros(sides)], np.c_[top, np.full(sides, height)]])


def _random_urdf(index: int) -> ObjectModel:
    """One of the 1,000 procedural objects of pybullet_data, as its convex hull, in its own
    colour.
    """
    folder = Path(pybullet_data.getDataPath()) / "random_urdfs" / f"{index:03d}"
    lines = (folder / f"{index:03d}.obj").read_text().splitlines()
    points = np.array(
        [line.split()[1:4] for line in lines if line.startswith("v ")], dtype=np.float64
    )
    found = re.search(r'color rgba="([^"]+)"', (folder / f"{index:03d}.urdf").read_text())
    red, green, blue, *_ = map(float, found.group(1).split()) if found else (0.5, 0.5, 0.5)
    width_m = np.random.default_rng(index).uniform(*WIDTH_RANGE_M)
    laid = laid_on_largest_face(points)
    return make_object(f"random_{index:03d}", laid, (red, green, blue), width_m)


def _hull_vertices(points: Array) -> Array:
    """At most `HULL_DIRECTIONS` extreme points: the support points of evenly spread directions."""
    if len(points) <= HULL_DIRECTIONS:
        return points
    k = np.arange(HULL_DIRECTIONS) + 0.5
    polar, azimuth = np.arccos(1 - 2 * k / HULL_DIRECTIONS), np.pi * (1 + 5**0.5) * k
    directions = np.stack(
        [np.cos(azimuth) * np.sin(polar), np.sin(azimuth) * np.sin(polar), np.cos(polar)], axis=1
    )
    return points[np.unique((points @ directions.T).argmax(axis=0))]


def laid_on_largest_face(points: Array) -> Array:
    """Hull vertices of points (n, 3), rotated so that the largest flat side faces down."""
    vertices = _hull_vertices(points)
    hull = ConvexHull(vertices)
    corners = vertices[hull.simplices]
    areas = (
        np.linalg.norm(
            np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
        )
        / 2
    )
    normals = hull.equations[:, :3]
    coplanar = (normals @ normals.T > 0.999) & (
        np.abs(hull.equations[:, 3:] - hull.equations[:, 3]) < 1e-6
    )
    down = normals[(coplanar * areas).sum(axis=1).argmax()]
    return vertices @ _rotation_between(down, np.array([0.0, 0.0, -1.0])).T


def _rotation_between(source: Array, target: Array) -> Array:
    """The smallest rotation (3, 3) that takes unit vector `source` to `target`."""
    axis, cosine = np.cross(source, target), float(source @ target)
    if cosine < -1 + 1e-9:
        return np.diag([1.0, -1.0, -1.0])
    skew = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + skew + skew @ skew / (1 + cosine)


def _narrowest(points: Array) -> tuple[float, float]:
    """Width and direction, in [-pi/2, pi/2), in which the flat outline of points (n, 2) is
    narrowest.
    """
    angles = np.linspace(-np.pi / 2, np.pi / 2, 90, endpoint=False)
    widths = np.ptp(points @ np.stack([np.cos(angles), np.sin(angles)]), axis=0)
    return float(widths.min()), float(angles[widths.argmin()])


def _hull_centre(vertices: Array) -> Array:
    """Centre of volume, (3,), of the convex hull."""
    corners = vertices[_outward_faces(vertices)]
    volumes = np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    return np.asarray((corners.sum(axis=1) / 4 * volumes[:, None]).sum(axis=0) / volumes.sum())


def _outward_faces(vertices: Array) -> NDArray[np.int64]:
    hull = ConvexHull(vertices)
    faces = hull.simplices.astype(np.int64)
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    inward = np.einsum("ij,ij->i", normals, hull.equations[:, :3]) < 0
    faces[inward] = faces[inward][:, ::-1]
    return faces
