"""bfloat16 where gradients allow it and the processor computes with it."""

from typing import Any

import torch
from torch import nn


def training_precision(module: nn.Module, device: torch.device) -> Any:
    """Inside, the convolutions and products of a module that learns are of bfloat16, its weights of
    float32 as ever.

    On processors without such instructions, without gradients and in eval(): no change, so that
    what is measured, cached and exported is float32. Source: Micikevicius et al., Mixed Precision
    Training, ICLR 2018; bfloat16 needs no scaling of the loss.
    """
    learns = module.training and torch.is_grad_enabled() and not torch.jit.is_tracing()
    return torch.autocast(device.type, torch.bfloat16, enabled=learns and computes_bfloat16(device))


def computes_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for it; emulated, it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    has = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))
