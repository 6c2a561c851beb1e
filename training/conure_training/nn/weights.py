"""Weights drawn from a seed, and weights left out of a backward pass."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, initial weights depend on this seed alone; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextmanager
def frozen(weights: Sequence[nn.Parameter]) -> Iterator[None]:
    """Inside, gradients pass through these weights but none are computed for them.

    The same as `backward(inputs=)` with all other weights.
    """
    for weight in weights:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)
