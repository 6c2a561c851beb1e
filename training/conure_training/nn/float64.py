"""Prior and policy as they run on a robot: one graph, in float64.

A flow that decides sharply (open or shut, this object or that) magnifies the rounding of what it sees a hundredfold.
In float32 two runtimes then differ by up to 1e-4 in an action. In float64 they agree to 1e-6 (an exported graph keeps
its constants in float32), for a few tenths of a millisecond a tick.
Inputs and outputs stay float32.
"""

import copy
import math
from functools import lru_cache
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from conure_training.nn.networks import bounded_radially
from conure_training.prior.flow import ConditionalRealNVP

Module = TypeVar("Module", bound=nn.Module)


class PolicyGraph(nn.Module):
    """(image, proprio, noise) -> (action, z, log-likelihood): z = mean + std * noise, a = f(z; features).

    z is bounded if the policy is. Without a policy z is the noise: the prior itself. The action is clipped to the box
    that the contract promises.
    Made of copies: the modules that it is given keep their device, mode and type. They compute in the type of their
    floating-point inputs.
    """

    def __init__(self, encoder: nn.Module, flow: ConditionalRealNVP, policy: nn.Module | None) -> None:
        super().__init__()
        self.encoder, self.flow = in_float64(encoder), in_float64(flow)
        self.policy = None if policy is None else in_float64(policy)

    def forward(self, image: Tensor, proprio: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of (B, H, W, 3) uint8, (B, P) and (B, A) float32: (B, A), (B, A) and (B,) float32."""
        features = self.encoder(image, proprio.double())
        z = noise.double()
        if self.policy is not None:
            mean, std = self.policy(features)
            z = bounded_radially(mean + std * z, getattr(self.policy, "radius", math.inf))
        action, log_likelihood = self.flow.decode_with_log_prob(z, features)
        return action.clamp(-1.0, 1.0).float(), z.float(), log_likelihood.float()


class InverseGraph(nn.Module):
    """(image, proprio, action) -> (z, log-likelihood), of a PolicyGraph's encoder and flow."""

    def __init__(self, graph: PolicyGraph) -> None:
        super().__init__()
        self.encoder, self.flow = graph.encoder, graph.flow

    def forward(self, image: Tensor, proprio: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Of (B, H, W, 3) uint8, (B, P) and (B, A) float32: (B, A) and (B,) float32."""
        z, log_likelihood = self.flow.encode_with_log_prob(action.double(), self.encoder(image, proprio.double()))
        return z.float(), log_likelihood.float()


def in_float64(module: Module) -> Module:
    """A copy on the CPU in evaluation mode, its weights and arithmetic in float64; nothing of it can be trained."""
    precise = copy.deepcopy(module).cpu()
    for name, child in list(precise.named_modules()):
        if isinstance(child, nn.Conv2d):
            precise.set_submodule(name, MatrixConv2d(child))
    return precise.double().eval().requires_grad_(False)


class MatrixConv2d(nn.Module):
    """A convolution as one matrix product over patches, because ONNX Runtime's own takes float32 alone.

    x (b, c, h, w) -> (b, out, h', w'). Zero padding; no groups, no dilation. `coordinates`: as CoordConv2d takes them.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.kernel, self.stride = tuple(convolution.kernel_size), tuple(convolution.stride)
        self.padding = [int(pad) for pad in convolution.padding]
        bias = convolution.bias
        self.weight = nn.Parameter(convolution.weight.detach().flatten(1))
        self.bias = nn.Parameter(torch.zeros(convolution.out_channels) if bias is None else bias.detach())

    def forward(self, x: Tensor, coordinates: Tensor | None = None) -> Tensor:
        """See the class."""
        if coordinates is not None:
            x = torch.cat([x, coordinates.expand(x.shape[0], -1, -1, -1)], dim=1)
        x = functional.pad(x, [self.padding[1]] * 2 + [self.padding[0]] * 2)
        height, width = ((x.shape[2 + i] - self.kernel[i]) // self.stride[i] + 1 for i in (0, 1))
        pixels = torch.from_numpy(_patch_pixels(x.shape[3], height, width, self.kernel, self.stride))
        patches = x.flatten(2)[:, :, pixels].reshape(x.shape[0], -1, height * width)
        return (self.weight @ patches + self.bias[:, None]).unflatten(2, (height, width))


@lru_cache
def _patch_pixels(
    row_px: int, height: int, width: int, kernel: tuple[int, ...], stride: tuple[int, ...]
) -> NDArray[np.int64]:
    """Indices, in an image whose rows are `row_px` long, of every patch's pixels: (kernel area * height * width,).

    As an array of numpy's, because a tensor made while a graph is exported would not outlive the export. By indices
    instead of torch's `unfold`, whose exported form takes ONNX Runtime up to twice the time.
    """
    rows = np.arange(height)[:, None] * stride[0] + np.arange(kernel[0])[:, None, None, None]
    columns = np.arange(width) * stride[1] + np.arange(kernel[1])[:, None, None]
    return (rows * row_px + columns).flatten()
