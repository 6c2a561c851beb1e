"""From a camera's frame to a policy's square image: crop and resize by an explicit rule."""

from dataclasses import dataclass

import cv2
import numpy as np

from conure_core.errors import ConfigError, unknown_name
from conure_core.types import Array, Image

FITS = ("none", "crop", "pad", "stretch")


@dataclass(frozen=True)
class Framing:
    """The rule. First take `crop_px` of the frame (left, top, width, height; all 0: the whole),
    then apply `fit`.

    `none` keeps that part as it is. `crop` takes the largest centred square, `pad` adds black bars
    to a square, `stretch` scales to a square; all three then resize to `size_px`, by area averaging
    where they shrink.

    >>> Framing("crop", 48).placement(640, 480).size
    (48, 48)
    """

    fit: str = "none"
    size_px: int = 0
    crop_px: tuple[int, int, int, int] = (0, 0, 0, 0)

    def __post_init__(self) -> None:
        if self.fit not in FITS:
            raise unknown_name("fit", self.fit, FITS)
        if self.fit != "none" and self.size_px < 1:
            raise ConfigError(
                f"fit '{self.fit}' needs an image size above 0 px, got {self.size_px}"
            )
        if len(self.crop_px) != 4:
            raise ConfigError(
                f"crop_px must be [left, top, width, height], got {list(self.crop_px)}"
            )

    def placement(self, width_px: int, height_px: int) -> "Placement":
        """Compute what the rule does to frames of one size.

        Args:
            width_px: Width of the frames, px.
            height_px: Height of the frames, px.

        Raises:
            ConfigError: `crop_px` leaves the frame.
        """
        left, top, width, height = (
            self.crop_px if any(self.crop_px) else (0, 0, width_px, height_px)
        )
        inside = left >= 0 and top >= 0 and left + width <= width_px and top + height <= height_px
        if not inside or width < 1 or height < 1:
            raise ConfigError(
                f"crop_px {list(self.crop_px)} does not lie in the camera's"
                f" {width_px}x{height_px} px"
            )
        if self.fit == "none":
            return Placement((left, top, width, height), (width, height), (0, 0), (width, height))
        square = (self.size_px, self.size_px)
        if self.fit == "crop":
            side = min(width, height)
            box = (left + (width - side) // 2, top + (height - side) // 2, side, side)
            return Placement(box, square, (0, 0), square)
        box = (left, top, width, height)
        if self.fit == "stretch":
            return Placement(box, square, (0, 0), square)
        factor = self.size_px / max(width, height)
        scaled = (max(1, round(width * factor)), max(1, round(height * factor)))
        return Placement(
            box, scaled, ((square[0] - scaled[0]) // 2, (square[1] - scaled[1]) // 2), square
        )


@dataclass(frozen=True)
class Placement:
    """`box` (left, top, width, height) of a frame, resized to `scaled`, placed at `offset` in a
    black image of `size`.

    Sizes are (width, height); all px.
    """

    box: tuple[int, int, int, int]
    scaled: tuple[int, int]
    offset: tuple[int, int]
    size: tuple[int, int]

    @property
    def enlarges(self) -> bool:
        """Whether the image has pixels that the frame had not."""
        return self.scaled[0] > self.box[2] or self.scaled[1] > self.box[3]

    def apply(self, pixels: Image) -> Image:
        """The image (size[1], size[0], 3) of a frame (height, width, 3)."""
        left, top, width, height = self.box
        part = pixels[top : top + height, left : left + width]
        if self.scaled != (width, height):
            shrinks = self.scaled[0] <= width and self.scaled[1] <= height
            part = cv2.resize(
                part, self.scaled, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            )
        if self.scaled == self.size:
            return part
        image = np.zeros((self.size[1], self.size[0], 3), np.uint8)
        column, row = self.offset
        image[row : row + self.scaled[1], column : column + self.scaled[0]] = part
        return image

    def intrinsics(self, matrix: Array) -> Array:
        """Convert an intrinsic (3, 3) or projection matrix (3, 4), px, from the frame to the image.

        The centre of the first pixel is at 0, as in OpenCV and camera_info: u' + 1/2 = s (u - left
        + 1/2).
        """
        scale = np.array(self.scaled) / np.array(self.box[2:])
        moved = np.array(matrix, dtype=np.float64)
        moved[:2, 2] += 0.5 - np.array(self.box[:2])
        moved[:2] *= scale[:, None]
        moved[:2, 2] += np.array(self.offset) - 0.5
        return moved
