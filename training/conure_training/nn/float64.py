"""Modules in float64, as prior and policy run on a robot.

A flow that decides sharply (open or shut, this object or that) magnifies the rounding of what it
sees a hundredfold. In float32 two runtimes then differ by up to 1e-4 in an action. In float64 they
agree to 1e-6 (an exported graph keeps its constants in float32), for a few tenths of a millisecond
a tick.
"""

import copy
from functools import lru_cache
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

Module = TypeVar("Module", bound=nn.Module)


def in_float64(module: Module) -> Module:
    """A copy on the CPU in evaluation mode, its weights and arithmetic in float64; nothing of it
    can be trained.
    """
    precise = copy.deepcopy(module).cpu()
    for name, child in list(precise.named_modules()):
        if isinstance(child, nn.Conv2d):
            precise.set_submodule(name, MatrixConv2d(child))
    return precise.double().eval().requires_grad_(False)


class MatrixConv2d(nn.Module):
    """A convolution as one matrix product over patches, because ONNX Runtime's own takes float32
    alone.

    x (b, c, h, w) -> (b, out, h', w'). Zero padding; no groups, no dilation. `coordinates`: as
    CoordConv2d takes them.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.kernel, self.stride = tuple(convolution.kernel_size), tuple(convolution.stride)
        self.padding = [int(pad) for pad in convolution.padding]
        bias = convolution.bias
        self.weight = nn.Parameter(convolution.weight.detach().flatten(1))
        self.bias = nn.Parameter(
            torch.zeros(convolution.out_channels) if bias is None else bias.detach()
        )

    def forward(self, x: Tensor, coordinates: Tensor | None = None) -> Tensor:
        """See the class."""
        if coordinates is not None:
            x = torch.cat([x, coordinates.expand(x.shape[0], -1, -1, -1)], dim=1)
        x = functional.pad(x, [self.padding[1]] * 2 + [self.padding[0]] * 2)
        height, width = ((x.shape[2 + i] - self.kernel[i]) // self.stride[i] + 1 for i in (0, 1))
        pixels = torch.from_numpy(
            _patch_pixels(x.shape[3], height, width, self.kernel, self.stride)
        )
        patches = x.flatten(2)[:, :, pixels].reshape(x.shape[0], -1, height * width)
        return (self.weight @ patches + self.bias[:, None]).unflatten(2, (height, width))


@lru_cache
def _patch_pixels(
    row_px: int, height: int, width: int, kernel: tuple[int, ...], stride: tuple[int, ...]
) -> NDArray[np.int64]:
    """Indices, in an image whose rows are `row_px` long, of every patch's pixels: (kernel area *
    height * width,).

    As an array of numpy's, because a tensor made while a graph is exported would not outlive the
    export. By indices instead of torch's `unfold`, whose exported form takes ONNX Runtime up to
    twice the time.
    """
    rows = np.arange(height)[:, None] * stride[0] + np.arange(kernel[0])[:, None, None, None]
    columns = np.arange(width) * stride[1] + np.arange(kernel[1])[:, None, None]
    return (rows * row_px + columns).flatten()
