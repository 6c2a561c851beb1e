"""Small files that PyBullet reads: meshes and textures.

PyBullet leaks about 2 kB for every mesh that is given as vertices, at each creation, and nothing
for one read from a file. Files are named by their content, so that processes share them and a
killed one leaves nothing that grows.
"""

import hashlib
import os
import tempfile
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from conure_core.errors import ConureError
from conure_core.runtime.atomic_files import write_bytes


def mesh_file(
    vertices: NDArray[np.float64],
    faces: NDArray[np.int64],
    normals: NDArray[np.float64] | None = None,
) -> Path:
    """A Wavefront file of a mesh: vertices (n, 3) m, faces (m, 3) indices, normals (n, 3).

    Without normals they point away from the origin, as PyBullet gives them: light and low objects
    look smooth.
    """
    if normals is None:
        normals = vertices / np.maximum(np.linalg.norm(vertices, axis=1, keepdims=True), 1e-12)
    lines = [f"v {x!r} {y!r} {z!r}" for x, y, z in vertices.tolist()]
    lines += [f"vn {x!r} {y!r} {z!r}" for x, y, z in normals.tolist()]
    lines += [f"f {a}//{a} {b}//{b} {c}//{c}" for a, b, c in (faces + 1).tolist()]
    return cached_file("\n".join(lines).encode(), ".obj")


def image_file(image: NDArray[np.uint8]) -> Path:
    """A PNG file of an image (h, w, 3) uint8, sRGB."""
    return cached_file(cv2.imencode(".png", image[..., ::-1])[1].tobytes(), ".png")


def cached_file(content: bytes, suffix: str) -> Path:
    """A file with this content, written unless it is there."""
    path = _folder() / f"{hashlib.sha256(content).hexdigest()[:24]}{suffix}"
    if not path.is_file():
        write_bytes(path, content)
    return path


@cache
def _folder() -> Path:
    """The user's own folder for them. Raises: ConureError if another user owns it."""
    folder = Path(tempfile.gettempdir()) / f"conure-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid() or folder.is_symlink():
        raise ConureError(
            f"{folder} belongs to someone else; remove it, or set TMPDIR to a folder of your own"
        )
    return folder
