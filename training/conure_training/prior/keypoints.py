"""Keypoints: how the encoder notices that a camera is not quite where its calibration says."""

import torch
from torch import Tensor, nn

HIDDEN = 128


class Keypoints(nn.Module):
    """A summary of the whole image for every cell of a grid, from a few points of the image.

    Each point is the mean of the cells' coordinates under a softmax over the cells. A small network
    compares where they are seen (the gripper, the table's edges) with where the tool is: a camera
    that has moved moves all of them. Before training it adds nothing: the last layer begins at 0.
    Source: the points, Finn et al., Deep Spatial Autoencoders, ICRA 2016, arXiv 1509.06113.
    """

    def __init__(self, width: int, count: int, tool_size: int) -> None:
        """Make the networks.

        Args:
            width: Channels of the grid.
            count: Number of points.
            tool_size: Values that describe the tool, t.
        """
        super().__init__()
        self.attention = nn.Conv2d(width, count, 1)
        self.context = nn.Sequential(
            nn.Linear(2 * count + tool_size, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, width),
        )
        nn.init.zeros_(self.context[2].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.context[2].bias)  # type: ignore[arg-type]

    def forward(self, grid: Tensor, tool: Tensor, coordinates: Tensor) -> Tensor:
        """Summarize.

        Args:
            grid: Shape (b, width, h, w).
            tool: Shape (b, t).
            coordinates: Of the cells, in [-1, 1], shape (2, h, w).

        Returns:
            Shape (b, width), to be added to every cell.
        """
        scores = self.attention(grid).flatten(2)
        weights = torch.softmax(scores, dim=2)
        points = weights @ coordinates.flatten(1).T
        inputs = torch.cat([points.flatten(1), tool], dim=1)
        context: Tensor = self.context(inputs)
        return context
