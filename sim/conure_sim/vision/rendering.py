"""Render a physics client: colours, and depth and bodies on request, through the camera's lens."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pybullet
from numpy.typing import NDArray

from conure_core.types import Image
from conure_sim.vision.camera import FAR_M, NEAR_M, Camera

NOTHING = -1
# Labels of a segmentation image. Objects count up from OBJECT_SEGMENT as they were put down, the
# target first.
SEGMENTS = {"nothing": 0, "table": 1, "arm": 2, "fixture": 3, "clutter": 4, "background": 5}
OBJECT_SEGMENT = 10


@dataclass(frozen=True)
class Appearance:
    """Light, table and surroundings of an episode. Colours rgb in [0, 1]."""

    table_colour: tuple[float, float, float] = (0.62, 0.56, 0.48)
    light_direction: tuple[float, float, float] = (0.4, 0.5, 1.0)
    """Points to the lamp; base frame."""
    ambient: float = 0.55
    """Coefficient of ambient light."""
    diffuse: float = 0.5
    """Coefficient of diffuse light."""
    shadow: bool = True
    light_colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    table_texture: int | None = None
    """Index into `textures.texture_files()`; None: plain."""
    background_colour: tuple[float, float, float] | None = None
    """Colour of floor and wall; None: there are none."""
    background_texture: int | None = None
    """Texture of floor and wall, as `table_texture`."""


@dataclass(frozen=True)
class View:
    """A rendered image, with depth and bodies if asked for, else None."""

    image: Image
    """(h, w, 3), sRGB."""
    depth_m: NDArray[np.float32] | None
    """(h, w), along the optical axis; 0 where nothing is within FAR_M."""
    bodies: NDArray[np.int32] | None
    """(h, w), unique ids of the client; NOTHING where there is none."""


def render_view(
    client: Any, camera: Camera, look: Appearance, depth: bool = False, bodies: bool = False
) -> View:
    """Render what a camera sees now.

    Lens distortion interpolates colours, but neither depth nor bodies.

    Args:
        client: PyBullet client.
        camera: In the base frame.
        look: Light and colours.
        depth: Whether to give depth.
        bodies: Whether to give the body that each pixel shows.

    Returns:
        The image, and what was asked for.
    """
    optics = camera.intrinsics.pinhole
    width, height, pixels, buffer, mask = client.getCameraImage(
        optics.width_px,
        optics.height_px,
        camera.view_matrix,
        optics.projection_matrix,
        lightDirection=look.light_direction,
        lightColor=look.light_colour,
        lightAmbientCoeff=look.ambient,
        lightDiffuseCoeff=look.diffuse,
        lightSpecularCoeff=0.05,
        shadow=int(look.shadow),
        renderer=pybullet.ER_TINY_RENDERER,
        flags=0 if bodies else pybullet.ER_NO_SEGMENTATION_MASK,
    )
    rgba = np.reshape(np.asarray(pixels, dtype=np.uint8), (height, width, 4))
    rgb = np.ascontiguousarray(rgba[:, :, :3])
    image = through_lens(camera, rgb, cv2.INTER_LINEAR)

    depth_m = None
    if depth:
        pinhole_m = _metres(np.reshape(buffer, (height, width)))
        depth_m = through_lens(camera, pinhole_m, cv2.INTER_NEAREST)

    ids = None
    if bodies:
        ids = _body_ids(camera, np.reshape(mask, (height, width)))
    return View(image, depth_m, ids)


def label_bodies(bodies: NDArray[np.int32], labels: Mapping[int, int]) -> NDArray[np.uint8]:
    """Turn body ids into labels.

    Args:
        bodies: Body ids, (h, w), NOTHING where there is none.
        labels: Label by body id; a body without one is a fixture.

    Returns:
        Labels, (h, w) uint8.
    """
    largest = max(int(bodies.max()), *labels, 0)
    table = np.full(largest + 2, SEGMENTS["fixture"], dtype=np.uint8)
    for body, label in labels.items():
        table[body] = label
    table[NOTHING] = SEGMENTS["nothing"]
    return table[bodies]


def _metres(buffer: NDArray[Any]) -> NDArray[np.float32]:
    """Distance along the optical axis, m, from an OpenGL depth buffer; 0 at the far plane."""
    buffer = np.asarray(buffer, dtype=np.float64)
    depth_m = FAR_M * NEAR_M / (FAR_M - (FAR_M - NEAR_M) * buffer)
    return np.where(depth_m < 0.999 * FAR_M, depth_m, 0.0).astype(np.float32)


def _body_ids(camera: Camera, mask: NDArray[Any]) -> NDArray[np.int32]:
    ids = np.asarray(mask, dtype=np.int32)
    # cv2.remap takes no 32-bit integers; float32 holds ids exactly up to 2^24.
    return through_lens(camera, ids.astype(np.float32), cv2.INTER_NEAREST).astype(np.int32)


def through_lens(
    camera: Camera,
    pinhole: NDArray[Any],
    interpolation: int,
) -> NDArray[Any]:
    """Distort an image as the camera's lens does.

    Args:
        camera: With a lens, or none.
        pinhole: What `camera.intrinsics.pinhole` sees, (h, w) or (h, w, 3).
        interpolation: As cv2.remap takes it.

    Returns:
        What the camera sees; the same array without a lens.
    """
    if camera.intrinsics.distortion is None:
        return pinhole
    columns, rows = camera.intrinsics.maps
    return np.asarray(
        cv2.remap(pinhole, columns, rows, interpolation, borderMode=cv2.BORDER_REPLICATE)
    )
