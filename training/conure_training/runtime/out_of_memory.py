"""Memory that ran out, as an error that says which setting to lower."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from conure_core.errors import ConfigError

CPU_ALLOCATION = ("can't allocate memory", "not enough memory", "out of memory")
"""What torch's RuntimeError says on a CPU, where it has no type of its own."""


@contextmanager
def blamed_on(key: str, value: int) -> Iterator[None]:
    """Raises: ConfigError that names the setting, where the block runs out of memory, on a GPU or a
    CPU.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        ours = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not ours and not any(words in str(error) for words in CPU_ALLOCATION):
            raise
        raise ConfigError(
            f"out of memory with {key}={value}; lower {key} and run the same command again"
        ) from error
