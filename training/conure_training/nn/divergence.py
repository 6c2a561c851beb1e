"""Training that diverges ends by name: no number that is not finite is learned from, or written."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from conure_core.errors import DataError


class Diverged(DataError):
    """A loss, a gradient or a weight is infinite or not a number; nothing was learned from it."""


def lower(setting: str, value: float) -> str:
    """Say which setting makes training diverge less.

    Args:
        setting: Its key on the command line.
        value: What it is.
    """
    return f"give a lower {setting} (now {value:g})"


def require_finite(values: Tensor, what: str, remedy: str) -> None:
    """Refuse to learn on from NaN or infinity.

    Args:
        values: Any tensor.
        what: Its name, for the message.
        remedy: The setting to change, and how.

    Raises:
        Diverged: Something in it is not finite.
    """
    total = float(values.detach().abs().sum())
    if not math.isfinite(total):
        raise Diverged(f"{what} is {total}; {remedy}")


def require_finite_weights(networks: Mapping[str, nn.Module], remedy: str) -> None:
    """Refuse networks that are not to be written.

    Args:
        networks: By the name for the message.
        remedy: The setting to change, and how.

    Raises:
        Diverged: A weight is not finite; names its network.
    """
    for name, network in networks.items():
        if not _are_finite(network.parameters()):
            raise Diverged(f"a weight of the {name} is not finite; {remedy}")


@torch.no_grad()
def _are_finite(weights: Iterable[Tensor]) -> bool:
    return all(bool(torch.isfinite(weight).all()) for weight in weights)


@contextmanager
def diverging(step: Callable[[], int], checkpoint: Path) -> Iterator[None]:
    """Say at which step training diverged, and what is left of it.

    Args:
        step: Gives the present step.
        checkpoint: The run's file; the last one that was written stays.

    Raises:
        Diverged: With step and file.
    """
    try:
        yield
    except Diverged as error:
        left = "no checkpoint was written yet"
        if checkpoint.is_file():
            left = f"{checkpoint} is from before; give another out=, or remove it, to start over"
        raise Diverged(f"diverged at step {step()}: {error}; {left}") from error
