"""What is learned from demonstrations before the first step: once, in batches of rows, by gradient
descent.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from conure_core.config.values import COUNT, POSITIVE, bounds, check_values
from conure_core.errors import DataError
from conure_training.nn.divergence import Diverged, lower
from conure_training.runtime.arrays import UNREADABLE
from conure_training.runtime.parallel import progress_bar
from conure_training.runtime.torch_files import load_torch, save_torch

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class PretrainingConfig:
    """Of what is learned before the first step, by Adam."""

    steps: int = field(default=3000, metadata=COUNT)
    """Gradient steps."""
    batch_size: int = field(default=256, metadata=COUNT)
    """Rows of a step."""
    learning_rate: float = field(default=1e-3, metadata=POSITIVE)
    """At first; it falls to 0 as a cosine."""
    feature_noise: float = field(default=0.05, metadata=bounds(0.0))
    """Standard deviation of the noise that is added to features against overfitting."""

    def __post_init__(self) -> None:
        check_values(asdict(self), type(self), f"{type(self).__name__}.")


def pretrain(
    label: str,
    module: nn.Module,
    loss: Callable[[Tensor, torch.Generator], Tensor],
    rows: int,
    config: PretrainingConfig,
    seed: int,
) -> None:
    """Minimise a loss by Adam, its rate falling to 0 as a cosine; then freeze the module.

    Args:
        label: Name of what is trained, on the progress bar and in errors.
        module: What is trained, in place.
        loss: Loss () of row indices (B,) and a generator for its noise.
        rows: How many rows there are to draw from.
        config: Steps, batch size and first learning rate.
        seed: Of batches and of the loss's noise.

    Raises:
        Diverged: The loss is not finite.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(module.parameters(), config.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.steps)
    with progress_bar() as bar:
        task = bar.add_task(label, total=config.steps, note="")
        for step in range(config.steps):
            value = loss(torch.randint(rows, (config.batch_size,), generator=generator), generator)
            value.backward()
            nn.utils.clip_grad_norm_(module.parameters(), 10.0)
            if not math.isfinite(value.item()):
                raise Diverged(
                    f"{label}: the loss at step {step} is {value.item()};"
                    f" {lower('its learning_rate', config.learning_rate)}"
                )
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            bar.update(task, advance=1, note=f"loss {value.item():.3f}")
    module.requires_grad_(False).eval()


def train_once(path: Path, key: str, module: Module, train: Callable[[Module], None]) -> Module:
    """Train a module, or read it from the file where an interrupted run left it.

    Args:
        path: File that keeps the weights; one that is damaged or of another key is overwritten.
        key: Everything that the weights depend on, as text.
        module: The untrained module; trained or loaded in place.
        train: Trains it in place.

    Returns:
        The module as it was trained for this key.
    """
    try:
        kept = load_torch(path, "it is trained again")
        if kept["key"] == key:
            module.load_state_dict(kept["weights"])
            return module.requires_grad_(False).eval()
    except (DataError, *UNREADABLE):
        pass  # absent, damaged or of something else: it is trained again
    train(module)
    save_torch(path, {"key": key, "weights": module.state_dict()})
    return module
