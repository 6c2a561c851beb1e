"""A run's figures for TensorBoard; nothing is imported or written where none was asked for."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from conure_core.errors import ConfigError


class RunLog:
    """Scalars by environment step, in `folder`; None: nowhere. A resumed run takes back what is
    after `first_step`.
    """

    def __init__(self, folder: Path | None, first_step: int) -> None:
        self._writer = None if folder is None else _writer(folder, first_step)

    def write(self, figures: Mapping[str, float | bool], step: int) -> None:
        if self._writer is not None:
            for name, value in figures.items():
                if name != "steps":
                    self._writer.add_scalar(name, float(value), step)

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()


def _writer(folder: Path, first_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError(
            "tensorboard=true needs tensorboard: pip install 'conure[training]', or make setup"
        ) from error
    return SummaryWriter(str(folder), purge_step=first_step)
