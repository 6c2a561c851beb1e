"""Small files that PyBullet reads: meshes, textures and URDFs.

PyBullet leaks about 2 kB for every mesh that is given as vertices, at each creation, and nothing
for one read from a file. Files are named by their content, so that processes share them and a
killed process leaves nothing that grows.
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
from conure_core.types import Array, Image


def mesh_file(
    vertices: Array,
    faces: NDArray[np.int64],
    normals: Array | None = None,
) -> Path:
    """Write a mesh as a Wavefront file.

    Args:
        vertices: Shape (n, 3), m.
        faces: Triangles as vertex indices from 0, shape (m, 3), counter-clockwise from outside.
        normals: Unit normals of the vertices, shape (n, 3). By default they point away from the
            origin, as PyBullet gives them: light and low objects look smooth.

    Returns:
        The file; equal meshes share one.
    """
    if normals is None:
        lengths = np.linalg.norm(vertices, axis=1, keepdims=True)
        normals = vertices / np.maximum(lengths, 1e-12)

    lines = [f"v {x!r} {y!r} {z!r}" for x, y, z in vertices.tolist()]
    lines += [f"vn {x!r} {y!r} {z!r}" for x, y, z in normals.tolist()]
    for first, second, third in (faces + 1).tolist():
        lines.append(f"f {first}//{first} {second}//{second} {third}//{third}")
    return _cached_file("\n".join(lines).encode(), ".obj")


def image_file(image: Image) -> Path:
    """Write an image (h, w, 3) uint8, sRGB, as a PNG file; equal images share one."""
    _, data = cv2.imencode(".png", image[..., ::-1])
    return _cached_file(data.tobytes(), ".png")


def text_file(text: str, suffix: str) -> Path:
    """Write a text.

    Args:
        text: Content of the file.
        suffix: End of its name, such as ".urdf".

    Returns:
        The file; equal texts share one.
    """
    return _cached_file(text.encode(), suffix)


def _cached_file(content: bytes, suffix: str) -> Path:
    """The file with this content, written if it does not exist yet."""
    digest = hashlib.sha256(content).hexdigest()
    path = _folder() / f"{digest[:24]}{suffix}"
    if not path.is_file():
        write_bytes(path, content)
    return path


@cache
def _folder() -> Path:
    """The user's own folder for these files. Raises: ConureError if another user owns it."""
    folder = Path(tempfile.gettempdir()) / f"conure-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid() or folder.is_symlink():
        raise ConureError(
            f"{folder} belongs to another user; remove it, or set TMPDIR to a folder of your own"
        )
    return folder
