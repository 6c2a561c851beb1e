"""The image encoder: from an image and proprioception to the features of prior and policy."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from conure_sim.vision.camera import Camera
from conure_training.nn.bfloat16 import training_precision
from conure_training.nn.gaussian_policy import SLOT_SIZE
from conure_training.prior.keypoints import Keypoints

ABSENT_BELOW = 0.3
"""Presence below which a slot counts as empty and is sorted last."""
POSITION_SCALE_M = 0.1
FINE_SCALE_M = 0.02
OFFSET_SCALE_M = 0.05
NEAR_M = 0.01
PROPRIO_CENTRE_M = (0.28, 0.0, 0.08)
TABLE_M = 0.015
"""Height above the base at which objects are expected."""


@dataclass(frozen=True)
class Detections:
    """The network's output for every cell of its grid."""

    object_logit: Tensor
    """Logit that an object's centre lies in the cell, shape (b, cells)."""

    position: Tensor
    """That object's centre, shape (b, cells, 3), m, base frame."""

    colour: Tensor
    """That object's colour, shape (b, cells, 3), in [0, 1]."""

    container_logit: Tensor
    """Logit that the container's centre lies in the cell, shape (b, cells)."""

    container_position: Tensor
    """The container's centre, shape (b, cells, 3), m, base frame."""


class CoordConv2d(nn.Conv2d):
    """A convolution of a grid with its cells' coordinates as two more channels.

    The coordinates contribute the same to every image. Their part is computed once and added, so
    that no tensor is joined. Source: Liu et al., An Intriguing Failing of Convolutional Neural
    Networks and the CoordConv Solution, NeurIPS 2018.
    """

    def forward(self, x: Tensor, coordinates: Tensor) -> Tensor:  # type: ignore[override]
        """Convolve.

        Args:
            x: Shape (b, c - 2, h, w).
            coordinates: Shape (1, 2, h, w), in [-1, 1].

        Returns:
            Shape (b, out, h', w').
        """
        of_x, of_coordinates = self.weight.split([x.shape[1], 2], dim=1)
        located = self._conv_forward(x, of_x, self.bias)
        return located.add_(self._conv_forward(coordinates, of_coordinates, None))


