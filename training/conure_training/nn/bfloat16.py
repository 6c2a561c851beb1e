"""bfloat16 where gradients allow it and the processor computes with it."""

from typing import Any

import torch
from torch import nn


def training_precision(module: nn.Module, device: torch.device) -> Any:
    """Give a context in which convolutions and products of a learning module use bfloat16.

    Weights stay float32. Nothing changes in eval(), without gradients, or on processors without
    such instructions, so that whatever is measured, cached and exported is float32.

    Args:
        module: The module whose forward pass runs inside; it learns while `module.training`.
        device: Where it is.

    Returns:
        A context manager.

    Source: Micikevicius et al., Mixed Precision Training, ICLR 2018; bfloat16 needs no scaling of
    the loss.
    """
    learns = module.training and torch.is_grad_enabled() and not torch.jit.is_tracing()
    enabled = learns and computes_bfloat16(device)
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def computes_bfloat16(device: torch.device) -> bool:
    """Check that the device has instructions for it; emulated, it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    has = torch.cpu.get_capabilities()
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))
