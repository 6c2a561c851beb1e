"""x W^T + b by oneDNN where torch's own product is slower: MKL uses AVX-512 on Intel's processors
only.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from conure_core.runtime.provenance import cpu_name

LEAST_PRODUCTS = 2**20
"""Multiplications from which oneDNN is faster; below, its set-up costs more than the arithmetic."""

AVAILABLE = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
"""True if this torch has oneDNN."""

FASTER = (
    AVAILABLE and torch.backends.cpu.get_cpu_capability() == "AVX512" and "Intel" not in cpu_name()
)
"""True if oneDNN is used. Where MKL uses AVX-512 too, or neither does, latent SAC updates a quarter
faster by MKL.
"""


class Linear(nn.Linear):
    """nn.Linear with the same weights, and the same product up to rounding, by `linear`."""

    def forward(self, input: Tensor) -> Tensor:
        """Multiply (B, in) to (B, out)."""
        return linear(input, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, relu: bool = False) -> Tensor:
    """x W^T + b, with gradients of any order.

    Where oneDNN is `FASTER`, it computes large products of float32 on a CPU; never while a graph is
    traced or transformed.

    Args:
        x: Shape (B, in).
        weight: W, shape (out, in).
        bias: b, shape (out,); None: 0.
        relu: Whether to take the positive part.

    Returns:
        Shape (B, out).
    """
    if _suits_onednn(x, weight):
        product: Tensor = _OneDnnLinear.apply(x, weight, bias, relu)
        return product
    product = functional.linear(x, weight, bias)
    return torch.relu_(product) if relu else product


def _suits_onednn(x: Tensor, weight: Tensor) -> bool:
    if not FASTER or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    if not (x.dtype == weight.dtype == torch.float32 and x.is_cpu and x.dim() == 2):
        return False
    large = x.shape[0] * weight.numel() >= LEAST_PRODUCTS
    return large and not torch._C._are_functorch_transforms_active()


class _OneDnnLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, relu: bool) -> Tensor:
        product = _product(x, weight, bias, "relu" if relu else "none")
        ctx.save_for_backward(x, weight, product if relu else None)
        return product

    @staticmethod
    def backward(
        ctx: Any, gradient: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        x, weight, positive = ctx.saved_tensors
        if positive is not None:
            gradient = torch.ops.aten.threshold_backward(gradient, positive, 0)
        # A gradient that is differentiated again needs operations that torch can differentiate.
        product = functional.linear if torch.is_grad_enabled() else _product
        for_x, for_weight, for_bias, _ = ctx.needs_input_grad
        return (
            product(gradient, weight.t()) if for_x else None,
            product(gradient.t(), x.t()) if for_weight else None,
            gradient.sum(0) if for_bias else None,
            None,
        )


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None, then: str = "none") -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, then, [], "")
    return product
