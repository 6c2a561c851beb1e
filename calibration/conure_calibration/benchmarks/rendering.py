"""Images of a board through a distorted lens, with blur and noise, to be detected for real."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from conure_calibration.boards.board import Board
from conure_calibration.boards.detection import Grey
from conure_calibration.boards.drawing import board_pixels
from conure_calibration.intrinsics.fit import projected
from conure_calibration.intrinsics.lens import Lens
from conure_calibration.poses import ROTATION, TRANSLATION, pose
from conure_core.types import Array

PIXELS_A_SQUARE = 60
MARGIN = 1.0
"""White around the board, in squares."""
OVERSAMPLED = 2
BACKGROUND = 110.0
NOWHERE = -1e6
"""A place outside of every texture."""


@dataclass(frozen=True)
class Renderer:
    """Renders one board through one lens."""

    lens: Lens
    board: Board
    blur_px: float = 0.6
    """Deviation of the lens's blur."""
    noise: float = 4.0
    """Standard deviation of the sensor's noise, of 255."""

    @cached_property
    def _texture(self) -> Array:
        drawn = board_pixels(self.board, PIXELS_A_SQUARE, MARGIN)
        return np.asarray(30.0 + 190.0 * drawn, dtype=np.float32)

    @cached_property
    def _rays(self) -> Array:
        """Directions of the finer pixels, (height, width, 3)."""
        width = OVERSAMPLED * self.lens.width_px
        height = OVERSAMPLED * self.lens.height_px
        x, y = np.meshgrid(np.arange(width), np.arange(height))
        fine = np.stack([x, y], -1).reshape(-1, 2)
        pixels = (fine + 0.5) / OVERSAMPLED - 0.5
        rays = _with_ones(self.lens.rays(pixels))
        return rays.reshape(height, width, 3)

    def image(
        self,
        camera_from_board: Array,
        rng: np.random.Generator,
        motion_px: float = 0.0,
    ) -> Grey:
        """Render the board.

        Args:
            camera_from_board: Its pose, shape (4, 4), metres.
            rng: For the noise.
            motion_px: Length of a horizontal motion blur.
        """
        fine = cv2.remap(
            self._texture,
            self._seen(camera_from_board),
            None,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=BACKGROUND,
        )
        fine = cv2.GaussianBlur(fine, (0, 0), OVERSAMPLED * self.blur_px)
        if motion_px:
            length = round(OVERSAMPLED * motion_px)
            kernel = np.ones((1, max(1, length))) / length
            fine = cv2.filter2D(fine, -1, kernel)
        coarse = cv2.resize(fine, self.lens.size_px, interpolation=cv2.INTER_AREA)
        noisy = coarse + rng.normal(0.0, self.noise, coarse.shape)
        whole = np.rint(noisy)
        return np.asarray(np.clip(whole, 0, 255), dtype=np.uint8)

    def _seen(self, camera_from_board: Array) -> NDArray[np.float32]:
        """Where in the texture each of the finer pixels looks, (height, width, 2)."""
        # Each ray meets the board's plane where the inverse homography says.
        homography = camera_from_board[:3, [0, 1, 3]]
        plane = self._rays @ np.linalg.inv(homography).T
        squares_m = np.array([self.board.square_x_m, self.board.square_y_m])
        scale = PIXELS_A_SQUARE / squares_m
        depth = plane[..., 2:]
        corner = MARGIN * PIXELS_A_SQUARE
        places = plane[..., :2] / depth * scale + corner - 0.5
        behind = depth[..., 0] <= 0
        places[behind] = NOWHERE
        return places.astype(np.float32)


def _with_ones(rays: Array) -> Array:
    """Directions (n, 2) with z = 1 as vectors (n, 3)."""
    ones = np.ones((len(rays), 1))
    return np.concatenate([rays, ones], 1)


def draw_board_pose(
    lens: Lens,
    board: Board,
    rng: np.random.Generator,
) -> Array:
    """Draw a pose in which a camera sees most of a board, as a person would hold it.

    Args:
        lens: Of the camera.
        board: What it sees.
        rng: Where draws come from.

    Returns:
        camera_from_board, shape (4, 4), metres.
    """
    width_px, height_px = lens.size_px
    focal_px = lens.matrix[0, 0]
    middle = np.array([board.width_m / 2, board.height_m / 2, 0.0])
    for _ in range(1000):
        tilt = rng.uniform(-0.75, 0.75, 2)
        roll = rng.uniform(-0.3, 0.3, 1)
        shown = rng.uniform(0.35, 0.85)
        distance_m = focal_px * board.width_m / (shown * width_px)
        pixel = rng.uniform(0.15, 0.85, 2) * (width_px, height_px)
        ray = _with_ones(lens.rays(pixel[None]))[0]
        result = pose(np.concatenate([np.zeros(3), tilt, roll]))
        result[TRANSLATION] = distance_m * ray - result[ROTATION] @ middle
        pixels = projected(lens, result, board.outline_m)
        if _all_inside(lens, pixels):
            return result
    raise RuntimeError("no pose shows the board")


def _all_inside(lens: Lens, pixels: Array) -> bool:
    """Whether pixels (n, 2) lie more than 2 px from the image's border."""
    inside = (pixels > 2) & (pixels < np.array(lens.size_px) - 3)
    return bool(inside.all())


def draw_lens(rng: np.random.Generator, model: str = "plumb_bob") -> Lens:
    """Draw a camera of 640x480 px as webcams are.

    Args:
        rng: Where draws come from.
        model: Of its distortion.
    """
    focal = rng.uniform(450.0, 750.0)
    focal_y = focal * rng.uniform(0.99, 1.01)
    matrix = np.diag([focal, focal_y, 1.0])
    middle = np.array([319.5, 239.5])
    matrix[:2, 2] = middle + rng.uniform(-15, 15, 2)
    if model == "equidistant":
        distortion = rng.uniform(-0.02, 0.02, 4)
    else:
        k1 = rng.uniform(-0.3, 0.1)
        tangential = rng.uniform(-1e-3, 1e-3, 2)
        distortion = np.array([k1, -0.4 * k1, *tangential, 0.0])
    return Lens(model, 640, 480, matrix, distortion)
