"""Multi-layer perceptrons."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from conure_training.nn.onednn_linear import Linear


def mlp(sizes: Sequence[int], layer_norm: bool = False) -> nn.Sequential:
    """Linear layers through these sizes, ReLU between them, after LayerNorm if asked for."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [
            Linear(inputs, outputs),
            *([nn.LayerNorm(outputs)] if layer_norm else []),
            nn.ReLU(inplace=True),
        ]
    last = len(layers) - (2 if layer_norm else 1)
    return nn.Sequential(*layers[:last])
