"""Images of a board through a distorted lens, with blur and noise, to be detected for real."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from conure_calibration.boards.board import Board
from conure_calibration.boards.detection import Grey
from conure_calibration.boards.drawing import board_pixels
from conure_calibration.intrinsics.fit import projected
from conure_calibration.intrinsics.lens import Lens
from conure_calibration.poses import pose
from conure_core.types import Array

PIXELS_A_SQUARE = 60
MARGIN = 1.0
"""White around the board, in squares."""
OVERSAMPLED = 2


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
        width, height = (OVERSAMPLED * side for side in self.lens.size_px)
        x, y = np.meshgrid(np.arange(width), np.arange(height))
        pixels = (np.stack([x, y], -1).reshape(-1, 2) + 0.5) / OVERSAMPLED - 0.5
        rays = self.lens.rays(pixels)
        return np.concatenate([rays, np.ones((len(rays), 1))], 1).reshape(height, width, 3)

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
        # Each ray meets the board's plane where the inverse homography says.
        homography = camera_from_board[:3, [0, 1, 3]]
        plane = self._rays @ np.linalg.inv(homography).T
        scale = PIXELS_A_SQUARE / np.array([self.board.square_x_m, self.board.square_y_m])
        places = plane[..., :2] / plane[..., 2:] * scale + MARGIN * PIXELS_A_SQUARE - 0.5
        behind = plane[..., 2] <= 0
        places[behind] = -1e6
        fine = cv2.remap(
            self._texture,
            places.astype(np.float32),
            None,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=110.0,
        )
        fine = cv2.GaussianBlur(fine, (0, 0), OVERSAMPLED * self.blur_px)
        if motion_px:
            kernel = np.ones((1, max(1, round(OVERSAMPLED * motion_px)))) / round(
                OVERSAMPLED * motion_px
            )
            fine = cv2.filter2D(fine, -1, kernel)
        coarse = cv2.resize(fine, self.lens.size_px, interpolation=cv2.INTER_AREA)
        noisy = coarse + rng.normal(0.0, self.noise, coarse.shape)
        return np.asarray(np.clip(np.rint(noisy), 0, 255), dtype=np.uint8)


def draw_board_pose(lens: Lens, board: Board, rng: np.random.Generator) -> Array:
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
        turn = np.concatenate([rng.uniform(-0.75, 0.75, 2), rng.uniform(-0.3, 0.3, 1)])
        shown = rng.uniform(0.35, 0.85)
        distance_m = focal_px * board.width_m / (shown * width_px)
        pixel = rng.uniform(0.15, 0.85, 2) * (width_px, height_px)
        ray = np.append(lens.rays(pixel[None])[0], 1.0)
        result = pose(np.concatenate([np.zeros(3), turn]))
        result[:3, 3] = distance_m * ray - result[:3, :3] @ middle
        outline = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]]) * [*(2 * middle[:2]), 0.0]
        pixels = projected(lens, result, outline)
        inside = (pixels > 2) & (pixels < np.array(lens.size_px) - 3)
        if inside.all():
            return result
    raise RuntimeError("no pose shows the board")


def draw_lens(rng: np.random.Generator, model: str = "plumb_bob") -> Lens:
    """Draw a camera of 640x480 px as webcams are.

    Args:
        rng: Where draws come from.
        model: Of its distortion.
    """
    focal = rng.uniform(450.0, 750.0)
    matrix = np.array([[focal, 0, 0], [0, focal * rng.uniform(0.99, 1.01), 0], [0, 0, 1.0]])
    matrix[:2, 2] = np.array([319.5, 239.5]) + rng.uniform(-15, 15, 2)
    if model == "equidistant":
        distortion = rng.uniform(-0.02, 0.02, 4)
    else:
        k1 = rng.uniform(-0.3, 0.1)
        distortion = np.array([k1, -0.4 * k1, *rng.uniform(-1e-3, 1e-3, 2), 0.0])
    return Lens(model, 640, 480, matrix, distortion)
