"""From an image and proprioception to the features that prior and policy see."""

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
POSITION_SCALE_M = 0.1
FINE_SCALE_M = 0.02
OFFSET_SCALE_M = 0.05
NEAR_M = 0.01
PROPRIO_CENTRE_M = (0.28, 0.0, 0.08)


@dataclass(frozen=True)
class Detections:
    """What the network says of every cell of its grid, (b, cells, ...): logits, positions (m),
    colours in [0, 1].
    """

    object_logit: Tensor
    position: Tensor
    colour: Tensor
    container_logit: Tensor
    container_position: Tensor


class CoordConv2d(nn.Conv2d):
    """A convolution of a grid with its cells' coordinates as two more channels.

    x (b, c - 2, h, w), coordinates (1, 2, h, w) -> (b, out, h', w'). What the coordinates
    contribute is every image's: computed once and added, so that nothing is joined. Source: Liu et
    al., An Intriguing Failing of Convolutional Neural Networks and the CoordConv Solution, NeurIPS
    2018.
    """

    def forward(self, x: Tensor, coordinates: Tensor) -> Tensor:  # type: ignore[override]
        """See the class."""
        of_x, of_coordinates = self.weight.split([x.shape[1], 2], dim=1)
        located = self._conv_forward(x, of_x, self.bias)
        return located.add_(self._conv_forward(coordinates, of_coordinates, None))


