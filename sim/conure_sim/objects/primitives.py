"""Graspable objects: primitives, and the convex hulls of `pybullet_data/random_urdfs`, split by
object.

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
KINDS = ("box", "cylinder", "prism", "wedge")
RANDOM_URDFS_PER_SPLIT = {"train": range(0, 60), "test": range(900, 912)}
PALETTE = (
    (0.85, 0.15, 0.12),
    (0.95, 0.55, 0.10),
    (0.93, 0.85, 0.15),
    (0.25, 0.70, 0.20),
    (0.10, 0.60, 0.60),
    (0.15, 0.30, 0.85),
    (0.50, 0.20, 0.70),
    (0.90, 0.40, 0.65),
    (0.92, 0.92, 0.90),
    (0.20, 0.85, 0.90),
)
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
    """A convex object at rest: its lowest point at z = 0, its centre of volume above the origin."""

    name: str
    vertices: Array
    """Shape (n, 3), m."""
    faces: NDArray[np.int64]
    """Triangles as vertex indices, (m, 3), counter-clockwise from outside."""
    colour: tuple[float, float, float]
    """Rgb in [0, 1]."""
    width_m: float
    """Its width where it is narrowest."""
    height_m: float
    """Its height."""
    grasp_yaw_rad: float
    """The direction in the object's frame along which it is narrowest, in [-pi/2, pi/2)."""
    normals: Array | None = None
    """Normals of the vertices, (n, 3), to draw sharp edges; None: shaded as if it were round."""

    @cached_property
    def mesh(self) -> str:
        """The file that PyBullet reads this shape from."""
        return str(mesh_file(self.vertices, self.faces, self.normals))

    @property
    def radius_m(self) -> float:
        """The largest horizontal distance of a vertex from the origin."""
        return float(np.linalg.norm(self.vertices[:, :2], axis=1).max())


@cache
def built_in_set(split: str) -> dict[str, ObjectModel]:
    """Primitives and random_urdfs of a split, 'train' or 'test', by name.

    Raises: ConfigError for another split.
    """
    if split not in RANDOM_URDFS_PER_SPLIT:
        raise unknown_name("object set", split, [*RANDOM_URDFS_PER_SPLIT, "/path/of/a/folder"])
    models = _primitives(split)
    models += [_random_urdf(index) for index in RANDOM_URDFS_PER_SPLIT[split]]
    return {model.name: model for model in models if _length_m(model) <= MAX_LENGTH_M}


@cache
def block_set(split: str) -> dict[str, ObjectModel]:
    """Cubes ('block_') and cylinders ('can_') in plain colours, by name.

    Raises: ConfigError for an unknown split.
    """
    if split not in BLOCKS:
        raise unknown_name("block set", split, BLOCKS)
    cube = _box_points(1.0, 1.0)
    circle = _ring(10)
    cylinder = np.vstack([np.c_[circle, np.full(10, z)] for z in (0.0, 1.1)])

    models: list[ObjectModel] = []
    for colour, (width_m, rgb) in BLOCKS[split].items():
        models.append(make_object(f"block_{colour}", cube, rgb, width_m))
        models.append(make_object(f"can_{colour}", cylinder, rgb, width_m))
    return {model.name: shade_flat(model) for model in models}


def make_object(
    name: str, points: Array, colour: tuple[float, float, float], width_m: float
) -> ObjectModel:
    """Scale the convex hull of points to a width.

    An object that would be lower or taller than `HEIGHT_RANGE_M` is stretched in height alone.

    Args:
        name: Of the object.
        points: In any unit, (n, 3); z is up.
        colour: Rgb in [0, 1].
        width_m: Its width where it is narrowest, m.

    Returns:
        The object, at rest on z = 0.
    """
    vertices = _hull_vertices(points)
    present_width, _ = _narrowest(vertices[:, :2])
    vertices = vertices * (width_m / present_width)
    height_m = np.ptp(vertices[:, 2])
    vertices[:, 2] *= np.clip(height_m, *HEIGHT_RANGE_M) / height_m
    return make_resting_object(name, vertices, colour)


