"""Multi-layer perceptrons."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn


def mlp(sizes: Sequence[int], layer_norm: bool = False) -> nn.Sequential:
    """Build linear layers with ReLU between them.

    Args:
        sizes: Widths from input to output, at least two.
        layer_norm: Whether LayerNorm stands before every ReLU.

    Returns:
        (B, sizes[0]) -> (B, sizes[-1]), without activation at the end.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers.append(nn.Linear(inputs, outputs))
        if layer_norm:
            layers.append(nn.LayerNorm(outputs))
        layers.append(nn.ReLU(inplace=True))
    after_last = 2 if layer_norm else 1
    return nn.Sequential(*layers[: len(layers) - after_last])