class SceneEncoder(nn.Module):
    """Finds objects and container in the image, and gives them relative to the tool, nearest first.

    A strided CNN marks, on a grid of cells of `cell_px` pixels, where an object's middle lies, and
    regresses its position and colour (as in Zhou et al., Objects as Points, 2019). The `slots` best
    cells become slots (presence, position relative to the tool / 0.1 m, the same as tanh(position /
    2 cm), which tells millimetres apart where a grasp is decided, colour), sorted by distance to
    the tool. `features` = slots, container, normalized proprioception. All of it is in the exported
    graph.

    `keypoints`: for a camera that may stand elsewhere than calibrated, see Keypoints; 0: none.
    `cell_px`: a power of two from 4; 8 for images of about 96 pixels, so that a cell is about as
    wide as an object.

    image (b, h, w, 3) uint8; proprio (b, p) -> features (b, feature_dim), in the type of `proprio`.
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
        super().__init__()
        self.slots, self.proprio_size, self.cell_px = slots, proprio_size, cell_px
        self.grid = (math.ceil(camera.height_px / cell_px), math.ceil(camera.width_px / cell_px))
        self.stem = _stem(width, cell_px)
        self.tool_map = nn.Linear(4, width)
        self.body = nn.Sequential(
            *(CoordConv2d(width + 2, width, 3, padding=1), nn.ReLU(inplace=True)),
            *(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(inplace=True)),
        )
        self.keypoints = Keypoints(width, keypoints, 4) if keypoints else None
        self.head = nn.Conv2d(width, 11, 1)
        with torch.no_grad():
            self.head.bias[:2] = -4.0  # type: ignore[index]  # most cells are empty
        rows, columns = np.meshgrid(
            np.linspace(-1, 1, self.grid[0]), np.linspace(-1, 1, self.grid[1]), indexing="ij"
        )
        self.register_buffer(
            "coordinates", torch.tensor(np.stack([rows, columns])[None], dtype=torch.float32)
        )
        points = torch.tensor(_table_points(camera, self.grid, cell_px), dtype=torch.float32)
        self.register_buffer("cell_position", points)
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
        """Fix the proprioception's mean and standard deviation, from samples (n, p)."""
        self.proprio_mean.copy_(proprio.mean(0))
        self.proprio_std.copy_(proprio.std(0).clamp_min(1e-3))

    def forward(self, image: Tensor, proprio: Tensor) -> Tensor:
        """Features (b, feature_dim)."""
        grid = self._grid_features(image, proprio)
        slots = self.slot_features(self._detections(grid), proprio)
        return torch.cat([slots, (proprio - self.proprio_mean) / self.proprio_std], dim=1)

    def detect(self, image: Tensor, proprio: Tensor) -> Detections:
        """What every cell says, for the auxiliary task."""
        return self._detections(self._grid_features(image, proprio))

    def _grid_features(self, image: Tensor, proprio: Tensor) -> Tensor:
        pixels = image.permute(0, 3, 1, 2).to(proprio.dtype, copy=True).div_(255.0).sub_(0.5)
        centre = proprio.new_tensor(PROPRIO_CENTRE_M)
        tool = torch.cat([(proprio[:, :3] - centre) / POSITION_SCALE_M, proprio[:, 9:10]], dim=1)
        with training_precision(self, proprio.device):
            grid = self.stem(pixels) + self.tool_map(tool)[:, :, None, None]
            grid = self.body[1](self.body[0](grid, self.coordinates))
        if self.keypoints is not None:
            grid = (
                grid
                + self.keypoints(grid.to(proprio.dtype), tool, self.coordinates[0])[
                    :, :, None, None
                ]
            )
        with training_precision(self, proprio.device):
            grid = self.body[2:](grid)
        return grid.to(proprio.dtype)

    def _detections(self, grid: Tensor) -> Detections:
        cells = self.head(grid).flatten(2).transpose(1, 2)
        position = self.cell_position + cells[:, :, 2:5] * OFFSET_SCALE_M
        container = self.cell_position + cells[:, :, 8:11] * OFFSET_SCALE_M
        return Detections(
            cells[:, :, 0], position, torch.sigmoid(cells[:, :, 5:8]), cells[:, :, 1], container
        )

    def slot_features(self, detections: Detections, proprio: Tensor) -> Tensor:
        """Slots and container, (b, SLOT_SIZE * slots + 4), relative to the tool."""
        tool = proprio[:, None, :3]
        presence, position, colour = self._best_cells(detections)
        relative = position - tool
        absent = (presence[:, :, 0] < ABSENT_BELOW).to(relative.dtype)
        distance = relative.square().sum(2).sqrt() + 10.0 * absent
        order = distance.topk(self.slots, dim=1, largest=False).indices[:, :, None]
        fine = torch.tanh(relative / FINE_SCALE_M)
        slot = torch.cat(
            [presence, presence * relative / POSITION_SCALE_M, presence * fine, presence * colour],
            dim=2,
        )
        slot = slot.gather(1, order.expand(-1, -1, SLOT_SIZE))
        container = self._container(detections, tool)
        return torch.cat([slot.flatten(1), container], dim=1)

    def _best_cells(self, detections: Detections) -> tuple[Tensor, Tensor, Tensor]:
        """Presence, position and colour of the local maxima with the highest scores, (b, slots, 1 |
        3 | 3).
        """
        logit = detections.object_logit
        square = logit.unflatten(1, self.grid)[:, None]
        peak = functional.max_pool2d(square, 3, stride=1, padding=1)[:, 0].flatten(1)
        score = torch.where(logit >= peak, logit, logit - 20.0)
        best, index = score.topk(self.slots, dim=1)
        gather = index[:, :, None].expand(-1, -1, 3)
        presence = torch.sigmoid(2.0 * best)[:, :, None]
        return presence, detections.position.gather(1, gather), detections.colour.gather(1, gather)

    def _container(self, detections: Detections, tool: Tensor) -> Tensor:
        presence, position = self._best_container(detections)
        return torch.cat([presence, presence * ((position - tool[:, 0]) / POSITION_SCALE_M)], dim=1)

    def _best_container(self, detections: Detections) -> tuple[Tensor, Tensor]:
        """Presence and position of the most likely one, (b, 1) and (b, 3)."""
        best, index = detections.container_logit.max(dim=1, keepdim=True)
        position = detections.container_position.gather(1, index[:, :, None].expand(-1, -1, 3))
        return torch.sigmoid(2.0 * best), position[:, 0]