def make_resting_object(
    name: str, points: Array, colour: tuple[float, float, float]
) -> ObjectModel:
    """Make an object of the convex hull of points, at their own size.

    Args:
        name: Of the object.
        points: Shape (n, 3), m; z is up.
        colour: Rgb in [0, 1].

    Returns:
        The object: its lowest point at z = 0, its centre of volume above the origin.
    """
    vertices = _hull_vertices(points)
    centre_x, centre_y, _ = _hull_centre(vertices)
    vertices = vertices - [centre_x, centre_y, vertices[:, 2].min()]
    width_m, grasp_yaw_rad = _narrowest(vertices[:, :2])
    return ObjectModel(
        name=name,
        vertices=vertices,
        faces=_outward_faces(vertices),
        colour=colour,
        width_m=width_m,
        height_m=float(np.ptp(vertices[:, 2])),
        grasp_yaw_rad=grasp_yaw_rad,
    )


def shade_flat(model: ObjectModel) -> ObjectModel:
    """The same object drawn with sharp edges: each face has its own vertices and normal."""
    corners = model.vertices[model.faces]
    normals = _face_normals(corners)
    normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    faces = np.arange(3 * len(model.faces)).reshape(-1, 3)
    return replace(
        model,
        vertices=corners.reshape(-1, 3),
        faces=faces,
        normals=np.repeat(normals, 3, axis=0),
    )


def lay_on_largest_face(points: Array) -> Array:
    """Hull vertices (m, 3) of points (n, 3), rotated so that the largest flat side faces down."""
    vertices = _hull_vertices(points)
    hull = ConvexHull(vertices)
    areas = np.linalg.norm(_face_normals(vertices[hull.simplices]), axis=1) / 2

    normals = hull.equations[:, :3]
    offsets = hull.equations[:, 3]
    parallel = normals @ normals.T > 0.999
    coplanar = parallel & (np.abs(offsets[:, None] - offsets) < 1e-6)
    side_areas = (coplanar * areas).sum(axis=1)

    down = normals[side_areas.argmax()]
    rotation = _rotation_between(down, np.array([0.0, 0.0, -1.0]))
    return vertices @ rotation.T


def _length_m(model: ObjectModel) -> float:
    """The largest extent along x, y or z."""
    return float(np.ptp(model.vertices, axis=0).max())


def _primitives(split: str) -> list[ObjectModel]:
    """Boxes, cylinders, prisms and pyramids of several proportions; the two splits share no
    shape.
    """
    rng = np.random.default_rng({"train": 11, "test": 12}[split])
    count = 40 if split == "train" else 8
    models = []
    for index in range(count):
        kind = KINDS[index % len(KINDS)]
        shade = index * 3 + index // 10
        colour = PALETTE[shade % len(PALETTE)]
        points = _primitive_points(kind, rng)
        width_m = rng.uniform(*WIDTH_RANGE_M)
        models.append(make_object(f"{kind}_{split}_{index:02d}", points, colour, width_m))
    return models


def _primitive_points(kind: str, rng: np.random.Generator) -> Array:
    length = rng.uniform(1.0, 1.7)
    height = rng.uniform(0.8, 1.3)
    if kind == "box":
        return _box_points(length, height)

    sides = {"cylinder": 10, "prism": 6, "wedge": 4}[kind]
    bottom = _ring(sides)
    top = bottom * (rng.uniform(0.7, 0.9) if kind == "wedge" else 1.0)
    lower = np.c_[bottom, np.zeros(sides)]
    upper = np.c_[top, np.full(sides, height)]
    return np.vstack([lower, upper])


def _box_points(length: float, height: float) -> Array:
    """The corners (8, 3) of a box of width 1."""
    corners = [[x, y, z] for x in (0, length) for y in (0, 1) for z in (0, height)]
    return np.array(corners, dtype=np.float64)


