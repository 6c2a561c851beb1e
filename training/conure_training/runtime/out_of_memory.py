"""Memory that ran out, as an error that names the setting to lower."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from conure_core.errors import ConfigError

CPU_ALLOCATION = ("can't allocate memory", "not enough memory", "out of memory")
"""Parts of torch's RuntimeError on a CPU, where it has no type of its own."""


@contextmanager
def blame_setting(key: str, value: int) -> Iterator[None]:
    """Turn an out-of-memory error of the block into one that names a setting.

    Args:
        key: The setting that decides how much memory the block needs.
        value: Its present value.

    Raises:
        ConfigError: The block ran out of memory, on a GPU or a CPU.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        typed = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not typed and not any(words in str(error) for words in CPU_ALLOCATION):
            raise
        raise ConfigError(
            f"out of memory with {key}={value}; lower {key} and run the same command again"
        ) from error