class SceneEncoder(nn.Module):
    """Finds objects and container in the image; gives them relative to the tool, nearest first.

    A strided CNN marks, on a grid of cells, where an object's centre lies, and regresses its
    position and colour (as in Zhou et al., Objects as Points, 2019). The best cells become slots:

        presence, position / 0.1 m, tanh(position / 2 cm), colour

    with positions relative to the tool, sorted by distance to it. The tanh resolves millimetres
    near the tool, where a grasp is decided. The features are slots, container and normalized
    proprioception. All of this is in the exported graph.
    """

    coordinates: Tensor
    cell_position: Tensor
    proprio_mean: Tensor
    proprio_std: Tensor

    def __init__(
        self,
        camera: Camera,
        proprio_size: int,
        slots: int = 3,
        width: int = 48,
        keypoints: int = 0,
        cell_px: int = 4,
    ) -> None:
        """Make the networks for images of one camera.

        Args:
            camera: Intrinsics and pose, as calibrated.
            proprio_size: Values of the proprioception, p.
            slots: Objects among the features.
            width: Channels of the grid.
            keypoints: Points by which a displaced camera is noticed, see Keypoints; 0: none.
            cell_px: Width of a cell, a power of two from 4; 8 for images of about 96 pixels, so
                that a cell is about as wide as an object.
        """
        super().__init__()
        self.slots = slots
        self.proprio_size = proprio_size
        self.cell_px = cell_px
        grid_rows = math.ceil(camera.height_px / cell_px)
        grid_columns = math.ceil(camera.width_px / cell_px)
        self.grid = (grid_rows, grid_columns)

        self.stem = _stem(width, cell_px)
        self.tool_map = nn.Linear(4, width)
        self.body = nn.Sequential(
            CoordConv2d(width + 2, width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(inplace=True),
        )
        self.keypoints = Keypoints(width, keypoints, 4) if keypoints else None
        self.head = nn.Conv2d(width, 11, 1)
        with torch.no_grad():
            self.head.bias[:2] = -4.0  # type: ignore[index]  # most cells are empty

        axes = [np.linspace(-1, 1, cells) for cells in self.grid]
        coordinates = np.stack(np.meshgrid(*axes, indexing="ij"))
        points = _table_points(camera, self.grid, cell_px)
        self.register_buffer("coordinates", torch.tensor(coordinates[None], dtype=torch.float32))
        self.register_buffer("cell_position", torch.tensor(points, dtype=torch.float32))
        self.register_buffer("proprio_mean", torch.zeros(proprio_size))
        self.register_buffer("proprio_std", torch.ones(proprio_size))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def cells(self) -> int:
        """Number of grid cells."""
        return self.grid[0] * self.grid[1]

    @property
    def feature_dim(self) -> int:
        """Length of the features."""
        return SLOT_SIZE * self.slots + 4 + self.proprio_size

    def set_normalization(self, proprio: Tensor) -> None:
        """Take the proprioception's mean and standard deviation from samples (n, p)."""
        self.proprio_mean.copy_(proprio.mean(0))
        self.proprio_std.copy_(proprio.std(0).clamp_min(1e-3))

    def forward(self, image: Tensor, proprio: Tensor) -> Tensor:
        """Encode observations.

        Args:
            image: Shape (b, h, w, 3), uint8.
            proprio: Shape (b, p).

        Returns:
            Features, shape (b, feature_dim), in the dtype of `proprio`.
        """
        detections = self.detect(image, proprio)
        slots = self.slot_features(detections, proprio)
        normalized = (proprio - self.proprio_mean) / self.proprio_std
        return torch.cat([slots, normalized], dim=1)

    def detect(self, image: Tensor, proprio: Tensor) -> Detections:
        """Detect objects and container in every cell, for the auxiliary task.

        Args:
            image: Shape (b, h, w, 3), uint8.
            proprio: Shape (b, p).

        Returns:
            Detections of b images.
        """
        return self._detections(self._grid_features(image, proprio))

    def _grid_features(self, image: Tensor, proprio: Tensor) -> Tensor:
        pixels = image.permute(0, 3, 1, 2).to(proprio.dtype, copy=True).div_(255.0).sub_(0.5)
        centre = proprio.new_tensor(PROPRIO_CENTRE_M)
        tool = torch.cat([(proprio[:, :3] - centre) / POSITION_SCALE_M, proprio[:, 9:10]], dim=1)
        with training_precision(self, proprio.device):
            grid = self.stem(pixels) + self.tool_map(tool)[:, :, None, None]
            grid = self.body[1](self.body[0](grid, self.coordinates))
        if self.keypoints is not None:
            summary = self.keypoints(grid.to(proprio.dtype), tool, self.coordinates[0])
            grid = grid + summary[:, :, None, None]
        with training_precision(self, proprio.device):
            grid = self.body[2:](grid)
        return grid.to(proprio.dtype)

    def _detections(self, grid: Tensor) -> Detections:
        cells = self.head(grid).flatten(2).transpose(1, 2)
        return Detections(
            object_logit=cells[:, :, 0],
            position=self.cell_position + cells[:, :, 2:5] * OFFSET_SCALE_M,
            colour=torch.sigmoid(cells[:, :, 5:8]),
            container_logit=cells[:, :, 1],
            container_position=self.cell_position + cells[:, :, 8:11] * OFFSET_SCALE_M,
        )

    def slot_features(self, detections: Detections, proprio: Tensor) -> Tensor:
        """Turn detections into slots and container, relative to the tool.

        Args:
            detections: Of b images.
            proprio: Shape (b, p), which begins with the tool's position, m, base frame.

        Returns:
            Shape (b, SLOT_SIZE * slots + 4).
        """
        tool = proprio[:, None, :3]
        presence, position, colour = self.best_cells(detections)
        relative = position - tool
        absent = (presence[:, :, 0] < ABSENT_BELOW).to(relative.dtype)
        distance = relative.square().sum(2).sqrt() + 10.0 * absent
        order = distance.topk(self.slots, dim=1, largest=False).indices[:, :, None]

        coarse = presence * relative / POSITION_SCALE_M
        fine = presence * torch.tanh(relative / FINE_SCALE_M)
        slot = torch.cat([presence, coarse, fine, presence * colour], dim=2)
        slot = slot.gather(1, order.expand(-1, -1, SLOT_SIZE))
        container = self._container(detections, tool)
        return torch.cat([slot.flatten(1), container], dim=1)

    def best_cells(self, detections: Detections) -> tuple[Tensor, Tensor, Tensor]:
        """Choose the local maxima with the highest scores.

        Returns presence (b, slots, 1) in (0, 1), position (b, slots, 3) m, colour (b, slots, 3).
        """
        logit = detections.object_logit
        square = logit.unflatten(1, self.grid)[:, None]
        peak = functional.max_pool2d(square, 3, stride=1, padding=1)[:, 0].flatten(1)
        score = torch.where(logit >= peak, logit, logit - 20.0)
        best, index = score.topk(self.slots, dim=1)
        gather = index[:, :, None].expand(-1, -1, 3)
        presence = torch.sigmoid(2.0 * best)[:, :, None]
        position = detections.position.gather(1, gather)
        colour = detections.colour.gather(1, gather)
        return presence, position, colour

    def _container(self, detections: Detections, tool: Tensor) -> Tensor:
        presence, position = self.best_container(detections)
        relative = (position - tool[:, 0]) / POSITION_SCALE_M
        return torch.cat([presence, presence * relative], dim=1)

    def best_container(self, detections: Detections) -> tuple[Tensor, Tensor]:
        """Choose the most likely cell: presence (b, 1) in (0, 1) and position (b, 3), m."""
        best, index = detections.container_logit.max(dim=1, keepdim=True)
        gather = index[:, :, None].expand(-1, -1, 3)
        position = detections.container_position.gather(1, gather)
        return torch.sigmoid(2.0 * best), position[:, 0]


def detection_loss(
    encoder: SceneEncoder,
    detections: Detections,
    positions: Tensor,
    colours: Tensor,
    container: Tensor,
    pixels: Tensor,
) -> Tensor:
    """The auxiliary task's loss: cross-entropy of every cell, position and colour errors where an
    object is.

    Args:
        encoder: The encoder that made the detections.
        detections: Of b images.
        positions: The objects' centres, shape (b, k, 3), m, base frame; NaN where absent.
        colours: The objects' colours, shape (b, k, 3), in [0, 1]; NaN where unknown.
        container: The container's position, shape (b, 3), m, base frame; NaN where there is none.
        pixels: Where their centres, the container's last, are seen, shape (b, k + 1, 2), px.

    Returns:
        A scalar, the mean over images.
    """
    rows_of_grid, columns_of_grid = encoder.grid
    columns, rows = ((pixels + 0.5) / encoder.cell_px).floor().nan_to_num(-1).long().unbind(-1)
    inside = (columns >= 0) & (rows >= 0) & (columns < columns_of_grid) & (rows < rows_of_grid)
    cell = (rows * columns_of_grid + columns).clamp(0, encoder.cells - 1)
    object_cell = cell[:, :-1]
    container_cell = cell[:, -1:]

    present = torch.isfinite(positions[:, :, 0]) & inside[:, :-1]
    has_container = torch.isfinite(container[:, 0]) & inside[:, -1]
    loss = _cell_loss(detections.object_logit, object_cell, present)
    loss = loss + _cell_loss(detections.container_logit, container_cell, has_container[:, None])

    smooth_l1 = functional.smooth_l1_loss
    found = _at(detections.position, object_cell)
    loss = loss + _mean_where(present, smooth_l1, found / NEAR_M, positions / NEAR_M)

    known = present & torch.isfinite(colours[:, :, 0])
    colour = _at(detections.colour, object_cell)
    loss = loss + 4.0 * _mean_where(known, functional.mse_loss, colour, colours)

    found = _at(detections.container_position, container_cell)[:, 0]
    error = _mean_where(has_container, smooth_l1, found / NEAR_M, container / NEAR_M)
    return loss + 0.3 * error


def _mean_where(
    known: Tensor, loss: Callable[[Tensor, Tensor], Tensor], found: Tensor, truth: Tensor
) -> Tensor:
    """The mean loss where the truth is known; 0 where none is."""
    if not bool(known.any()):
        return found.new_zeros(())
    return loss(found[known], truth[known])


def _cell_loss(logit: Tensor, cell: Tensor, present: Tensor) -> Tensor:
    """Cross-entropy summed over the cells of an image, mean over images."""
    target = torch.zeros_like(logit)
    target = target.scatter_reduce(1, cell, present.to(logit.dtype), "amax")
    loss = functional.binary_cross_entropy_with_logits(logit, target, reduction="none")
    return loss.sum(1).mean()


def _at(values: Tensor, cell: Tensor) -> Tensor:
    return values.gather(1, cell[:, :, None].expand(-1, -1, values.shape[2]))


def _stem(width: int, cell_px: int) -> nn.Sequential:
    """From an image to the grid. Every convolution halves it; the first is narrow, for it sees the
    most pixels.
    """
    widths = [3, 24] + [width] * (cell_px.bit_length() - 2)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        kernel = 3 if layers else 5
        layers.append(nn.Conv2d(inputs, outputs, kernel, stride=2, padding=kernel // 2))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def _table_points(camera: Camera, grid: tuple[int, int], cell_px: int) -> np.ndarray:
    """Points of the rays through the cells' centres at z = TABLE_M, (cells, 3), m, base frame."""
    rows, columns = np.meshgrid(np.arange(grid[0]), np.arange(grid[1]), indexing="ij")
    u = (columns + 0.5) * cell_px - 0.5
    v = (rows + 0.5) * cell_px - 0.5
    pixels = np.stack([u, v, np.ones(grid)], axis=-1).reshape(-1, 3)
    base_from_camera = camera.base_from_camera
    rays = pixels @ np.linalg.inv(camera.matrix()).T @ base_from_camera[:3, :3].T
    eye = base_from_camera[:3, 3]
    return np.asarray(eye + rays * ((TABLE_M - eye[2]) / rays[:, 2:]))