def _ring(sides: int) -> Array:
    """The corners (sides, 2) of a regular polygon of radius 0.5."""
    angles = np.arange(sides) * 2 * np.pi / sides
    return 0.5 * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _random_urdf(index: int) -> ObjectModel:
    """One of the 1,000 procedural objects of pybullet_data, as its convex hull, in its own
    colour.
    """
    folder = Path(pybullet_data.getDataPath()) / "random_urdfs" / f"{index:03d}"
    lines = (folder / f"{index:03d}.obj").read_text().splitlines()
    corners = [line.split()[1:4] for line in lines if line.startswith("v ")]
    points = lay_on_largest_face(np.array(corners, dtype=np.float64))

    urdf = (folder / f"{index:03d}.urdf").read_text()
    found = re.search(r'color rgba="([^"]+)"', urdf)
    rgba = found.group(1) if found else "0.5 0.5 0.5"
    red, green, blue, *_ = map(float, rgba.split())
    rng = np.random.default_rng(index)
    width_m = rng.uniform(*WIDTH_RANGE_M)
    return make_object(f"random_{index:03d}", points, (red, green, blue), width_m)


def _hull_vertices(points: Array) -> Array:
    """At most `HULL_DIRECTIONS` extreme points: the support points of evenly spread directions."""
    if len(points) <= HULL_DIRECTIONS:
        return points
    k = np.arange(HULL_DIRECTIONS) + 0.5
    polar = np.arccos(1 - 2 * k / HULL_DIRECTIONS)
    azimuth = np.pi * (1 + 5**0.5) * k

    x = np.cos(azimuth) * np.sin(polar)
    y = np.sin(azimuth) * np.sin(polar)
    directions = np.stack([x, y, np.cos(polar)], axis=1)
    support = (points @ directions.T).argmax(axis=0)
    return points[np.unique(support)]


def _face_normals(corners: Array) -> Array:
    """Normals (m, 3) of triangles (m, 3, 3), twice as long as their areas."""
    first = corners[:, 1] - corners[:, 0]
    second = corners[:, 2] - corners[:, 0]
    return np.cross(first, second)


def _rotation_between(source: Array, target: Array) -> Array:
    """The smallest rotation (3, 3) that takes unit vector `source` to `target`."""
    axis = np.cross(source, target)
    cosine = float(source @ target)
    if cosine < -1 + 1e-9:
        return np.diag([1.0, -1.0, -1.0])
    x, y, z = axis
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + skew + skew @ skew / (1 + cosine)


def _narrowest(points: Array) -> tuple[float, float]:
    """Width and direction, in [-pi/2, pi/2), in which the flat outline of points (n, 2) is
    narrowest.
    """
    angles = np.linspace(-np.pi / 2, np.pi / 2, 90, endpoint=False)
    directions = np.stack([np.cos(angles), np.sin(angles)])
    widths = np.ptp(points @ directions, axis=0)
    return float(widths.min()), float(angles[widths.argmin()])


def _hull_centre(vertices: Array) -> Array:
    """Centre of volume, (3,), of the convex hull: the mean of tetrahedra about the origin."""
    corners = vertices[_outward_faces(vertices)]
    normals = np.cross(corners[:, 1], corners[:, 2])
    volumes = np.einsum("ij,ij->i", corners[:, 0], normals) / 6
    centres = corners.sum(axis=1) / 4
    weighted = (centres * volumes[:, None]).sum(axis=0)
    return np.asarray(weighted / volumes.sum())


def _outward_faces(vertices: Array) -> NDArray[np.int64]:
    hull = ConvexHull(vertices)
    faces = hull.simplices.astype(np.int64)
    normals = _face_normals(vertices[faces])
    inward = np.einsum("ij,ij->i", normals, hull.equations[:, :3]) < 0
    faces[inward] = faces[inward][:, ::-1]
    return faces