def detection_loss(
    encoder: SceneEncoder,
    detections: Detections,
    positions: Tensor,
    colours: Tensor,
    container: Tensor,
    pixels: Tensor,
) -> Tensor:
    """The auxiliary task: binary cross-entropy of every cell, position and colour errors where an
    object is.

    positions (b, k, 3) m, NaN where absent; colours (b, k, 3), NaN where unknown; container (b, 3),
    NaN where none; pixels (b, k + 1, 2): where their middles, the container's last, project to.
    """
    columns, rows = (pixels / encoder.cell_px).floor().nan_to_num(-1).long().unbind(-1)
    inside = (columns >= 0) & (rows >= 0) & (columns < encoder.grid[1]) & (rows < encoder.grid[0])
    cell = (rows * encoder.grid[1] + columns).clamp(0, encoder.cells - 1)
    present = torch.isfinite(positions[:, :, 0]) & inside[:, :-1]
    has_container = torch.isfinite(container[:, 0]) & inside[:, -1]
    loss = _cell_loss(detections.object_logit, cell[:, :-1], present)
    loss = loss + _cell_loss(detections.container_logit, cell[:, -1:], has_container[:, None])
    found = _at(detections.position, cell[:, :-1])
    loss = loss + _mean_where(
        present, functional.smooth_l1_loss, found / NEAR_M, positions / NEAR_M
    )
    known = present & torch.isfinite(colours[:, :, 0])
    loss = loss + 4.0 * _mean_where(
        known, functional.mse_loss, _at(detections.colour, cell[:, :-1]), colours
    )
    found = _at(detections.container_position, cell[:, -1:])[:, 0]
    return loss + 0.3 * _mean_where(
        has_container, functional.smooth_l1_loss, found / NEAR_M, container / NEAR_M
    )


def _mean_where(
    known: Tensor, loss: Callable[[Tensor, Tensor], Tensor], found: Tensor, truth: Tensor
) -> Tensor:
    """The mean loss where the truth is known; 0 where none is."""
    return loss(found[known], truth[known]) if bool(known.any()) else found.new_zeros(())


def _cell_loss(logit: Tensor, cell: Tensor, present: Tensor) -> Tensor:
    """Summed over the cells of an image, mean over images; the neighbours of an object count
    less.
    """
    target = torch.zeros_like(logit).scatter_reduce(1, cell, present.to(logit.dtype), "amax")
    return (
        functional.binary_cross_entropy_with_logits(logit, target, reduction="none").sum(1).mean()
    )


def _at(values: Tensor, cell: Tensor) -> Tensor:
    return values.gather(1, cell[:, :, None].expand(-1, -1, values.shape[2]))


def _stem(width: int, cell_px: int) -> nn.Sequential:
    """From an image to the grid: every convolution halves it. The first is narrow, for it sees the
    most.
    """
    widths = [3, 24] + [width] * (cell_px.bit_length() - 2)
    layers: list[nn.Module] = []
    for kernel, (inputs, outputs) in zip([5] + [3] * len(widths), pairwise(widths), strict=False):
        layers += [
            nn.Conv2d(inputs, outputs, kernel, stride=2, padding=kernel // 2),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def _table_points(camera: Camera, grid: tuple[int, int], cell_px: int) -> np.ndarray:
    """Where the ray through each cell's middle meets the plane 1.5 cm above the base, (cells, 3)
    m.
    """
    rows, columns = np.meshgrid(np.arange(grid[0]), np.arange(grid[1]), indexing="ij")
    pixels = np.stack(
        [(columns + 0.5) * cell_px, (rows + 0.5) * cell_px, np.ones(grid)], axis=-1
    ).reshape(-1, 3)
    rays = pixels @ np.linalg.inv(camera.matrix()).T @ camera.base_from_camera[:3, :3].T
    eye = camera.base_from_camera[:3, 3]
    return np.asarray(eye + rays * ((0.015 - eye[2]) / rays[:, 2:]))
