"""How the encoder notices that a camera is not quite where its calibration says."""

import torch
from torch import Tensor, nn

HIDDEN = 128


class Keypoints(nn.Module):
    """What all cells of a grid have to know of the whole image, (b, width), from a few points of
    it.

    Each point is the mean of the cells' coordinates under a softmax over the cells. A small network
    compares where they are seen (the gripper, the table's edges) with where the tool is: a camera
    that has moved moves all of them. Nothing is added before training: the last layer begins at 0.
    Source: the points, Finn et al., Deep Spatial Autoencoders, ICRA 2016, arXiv 1509.06113.
    """

    def __init__(self, width: int, count: int, tool_size: int) -> None:
        super().__init__()
        self.attention = nn.Conv2d(width, count, 1)
        self.context = nn.Sequential(
            nn.Linear(2 * count + tool_size, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, width)
        )
        nn.init.zeros_(self.context[2].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.context[2].bias)  # type: ignore[arg-type]

    def forward(self, grid: Tensor, tool: Tensor, coordinates: Tensor) -> Tensor:
        """grid (b, width, h, w); tool (b, t); the cells' coordinates (2, h, w) in [-1, 1]. Returns
        (b, width).
        """
        weights = torch.softmax(self.attention(grid).flatten(2), dim=2)
        points = weights @ coordinates.flatten(1).T
        context: Tensor = self.context(torch.cat([points.flatten(1), tool], dim=1))
        return context
