"""The points of a mesh file, OBJ or STL: the judge replaces a mesh by its convex hull."""

import os
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from conure_core.errors import ConfigError
from conure_core.types import Array

STL_HEADER, STL_TRIANGLE = (
    84,
    np.dtype([("normal", "<f4", 3), ("points", "<f4", (3, 3)), ("attribute", "<u2")]),
)
MOST_POINTS = 2000
"""A hull has few corners: of a finer mesh, the outermost points along so many directions are kept.
"""


def mesh_points(path: Path) -> Array:
    """(k, 3). Raises: ConfigError naming the file."""
    try:
        data = path.read_bytes()
        points = _stl(data) if path.suffix.lower() == ".stl" else _obj(data.decode())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path}: expected an OBJ or STL mesh; the judge cannot read it: {error}"
        ) from error
    if len(points) < 4:
        raise ConfigError(f"{path}: expected a mesh, got {len(points)} points")
    return _outermost(np.unique(points, axis=0))


def mesh_path(filename: str, folder: Path) -> Path:
    """Find the file that a URDF names, which lies in this folder."""
    if not filename.startswith("package://"):
        path = folder / filename.removeprefix("file://")
        return path if path.is_file() else Path(unquote(str(path)))
    package, _, inside = filename.removeprefix("package://").partition("/")
    above = [folder, *folder.parents]
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    shares = [Path(prefix) / "share" for prefix in prefixes]
    places = [*(place / package for place in (*above, *shares)), *above]
    return next((place / inside for place in places if (place / inside).is_file()), folder / inside)


def _obj(text: str) -> Array:
    rows = [line.split()[1:4] for line in text.splitlines() if line.startswith("v ")]
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def _stl(data: bytes) -> Array:
    if len(data) >= STL_HEADER:
        count = int.from_bytes(data[STL_HEADER - 4 : STL_HEADER], "little")
        if len(data) == STL_HEADER + count * STL_TRIANGLE.itemsize:
            triangles = np.frombuffer(data, STL_TRIANGLE, count, STL_HEADER)
            return np.asarray(triangles["points"].reshape(-1, 3), dtype=np.float64)
    rows = [
        line.split()[1:4]
        for line in data.decode().splitlines()
        if line.strip().startswith("vertex")
    ]
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def _outermost(points: Array) -> Array:
    if len(points) <= MOST_POINTS:
        return points
    # Directions on a spiral over the sphere. Source: Saff & Kuijlaars, Math. Intelligencer 19(1),
    # 1997.
    number = np.arange(MOST_POINTS) + 0.5
    height, turn = 1 - 2 * number / MOST_POINTS, np.pi * (1 + 5**0.5) * number
    ring = np.sqrt(1 - height**2)
    directions = np.stack([ring * np.cos(turn), ring * np.sin(turn), height], axis=1)
    return np.asarray(points[np.unique((points @ directions.T).argmax(axis=0))])
