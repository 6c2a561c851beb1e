"""Modules in float64, as prior and policy run on a robot.

A flow that decides sharply (open or shut, this object or that) magnifies the rounding of its inputs
a hundredfold. In float32 two runtimes then differ by up to 1e-4 in an action. In float64 they agree
to 1e-6 (an exported graph keeps its constants in float32), for a few tenths of a millisecond a
tick.
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
    """Copy a module to the CPU, in evaluation mode, with weights and arithmetic in float64.

    The copy cannot be trained.
    """
    precise = copy.deepcopy(module).cpu()
    for name, child in list(precise.named_modules()):
        if isinstance(child, nn.Conv2d):
            precise.set_submodule(name, MatrixConv2d(child))
    return precise.double().eval().requires_grad_(False)


class MatrixConv2d(nn.Module):
    """A convolution as one matrix product over patches, for ONNX Runtime's own is float32 only.

    Zero padding; no groups, no dilation.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.kernel = tuple(convolution.kernel_size)
        self.stride = tuple(convolution.stride)
        self.padding = [int(pad) for pad in convolution.padding]

        bias = convolution.bias
        if bias is None:
            bias = torch.zeros(convolution.out_channels)
        self.weight = nn.Parameter(convolution.weight.detach().flatten(1))
        self.bias = nn.Parameter(bias.detach())

    def forward(self, x: Tensor, coordinates: Tensor | None = None) -> Tensor:
        """Convolve.

        Args:
            x: Shape (b, c, h, w).
            coordinates: More channels, the same for every image, as CoordConv2d takes them:
                shape (1, k, h, w); None: there are none.

        Returns:
            Shape (b, out, h', w').
        """
        if coordinates is not None:
            tiled = coordinates.expand(x.shape[0], -1, -1, -1)
            x = torch.cat([x, tiled], dim=1)

        rows_px, columns_px = self.padding
        x = functional.pad(x, [columns_px, columns_px, rows_px, rows_px])
        height = (x.shape[2] - self.kernel[0]) // self.stride[0] + 1
        width = (x.shape[3] - self.kernel[1]) // self.stride[1] + 1

        index = _patch_pixels(x.shape[3], height, width, self.kernel, self.stride)
        pixels = torch.from_numpy(index)
        patches = x.flatten(2)[:, :, pixels]
        patches = patches.reshape(x.shape[0], -1, height * width)
        product = self.weight @ patches + self.bias[:, None]
        return product.unflatten(2, (height, width))


@lru_cache
def _patch_pixels(
    row_px: int, height: int, width: int, kernel: tuple[int, ...], stride: tuple[int, ...]
) -> NDArray[np.int64]:
    """Index the pixels of every patch, (kernel area * height * width,), in rows of `row_px` pixels.

    An array of numpy's, because a tensor made during an export would not outlive it. Indices
    instead of torch's `unfold`, whose exported form takes ONNX Runtime up to twice the time.
    """
    rows = np.arange(height)[:, None] * stride[0]
    rows = rows + np.arange(kernel[0])[:, None, None, None]
    columns = np.arange(width) * stride[1]
    columns = columns + np.arange(kernel[1])[:, None, None]
    return (rows * row_px + columns).flatten()
